/**
 * The reference graph: every operation in float32 between a dequantize and a quantize.
 *
 * @module
 */
import type { PerTensorQParams } from "../core/qparams.ts";
import type { GraphNode } from "../modules/reference.ts";

/**
 * The parameters of a node's value, or null where it is not quantized.
 *
 * @example
 * ```ts
 * import { Linear, prepare, tensor } from "@splitgate/splitgate";
 * import { convertToReference, nodeQParams } from "@splitgate/splitgate/reference";
 * import { fbgemmQConfig } from "../qconfig/qconfig.ts";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new Linear({ inFeatures: 2, outFeatures: 3 }), fbgemmQConfig);
 * observed.forward(tensor([0.1, -0.4], [1, 2]));
 * const [input, quantize] = convertToReference(observed).nodes;
 * assertEquals(nodeQParams(input!), null);
 * assertEquals(nodeQParams(quantize!)!.dtype, "quint8");
 * ```
 */
export function nodeQParams(node: GraphNode): PerTensorQParams | null {
  const { dtype, scale, zeroPoint, quantMin, quantMax } = node;
  if (dtype === "float32" || dtype === "int32") return null;
  return { dtype, scale: scale!, zeroPoint: zeroPoint!, quantMin: quantMin!, quantMax: quantMax! };
}

/** One or more scales or zero points, short. */
function few(values: ArrayLike<number>): string {
  return values.length === 1
    ? String(values[0])
    : `${values.length} from ${Math.min(...Array.from(values))}`;
}

/** The columns of {@linkcode tableOf}. */
const COLUMNS = [
  "name",
  "op",
  "inputs",
  "dtype",
  "scale",
  "zeroPoint",
  "quantMin",
  "quantMax",
  "weight",
] as const;

function cellsOf(node: GraphNode): string[] {
  const { name, op, inputs, dtype, scale, zeroPoint, quantMin, quantMax, weight } = node;
  const own = [scale, zeroPoint, quantMin, quantMax].map((value) =>
    value === undefined ? "" : String(value)
  );
  const text = weight === undefined
    ? ""
    : `qint8 [${weight.outFeatures}, ${weight.inFeatures}] ${few(weight.scales)}`;
  return [name, op, inputs.join(", "), dtype, ...own, text];
}

/** The nodes as a text table. */
export function tableOf(nodes: readonly GraphNode[]): string {
  const rows = [[...COLUMNS] as string[], ...nodes.map(cellsOf)];
  const widths = COLUMNS.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows.map((row) => row.map((text, i) => text.padEnd(widths[i]!)).join("  ").trimEnd()).join(
    "\n",
  ) + "\n";
}

/** Label of a node in a drawing. */
function label(node: GraphNode): string[] {
  const { name, op, dtype, scale, zeroPoint, quantMin, quantMax } = node;
  const lines = [op === "quantize" || op === "dequantize" ? op : `${name}: ${op}`];
  if (scale !== undefined) {
    lines.push(`${dtype} ${quantMin}..${quantMax}`, `scale ${scale}, zero point ${zeroPoint}`);
  }
  return lines;
}

/** The nodes outside of cells, then those of each cell. */
function groupsOf(nodes: readonly GraphNode[]): Map<string, GraphNode[]> {
  const groups = new Map<string, GraphNode[]>([["", []]]);
  for (const node of nodes) {
    const key = node.cell === undefined ? "" : `${node.module}.${node.cell}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [node]);
    else group.push(node);
  }
  return groups;
}

/** The graph in Graphviz's language; states passed to the next step are dashed. */
export function dotOf(nodes: readonly GraphNode[]): string {
  const lines = ["digraph reference {", "  node [shape=box];"];
  const quote = (text: string) => JSON.stringify(text);
  for (const [name, group] of groupsOf(nodes)) {
    if (name !== "") {
      lines.push(`  subgraph ${quote(`cluster_${name}`)} {`, `    label=${quote(name)};`);
    }
    const indent = name === "" ? "  " : "    ";
    for (const node of group) {
      lines.push(`${indent}${quote(node.name)} [label=${quote(label(node).join("\n"))}];`);
    }
    if (name !== "") lines.push("  }");
  }
  for (const node of nodes) {
    const style = node.op === "state" ? " [style=dashed, constraint=false]" : "";
    for (const input of node.inputs) {
      lines.push(`  ${quote(input)} -> ${quote(node.name)}${style};`);
    }
  }
  return [...lines, "}", ""].join("\n");
}

/** The graph in Mermaid's language. */
export function mermaidOf(nodes: readonly GraphNode[]): string {
  const ids = new Map(nodes.map(({ name }, i) => [name, `n${i}`]));
  const lines = ["flowchart TD"];
  const text = (value: string) =>
    value.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
  for (const [name, group] of groupsOf(nodes)) {
    if (name !== "") lines.push(`  subgraph ${ids.get(group[0]!.name)}g ["${text(name)}"]`);
    for (const node of group) {
      lines.push(
        `  ${name === "" ? "" : "  "}${ids.get(node.name)}["${
          label(node).map(text).join("<br>")
        }"]`,
      );
    }
    if (name !== "") lines.push("  end");
  }
  for (const node of nodes) {
    const arrow = node.op === "state" ? "-.->" : "-->";
    for (const input of node.inputs) {
      lines.push(`  ${ids.get(input)} ${arrow} ${ids.get(node.name)}`);
    }
  }
  return [...lines, ""].join("\n");
}

/** A typed array, or anything else, as JSON can hold it. */
function plain(_key: string, value: unknown): unknown {
  return ArrayBuffer.isView(value) ? Array.from(value as Float32Array) : value;
}

/** The nodes as JSON, including weights. */
export function jsonOf(nodes: readonly GraphNode[]): string {
  return JSON.stringify({ nodes }, plain, 1);
}
