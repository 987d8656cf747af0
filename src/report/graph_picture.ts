/**
 * Pictures of graphs, laid out by dagre: the model by its modules, and each module by its nodes.
 *
 * @module
 */
import { Graph as LayoutGraph, layout } from "@dagrejs/dagre";
import type { ReportData, ReportNode } from "./data.ts";
import { html, type Markup, pathData } from "./html.ts";

/** Max number of nodes; with more, a picture does not help. */
const MAX_NODES = 240;

/** Width of a character, height of a line, and padding of a node, in SVG units. */
const CHARACTER = 6.6;
const LINE = 15;
const PADDING = 14;

/** Margin around the picture. */
const FRAME = 4;

/** Max characters of a line in a node. */
const SHOWN = 26;

/** A node of a picture. */
interface Drawn {
  readonly id: string;
  /** Lines of text: its name and its properties. */
  readonly lines: readonly string[];
  /** "integers": a quantized value; "outside": a node of another module. */
  readonly look: "float" | "integers" | "outside";
}

/** An arrow. */
interface Arrow {
  readonly from: string;
  readonly to: string;
  /** Whether it is read in the next step. */
  readonly later: boolean;
}

const shown = (line: string) =>
  line.length > SHOWN ? `${line.slice(0, SHOWN / 2 - 1)}…${line.slice(-SHOWN / 2)}` : line;

const at = (value: number) => String(Math.round(10 * value) / 10);

/** A path through points, straight from one to the next. */
function pathOf(points: readonly Point[]): string {
  return points.map(({ x, y }, i) => `${i === 0 ? "M" : "L"}${at(x)},${at(y)}`).join("");
}

/** The head of an arrow, at the last of its points. */
function tipOf(points: readonly Point[]): string {
  const end = points[points.length - 1]!;
  const before = points[points.length - 2] ?? end;
  const length = Math.hypot(end.x - before.x, end.y - before.y) || 1;
  const [dx, dy] = [(end.x - before.x) / length, (end.y - before.y) / length];
  const corner = (side: number) => ({
    x: end.x - 7 * dx - 3.5 * side * dy,
    y: end.y - 7 * dy + 3.5 * side * dx,
  });
  return `${pathOf([end, corner(1), corner(-1)])}Z`;
}

/** A point of an arrow. */
interface Point {
  readonly x: number;
  readonly y: number;
}

/** The layout of a node: its centre and size. */
interface Box extends Point {
  readonly width: number;
  readonly height: number;
}

/**
 * The box around all nodes and points, with a margin: dagre's own box ignores the points of edges.
 */
function frameOf(boxes: readonly Box[], points: readonly Point[]): Box {
  const xs = [...boxes.flatMap(({ x, width }) => [x - width / 2, x + width / 2])];
  const ys = [...boxes.flatMap(({ y, height }) => [y - height / 2, y + height / 2])];
  for (const { x, y } of points) {
    xs.push(x);
    ys.push(y);
  }
  const x = Math.floor(Math.min(...xs)) - FRAME;
  const y = Math.floor(Math.min(...ys)) - FRAME;
  return {
    x,
    y,
    width: Math.ceil(Math.max(...xs)) + FRAME - x,
    height: Math.ceil(Math.max(...ys)) + FRAME - y,
  };
}

/** Draws nodes and arrows; null if there are too many. */
function picture(
  nodes: readonly Drawn[],
  arrows: readonly Arrow[],
  label: string,
): Markup | null {
  if (nodes.length === 0 || nodes.length > MAX_NODES) return null;
  const graph = new LayoutGraph({ multigraph: true });
  graph.setGraph({ rankdir: "TB", nodesep: 14, ranksep: 22 });
  graph.setDefaultEdgeLabel(() => ({}));
  // Names in files may have a special meaning in the library, so nodes are numbered.
  const ids = new Map(nodes.map(({ id }, i) => [id, `n${i}`]));
  for (const { id, lines } of nodes) {
    const longest = Math.max(...lines.map((line) => shown(line).length));
    graph.setNode(ids.get(id)!, {
      width: longest * CHARACTER + PADDING,
      height: lines.length * LINE + PADDING / 2,
    });
  }
  // Edges to the next step are reversed for the layout, so that time runs down the page.
  const ends = arrows.map(({ from, to, later }) => {
    const [v, w] = [ids.get(from)!, ids.get(to)!];
    return later ? { v: w, w: v } : { v, w };
  });
  ends.forEach(({ v, w }, i) => graph.setEdge(v, w, {}, `e${i}`));
  layout(graph);
  const layouts = nodes.map(({ id }) => graph.node(ids.get(id)!) as Box);
  const ways = ends.map(({ v, w }, i) => {
    const { points } = graph.edge({ v, w, name: `e${i}` }) as { points: Point[] };
    return arrows[i]!.later ? [...points].reverse() : points;
  });
  const edges = ways.map((points, i) =>
    html`
      <path class="edge${arrows[i]!.later && " later"}" d="${pathData(pathOf(points))}" />
      <path class="tip" d="${pathData(tipOf(points))}" />
    `
  );
  const boxes = nodes.map(({ id, lines, look }, i) => {
    const { x, y, width, height } = layouts[i]!;
    const top = y - height / 2 + LINE;
    return html`
      <g
        class="node ${look}"><title>${id}</title><rect x="${at(x - width / 2)}" y="${at(
          y - height / 2,
        )}" width="${at(width)}" height="${at(height)}" rx="4"/>${lines.map((line, i) =>
          html`
            <text x="${at(x)}" y="${at(top + i * LINE)}" text-anchor="middle" class="${i === 0
              ? "name"
              : "small"}">${shown(line)}</text>
          `
        )}</g>
    `;
  });
  const { x, y, width, height } = frameOf(layouts, ways.flat());
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label="${label}">
      <svg class="graph" width="${width}" height="${height}"
        viewBox="${x} ${y} ${width} ${height}" role="img"
        aria-label="${label}">${edges}${boxes}</svg>
    </div>
  `;
}

/** The modules of a model and their connections. */
export function modelPicture({ modules, outputs, graph }: ReportData): Markup | null {
  const given = new Set(modules.map(({ name }) => name));
  const nodes: Drawn[] = [
    { id: "input", lines: ["input"], look: "outside" },
    ...modules.map(({ name, kind, width, dtype }): Drawn => ({
      id: name,
      lines: [name, `${kind}, ${width} wide, ${dtype}`],
      look: dtype === "float32" ? "float" : "integers",
    })),
    ...outputs.map(({ name }): Drawn => ({
      id: `output ${name}`,
      lines: [name === "output" ? name : `output ${name}`],
      look: "outside",
    })),
  ];
  const arrows = modules.flatMap(({ name, reads }) =>
    reads.filter((read) => read === "input" || given.has(read))
      .map((read): Arrow => ({ from: read, to: name, later: false }))
  );
  // The reference graph tells the module of each output; without one, it is the last module.
  const ends = graph?.filter(({ op }) => op === "output") ?? [];
  outputs.forEach(({ name }, i) => {
    const end = graph?.find((node) => node.name === ends[i]?.inputs[0]);
    const module = end?.module ?? modules[modules.length - 1]?.name;
    if (module !== undefined && given.has(module)) {
      arrows.push({ from: module, to: `output ${name}`, later: false });
    }
  });
  return picture(nodes, arrows, "The modules of the model and who reads whom");
}

/** The nodes of a module, or of one of its layers and directions. */
export interface NodeGroup {
  /** Name of the module, with its layer and direction. */
  readonly name: string;
  readonly nodes: readonly ReportNode[];
}

/** Groups nodes by module, layer and direction, in order. */
export function groupsOf(nodes: readonly ReportNode[]): NodeGroup[] {
  const groups = new Map<string, ReportNode[]>();
  for (const node of nodes) {
    if (node.module === null) continue;
    const name = node.cell === undefined ? node.module : `${node.module}.${node.cell}`;
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [node]);
    else group.push(node);
  }
  return [...groups].map(([name, nodes]) => ({ name, nodes }));
}

/** The name of a node within its group. */
function within(name: string, group: string): string {
  return name.startsWith(`${group}.`) ? name.slice(group.length + 1) : name;
}

function drawn(node: ReportNode, group: string): Drawn {
  const { name, op, dtype } = node;
  if (op === "quantize") return { id: name, lines: ["quantize", dtype], look: "integers" };
  if (op === "dequantize") return { id: name, lines: [op], look: "float" };
  const own = within(name, group);
  return { id: name, lines: own === op ? [op] : [own, op], look: "float" };
}

/** The nodes of a group and the nodes they read; null if there are too many. */
export function groupPicture({ name, nodes }: NodeGroup): Markup | null {
  const own = new Set(nodes.map((node) => node.name));
  const outside = new Set(nodes.flatMap(({ inputs }) => inputs.filter((read) => !own.has(read))));
  const all = [
    ...[...outside].map((id): Drawn => ({ id, lines: [id], look: "outside" })),
    ...nodes.map((node) => drawn(node, name)),
  ];
  const arrows = nodes.flatMap((node) =>
    node.inputs.map((read): Arrow => ({ from: read, to: node.name, later: node.op === "state" }))
  );
  return picture(all, arrows, `The reference graph of ${name}`);
}
