/**
 * Random float modules of every kind, each in a model that gives it a suitable input.
 *
 * @module
 */
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import fc from "fast-check";
import type { Arbitrary } from "./arbitrary.ts";
import { Generator } from "../core/generator.ts";
import { Add } from "../modules/add/float.ts";
import { AvgPool1d } from "../modules/avg_pool1d/float.ts";
import { BatchNorm1d } from "../modules/batch_norm/float.ts";
import { Concat } from "../modules/concat/float.ts";
import { Conv1d, Conv1dReLU } from "../modules/conv1d/float.ts";
import { Dropout } from "../modules/dropout/float.ts";
import { Embedding } from "../modules/embedding/float.ts";
import { FinalHidden } from "../modules/final_hidden/float.ts";
import { FirstStep } from "../modules/first_step/float.ts";
import { Flatten } from "../modules/flatten/float.ts";
import { Graph } from "../modules/graph.ts";
import { GRU } from "../modules/gru/float.ts";
import { HardSigmoid } from "../modules/hard_sigmoid/float.ts";
import { Identity } from "../modules/identity/float.ts";
import { KIND_NAMES } from "../modules/kinds.ts";
import { LastStep } from "../modules/last_step/float.ts";
import { LayerNorm } from "../modules/layer_norm/float.ts";
import { LeakyReLU } from "../modules/leaky_relu/float.ts";
import { Linear, LinearReLU } from "../modules/linear/float.ts";
import { LogSoftmax } from "../modules/log_softmax/float.ts";
import { LSTM } from "../modules/lstm/float.ts";
import { MaxOverTime } from "../modules/max_over_time/float.ts";
import { MaxPool1d } from "../modules/max_pool1d/float.ts";
import { MeanOverTime } from "../modules/mean_over_time/float.ts";
import type { Module } from "../modules/module.ts";
import { ReLU } from "../modules/relu/float.ts";
import { Sigmoid } from "../modules/sigmoid/float.ts";
import { Softmax } from "../modules/softmax/float.ts";
import { Tanh } from "../modules/tanh/float.ts";
import { UnitNorm } from "../modules/unit_norm/float.ts";
import { ZeroPad1d } from "../modules/zero_pad1d/float.ts";
import { KERNEL_SIZES } from "./sizes.ts";

/**
 * Sizes and seed of a random module of any kind.
 *
 * @example
 * ```ts
 * import { modelOfKind, type ModuleSizes } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const small = { inputSize: 3, width: 4, numLayers: 1 };
 * const sizes: ModuleSizes = { ...small, bidirectional: false, batchFirst: false, seed: 1 };
 * assertEquals(modelOfKind("GRU", sizes).stateDict().get("weight_hh_l0")!.shape, [12, 4]);
 * ```
 */
export interface ModuleSizes {
  /** Width of the model's input. */
  readonly inputSize: number;
  /** Width of the module's input and output, or a multiple of it. */
  readonly width: number;
  /** Layers of a recurrent module. */
  readonly numLayers: number;
  /** Whether a recurrent module has a backward direction. */
  readonly bidirectional: boolean;
  /** Whether sequences are [batch, steps, ...]. */
  readonly batchFirst: boolean;
  /** Seed of the weights. */
  readonly seed: number;
}

/** Number of rows of an Embedding. */
const TOKENS = 11;

/** Number of steps that a Flatten takes. */
const FLATTENED = 9;

/** Options of a recurrent module. */
function recurrent({ inputSize, width, numLayers, bidirectional, batchFirst, seed }: ModuleSizes) {
  return { inputSize, hiddenSize: width, numLayers, bidirectional, batchFirst, seed };
}

/** A module after a Linear and a sigmoid, so that nothing is fused into it. */
function afterLinear(op: Module, sizes: ModuleSizes): Module {
  return new Graph({
    linear: { module: linear(sizes) },
    sigmoid: { module: new Sigmoid() },
    op: { module: op },
  });
}

function linear({ inputSize, width, seed }: ModuleSizes): Linear {
  return new Linear({ inFeatures: inputSize, outFeatures: width, seed });
}

/** A module after an LSTM. */
function afterLSTM(op: Module, sizes: ModuleSizes): Module {
  return new Graph({
    lstm: { module: new LSTM(recurrent(sizes)) },
    op: { module: op },
  });
}

/** A module that reads the outputs of two modules. */
function afterTwo(op: Module, sizes: ModuleSizes): Module {
  return new Graph({
    a: { module: linear(sizes), inputs: "input" },
    b: { module: linear({ ...sizes, seed: (sizes.seed ^ 1) >>> 0 }), inputs: "input" },
    op: { module: op, inputs: ["a", "b"] },
  });
}

/** Forms of pooling. */
const POOLED = [{}, { padding: 1 }, { stride: 1 }, { stride: 3, ceilMode: true }] as const;

/** Conventions of GRUs; PyTorch's as often as the rest. */
const GRUS = [
  {},
  { resetAfter: false },
  {},
  { complementedUpdate: true },
  {},
  { gateActivation: "hardSigmoid", activation: "relu" },
] as const;

/** The largest number of groups, up to three, into which channels go. */
function groupsOf({ inputSize, width }: ModuleSizes): number {
  return [3, 2, 1].find((groups) => inputSize % groups === 0 && width % groups === 0)!;
}

/** One of some forms of a module, as often as the others. */
function formOf<T>({ seed }: ModuleSizes, forms: readonly T[]): T {
  return forms[seed % forms.length]!;
}

/** A model around a module of each kind. */
const MODELS: Readonly<Record<string, (sizes: ModuleSizes) => Module>> = {
  Add: (sizes) => afterTwo(new Add(), sizes),
  AvgPool1d: (sizes) =>
    afterLinear(new AvgPool1d({ kernelSize: 2, ...formOf(sizes, POOLED) }), sizes),
  BatchNorm1d: (sizes) =>
    afterLinear(
      new BatchNorm1d({ numFeatures: sizes.width, affine: formOf(sizes, [true, false]) }),
      sizes,
    ),
  Concat: (sizes) => afterTwo(new Concat(), sizes),
  Conv1d: (sizes) =>
    new (sizes.numLayers === 1 ? Conv1d : Conv1dReLU)({
      inChannels: sizes.inputSize,
      outChannels: sizes.width,
      kernelSize: 3,
      ...sizes.bidirectional ? { stride: 2 } : { padding: "causal" },
      ...formOf(sizes, [{}, { groups: groupsOf(sizes) }, { dilation: 2 }, { bias: false }]),
      batchFirst: sizes.batchFirst,
      seed: sizes.seed,
    }),
  Dropout: (sizes) => afterLinear(new Dropout(), sizes),
  Embedding: ({ width, seed }) =>
    new Embedding({ numEmbeddings: TOKENS, embeddingDim: width, seed }),
  FinalHidden: (sizes) =>
    afterLSTM(new FinalHidden({ bidirectional: sizes.bidirectional }), { ...sizes, numLayers: 1 }),
  FirstStep: (sizes) => afterLSTM(new FirstStep(), sizes),
  Flatten: (sizes) =>
    afterLinear(
      new Flatten({ steps: FLATTENED, stepsFirst: formOf(sizes, [false, true]) }),
      sizes,
    ),
  GRU: (sizes) => new GRU({ ...recurrent(sizes), ...formOf(sizes, GRUS) }),
  HardSigmoid: (sizes) => afterLinear(new HardSigmoid(), sizes),
  Identity: (sizes) => afterLinear(new Identity(), sizes),
  LastStep: (sizes) => afterLSTM(new LastStep(), sizes),
  LayerNorm: (sizes) =>
    afterLinear(
      new LayerNorm({
        normalizedShape: sizes.width,
        ...formOf(sizes, [{}, { bias: false }, { elementwiseAffine: false }]),
      }),
      sizes,
    ),
  LeakyReLU: (sizes) => afterLinear(new LeakyReLU({ negativeSlope: 0.2 }), sizes),
  Linear: ({ inputSize, width, seed, bidirectional }) =>
    new (bidirectional ? LinearReLU : Linear)({ inFeatures: inputSize, outFeatures: width, seed }),
  LogSoftmax: (sizes) => afterLinear(new LogSoftmax(), sizes),
  LSTM: (sizes) => new LSTM(recurrent(sizes)),
  MaxOverTime: (sizes) => afterLSTM(new MaxOverTime(), sizes),
  MaxPool1d: (sizes) =>
    afterLinear(new MaxPool1d({ kernelSize: 2, ...formOf(sizes, POOLED) }), sizes),
  MeanOverTime: (sizes) => afterLSTM(new MeanOverTime(), sizes),
  ReLU: (sizes) => afterLinear(new ReLU(), sizes),
  Sigmoid: (sizes) => afterLinear(new Sigmoid(), sizes),
  Softmax: (sizes) => afterLinear(new Softmax(), sizes),
  Tanh: (sizes) => afterLinear(new Tanh(), sizes),
  UnitNorm: (sizes) => afterLinear(new UnitNorm(), sizes),
  ZeroPad1d: (sizes) => afterLinear(new ZeroPad1d({ padding: 1 }), sizes),
};

/**
 * The kinds that {@linkcode floatModels} draws: all kinds of the package.
 *
 * @example
 * ```ts
 * import { DRAWN_KINDS } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * assertEquals(DRAWN_KINDS.includes("LSTM"), true);
 * ```
 */
export const DRAWN_KINDS: readonly string[] = KIND_NAMES.filter((name) => name in MODELS);

/**
 * Sizes of modules: 1, and sizes around the kernels' blocks and tiles.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { moduleSizes } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(moduleSizes, { numRuns: 1, seed: 1 });
 * assertEquals(drawn!.seed >= 0, true);
 * ```
 */
export const moduleSizes: Arbitrary<ModuleSizes> = fc.record({
  inputSize: fc.constantFrom(...KERNEL_SIZES),
  width: fc.constantFrom(...KERNEL_SIZES),
  numLayers: fc.constantFrom(1, 1, 2),
  bidirectional: fc.boolean(),
  batchFirst: fc.boolean(),
  seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
});

/**
 * Weights of a module: as initialized, far too large, mostly 0, or constant.
 *
 * @param length The number of weights.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { weights } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * assertEquals(fc.sample(weights(4), { numRuns: 1, seed: 1 })[0]!.length, 4);
 * ```
 */
export function weights(length: number): Arbitrary<Float32Array> {
  return fc.record({ style: weightStyles, seed: fc.nat() }).map(({ style, seed }) => {
    const out = new Float32Array(length);
    fillWeights(out, style, new Generator(seed));
    return out;
  });
}

/**
 * The distribution of weights.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { modelOfKind, moduleSizes, type WeightStyle } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const style: WeightStyle = "constant";
 * const [sizes] = fc.sample(moduleSizes, { numRuns: 1, seed: 1 });
 * const { data } = modelOfKind("Linear", sizes!, style).stateDict().get("weight")!;
 * assertEquals(new Set(data).size, 1);
 * ```
 */
export type WeightStyle = "ordinary" | "extreme" | "sparse" | "constant";

/**
 * Any {@linkcode WeightStyle}; ordinary weights in half of the cases.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { weightStyles } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(weightStyles, { numRuns: 1, seed: 1 });
 * assertEquals(typeof drawn, "string");
 * ```
 */
export const weightStyles: Arbitrary<WeightStyle> = fc.constantFrom(
  "ordinary",
  "ordinary",
  "ordinary",
  "extreme",
  "sparse",
  "constant",
);

/** Max magnitude of ordinary weights with few inputs. */
const ORDINARY = 0.5;

/** Factor of extreme weights. */
const EXTREME = 40;

/** Share of sparse weights that are 0. */
const SPARSE = 0.9;

/** Fills an array with weights of a style. */
export function fillWeights(out: Float32Array, style: WeightStyle, generator: Generator): void {
  const reach = style === "extreme" ? ORDINARY * EXTREME : ORDINARY;
  generator.uniform(out, -reach, reach);
  if (style === "constant") out.fill(out[0] ?? 0);
  if (style !== "sparse") return;
  const draws = new Float32Array(out.length);
  generator.uniform(draws, 0, 1);
  for (let i = 0; i < out.length; i++) if (draws[i]! < SPARSE) out[i] = 0;
}

/**
 * A small float model around a module of a kind.
 *
 * @param kind One of {@linkcode DRAWN_KINDS}.
 * @param style The distribution of its weights; as initialized by default.
 * @throws {RangeError} If `kind` is not one of {@linkcode DRAWN_KINDS}.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { modelOfKind, moduleSizes } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [sizes] = fc.sample(moduleSizes, { numRuns: 1, seed: 1 });
 * assertEquals(modelOfKind("LSTM", sizes!, "sparse").kind, "LSTM");
 * ```
 */
export function modelOfKind(
  kind: string,
  sizes: ModuleSizes,
  style: WeightStyle = "ordinary",
): Module {
  const make = MODELS[kind];
  if (make === undefined) {
    throw new RangeError(`kind: expected one of ${DRAWN_KINDS.join(", ")}, got ${kind}`);
  }
  const model = make(sizes);
  if (style === "ordinary") return model;
  const generator = new Generator((sizes.seed ^ 2) >>> 0);
  for (const [name, { data }] of model.stateDict()) {
    // Variances stay positive, and counts stay integers.
    if (isFloat32Array(data) && /(weight|bias)[^.]*$/.test(name)) {
      fillWeights(data, style, generator);
    }
  }
  return model;
}

/**
 * A float model that {@linkcode floatModels} draws.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { type DrawnModule, floatModels } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn]: DrawnModule[] = fc.sample(floatModels(["GRU"]), { numRuns: 1, seed: 1 });
 * const { kind, model } = drawn!;
 * assertEquals(model.kind, kind);
 * ```
 */
export interface DrawnModule {
  /** The kind of the module under test. */
  readonly kind: string;
  /** The sizes it was made with. */
  readonly sizes: ModuleSizes;
  /** The model. */
  readonly model: Module;
}

/**
 * Small float models of every kind of module, with weights of every {@linkcode WeightStyle}.
 *
 * @param kinds The kinds to draw; all by default.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { floatModels } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(floatModels(["Tanh"]), { numRuns: 1, seed: 1 });
 * assertEquals(drawn!.model.kind, "Graph");
 * ```
 */
export function floatModels(
  kinds: readonly string[] = DRAWN_KINDS,
): Arbitrary<DrawnModule> {
  return fc.record({ kind: fc.constantFrom(...kinds), sizes: moduleSizes, style: weightStyles })
    .map(({ kind, sizes, style }) => ({ kind, sizes, model: modelOfKind(kind, sizes, style) }));
}
