/**
 * Arbitraries for the package's own values: dtypes, qparams, tensors, QConfigs, calibration data
 * and quantized models of every kind.
 *
 * @module
 */
import fc from "fast-check";
import type { Arbitrary } from "./arbitrary.ts";
import { convert } from "../authoring/convert.ts";
import type { QuantizedModel } from "../authoring/model.ts";
import { prepare } from "../authoring/prepare.ts";
import { quantizeDynamic } from "../authoring/quantize_dynamic.ts";
import { type DType, dtypeRange, newQArray } from "../core/dtype.ts";
import {
  perChannelAffine,
  type PerChannelQParams,
  perTensorAffine,
  type PerTensorQParams,
} from "../core/qparams.ts";
import { type QTensor, shapeSize, type Tensor, type TokenTensor } from "../core/tensor.ts";
import type { Module } from "../modules/module.ts";
import { getPreset, PRESET_NAMES } from "../qconfig/presets.ts";
import type { QConfig } from "../qconfig/qconfig.ts";
import { Graph, Sequential } from "../modules/graph.ts";
import { anyScale } from "./numbers.ts";
import { DRAWN_KINDS, type DrawnModule, floatModels, type ModuleSizes } from "./modules.ts";
import { floatsOf, generator } from "./random.ts";
import { BASIC_STEPS } from "./sizes.ts";

/**
 * Any integer dtype.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { dtypes } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(dtypes, { numRuns: 1, seed: 1 });
 * assertEquals(["quint8", "qint8", "qint32"].includes(drawn!), true);
 * ```
 */
export const dtypes: Arbitrary<DType> = fc.constantFrom("quint8", "qint8", "qint32");

/**
 * Per-tensor qparams: any dtype, with its full range or a narrower one; any scale; a zero point at
 * either end of the range, at 0, or anywhere between.
 *
 * @param of The dtypes to draw from.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { qparams } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(qparams(fc.constant("qint8")), { numRuns: 1, seed: 1 });
 * assertEquals(drawn!.dtype, "qint8");
 * ```
 */
export function qparams(of: Arbitrary<DType> = dtypes): Arbitrary<PerTensorQParams> {
  return of.chain((dtype) => {
    const [low, high] = dtype === "qint32" ? [-32768, 32767] : dtypeRange(dtype);
    return fc.record({
      scale: anyScale,
      ends: fc.oneof(
        fc.constant([low, high] as const),
        fc.tuple(
          fc.integer({ min: low, max: low + 60 }),
          fc.integer({ min: high - 60, max: high }),
        ),
      ),
      at: fc.oneof(fc.constantFrom(0, 0.5, 1), fc.double({ min: 0, max: 1, noNaN: true })),
    }).map(({ scale, ends: [quantMin, quantMax], at }) =>
      perTensorAffine({
        dtype,
        scale,
        zeroPoint: Math.round(quantMin + at * (quantMax - quantMin)),
        quantMin,
        quantMax,
      })
    );
  });
}

/**
 * Per-channel qparams of a weight: one scale per channel, and zero points of 0.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { channelQParams } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(channelQParams(3), { numRuns: 1, seed: 1 });
 * assertEquals(drawn!.scales.length, 3);
 * ```
 */
export function channelQParams(channels: number): Arbitrary<PerChannelQParams> {
  return fc.array(anyScale, { minLength: channels, maxLength: channels }).map((scales) =>
    perChannelAffine({
      dtype: "qint8",
      scales: Float32Array.from(scales),
      zeroPoints: new Int32Array(channels),
      axis: 0,
    })
  );
}

/**
 * Float tensors of the given shape, with values in ±`reach`.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { tensors } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(tensors([2, 3]), { numRuns: 1, seed: 1 });
 * assertEquals(drawn!.data.length, 6);
 * ```
 */
export function tensors(shape: readonly number[], reach = 2): Arbitrary<Tensor> {
  return fc.nat().map((seed) => floatsOf(seed, shape, reach));
}

/**
 * Quantized tensors of the given shape.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { qtensors } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(qtensors([2, 3]), { numRuns: 1, seed: 1 });
 * assertEquals(drawn!.shape, [2, 3]);
 * ```
 */
export function qtensors(shape: readonly number[]): Arbitrary<QTensor<PerTensorQParams>> {
  return fc.record({ q: qparams(), seed: fc.nat() }).map(({ q, seed }) => {
    const random = generator(seed);
    const data = newQArray(q.dtype, shapeSize(shape));
    for (let i = 0; i < data.length; i++) {
      data[i] = Math.floor(random(q.quantMin, q.quantMax + 1));
    }
    return { data, shape, qparams: q };
  });
}

/**
 * QConfigs: every preset, with torch's initial state or with `initialState: "own"`.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { qconfigs } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(qconfigs, { numRuns: 1, seed: 1 });
 * assertEquals("weight" in drawn!, true);
 * ```
 */
export const qconfigs: Arbitrary<QConfig> = fc.record({
  preset: fc.constantFrom(...PRESET_NAMES),
  own: fc.boolean(),
}).map(({ preset, own }) => {
  const qconfig = getPreset(preset);
  return own ? { ...qconfig, initialState: "own" } : qconfig;
});

/**
 * Batch sizes.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { batches } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(batches, { numRuns: 1, seed: 1 });
 * assertEquals(drawn! >= 1 && drawn! <= 4, true);
 * ```
 */
export const batches: Arbitrary<number> = fc.integer({ min: 1, max: 4 });

/**
 * Sequence lengths: short ones, and those around the number of steps that a session runs at a time.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { stepCounts } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(stepCounts, { numRuns: 1, seed: 1 });
 * assertEquals(Number.isInteger(drawn), true);
 * ```
 */
export const stepCounts: Arbitrary<number> = fc.constantFrom(...BASIC_STEPS);

/**
 * Lengths of the rows of a batch, from `min` to `steps`. Use a `min` of 1 for models that reject
 * empty rows.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { lengths } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(lengths(3, 5), { numRuns: 1, seed: 1 });
 * assertEquals(drawn!.length, 3);
 * ```
 */
export function lengths(batch: number, steps: number, min: 0 | 1 = 0): Arbitrary<number[]> {
  return fc.array(fc.integer({ min, max: steps }), { minLength: batch, maxLength: batch });
}

/**
 * Ways to split a sequence into calls: the number of steps of each call.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { chunkings } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(chunkings(10), { numRuns: 1, seed: 1 });
 * assertEquals(drawn!.reduce((sum, steps) => sum + steps), 10);
 * ```
 */
export function chunkings(steps: number): Arbitrary<number[]> {
  return fc.array(fc.integer({ min: 1, max: steps }), { maxLength: steps }).map((cuts) => {
    const chunks: number[] = [];
    let left = steps;
    for (const cut of cuts) {
      if (left > 0) chunks.push(Math.min(cut, left));
      left -= cut;
    }
    if (left > 0) chunks.push(left);
    return chunks;
  });
}

/**
 * Initial states for `session.setState`: real numbers in ±`reach`.
 *
 * @param shape The shape that `session.getState` returns.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { states } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(states([1, 2, 4]), { numRuns: 1, seed: 1 });
 * assertEquals(drawn!.shape, [1, 2, 4]);
 * ```
 */
export function states(shape: readonly number[], reach = 1): Arbitrary<Tensor> {
  return tensors(shape, reach);
}

/** The input width of a float model; null if it reads tokens. */
function inputSizeOf(model: Module): number | null {
  const graph = model instanceof Graph ? model : new Sequential({ model });
  return prepare(graph, getPreset("fbgemm")).inputSize;
}

/** Number of token ids that are drawn from. */
const TOKENS = 11;

/**
 * Calibration data for a float model: sequences [steps, 1, ...] of values in ±2, or of token ids
 * below 11. Some sequences of values are all zeros.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { LSTM } from "@splitgate/splitgate";
 * import { calibrationData } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const model = new LSTM({ inputSize: 3, hiddenSize: 4 });
 * const [data] = fc.sample(calibrationData(model), { numRuns: 1, seed: 1 });
 * assertEquals(data![0]!.shape.at(-1), 3);
 * ```
 */
export function calibrationData(model: Module): Arbitrary<(Tensor | TokenTensor)[]> {
  const width = inputSizeOf(model);
  const one = fc.record({ seed: fc.nat(), steps: stepCounts, zero: fc.nat(9) }).map(
    ({ seed, steps, zero }): Tensor | TokenTensor => {
      const batchFirst = "batchFirst" in model && model.batchFirst === true;
      const outer = batchFirst ? [1, steps] : [steps, 1];
      if (width !== null) return floatsOf(seed, [...outer, width], zero === 0 ? 0 : 2);
      const random = generator(seed);
      const data = Int32Array.from({ length: steps }, () => Math.floor(random(0, TOKENS)));
      return { data, shape: outer };
    },
  );
  return fc.array(one, { minLength: 1, maxLength: 3 });
}

/**
 * A quantized model that {@linkcode quantizedModels} draws.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { type DrawnModel, quantizedModels } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn]: DrawnModel[] = fc.sample(quantizedModels(["Linear"]), { numRuns: 1, seed: 1 });
 * const { sizes, quantized } = drawn!;
 * assertEquals(quantized.inputSize, sizes.inputSize);
 * ```
 */
export interface DrawnModel extends DrawnModule {
  /** The name of the preset, or `dynamic`. */
  readonly preset: string;
  /** The quantized model. */
  readonly quantized: QuantizedModel;
}

/** Number of steps of {@linkcode calibrationOf}. */
const CALIBRATED_STEPS = 9;

/** Two rows of calibration data for {@linkcode quantizedOf}. */
export function calibrationOf(
  { seed }: ModuleSizes,
  { batchFirst, inputSize, vocabulary = 0 }: {
    readonly batchFirst: boolean;
    readonly inputSize: number | null;
    readonly vocabulary?: number;
  },
): Tensor | TokenTensor {
  const shape = batchFirst ? [2, CALIBRATED_STEPS] : [CALIBRATED_STEPS, 2];
  if (inputSize !== null && vocabulary === 0) {
    return floatsOf(seed % 2 ** 31, [...shape, inputSize], 2);
  }
  const random = generator(seed ^ 3);
  const length = shapeSize(shape);
  return { data: Int32Array.from({ length }, () => Math.floor(random(0, TOKENS))), shape };
}

/** Quantizes a model; null if an engine cannot add with the resulting scales. */
export function quantizedOf(
  { model, sizes }: DrawnModule,
  preset: string,
): QuantizedModel | null {
  try {
    let quantized: QuantizedModel;
    if (preset === "dynamic") quantized = quantizeDynamic(model);
    else {
      const observed = prepare(model, getPreset(preset as Parameters<typeof getPreset>[0]));
      observed.run(calibrationOf(sizes, observed));
      quantized = convert(observed);
    }
    quantized.createSession();
    return quantized;
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/**
 * Quantized models of every kind of module, calibrated on random data, with every preset and
 * dynamically. Combinations that a preset rejects, such as a dynamic LayerNorm, are left out.
 *
 * @param kinds The kinds to draw; all by default.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { fuzzModel, quantizedModels } from "@splitgate/splitgate/testing";
 * import { assert } from "@std/assert";
 * for (const { quantized } of fc.sample(quantizedModels(["LSTM"]), { numRuns: 2, seed: 1 })) {
 *   const report = await fuzzModel(quantized, { runs: 3, seed: 1 });
 *   assert(report.passed, String(report));
 * }
 * ```
 */
export function quantizedModels(
  kinds: readonly string[] = DRAWN_KINDS,
): Arbitrary<DrawnModel> {
  return fc.record({
    drawn: floatModels(kinds),
    preset: fc.constantFrom(...PRESET_NAMES, "dynamic"),
  }).map(({ drawn, preset }) => ({ ...drawn, preset, quantized: quantizedOf(drawn, preset) }))
    .filter((each): each is DrawnModel => each.quantized !== null);
}
