/**
 * Float modules of every kind, each in a model that gives it what it reads.
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

/** What a module of any kind is made with. */
export interface ModuleSizes {
  /** Values a row that the model reads. */
  readonly inputSize: number;
  /** Values a row that the module reads and gives, or a multiple of it. */
  readonly width: number;
  /** Layers of a recurrent module. */
  readonly numLayers: number;
  /** Whether a recurrent module has a backward direction. */
  readonly bidirectional: boolean;
  /** Whether sequences are [batch, steps, ...]. */
  readonly batchFirst: boolean;
  /** What weights follow from. */
  readonly seed: number;
}

/** Rows that tables have. */
const TOKENS = 11;

/** Steps that a Flatten takes. */
const FLATTENED = 9;

/** Options of a recurrent module. */
function recurrent({ inputSize, width, numLayers, bidirectional, batchFirst, seed }: ModuleSizes) {
  return { inputSize, hiddenSize: width, numLayers, bidirectional, batchFirst, seed };
}

/** A module behind a Linear with a sigmoid, so that nothing is fused into it. */
function behindLinear(op: Module, sizes: ModuleSizes): Module {
  return new Graph({
    linear: { module: linear(sizes) },
    sigmoid: { module: new Sigmoid() },
    op: { module: op },
  });
}

function linear({ inputSize, width, seed }: ModuleSizes): Linear {
  return new Linear({ inFeatures: inputSize, outFeatures: width, seed });
}

/** A module behind an LSTM. */
function behindLSTM(op: Module, sizes: ModuleSizes): Module {
  return new Graph({
    lstm: { module: new LSTM(recurrent(sizes)) },
    op: { module: op },
  });
}

/** A module that reads two values. */
function behindTwo(op: Module, sizes: ModuleSizes): Module {
  return new Graph({
    a: { module: linear(sizes), inputs: "input" },
    b: { module: linear({ ...sizes, seed: (sizes.seed ^ 1) >>> 0 }), inputs: "input" },
    op: { module: op, inputs: ["a", "b"] },
  });
}

/** A model around a module, by its kind. */
const MODELS: Readonly<Record<string, (sizes: ModuleSizes) => Module>> = {
  Add: (sizes) => behindTwo(new Add(), sizes),
  AvgPool1d: (sizes) => behindLinear(new AvgPool1d({ kernelSize: 2 }), sizes),
  BatchNorm1d: (sizes) => behindLinear(new BatchNorm1d({ numFeatures: sizes.width }), sizes),
  Concat: (sizes) => behindTwo(new Concat(), sizes),
  Conv1d: ({ inputSize, width, numLayers, bidirectional, batchFirst, seed }) =>
    new (numLayers === 1 ? Conv1d : Conv1dReLU)({
      inChannels: inputSize,
      outChannels: width,
      kernelSize: 3,
      ...bidirectional ? { stride: 2 } : { padding: "causal" },
      batchFirst,
      seed,
    }),
  Dropout: (sizes) => behindLinear(new Dropout(), sizes),
  Embedding: ({ width, seed }) =>
    new Embedding({ numEmbeddings: TOKENS, embeddingDim: width, seed }),
  FinalHidden: (sizes) =>
    behindLSTM(new FinalHidden({ bidirectional: sizes.bidirectional }), { ...sizes, numLayers: 1 }),
  FirstStep: (sizes) => behindLSTM(new FirstStep(), sizes),
  Flatten: (sizes) => behindLinear(new Flatten({ steps: FLATTENED }), sizes),
  GRU: (sizes) => new GRU(recurrent(sizes)),
  HardSigmoid: (sizes) => behindLinear(new HardSigmoid(), sizes),
  Identity: (sizes) => behindLinear(new Identity(), sizes),
  LastStep: (sizes) => behindLSTM(new LastStep(), sizes),
  LayerNorm: (sizes) => behindLinear(new LayerNorm({ normalizedShape: sizes.width }), sizes),
  LeakyReLU: (sizes) => behindLinear(new LeakyReLU({ negativeSlope: 0.2 }), sizes),
  Linear: ({ inputSize, width, seed, bidirectional }) =>
    new (bidirectional ? LinearReLU : Linear)({ inFeatures: inputSize, outFeatures: width, seed }),
  LogSoftmax: (sizes) => behindLinear(new LogSoftmax(), sizes),
  LSTM: (sizes) => new LSTM(recurrent(sizes)),
  MaxOverTime: (sizes) => behindLSTM(new MaxOverTime(), sizes),
  MaxPool1d: (sizes) => behindLinear(new MaxPool1d({ kernelSize: 2 }), sizes),
  MeanOverTime: (sizes) => behindLSTM(new MeanOverTime(), sizes),
  ReLU: (sizes) => behindLinear(new ReLU(), sizes),
  Sigmoid: (sizes) => behindLinear(new Sigmoid(), sizes),
  Softmax: (sizes) => behindLinear(new Softmax(), sizes),
  Tanh: (sizes) => behindLinear(new Tanh(), sizes),
  UnitNorm: (sizes) => behindLinear(new UnitNorm(), sizes),
  ZeroPad1d: (sizes) => behindLinear(new ZeroPad1d({ padding: 1 }), sizes),
};

/**
 * Kinds that {@linkcode floatModels} draws: all that the package has and this file knows.
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
 * Sizes of modules: 1, and those around the kernels' blocks and tiles.
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
 * Weights of a module: as they are initialized, far too large, mostly 0, or all the same.
 *
 * @param length How many.
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

/** What weights are like. */
export type WeightStyle = "ordinary" | "extreme" | "sparse" | "constant";

/**
 * Every {@linkcode WeightStyle}; ordinary ones as often as the rest.
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

/** Most that an ordinary weight is, of a row of few inputs. */
const ORDINARY = 0.5;

/** How many times that an extreme one is. */
const EXTREME = 40;

/** Share of sparse weights that are 0. */
const SPARSE = 0.9;

/** Fills an array with weights of a style. */
export function fillWeights(out: Float32Array, style: WeightStyle, generator: Generator): void {
  const reach = style === "extreme" ? ORDINARY * EXTREME : ORDINARY;
  generator.uniform(out, -reach, reach);
  if (style === "constant") out.fill(out[0] ?? 0);
  if (style !== "sparse") return;
  const kept = new Float32Array(out.length);
  generator.uniform(kept, 0, 1);
  for (let i = 0; i < out.length; i++) if (kept[i]! < SPARSE) out[i] = 0;
}

/**
 * A small float model of a kind.
 *
 * @param kind One of {@linkcode DRAWN_KINDS}.
 * @param style What its weights are like; as they are initialized by default.
 * @throws {RangeError} If `kind` is none of them.
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
    // Variances are positive, counts integers.
    if (isFloat32Array(data) && /(weight|bias)[^.]*$/.test(name)) {
      fillWeights(data, style, generator);
    }
  }
  return model;
}

/** A float model that {@linkcode floatModels} draws. */
export interface DrawnModule {
  /** The kind that it was drawn for. */
  readonly kind: string;
  /** What it was drawn with. */
  readonly sizes: ModuleSizes;
  /** The model. */
  readonly model: Module;
}

/**
 * Small float models of every kind of module, with weights of every {@linkcode WeightStyle}.
 *
 * @param kinds Kinds that are drawn; all by default.
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
