/**
 * Importing ONNX files as float models: every tensor that the outputs need is analyzed, node by
 * node, without running the model.
 *
 * @module
 */
import type { BytesSource } from "../../core/bytes.ts";
import { checkGiven, checkNoMore, failRange, failType, isObject } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import type { ImportedModel } from "../imported_model.ts";
import { GraphContext, labelOf, NodeContext } from "./context.ts";
import { OPERATORS, SUPPORTED } from "./operators.ts";
import {
  type OnnxModel,
  type OnnxNode,
  type OnnxOptions,
  type OnnxValueInfo,
  parseOnnx,
} from "./reader.ts";
import { numberOf, sizeOf } from "./sizes.ts";
import { build, joinLayers, type Layers } from "./build.ts";
import {
  type Atom,
  atom,
  dimSize,
  type Flow,
  type Initial,
  isOne,
  type OnnxValue,
  type Part,
  type Role,
} from "./values.ts";

/**
 * Options of {@linkcode importOnnx}.
 *
 * @example
 * ```ts
 * import { importOnnx, type OnnxImportOptions } from "@splitgate/splitgate/import/onnx";
 * import { assertEquals } from "@std/assert";
 * const path = "tests/models/onnx-made/lstm-last-mlp-softmax-bf-dyn-legacy.onnx";
 * const options: OnnxImportOptions = { outputs: ["/fc2/Gemm_output_0"] }; // before the softmax
 * const { model } = importOnnx(await Deno.readFile(path), options);
 * assertEquals([...model.children.keys()].at(-1), "fc2");
 * ```
 */
export interface OnnxImportOptions extends OnnxOptions {
  /**
   * Name of a tensor that becomes the model's input in place of the graph's own; the caller has to
   * compute it.
   */
  readonly cut?: string;
  /** Names of tensors that become the model's outputs; the graph's outputs by default. */
  readonly outputs?: readonly string[];
}

/**
 * A state of a model that is an input or output of the graph, or stored in it.
 *
 * @example
 * ```ts
 * import { importOnnx, type OnnxState } from "@splitgate/splitgate/import/onnx";
 * import { assertEquals } from "@std/assert";
 * const bytes = await Deno.readFile("tests/models/onnx-made/lstm2-states-legacy.onnx");
 * const [first]: readonly OnnxState[] = importOnnx(bytes).states;
 * assertEquals([first!.module, first!.slot, first!.input], ["lstm", "h", "h0"]);
 * ```
 */
export interface OnnxState {
  /** Name of the recurrent module. */
  readonly module: string;
  /** Hidden or cell state. */
  readonly slot: "h" | "c";
  /**
   * Rows of the module's state, [layers * directions, batch, size], in the order of the graph's
   * tensor.
   */
  readonly rows: readonly number[];
  /** Name of the graph's input that is the initial state. */
  readonly input?: string;
  /** Name of the graph's output that is the final state. */
  readonly output?: string;
  /** The initial state stored in the file: [rows, batch, size]. */
  readonly value?: Tensor;
}

/**
 * A float model from an ONNX file, with notes.
 *
 * @example
 * ```ts
 * import { type ImportedOnnx, importOnnx } from "@splitgate/splitgate/import/onnx";
 * import { assert } from "@std/assert";
 * const bytes = await Deno.readFile("tests/models/onnx-made/lstm2-states-legacy.onnx");
 * const { model, notes, outputs, states }: ImportedOnnx = importOnnx(bytes);
 * for (const note of notes) console.log(note); // which axis is which
 * for (const [tensor, module] of outputs) console.log(`${tensor} is what ${module} gives`);
 * assert(states.length > 0 && model.children.size > 0);
 * ```
 */
export interface ImportedOnnx extends ImportedModel {
  /** The module that computes each of the graph's outputs, by the output's name. */
  readonly outputs: ReadonlyMap<string, string>;
  /** Initial and final states that are inputs and outputs of the graph. */
  readonly states: readonly OnnxState[];
}

/** Input indices of recurrent nodes' initial states and sequence lengths. */
const RECURRENT = ["LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"];
const LENGTHS = 4;
const STATES = [5, 6];

/** Operators allowed between an input and the state that a node reads. */
const MOVES = ["Slice", "Gather", "Squeeze", "Unsqueeze", "Reshape", "Identity", "Cast"];

/** Largest number of layers and directions in an input of states. */
const MAX_STATES = 4096;

/** Advice in messages. */
const WAY_ON = "`cut` and `outputs` leave parts of a graph out";

/** The node that computes each tensor. */
function producersOf({ nodes }: OnnxModel): Map<string, OnnxNode> {
  const producers = new Map<string, OnnxNode>();
  for (const node of nodes) {
    for (const output of node.outputs) if (output !== "") producers.set(output, node);
  }
  return producers;
}

/** Graph inputs that recurrent nodes read as initial states or as lengths. */
function roleInputs(
  model: OnnxModel,
  producers: ReadonlyMap<string, OnnxNode>,
): Map<string, "initial" | "lengths"> {
  const names = new Set(model.inputs.map(({ name }) => name));
  const roles = new Map<string, "initial" | "lengths">();
  for (const { op, inputs } of model.nodes) {
    if (!RECURRENT.includes(op)) continue;
    for (const at of [LENGTHS, ...op === "GRU" ? STATES.slice(0, 1) : STATES]) {
      let name = inputs[at] ?? "";
      // At most as many moves as there are nodes: a hostile graph may have a cycle.
      for (let left = model.nodes.length; left > 0 && !names.has(name); left--) {
        const node = producers.get(name);
        if (node === undefined || !MOVES.includes(node.op)) break;
        name = node.inputs[0] ?? "";
      }
      if (names.has(name)) roles.set(name, at === LENGTHS ? "lengths" : "initial");
    }
  }
  return roles;
}

/** The shape of the tensor at the cut, as far as its first reader determines it. */
function shapeFromReader(model: OnnxModel, name: string): OnnxValueInfo["shape"] {
  for (const { op, inputs } of model.nodes) {
    if (inputs[0] !== name) continue;
    const weight = model.tensors.get(inputs[1] ?? "")?.shape ?? [];
    if (op === "DynamicQuantizeLSTM") return [null, null, weight[1] ?? null];
    if (RECURRENT.includes(op)) return [null, null, weight[2] ?? null];
  }
  return null;
}

/** The model's input as a value. */
function inputFlow(model: OnnxModel, info: OnnxValueInfo): Flow {
  const shape = info.shape ?? shapeFromReader(model, info.name);
  if (shape === null) {
    const expected = `a tensor whose shape the file tells (value_info), or that an LSTM reads`;
    return failRange(`tensor ${JSON.stringify(info.name)}`, expected, "none");
  }
  const dims = shape.map((size, i) => [atom(sizeOf(size ?? `${info.name}[${i}]`))]);
  return { kind: "flow", part: null, dims, features: null };
}

/**
 * The nodes that the outputs need, in the order of the file, and the number of readers of each
 * tensor.
 */
function needed(
  model: OnnxModel,
  producers: ReadonlyMap<string, OnnxNode>,
  { outputs, cut }: { readonly outputs: readonly string[]; readonly cut: string | undefined },
): { nodes: OnnxNode[]; readers: Map<string, number> } {
  const readers = new Map<string, number>();
  const wanted = new Set<OnnxNode>();
  const stack = [...outputs];
  const read = (name: string) => {
    const count = readers.get(name) ?? 0;
    readers.set(name, count + 1);
    const node = producers.get(name);
    if (count > 0 || name === cut || node === undefined || wanted.has(node)) return;
    wanted.add(node);
    stack.push(...node.inputs.filter((input) => input !== ""));
  };
  for (let name = stack.pop(); name !== undefined; name = stack.pop()) read(name);
  return { nodes: model.nodes.filter((node) => wanted.has(node)), readers };
}

/** The graph's only input besides states and lengths. */
function mainInput(
  model: OnnxModel,
  roles: ReadonlyMap<string, string>,
  readers: ReadonlyMap<string, number>,
): OnnxValueInfo {
  const plain = model.inputs.filter(({ name }) => !roles.has(name) && readers.has(name));
  if (plain.length !== 1) {
    const expected = `one input besides states and lengths (${WAY_ON})`;
    failRange("graph.inputs", expected, plain.map(({ name }) => name));
  }
  return plain[0]!;
}

/** Analyzes the outputs of all nodes. */
function evaluate(
  context: GraphContext,
  nodes: readonly OnnxNode[],
  values: Map<string, OnnxValue>,
): void {
  const { tensors } = context.model;
  for (const node of nodes) {
    const inputs = node.inputs.map((name) => {
      if (name === "") return undefined;
      const known = values.get(name);
      if (known !== undefined) return known;
      const tensor = tensors.get(name);
      if (tensor === undefined) {
        return failRange(labelOf(node), "inputs that nodes before it give", name);
      }
      const value = context.constantOf(tensor, name);
      values.set(name, value);
      return value;
    });
    const full = node.domain === "" ? node.op : `${node.domain}.${node.op}`;
    const operator = OPERATORS.get(full);
    if (operator === undefined) {
      failRange(labelOf(node), `${SUPPORTED} (${WAY_ON})`, full);
    }
    const given = operator!(new NodeContext(context, node, inputs));
    const outputs = Array.isArray(given) ? given : [given];
    node.outputs.forEach((name, i) => {
      if (name !== "" && outputs[i] !== undefined) values.set(name, outputs[i]);
    });
  }
}

/** Names of axes of batch and of time. */
const BATCH = /batch|^b$|^n$/i;
const TIME = /time|seq|step|len|^t$|^l$/i;

/** Assigns the axes of the model's input that no node has determined. */
function settleInput({ input, notes }: GraphContext, name: string): boolean {
  const atoms = input.dims.map(([only]) => only!);
  const open = atoms.filter(({ role }) => role === undefined);
  const has = (role: Role) => atoms.some((each) => each.role === role);
  for (const each of open) {
    const symbol = each.size.symbols[0] ?? "";
    const role: Role | undefined = !has("batch") && !has("time")
      ? TIME.test(symbol) && !BATCH.test(symbol) ? "time" : "batch"
      : !has("batch")
      ? "batch"
      : !has("time")
      ? "time"
      : undefined;
    each.role = role;
  }
  const batch = atoms.findIndex(({ role }) => role === "batch");
  const time = atoms.findIndex(({ role }) => role === "time");
  const batchFirst = batch >= 0 && batch < time;
  const features = atoms.filter(({ role }) => role === "features").length > 0;
  const own = axesText(input.dims);
  const here = [
    ...batchFirst ? ["batch", "time"] : ["time", "batch"],
    ...features ? ["features"] : [],
  ]
    .join(", ");
  notes.add(
    `input ${JSON.stringify(name)}: [${own}]${own === here ? "" : ` in the file, [${here}] here`}`,
  );
  for (const { size, role } of atoms) {
    const fixed = numberOf(size);
    if (role === "batch" || role === "time") {
      if (fixed !== undefined && fixed !== 1) {
        notes.add(`the file says that ${role} is ${fixed}: here it may be any`);
      }
    }
  }
  return batchFirst;
}

/** Meaning of a value's axes. */
function axesText(dims: readonly (readonly Atom[])[]): string {
  return dims.map((dim) => {
    const roles = [...new Set(dim.map(({ role }) => role ?? "?"))];
    return roles.length === 0 ? "1" : roles.join(" * ");
  }).join(", ");
}

/** The graph's outputs: values of modules, and final states. */
interface Outputs {
  readonly flows: Map<string, Flow & { readonly part: Part }>;
  readonly states: Map<string, Flow | Extract<OnnxValue, { kind: "states" }>>;
}

/** Whether a value still has the axis of layers and directions of final states. */
function hasLayers({ pieces, dims, features }: Flow): boolean {
  const direction = features?.[0];
  return pieces !== undefined && dims.length === 3 &&
    dims.some((dim) => isOne(dimSize(dim)) ? dim.length < 2 : dim[0] === direction);
}

function sortOutputs(
  context: GraphContext,
  names: readonly string[],
  values: ReadonlyMap<string, OnnxValue>,
): Outputs {
  const outputs: Outputs = { flows: new Map(), states: new Map() };
  for (const name of names) {
    const value = values.get(name);
    if (value?.kind === "states" && value.perLayer === undefined) outputs.states.set(name, value);
    else if (value?.kind === "flow" && value.pieces !== undefined && hasLayers(value)) {
      outputs.states.set(name, value);
    } else if (value?.kind === "flow" && value.part !== null && value.mark === undefined) {
      outputs.flows.set(name, context.selected(value) as Flow & { part: Part });
    } else {
      const expected = "what a module gives, or a final state";
      failRange(`output ${JSON.stringify(name)}`, expected, value?.kind ?? "nothing");
    }
  }
  // If a model has only states as outputs, they are returned as values.
  for (const [name, value] of outputs.flows.size > 0 ? [] : outputs.states) {
    if (value.kind !== "flow" || value.mark !== undefined) continue;
    outputs.flows.set(name, context.selected(value) as Flow & { part: Part });
    outputs.states.delete(name);
  }
  if (outputs.flows.size === 0) failRange("graph.outputs", "what a module gives", "states alone");
  return outputs;
}

/** Initial and final states, by module. */
function statesOf(
  { states }: Outputs,
  layers: Layers,
  names: ReadonlyMap<Part, string>,
): OnnxState[] {
  const found: OnnxState[] = [];
  for (const [part, name] of names) {
    const { recurrent } = part;
    if (recurrent === undefined) continue;
    const directions = recurrent.bidirectional ? 2 : 1;
    for (const slot of ["h", "c"] as const) {
      recurrent.initial[slot].forEach((initial: Initial, layer) => {
        if (initial === null) return;
        const rows = Array.from({ length: directions }, (_, d) => layer * directions + d);
        const { kind } = initial;
        if (kind === "initial") {
          const before = found.find((each) =>
            each.input === initial.input && each.module === name && each.slot === slot
          );
          if (before === undefined) found.push({ module: name, slot, rows, input: initial.input });
          else (before.rows as number[]).push(...rows);
          return;
        }
        const value = { data: Float32Array.from(initial.data), shape: initial.shape };
        found.push({ module: name, slot, rows, value });
      });
    }
  }
  for (const [output, value] of states) {
    for (const piece of value.pieces!) {
      const where = layers.get(piece.part);
      const module = where && names.get(where.part);
      if (where === undefined || module === undefined) {
        return failRange(`output ${JSON.stringify(output)}`, "states of modules", "others");
      }
      const directions = where.part.recurrent!.bidirectional ? 2 : 1;
      const row = where.layer * directions + piece.direction;
      const before = found.find((each) =>
        each.output === output && each.module === module && each.slot === piece.slot
      );
      if (before === undefined) found.push({ module, slot: piece.slot, rows: [row], output });
      else (before.rows as number[]).push(row);
    }
  }
  return found;
}

/** A sentence about a state. */
function stateNote({ module, slot, input, output, value, rows }: OnnxState): string {
  const what = `${slot} of ${module}, rows ${rows.join(", ")}`;
  if (input !== undefined) {
    return `input ${JSON.stringify(input)} is the initial ${what}: give it to \`forward\` as ` +
      "options.state, to a session by `setState`";
  }
  if (output !== undefined) {
    return `output ${
      JSON.stringify(output)
    } is the final ${what}: a session's \`getState\` gives it`;
  }
  return `the file holds an initial ${what}, not zero, of shape [${value!.shape.join(", ")}]: it ` +
    "is in `states`; give it to `forward` as options.state, to a session by `setState`";
}

/**
 * Imports an ONNX file as a float model. The model's input has batch and time in the file's order,
 * then features; `notes` names the axes.
 *
 * @param file The file's bytes, or the result of {@linkcode parseOnnx}.
 * @returns The model, notes about it, and the module of each output.
 * @throws {TypeError} If an argument is of the wrong kind, or an option unknown.
 * @throws {RangeError} If it is no ONNX model, or cannot be imported: the message names the first
 * unsupported node, its operator, and what is expected instead.
 *
 * @example
 * ```ts
 * import { tensor } from "@splitgate/splitgate";
 * import { importOnnx } from "@splitgate/splitgate/import/onnx";
 * import { assertEquals } from "@std/assert";
 * const url = new URL(
 *   "../../../tests/models/onnx-made/lstm-last-mlp-softmax-bf-dyn-legacy.onnx",
 *   import.meta.url,
 * );
 * const { model, notes } = importOnnx(await Deno.readFile(url));
 * assertEquals([...model.children.keys()], ["lstm", "lstm_last", "fc1", "relu", "fc2", "softmax"]);
 * assertEquals(notes[0], 'input "x": [batch, time, features]');
 * const y = model.forward(tensor(new Float32Array(2 * 9 * 7), [2, 9, 7])); // batch 2, 9 steps
 * assertEquals(y.shape, [2, 5]);
 * ```
 */
export function importOnnx(
  file: BytesSource | OnnxModel,
  options: OnnxImportOptions = {},
): ImportedOnnx {
  checkGiven(options);
  const { cut, outputs: wanted, external, ...unknown } = options;
  checkNoMore(unknown);
  if (cut !== undefined && typeof cut !== "string") failType("options.cut", "a name", cut);
  const isModel = isObject(file) && !ArrayBuffer.isView(file) && "nodes" in file;
  if (isModel && external !== undefined) {
    failType("options.external", "none: parseOnnx takes it", external);
  }
  const model = isModel
    ? file as OnnxModel
    : parseOnnx(file as BytesSource, external === undefined ? {} : { external });
  const producers = producersOf(model);
  const known = (name: string) => producers.has(name) || model.inputs.some((i) => i.name === name);
  if (cut !== undefined && !known(cut)) failRange("options.cut", "a tensor of the graph", cut);
  for (const name of wanted ?? []) {
    if (!known(name)) failRange("options.outputs", "tensors of the graph", name);
  }
  const outputs = wanted ?? model.outputs.map(({ name }) => name);
  if (!Array.isArray(outputs) || outputs.length === 0) {
    failType("options.outputs", "names of tensors", wanted);
  }
  const { nodes, readers } = needed(model, producers, { outputs, cut });
  const roles = roleInputs(model, producers);
  const info = cut === undefined
    ? mainInput(model, roles, readers)
    : model.values.get(cut) ?? model.inputs.find(({ name }) => name === cut) ??
      { name: cut, dtype: null, shape: null };
  const input = inputFlow(model, info);
  const context = new GraphContext(model, input, readers);
  const values = new Map<string, OnnxValue>([[info.name, input]]);
  for (const { name, shape } of model.inputs) {
    const role = roles.get(name);
    if (name === info.name) continue;
    const count = shape?.[0];
    const width = shape?.[shape.length - 1];
    if (role === "lengths") values.set(name, { kind: "lengths", input: name });
    else if (role === "initial" && typeof count === "number" && count <= MAX_STATES) {
      const rows = Array.from({ length: count }, (_, i) => i);
      const known = typeof width === "number" ? width : null;
      values.set(name, { kind: "initial", input: name, rows, width: known });
    }
  }
  evaluate(context, nodes, values);
  const sorted = sortOutputs(context, outputs, values);
  const batchFirst = settleInput(context, info.name);
  const given = [...sorted.flows.values()].map(({ part }) => part);
  const layers = joinLayers(given);
  const { model: graph, names } = build(given, batchFirst);
  const states = statesOf(sorted, layers, names);
  for (const state of states) context.notes.add(stateNote(state));
  const named = new Map<string, string>();
  for (const [name, { part, dims }] of sorted.flows) {
    named.set(name, names.get(part)!);
    context.notes.add(`output ${JSON.stringify(name)}, [${axesText(dims)}]: ${names.get(part)}`);
  }
  return { model: graph, notes: [...context.notes], outputs: named, states };
}
