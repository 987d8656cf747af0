/**
 * Rounding float weights to int8.
 *
 * @module
 */
import type { LinearWeight } from "../../../kernels/ops/linear.ts";
import { quantizePerChannel } from "../../../kernels/numeric/quantize.ts";
import { failType } from "../../core/errors.ts";
import { FakeQuantize } from "../../observer/fake_quantize.ts";
import { type Observer, type ObserverFactory, UniformObserver } from "../../observer/observer.ts";
import { isPerChannel, type QParams } from "../../core/qparams.ts";
import type { Work } from "../../core/work.ts";
import { type NearestWeight, weightRowsWork } from "./weight_rounding.ts";

/**
 * The range of a weight's integers: its observer's, halved if that has reduceRange, as torch clamps
 * weights (and only weights) when converting.
 */
function weightRange(
  observer: Observer,
  { quantMin, quantMax }: QParams,
): { readonly quantMin: number; readonly quantMax: number } {
  const own = observer instanceof FakeQuantize ? observer.observer : observer;
  return own instanceof UniformObserver ? own : { quantMin, quantMax };
}

/**
 * A new observer of a weight.
 *
 * @throws {TypeError} If it is not for qint8.
 */
export function weightObserver(name: string, factory: ObserverFactory): Observer {
  const observer = factory();
  if (observer.dtype !== "qint8") {
    failType(`${name} observer`, "one for qint8", observer.dtype ?? observer.kind);
  }
  return observer;
}

/**
 * Quantizes a weight [outFeatures, inFeatures] by its own observer, as torch does when it converts
 * a Linear.
 *
 * @param name Its name in errors.
 * @param factory The QConfig's weight observer, for qint8.
 * @param blocks Number of equal blocks of rows, each with its own observer: 4 for split gates.
 * @throws {TypeError} If the observer is not for qint8.
 */
export function quantizeWeight(
  name: string,
  factory: ObserverFactory,
  weight: Float32Array,
  outFeatures: number,
  blocks = 1,
): NearestWeight {
  const inFeatures = weight.length / outFeatures;
  const rows = outFeatures / blocks;
  const data = new Int8Array(weight.length);
  const scales: number[] = [];
  const zeroPoints: number[] = [];
  let perChannel = false;
  let range = { quantMin: 0, quantMax: 0 };
  for (let block = 0; block < blocks; block++) {
    const observer = weightObserver(name, factory);
    const from = block * rows * inFeatures;
    const values = weight.subarray(from, from + rows * inFeatures);
    observer.observe(values, [rows, inFeatures]);
    const qparams = observer.calculateQParams();
    perChannel = isPerChannel(qparams);
    if (isPerChannel(qparams) && qparams.axis !== 0) {
      failType(`${name} observer`, "channel axis 0", qparams.axis);
    }
    const own = isPerChannel(qparams) ? [...qparams.scales] : [qparams.scale];
    const points = isPerChannel(qparams) ? [...qparams.zeroPoints] : [qparams.zeroPoint];
    const inner = values.length / own.length;
    const { quantMin, quantMax } = weightRange(observer, qparams);
    const out = data.subarray(from, from + values.length);
    const channels = {
      scales: Float32Array.from(own),
      zeroPoints: Int32Array.from(points),
      quantMin,
      quantMax,
    };
    quantizePerChannel(values, out, channels, inner);
    range = { quantMin, quantMax };
    scales.push(...own);
    zeroPoints.push(...points);
  }
  const weightScales = Float32Array.from(scales);
  const weightPoints = Int32Array.from(zeroPoints);
  return {
    weight: {
      data,
      outFeatures,
      inFeatures,
      perChannel,
      scales: weightScales,
      zeroPoints: weightPoints,
    },
    ...range,
  };
}

/**
 * Fake-quantizers of a weight, one a block; none if the QConfig's weight observer is no
 * fake-quantizer.
 *
 * @param blocks Number of equal blocks of rows: 4 for split gates.
 */
export function weightFakeQuantizers(
  factory: ObserverFactory,
  blocks = 1,
): readonly FakeQuantize[] {
  const made = Array.from({ length: blocks }, () => factory());
  return made.filter((observer) => observer instanceof FakeQuantize);
}

/** A weight fake-quantized by blocks; the weight itself without fake-quantizers. */
export function fakeQuantizeWeight(
  quantizers: readonly FakeQuantize[],
  weight: Float32Array,
  outFeatures: number,
): Float32Array {
  if (quantizers.length === 0) return weight;
  const size = weight.length / quantizers.length;
  const shape = [outFeatures / quantizers.length, weight.length / outFeatures];
  const out = new Float32Array(weight.length);
  quantizers.forEach((quantizer, block) => {
    const from = block * size;
    out.set(quantizer.forward(weight.subarray(from, from + size), shape), from);
  });
  return out;
}

/**
 * Factors of a row's own scale at which it is rounded too. At 1.004 the largest weight is integer
 * 127 rather than 127.5, clipped; beyond that they only lead the search to other integers. A larger
 * step costs more than another try gains.
 */
const SCALE_FACTORS: readonly number[] = [1.003, 1.006, 1.009, 1.012, 1.015];

/** Largest number of inputs times factors: rows of more than 512 inputs keep their own scale. */
const MAX_TRIES = 512;

/**
 * Rounds a weight against a gram matrix of its inputs, if there is one, a row at a time.
 *
 * @param searchScales Whether each row takes the scale at which its error is smallest, out of a few.
 * Each takes as long as the row's own, so that wide rows try fewer.
 */
export function* roundWeight(
  nearest: NearestWeight,
  float: Float32Array,
  gram: Float64Array | null,
  searchScales: boolean,
): Work<LinearWeight> {
  if (gram === null) return nearest.weight;
  const tries = searchScales ? Math.floor(MAX_TRIES / nearest.weight.inFeatures) : 0;
  const scaleFactors = SCALE_FACTORS.slice(0, tries);
  return yield* weightRowsWork(nearest, float, gram, { scaleFactors });
}
