/**
 * Random graphs: branches, nested models, several outputs, and modules that read the same value
 * with different qparams.
 */
import fc from "fast-check";
import type { Arbitrary } from "./arbitrary.ts";
import { Dropout } from "../modules/dropout/float.ts";
import { dynamicQConfig, type QConfig } from "../qconfig/qconfig.ts";
import { Embedding } from "../modules/embedding/float.ts";
import { Generator } from "../core/generator.ts";
import { getPreset } from "../qconfig/presets.ts";
import { Graph, type GraphChild, Sequential } from "../modules/graph.ts";
import { HardSigmoid } from "../modules/hard_sigmoid/float.ts";
import { Identity } from "../modules/identity/float.ts";
import { LeakyReLU } from "../modules/leaky_relu/float.ts";
import { Linear, LinearReLU } from "../modules/linear/float.ts";
import { LogSoftmax } from "../modules/log_softmax/float.ts";
import { LSTM } from "../modules/lstm/float.ts";
import { MinMaxObserver } from "../observer/min_max.ts";
import type { Module } from "../modules/module.ts";
import type { ObservedModel } from "../authoring/observed_model.ts";
import { PlaceholderObserver } from "../observer/placeholder.ts";
import { prepare } from "../authoring/prepare.ts";
import { QConfigMapping } from "../qconfig/mapping.ts";
import { ReLU } from "../modules/relu/float.ts";
import { Sigmoid } from "../modules/sigmoid/float.ts";
import { Softmax } from "../modules/softmax/float.ts";
import { Tanh } from "../modules/tanh/float.ts";
import { type Tensor, tensor, tokens, type TokenTensor } from "../core/tensor.ts";
import { UnitNorm } from "../modules/unit_norm/float.ts";
import { generator } from "./random.ts";

/**
 * Kinds of modules whose output is as wide as their input.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { graphCases, graphOf, type SameWidth } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const kinds: SameWidth[] = ["Tanh", "Softmax"];
 * const nodes = kinds.map((kind) => ({ kind, pick: 0, size: 1, layers: 1, qconfig: 0 }));
 * const [drawn] = fc.sample(graphCases, { numRuns: 1, seed: 1 });
 * assertEquals(graphOf({ ...drawn!, tables: 0, nodes }).children.size, 2);
 * ```
 */
export type SameWidth =
  | "ReLU"
  | "LeakyReLU"
  | "Sigmoid"
  | "Tanh"
  | "UnitNorm"
  | "HardSigmoid"
  | "Softmax"
  | "LogSoftmax"
  | "Dropout"
  | "Identity";

/** Modules whose output is as wide as their input. */
const SAME_WIDTH: Readonly<Record<SameWidth, () => Module>> = {
  ReLU: () => new ReLU(),
  LeakyReLU: () => new LeakyReLU({ negativeSlope: 0.2 }),
  Sigmoid: () => new Sigmoid(),
  Tanh: () => new Tanh(),
  UnitNorm: () => new UnitNorm(),
  HardSigmoid: () => new HardSigmoid(),
  Softmax: () => new Softmax(),
  LogSoftmax: () => new LogSoftmax(),
  Dropout: () => new Dropout(),
  Identity: () => new Identity(),
};

const SAME_WIDTH_KINDS = Object.keys(SAME_WIDTH) as SameWidth[];

/** Size of the vocabulary. */
export const VOCABULARY = 9;

/**
 * A module of a random graph.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { graphCases, graphOf, type NodeCase } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const node: NodeCase = { kind: "LSTM", pick: 0, size: 7, layers: 2, qconfig: 0 };
 * const [drawn] = fc.sample(graphCases, { numRuns: 1, seed: 1 });
 * const graph = graphOf({ ...drawn!, tables: 0, nodes: [node] });
 * assertEquals(graph.children.get("m0")!.kind, "LSTM");
 * ```
 */
export interface NodeCase {
  /** A kind of module, a nested model, or a chain of activations. */
  readonly kind: "Linear" | "LinearReLU" | "LSTM" | "nested" | "block" | SameWidth;
  /** Index of the earlier value that it reads (modulo their number). */
  readonly pick: number;
  /** Width of its output, for kinds that have a size of their own. */
  readonly size: number;
  /** Layers of an LSTM. */
  readonly layers: number;
  /** Index of its QConfig (modulo their number). */
  readonly qconfig: number;
}

/**
 * A random graph.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { type GraphCase, graphCases, graphInput } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(graphCases, { numRuns: 1, seed: 1 });
 * const c: GraphCase = { ...drawn!, tables: 0, width: 3, batchFirst: false };
 * assertEquals(graphInput(c, 5, 2).shape, [5, 2, 3]); // [steps, batch, width]
 * ```
 */
export interface GraphCase {
  /** Seed of the weights. */
  readonly seed: number;
  /** The engine whose rounding the QConfigs use. */
  readonly family: "fbgemm" | "qnnpack" | "dynamic";
  /** Number of Embeddings that read the input; 0 if the input is real numbers. */
  readonly tables: number;
  /** Width of the input, or of the Embeddings. */
  readonly width: number;
  /** Whether sequences are [batch, steps, ...]. */
  readonly batchFirst: boolean;
  /** Whether LSTMs have a backward direction. */
  readonly bidirectional: boolean;
  /** The modules; each comes after the modules that it reads. */
  readonly nodes: readonly NodeCase[];
  /** Further outputs, besides the values that no module reads. */
  readonly outputs: readonly number[];
}

const sizes = fc.constantFrom(1, 3, 7, 13, 16, 33);

/**
 * Graphs of modules of every kind.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { graphCases } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(graphCases, { numRuns: 1, seed: 1 });
 * assertEquals(drawn!.nodes.length > 0, true);
 * ```
 */
export const graphCases: Arbitrary<GraphCase> = fc.record({
  seed: fc.nat(),
  family: fc.constantFrom("fbgemm", "fbgemm", "fbgemm", "qnnpack", "dynamic"),
  tables: fc.constantFrom(0, 0, 1, 2),
  width: fc.constantFrom(1, 3, 8),
  batchFirst: fc.boolean(),
  bidirectional: fc.constantFrom(false, false, true),
  nodes: fc.array(
    fc.record({
      kind: fc.oneof(
        { weight: 3, arbitrary: fc.constantFrom("Linear", "LinearReLU", "LSTM", "LSTM", "nested") },
        { weight: 2, arbitrary: fc.constantFrom("ReLU", "Dropout", "block", ...SAME_WIDTH_KINDS) },
      ),
      pick: fc.nat(999),
      size: sizes,
      layers: fc.constantFrom(1, 1, 2),
      qconfig: fc.nat(999),
    }),
    { minLength: 1, maxLength: 9 },
  ),
  outputs: fc.array(fc.nat(999), { maxLength: 2 }),
});

const quint8 = MinMaxObserver.withArgs({ dtype: "quint8" });
const qint8 = MinMaxObserver.withArgs({ dtype: "qint8", quantMin: -70, quantMax: 57 });
const float = PlaceholderObserver.withArgs({});

const fbgemmQConfig = getPreset("fbgemm");
const qnnpackQConfig = getPreset("qnnpack");

const QCONFIGS: Readonly<Record<GraphCase["family"], readonly QConfig[]>> = {
  fbgemm: [
    fbgemmQConfig,
    getPreset("accurate"),
    getPreset("int8x16"),
    { ...fbgemmQConfig, activation: quint8, initialState: "own" },
    { ...fbgemmQConfig, activation: qint8 },
    { ...fbgemmQConfig, activation: float, input: qint8 },
    { ...fbgemmQConfig, activation: quint8, input: float },
  ],
  qnnpack: [qnnpackQConfig, { ...qnnpackQConfig, activation: quint8, initialState: "own" }],
  dynamic: [dynamicQConfig],
};

/** A module and the width of its output. */
function moduleOf(c: GraphCase, { kind, size, layers }: NodeCase, width: number, seed: Generator) {
  if (kind === "LSTM") {
    const { bidirectional, batchFirst } = c;
    const options = { inputSize: width, hiddenSize: size, numLayers: layers };
    const module = new LSTM({ ...options, bidirectional, batchFirst, seed });
    return { module, width: size * module.numDirections };
  }
  if (kind === "block") {
    const module = new Sequential({ tanh: new Tanh(), drop: new Dropout(), relu: new ReLU() });
    return { module, width };
  }
  if (kind in SAME_WIDTH) {
    return { module: SAME_WIDTH[kind as SameWidth](), width };
  }
  const Kind = kind === "Linear" ? Linear : LinearReLU;
  return { module: new Kind({ inFeatures: width, outFeatures: size, seed }), width: size };
}

/** A model of three modules: one is read twice, and one is nested two levels deep. */
function nestedOf(c: GraphCase, node: NodeCase, width: number, seed: Generator) {
  const first = moduleOf(c, { ...node, kind: "LinearReLU", size: 3 }, width, seed);
  const last = moduleOf(c, { ...node, kind: "LSTM" }, 3, seed);
  const inner = new Sequential({ deep: new Sequential({ last: last.module }) });
  return {
    module: new Graph({ first: { module: first.module }, inner: { module: inner } }),
    width: last.width,
  };
}

/**
 * The graph of a case. The names and the order of its modules depend on `naming`.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { graphCases, graphOf } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(graphCases, { numRuns: 1, seed: 1 });
 * assertEquals(graphOf(drawn!).kind, "Graph");
 * ```
 */
export function graphOf(c: GraphCase, naming = 0): Graph {
  const seed = new Generator(c.seed % 2 ** 32);
  const values: { name: string; width: number; read: boolean }[] = [];
  const children: [string, GraphChild][] = [];
  const random = generator(naming);
  const names = Array.from({ length: c.nodes.length + 2 }, (_, i) => `m${i}`);
  const order = names.map((name) => ({ name, at: random(0, 1) }));
  if (naming > 0) {
    order.sort((a, b) => a.at - b.at);
    order.forEach(({ name }, i) => names[i] = name);
  }
  const nameOf = (i: number) => names[i]!;
  for (let i = 0; i < c.tables; i++) {
    const module = new Embedding({ numEmbeddings: VOCABULARY + i, embeddingDim: c.width, seed });
    children.push([nameOf(i), { module, inputs: "input" }]);
    values.push({ name: nameOf(i), width: c.width, read: false });
  }
  for (const [i, node] of c.nodes.entries()) {
    const sources = values.length - (c.tables > 0 ? 1 : 0);
    const at = node.pick % (sources + 1) - (c.tables > 0 ? 0 : 1);
    const from = values[at];
    if (from !== undefined) from.read = true;
    const made = node.kind === "nested"
      ? nestedOf(c, node, from?.width ?? c.width, seed)
      : moduleOf(c, node, from?.width ?? c.width, seed);
    const name = nameOf(c.tables + i);
    children.push([name, { module: made.module, inputs: from?.name ?? "input" }]);
    values.push({ name, width: made.width, read: false });
  }
  const outputs = new Set(values.flatMap(({ name, read }) => read ? [] : [name]));
  for (const pick of c.outputs) outputs.add(values[pick % values.length]!.name);
  if (naming > 0) children.sort(() => random(-1, 1));
  return new Graph(Object.fromEntries(children), { outputs: [...outputs] });
}

/**
 * A QConfig for each module of a graph, from the case's family.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { LSTM, prepare, Sequential } from "@splitgate/splitgate";
 * import { graphCases, qconfigOf } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(graphCases, { numRuns: 1, seed: 1 });
 * const model = new Sequential({ lstm: new LSTM({ inputSize: 2, hiddenSize: 3 }) });
 * assertEquals(prepare(model, qconfigOf(drawn!, ["lstm"])).inputSize, 2);
 * ```
 */
export function qconfigOf(c: GraphCase, modules: Iterable<string>): QConfigMapping {
  const pool = QCONFIGS[c.family];
  let mapping = new QConfigMapping();
  let i = 0;
  for (const name of modules) {
    const { qconfig } = c.nodes[i++ % c.nodes.length]!;
    mapping = mapping.setModuleName(name, pool[(qconfig + (i >> 3)) % pool.length]!);
  }
  return mapping;
}

/**
 * Input of a graph: `steps` steps of `batch` rows.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { graphCases, graphInput } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(graphCases, { numRuns: 1, seed: 1 });
 * assertEquals(graphInput(drawn!, 5, 2).shape.length >= 2, true);
 * ```
 */
export function graphInput(
  c: GraphCase,
  steps: number,
  batch: number,
  seed = 0,
): Tensor | TokenTensor {
  const random = generator(c.seed + 17 + seed);
  const shape = c.batchFirst && hasLSTM(c) ? [batch, steps] : [steps, batch];
  const length = steps * batch * (c.tables > 0 ? 1 : c.width);
  if (c.tables > 0) {
    return tokens(Int32Array.from({ length }, () => Math.floor(random(0, VOCABULARY))), shape);
  }
  return tensor(Float32Array.from({ length }, () => random(-2, 2)), [...shape, c.width]);
}

/** Whether a graph has an LSTM; only then can batches come first. */
function hasLSTM({ nodes }: GraphCase): boolean {
  return nodes.some(({ kind }) => kind === "LSTM" || kind === "nested");
}

/**
 * The prepared graph after it has observed calibration data.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { convert } from "@splitgate/splitgate";
 * import { graphCases, graphOf, observedGraph } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(graphCases, { numRuns: 1, seed: 1 });
 * const graph = graphOf(drawn!);
 * const [first] = graph.children.keys();
 * const observed = observedGraph(drawn!, graph, [first!]);
 * assertEquals(convert(observed).outputs.length > 0, true);
 * ```
 */
export function observedGraph(
  c: GraphCase,
  model: Module,
  names: readonly string[],
): ObservedModel {
  const observed = prepare(model, qconfigOf(c, names));
  observed.run(graphInput(c, 9, 2, 1));
  return observed;
}
