/**
 * Float models: modules by name, each with the names of what it reads. Sequential is a chain of
 * them.
 *
 * @module
 */
import { windowExtent } from "../../kernels/ops/window.ts";
import { checkFloat32, checkOptions } from "../core/check.ts";
import { failRange, failType } from "../core/errors.ts";
import type { Tensor, TokenTensor } from "../core/tensor.ts";
import {
  chainOf,
  INPUT,
  orderedTopology,
  outputsOf,
  readersOf,
  type Topology,
} from "../core/topology.ts";
import type { FloatCall, InitialState, Kind, QuantizedModule, Value } from "./kind.ts";
import { KIND_NAMES, kindOf } from "./kinds.ts";
import { Module, type StateDictRule } from "./module.ts";
import { keepsSteps } from "../runtime/window.ts";
import { lengthsAfter } from "./window.ts";

/**
 * A module of a {@linkcode Graph}, and what it reads.
 *
 * @example
 * ```ts
 * import { Graph, type GraphChild, Linear, Sigmoid } from "@splitgate/splitgate";
 * const out: GraphChild = { module: new Linear({ inFeatures: 4, outFeatures: 2 }) };
 * const gate: GraphChild = { module: new Sigmoid(), inputs: "out" };
 * new Graph({ out, gate });
 * ```
 */
export interface GraphChild {
  /** The module, or a whole model with one output. */
  readonly module: Module;
  /**
   * Names of the modules that it reads, `"input"` for the model's input. By default the preceding
   * module, or the model's input for the first one.
   */
  readonly inputs?: string | readonly string[];
}

/**
 * Options of {@linkcode Graph}.
 *
 * @example
 * ```ts
 * import { Graph, type GraphOptions, Linear, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const tag = { module: new Linear({ inFeatures: 4, outFeatures: 3 }) };
 * const score = { module: new Linear({ inFeatures: 4, outFeatures: 1 }), inputs: "input" };
 * const options: GraphOptions = { outputs: ["tag", "score"] };
 * const model = new Graph({ tag, score }, options);
 * assertEquals([...model.run(tensor(new Float32Array(4), [1, 1, 4])).keys()], ["tag", "score"]);
 * ```
 */
export interface GraphOptions {
  /** Names of the modules whose outputs the model gives; the last module by default. */
  readonly outputs?: readonly string[];
  /**
   * What masked steps of the model's input hold and nothing else, as Keras' Masking has it: a
   * number, or a token id; none by default. Whoever runs the model leaves them out: neither
   * `forward` nor a session does. The mask goes on into quantized models and files.
   */
  readonly maskValue?: number;
}

/**
 * Options of a float model's `forward`.
 *
 * @example
 * ```ts
 * import { LSTM, Sequential, tensor } from "@splitgate/splitgate";
 * import type { GraphForwardOptions } from "@splitgate/splitgate/modules";
 * const model = new Sequential({ lstm: new LSTM({ inputSize: 2, hiddenSize: 3 }) });
 * const h = tensor([0.1, 0.2, 0.3], [1, 1, 3]); // [layers, batch, size]
 * const c = tensor([0, 0, 1], [1, 1, 3]);
 * const options: GraphForwardOptions = { state: { lstm: [h, c] } };
 * model.forward(tensor([0.5, 1], [1, 1, 2]), options);
 * ```
 */
export interface GraphForwardOptions {
  /** Steps of each batch row, 1 to the sequence's; all by default. */
  readonly lengths?: ArrayLike<number>;
  /**
   * Initial states of recurrent modules by name, as their own `forward` takes them; zeros by
   * default. An observed model observes them: give calibration the states that the quantized
   * module's `forward` will be given.
   */
  readonly state?: { readonly [module: string]: InitialState };
}

/** A model as modules without children, and the edges between them. */
export interface FloatModel {
  /** By name; a child's name follows its parent's and a dot. */
  readonly modules: ReadonlyMap<string, Module>;
  /** The edges between modules. */
  readonly topology: Topology;
  /** What masked steps hold; null if none are masked. */
  readonly maskValue: number | null;
}

/**
 * Modules by name, each reading one or more of the others: branches, joins, several outputs.
 *
 * @example
 * ```ts
 * import { Graph, Linear, LSTM, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const model = new Graph({
 *   lstm: { module: new LSTM({ inputSize: 2, hiddenSize: 3 }) },
 *   tag: { module: new Linear({ inFeatures: 3, outFeatures: 5 }), inputs: "lstm" },
 *   score: { module: new Linear({ inFeatures: 3, outFeatures: 1 }), inputs: "lstm" },
 * }, { outputs: ["tag", "score"] });
 * const outputs = model.run(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * assertEquals([...outputs.keys()], ["tag", "score"]);
 * assertEquals(outputs.get("tag")!.shape, [2, 1, 5]);
 * ```
 */
export class Graph extends Module {
  /** Name of the kind. */
  override readonly kind: string = "Graph";
  /** The modules by name, in the order in which they run. */
  readonly children: ReadonlyMap<string, Module>;
  /** The edges between modules. */
  readonly topology: Topology;
  /** What masked steps of its input hold, which its caller leaves out; null if none are masked. */
  readonly maskValue: number | null;

  /**
   * Joins modules; they are kept, not copied.
   *
   * @param children Modules by name, with what they read; in any order, but mind that JavaScript
   * puts names that are integers first.
   * @throws {TypeError} If a child is no module, or an option is unknown.
   * @throws {RangeError} If there is none, a name is empty, has a dot, is "input" or unknown, a
   * module reads itself by any way, is read by nobody, does not take the widths that it is given,
   * needs time after a module that ends it, or reads a state that does not exist: the message names
   * the module.
   */
  constructor(children: Readonly<Record<string, GraphChild>>, options: GraphOptions = {}) {
    super();
    checkOptions("options", options, ["outputs", "maskValue"]);
    if (typeof children !== "object" || children === null) {
      failType("children", "an object of modules", children);
    }
    const modules = new Map<string, Module>();
    const given: [string, readonly string[]][] = [];
    let last = INPUT;
    for (const [name, child] of Object.entries(children)) {
      checkOptions(`children.${name}`, child, ["module", "inputs"]);
      checkModule(`children.${name}`, child.module);
      const { inputs = last } = child;
      const reads = typeof inputs === "string" ? [inputs] : inputs;
      modules.set(name, child.module);
      given.push([name, checkNames(`children.${name}.inputs`, "a name or ", reads)]);
      last = name;
    }
    const { outputs = [last], maskValue } = options;
    this.maskValue = maskValue === undefined ? null : checkFloat32("options.maskValue", maskValue);
    const named = outputsOf(checkNames("options.outputs", "", outputs));
    this.topology = orderedTopology("children", given, named);
    this.children = new Map(
      [...this.topology.inputs.keys()].map((name) => [name, modules.get(name)!]),
    );
    const model = flatten(this);
    // Modules that take any width are checked as part of the outer model, which determines it.
    if (inputSizeOf(model) !== undefined) checkFlow(model);
  }

  /** The children's tensors, each name preceded by the child's and a dot. */
  override stateDict(): Map<string, Tensor> {
    const tensors = new Map<string, Tensor>();
    for (const [prefix, child] of this.children) {
      for (const [name, value] of child.stateDict()) tensors.set(`${prefix}.${name}`, value);
    }
    return tensors;
  }

  /** The children's rules, each name preceded by the child's and a dot. */
  override stateDictRules(): Map<string, StateDictRule> {
    const rules = new Map<string, StateDictRule>();
    for (const [prefix, child] of this.children) {
      for (const [name, rule] of child.stateDictRules()) rules.set(`${prefix}.${name}`, rule);
    }
    return rules;
  }

  /**
   * Runs a model of one output, each recurrent module from a zero state where no other is given.
   *
   * @param x What the first module takes.
   * @returns What the output's module gives.
   * @throws {TypeError | RangeError} If a module refuses its input, or the model has several
   * outputs.
   */
  forward(x: Tensor | TokenTensor, options: GraphForwardOptions = {}): Tensor {
    const [output, ...others] = this.topology.outputs.keys();
    if (others.length > 0) {
      failRange("outputs", "one output (run gives several)", [output, ...others].join(", "));
    }
    return this.run(x, options).get(output!)!;
  }

  /**
   * Runs the model.
   *
   * @param x What the first modules take.
   * @returns What each output gives, by its name.
   * @throws {TypeError | RangeError} If a module refuses its input.
   */
  run(x: Tensor | TokenTensor, options: GraphForwardOptions = {}): Map<string, Tensor> {
    return runFloat(flatten(this), x, options);
  }
}

/**
 * A chain of modules by name, like torch.nn.Sequential of an OrderedDict. A recurrent module passes
 * on its output only, not its state.
 *
 * @example
 * ```ts
 * import { Embedding, Generator, Linear, LSTM, Sequential, tokens } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const seed = new Generator(0);
 * const model = new Sequential({
 *   embedding: new Embedding({ numEmbeddings: 10, embeddingDim: 4, seed }),
 *   lstm: new LSTM({ inputSize: 4, hiddenSize: 3, bidirectional: true, seed }),
 *   out: new Linear({ inFeatures: 6, outFeatures: 2, seed }),
 * });
 * assertEquals(model.forward(tokens([1, 2, 3], [3, 1])).shape, [3, 1, 2]);
 * assertEquals([...model.stateDict().keys()].at(-1), "out.bias");
 * ```
 */
export class Sequential extends Graph {
  /** Name of the kind. */
  override readonly kind: string = "Sequential";

  /**
   * Chains modules; they are kept, not copied.
   *
   * @param children Modules by name, in order; mind that JavaScript puts names that are integers
   * first.
   * @throws {TypeError} If a child is no module.
   * @throws {RangeError} If there is none, a name is empty, has a dot or is "input", or a child
   * does not take the width that the one before it gives.
   */
  constructor(children: Readonly<Record<string, Module>>) {
    if (typeof children !== "object" || children === null) {
      failType("children", "an object of modules", children);
    }
    const entries = Object.entries(children).map(([name, module]) => [name, { module }] as const);
    super(Object.fromEntries(entries));
  }
}

/** Requires an array of names, and gives a copy of it. */
function checkNames(name: string, or: string, names: unknown): string[] {
  if (!Array.isArray(names) || names.some((each) => typeof each !== "string")) {
    failType(name, `${or}an array of names`, names);
  }
  return [...names as string[]];
}

function checkModule(name: string, module: unknown): asserts module is Module {
  if (!(module instanceof Module)) {
    failType(name, `a module: Graph, Sequential, ${KIND_NAMES.join(", ")}`, module);
  }
}

/** A model as modules without children; a single module is named after its kind. */
export function flatten(model: Module): FloatModel {
  checkModule("model", model);
  const modules = new Map<string, Module>();
  const inputs = new Map<string, readonly string[]>();
  if (!(model instanceof Graph)) {
    const name = kindOf("model", model).name.toLowerCase();
    return { modules: new Map([[name, model]]), topology: chainOf([name]), maskValue: null };
  }
  /** Adds a model's modules, and returns its outputs. */
  const add = (graph: Graph, prefix: string, input: string): ReadonlyMap<string, string> => {
    const outputs = new Map<string, string>([[INPUT, input]]);
    for (const [child, module] of graph.children) {
      const name = `${prefix}${child}`;
      const reads = graph.topology.inputs.get(child)!.map((read) => outputs.get(read)!);
      if (!(module instanceof Graph)) {
        modules.set(name, module);
        inputs.set(name, reads);
        outputs.set(child, name);
        continue;
      }
      if (reads.length !== 1) {
        failRange(`children.${name}`, "one input, since it is a model", reads.length);
      }
      if (module.maskValue !== null) {
        failRange(`children.${name}.maskValue`, "none: the outer model has one", module.maskValue);
      }
      const given = add(module, `${name}.`, reads[0]!);
      if (given.size > 1) {
        failRange(`children.${name}`, "a model of one output", [...given.keys()].join(", "));
      }
      for (const output of given.values()) outputs.set(child, output);
    }
    return new Map([...graph.topology.outputs].map(([name, child]) => [name, outputs.get(child)!]));
  };
  const outputs = add(model, "", INPUT);
  return { modules, topology: { inputs, outputs }, maskValue: model.maskValue };
}

/** Width and axis of a value. */
export interface ValueShape {
  /** Values a row; null for token ids. */
  readonly size: number | null;
  /** Its axis of time. */
  readonly axis: AxisKey;
}

/**
 * Axis of a value's rows: "" for steps of the model's input, a key for steps made by windows, such
 * that equal keys mean equal numbers of steps; null for one row for the whole sequence.
 */
export type AxisKey = string | null;

/** Requires that each module accepts its inputs, and returns the shape of each value. */
export function checkFlow(model: FloatModel): ReadonlyMap<string, ValueShape> {
  const { modules, topology } = model;
  const size = inputSizeOf(model);
  if (size === undefined) {
    const expected = "a module that says how wide the model's input is, such as Linear or LSTM";
    return failRange("children", expected, "none that reads the input");
  }
  const shapes = new Map<string, ValueShape>([[INPUT, { size, axis: "" }]]);
  for (const [name, module] of modules) {
    const at = `children.${name}`;
    const kind = kindOf(at, module);
    const reads = topology.inputs.get(name)!;
    checkInputCount(at, kind, reads.length);
    checkHidden(at, kind, module, reads[0]!, modules);
    const given = reads.map((read) => shapes.get(read)!);
    const size = kind.outputSize(at, module, given.map((each) => each.size));
    shapes.set(name, { size, axis: axisAfter(at, kind, module, given.map(({ axis }) => axis)) });
  }
  return shapes;
}

/**
 * Width of a model's input, from its readers or, for readers that take any width, from their
 * readers; null for token ids, undefined if none determines it.
 */
function inputSizeOf({ modules, topology }: FloatModel): number | null | undefined {
  const readers = readersOf(topology);
  let first: { name: string; size: number | null } | undefined;
  // Iterating over a Set visits elements added meanwhile.
  const names = new Set(readers.get(INPUT)!);
  for (const name of names) {
    const module = modules.get(name)!;
    const kind = kindOf(name, module);
    const size = kind.inputSize(module);
    if (size === undefined) {
      if (kind.inputs === 1) { for (const each of readers.get(name) ?? []) names.add(each); }
      continue;
    }
    first ??= { name, size };
    if (first.size !== size) {
      const expected = `a module that reads ${describeSize(first.size)}, as ${first.name} does`;
      failRange(`children.${name}`, expected, describeSize(size));
    }
  }
  return first?.size;
}

/** Requires the number of inputs that the kind takes. */
export function checkInputCount(name: string, { inputs }: Kind, count: number): void {
  if (inputs === "many" ? count < 2 : count !== inputs) {
    const expected = { 1: "one input", 2: "two inputs", many: "two inputs or more" };
    failRange(name, expected[inputs], count);
  }
}

/** Requires that a reader of hidden states follows a module with as many directions. */
export function checkHidden(
  name: string,
  kind: Kind,
  module: Module | QuantizedModule,
  read: string,
  modules: ReadonlyMap<string, Module | QuantizedModule>,
): void {
  const directions = kind.readsHidden?.(module);
  if (directions === undefined) return;
  const producer = modules.get(read);
  const given = producer && kindOf(read, producer).givesHidden?.(producer);
  if (given === undefined) {
    const expected = "the output of a recurrent module, whose final hidden state it reads";
    failRange(name, expected, `that of ${read}, which has no such state`);
  }
  if (given !== directions) {
    const expected = `${given === 2}, as of ${read}, whose hidden state it reads`;
    failRange(`${name}.bidirectional`, expected, directions === 2);
  }
}

/** The axis of a module's output, from the axes of its inputs. */
export function axisAfter(
  name: string,
  kind: Kind,
  module: Module | QuantizedModule,
  inputs: readonly AxisKey[],
): AxisKey {
  const axis = inputs[0]!;
  if (inputs.some((each) => (each === null) !== (axis === null))) {
    failRange(
      name,
      "inputs that all have a row for each step, or all one for the sequence",
      "both",
    );
  }
  if (inputs.some((each) => each !== axis)) {
    failRange(name, "inputs of the same steps", "steps of windows that differ");
  }
  if (axis === null && kind.time !== "row") {
    failRange(name, "an input with a row for each step", "one row for the sequence");
  }
  if (kind.time === "end") return null;
  const window = kind.window?.(module as Module & QuantizedModule);
  if (axis === null || window === undefined || keepsSteps(window)) return axis;
  const { stride, left, right, ceilMode } = window;
  return `${axis};${left},${right},${windowExtent(window)},${stride},${ceilMode}`;
}

/** Description of a module's input, for messages; null stands for token ids. */
export function describeSize(size: number | null): string {
  return size === null ? "token ids" : `values of width ${size}`;
}

/** Whether a model takes [batch, steps, ...]; false where no module says so. */
export function batchFirstOf(modules: ReadonlyMap<string, Module>): boolean {
  let first: { name: string; batchFirst: boolean } | undefined;
  for (const [name, module] of modules) {
    const batchFirst = kindOf(name, module).batchFirst(module);
    if (batchFirst === null) continue;
    first ??= { name, batchFirst };
    if (first.batchFirst !== batchFirst) {
      const expected = `${first.batchFirst}, as that of ${first.name}`;
      failRange(`${name}.batchFirst`, expected, batchFirst);
    }
  }
  return first?.batchFirst ?? false;
}

/** Runs modules in order. */
export function runFloat(
  { modules, topology }: FloatModel,
  x: Value,
  options: GraphForwardOptions,
): Map<string, Tensor> {
  checkOptions("options", options, ["lengths", "state"]);
  const { lengths = null, state = {} } = options;
  for (const name of Object.keys(state)) {
    const module = modules.get(name);
    if (module === undefined || !kindOf(name, module).hasState) {
      failRange("options.state", "names of recurrent modules", name);
    }
  }
  const values = new Map<string, Value>([[INPUT, x]]);
  const lengthsOf = new Map<string, FloatCall["lengths"]>([[INPUT, lengths]]);
  for (const [name, module] of modules) {
    const kind = kindOf(name, module);
    const reads = topology.inputs.get(name)!;
    const own = lengthsOf.get(reads[0]!)!;
    const call: FloatCall = { lengths: own, state: stateOf(state, name) };
    values.set(name, kind.forward(module, reads.map((read) => values.get(read)!), call));
    lengthsOf.set(name, lengthsAfter(kind.window?.(module), own));
  }
  return outputsFrom(topology, (name) => values.get(name) as Tensor);
}

/** The initial state given for a module: only an own field counts, whatever the module's name. */
export function stateOf(
  state: NonNullable<GraphForwardOptions["state"]>,
  name: string,
): InitialState | undefined {
  return Object.hasOwn(state, name) ? state[name] : undefined;
}

/** A model's results, by the names of its outputs. */
export function outputsFrom<T>({ outputs }: Topology, of: (module: string) => T): Map<string, T> {
  return new Map([...outputs].map(([name, module]) => [name, of(module)]));
}
