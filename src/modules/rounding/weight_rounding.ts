/**
 * Rounding weights against calibration data: instead of rounding each weight to the nearest
 * integer, integers are chosen such that each row's outputs on the data stay close to the float
 * row's.
 *
 * A row's error on inputs x is `(w - ŵ)ᵀ G (w - ŵ)`, with the gram matrix `G = Σ weight · x xᵀ`:
 * the layer-wise objective of Optimal Brain Quantization (Frantar et al., 2022) and GPTQ. It is
 * lowered by integer coordinate descent from the nearest integers: one integer at a time goes to
 * its best value; where none is left to move, integers move by one each together with the partner
 * with which that is best. Every move lowers the error, so the result is never worse than nearest
 * rounding. Only `+ - * /` are used: every engine gives the same integers.
 *
 * @module
 */
import { accumulateGrams, GRAM_INPUTS } from "../../../kernels/float/gram.ts";
import { openIntegerSearch, VECTORS } from "../../../kernels/float/integer_search.ts";
import { channelOf, type LinearWeight } from "../../../kernels/ops/linear.ts";
import { clamp, roundHalfEven } from "../../../kernels/numeric/requantize.ts";
import { isUint8Array } from "../../../kernels/numeric/typed_array.ts";
import { failRange } from "../../core/errors.ts";
import { checkOptions } from "../../core/check.ts";
import { finish, type Work } from "../../core/work.ts";

/** A weight rounded to the nearest integers, and the range that they may have. */
export interface NearestWeight {
  /** The integers with their scales and zero points. */
  readonly weight: LinearWeight;
  /** Smallest integer. */
  readonly quantMin: number;
  /** Largest integer. */
  readonly quantMax: number;
}

/** Adds the gram of rows that all count the same. */
export function accumulateEvenly(gram: Float64Array, rows: Float32Array, size: number): void {
  accumulateRows(gram, rows, size, () => 1);
}

/** Adds the gram of a matrix's rows in order, with the bits of {@linkcode accumulateGram}. */
function accumulateRows(
  gram: Float64Array,
  rows: Float32Array | Float64Array,
  size: number,
  weightOf: (row: number) => number,
): void {
  const count = rows.length / size;
  for (let row = 0; row < count; row += GRAM_INPUTS) {
    const end = Math.min(row + GRAM_INPUTS, count);
    const weights = Float64Array.from({ length: end - row }, (_, r) => weightOf(row + r));
    accumulateGrams(gram, rows.subarray(row * size, end * size), size, weights);
  }
}

/**
 * Lowers `qᵀ G q - 2 linearᵀ q` over integers in place, by the moves described above.
 *
 * @param q Where to start, within lo..hi; overwritten.
 * @param gram G [q.length, q.length], symmetric, positive semidefinite.
 * @param linear [q.length]; `G u` to approximate real values u.
 * @param lo Smallest integer.
 * @param hi Largest integer.
 *
 * @example
 * ```ts
 * import { descendIntegers } from "./weight_rounding.ts";
 * import { assertEquals } from "@std/assert";
 * // Two inputs that are nearly the same: of 0.4 + 0.4 nearest rounding leaves nothing.
 * const gram = Float64Array.of(1, 0.99, 0.99, 1), q = Int32Array.of(0, 0);
 * descendIntegers(q, gram, Float64Array.of(0.796, 0.796), -127, 127);
 * assertEquals([...q], [1, 0]);
 * ```
 */
export function descendIntegers(
  q: Int32Array,
  gram: Float64Array,
  linear: Float64Array,
  lo: number,
  hi: number,
): void {
  const search = openIntegerSearch(q.length);
  search.setGram(gram);
  search.descend(q, pullOf(gram, q, linear), lo, hi);
}

/** linear - G q */
function pullOf(gram: Float64Array, q: Int32Array, linear: Float64Array): Float64Array {
  const n = q.length;
  const pull = linear.slice();
  for (let k = 0, at = 0; k < n; k++) {
    let sum = 0;
    for (let j = 0; j < n; j++, at++) sum += gram[at]! * q[j]!;
    pull[k]! -= sum;
  }
  return pull;
}

/** Options of rounding against calibration data. */
export interface RoundingOptions {
  /**
   * Weight of the distance to the float weights, relative to the gram's mean diagonal: it keeps
   * weights that calibration data does not determine close to the float ones. 0.01 by default.
   */
  readonly damping?: number;
}

/** Options of {@linkcode roundWeightRows}. */
export interface RowRoundingOptions extends RoundingOptions {
  /**
   * Further scales to try for each row of a weight with a scale a row, as factors of its own; the
   * scale with the smallest error is taken. None by default.
   */
  readonly scaleFactors?: readonly number[];
}

function checkFactors(factors: readonly number[]): readonly number[] {
  factors.forEach((factor, i) => {
    if (!(factor > 0 && factor < Infinity)) {
      failRange(`options.scaleFactors[${i}]`, "a positive number", factor);
    }
  });
  return factors;
}

function checkDamping(damping: number): number {
  if (!(damping >= 0 && damping < Infinity)) failRange("options.damping", "a number >= 0", damping);
  return damping;
}

/**
 * Fills a gram's upper triangle, adds `damping` times its mean diagonal to the diagonal, and
 * returns the added value.
 */
function complete(gram: Float64Array, n: number, damping: number): number {
  let trace = 0;
  for (let k = 0; k < n; k++) trace += gram[k * n + k]!;
  const added = damping * trace / n;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) gram[j * n + i] = gram[i * n + j]!;
    gram[i * n + i]! += added;
  }
  return added;
}

/** The sum of products. */
function product(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k]! * b[k]!;
  return sum;
}

function checkSums(name: string, sums: Float64Array): void {
  for (let i = 0; i < sums.length; i++) {
    if (!Number.isFinite(sums[i])) failRange(`${name}[${i}]`, "a finite number", sums[i]);
  }
}

/**
 * Rounds the rows of a weight against their inputs on calibration data.
 *
 * @param nearest The weight as its observer quantized it: zero points are kept, and scales where no
 * factors are given; the search starts at its integers.
 * @param weight The float weight [outFeatures, inFeatures].
 * @param grams [blocks, inFeatures, inFeatures], one for each of that many equal blocks of rows:
 * what {@linkcode accumulateGram} summed up.
 * @returns The weight with new integers; a row's error, that of the damping included, is never
 * larger than nearest's.
 * @throws {TypeError} If an option is unknown.
 * @throws {RangeError} If a length does not fit, a gram is not finite, the damping is no number of
 * at least 0, or a factor is not positive.
 *
 * @example
 * ```ts
 * import { accumulateGram } from "../../../kernels/float/gram.ts";
 * import { roundWeightRows } from "./weight_rounding.ts";
 * import { assertEquals } from "@std/assert";
 * const nearest = {
 *   weight: {
 *     data: Int8Array.of(0, 0, 3),
 *     outFeatures: 1,
 *     inFeatures: 3,
 *     perChannel: true,
 *     scales: Float32Array.of(1),
 *     zeroPoints: Int32Array.of(0),
 *   },
 *   quantMin: -128,
 *   quantMax: 127,
 * };
 * const gram = new Float64Array(9); // the first two inputs are always equal
 * accumulateGram(gram, Float32Array.of(1, 1, 0), 1);
 * accumulateGram(gram, Float32Array.of(0, 0, 1), 1);
 * const rounded = roundWeightRows(nearest, Float32Array.of(0.4, 0.4, 3), gram);
 * assertEquals([...rounded.data], [1, 0, 3]);
 * ```
 */
export function roundWeightRows(
  nearest: NearestWeight,
  weight: Float32Array,
  grams: Float64Array,
  options: RowRoundingOptions = {},
): LinearWeight {
  return finish(weightRowsWork(nearest, weight, grams, options));
}

/** {@linkcode roundWeightRows}, a row at a time. */
export function* weightRowsWork(
  nearest: NearestWeight,
  weight: Float32Array,
  grams: Float64Array,
  options: RowRoundingOptions = {},
): Work<LinearWeight> {
  checkOptions("options", options, ["damping", "scaleFactors"]);
  const { quantMin, quantMax } = nearest;
  const { data, outFeatures, inFeatures: n, perChannel, zeroPoints } = nearest.weight;
  const size = n * n;
  const damping = checkDamping(options.damping ?? 0.01);
  const factors = [1, ...checkFactors(options.scaleFactors ?? [])];
  if (weight.length !== data.length) failRange("weight.length", `${data.length}`, weight.length);
  const blocks = grams.length / size;
  if (!(blocks >= 1) || outFeatures % blocks !== 0) {
    failRange("grams.length", `${size} times a divisor of ${outFeatures}`, grams.length);
  }
  checkSums("grams", grams);
  const rounded = data.slice();
  const scales = nearest.weight.scales.slice();
  const perBlock = outFeatures / blocks;
  const search = openIntegerSearch(n);
  const q = Array.from({ length: VECTORS }, () => new Int32Array(n));
  const pulls = q.map(() => new Float64Array(n));
  const misses = q.map(() => new Float64Array(n));
  for (let block = 0; block < blocks; block++) {
    const gram = grams.slice(block * size, (block + 1) * size);
    complete(gram, n, damping);
    search.setGram(gram);
    const end = (block + 1) * perBlock;
    for (let first = block * perBlock; first < end; first += VECTORS) {
      const count = Math.min(VECTORS, end - first);
      for (let r = count; r < VECTORS; r++) misses[r]!.fill(0);
      const smallest = new Float64Array(count).fill(Infinity);
      for (const factor of perChannel ? factors : [1]) {
        const tried: number[] = [];
        for (let r = 0; r < count; r++) {
          const channel = channelOf(nearest.weight, first + r);
          const zeroPoint = zeroPoints[channel]!;
          const from = (first + r) * n;
          const scale = Math.fround(nearest.weight.scales[channel]! * factor);
          tried.push(scale);
          for (let k = 0; k < n; k++) {
            const value = weight[from + k]! / scale;
            q[r]![k] = factor === 1
              ? data[from + k]! - zeroPoint
              : clamp(roundHalfEven(value), quantMin - zeroPoint, quantMax - zeroPoint);
            misses[r]![k] = value - q[r]![k]!;
          }
        }
        search.multiply(misses, pulls);
        for (let r = 0; r < count; r++) {
          const zeroPoint = zeroPoints[channelOf(nearest.weight, first + r)]!;
          search.descend(q[r]!, pulls[r]!, quantMin - zeroPoint, quantMax - zeroPoint);
          const from = (first + r) * n;
          for (let k = 0; k < n; k++) misses[r]![k] = weight[from + k]! / tried[r]! - q[r]![k]!;
        }
        if (factors.length > 1) search.multiply(misses, pulls);
        for (let r = 0; r < count; r++) {
          const error = tried[r]! * tried[r]! * product(misses[r]!, pulls[r]!);
          if (!(error < smallest[r]!) && factor !== 1) continue;
          const channel = channelOf(nearest.weight, first + r);
          smallest[r] = error;
          scales[channel] = tried[r]!;
          for (let k = 0; k < n; k++) {
            rounded[(first + r) * n + k] = q[r]![k]! + zeroPoints[channel]!;
          }
        }
      }
      for (let r = 0; r < count; r++) yield 1;
    }
  }
  return { ...nearest.weight, data: rounded, scales };
}

/** Embedding rows as integers: `code * scale + bias`, a scale and bias a row. */
export interface CodedRows {
  /** [numEmbeddings, embeddingDim] */
  readonly codes: Uint8Array | Uint16Array;
  /** float32, one a row; a row of scale 0 is its bias throughout. */
  readonly scales: Float32Array;
  /** float32, one a row: the value of code 0. */
  readonly biases: Float32Array;
}

/** One projection of an embedding's rows. */
export interface TokenProjection {
  /** The float weight [outFeatures, embeddingDim]. */
  readonly weight: Float32Array;
  /** The weight as its observer quantized it. */
  readonly nearest: NearestWeight;
  /**
   * Importance of each token's outputs, [numEmbeddings, outFeatures], at least 0: sums over the
   * calibration data, 0 for tokens that do not occur.
   */
  readonly weights: Float64Array;
}

/** Options of {@linkcode roundTokenTable}. */
export interface TokenTableOptions extends RoundingOptions {
  /** Number of turns between the projections' rows and the embedding's rows; 3 by default. */
  readonly rounds?: number;
}

/** Turns of {@linkcode roundTokenTable} by default. */
const DEFAULT_ROUNDS = 3;

/** Result of {@linkcode roundTokenTable}. */
export interface RoundedTokenTable {
  /** [numEmbeddings, embeddingDim] */
  readonly codes: Uint8Array | Uint16Array;
  /** The projections' weights with new integers. */
  readonly projections: readonly LinearWeight[];
}

/**
 * Rounds an embedding and the projections that read it together, so that the table of projected
 * rows, one for each token, stays close to the float one. The projections' rows are rounded for the
 * current embedding, then the embedding's rows for the current projections, in turns; each
 * compensates the other's error.
 *
 * The error of a token's output is weighted by its importance plus the output's mean importance per
 * occurrence, so that tokens missing in the calibration data count as if they occurred once.
 *
 * @param embedding The float rows [numEmbeddings, embeddingDim].
 * @param nearest The rows as integers nearest to them.
 * @param projections The input weights that read the embedding: one a direction of an LSTM.
 * @param counts Number of occurrences of each token in the calibration data, [numEmbeddings].
 * @returns New integers, all else unchanged; the table's weighted error is never larger than
 * nearest's.
 * @throws {TypeError} If an option is unknown.
 * @throws {RangeError} If a length does not fit, a weight is not finite, no token was met, or an
 * option is out of range.
 *
 * @example
 * ```ts
 * import { roundTokenTable } from "./weight_rounding.ts";
 * import { assertEquals } from "@std/assert";
 * const nearest = {
 *   weight: {
 *     data: Int8Array.of(0, 0),
 *     outFeatures: 1,
 *     inFeatures: 2,
 *     perChannel: true,
 *     scales: Float32Array.of(1),
 *     zeroPoints: Int32Array.of(0),
 *   },
 *   quantMin: -128,
 *   quantMax: 127,
 * };
 * // One token [10, 10], and an output that adds 0.4 of each: 8, of which nearest rounding leaves 0.
 * const { codes, projections } = roundTokenTable(
 *   Float32Array.of(10, 10),
 *   { codes: Uint8Array.of(10, 10), scales: Float32Array.of(1), biases: Float32Array.of(0) },
 *   [{ weight: Float32Array.of(0.4, 0.4), nearest, weights: Float64Array.of(1) }],
 *   Float64Array.of(1),
 *   { damping: 0.001 },
 * );
 * assertEquals([...projections[0]!.data], [1, 0]);
 * assertEquals([...codes], [8, 10]);
 * ```
 */
export function roundTokenTable(
  embedding: Float32Array,
  nearest: CodedRows,
  projections: readonly TokenProjection[],
  counts: Float64Array,
  options: TokenTableOptions = {},
): RoundedTokenTable {
  return finish(tokenTableWork(embedding, nearest, projections, counts, options));
}

/** Rows that {@linkcode tokenTableWork} rounds with its defaults. */
export function tokenTableRows(
  projections: readonly { readonly nearest: NearestWeight }[],
  tokens: number,
): number {
  const rows = projections.reduce((sum, { nearest }) => sum + nearest.weight.outFeatures, tokens);
  return DEFAULT_ROUNDS * rows;
}

/** {@linkcode roundTokenTable}, a row at a time. */
export function* tokenTableWork(
  embedding: Float32Array,
  nearest: CodedRows,
  projections: readonly TokenProjection[],
  counts: Float64Array,
  options: TokenTableOptions = {},
): Work<RoundedTokenTable> {
  checkOptions("options", options, ["damping", "rounds"]);
  const tokens = counts.length;
  const n = embedding.length / tokens;
  const rounds = options.rounds ?? DEFAULT_ROUNDS;
  const damping = checkDamping(options.damping ?? 0.01);
  if (!Number.isInteger(rounds) || rounds < 1) {
    failRange("options.rounds", "an integer >= 1", rounds);
  }
  if (nearest.codes.length !== embedding.length) {
    failRange("nearest.codes.length", `${embedding.length}`, nearest.codes.length);
  }
  const met = counts.reduce((sum, count) => sum + count, 0);
  if (!(met > 0)) failRange("counts", "tokens that calibration data met", "none");
  const sides = projections.map((projection, p): Side => {
    const { outFeatures, inFeatures, data } = projection.nearest.weight;
    const { weights, weight } = projection;
    if (inFeatures !== n || weight.length !== data.length) {
      failRange(`projections[${p}].weight`, `[${outFeatures}, ${n}]`, `${weight.length} values`);
    }
    if (weights.length !== tokens * outFeatures) {
      failRange(`projections[${p}].weights.length`, `${tokens * outFeatures}`, weights.length);
    }
    checkSums(`projections[${p}].weights`, weights);
    const groups = outFeatures * tokens * n * n <= MAX_PRODUCTS
      ? outFeatures
      : GROUPS.find((count) => outFeatures % count === 0)!;
    const smoothed = smooth(weights, tokens, outFeatures, met);
    return {
      ...projection,
      target: project(embedding, weight, tokens, outFeatures, n),
      groups,
      importance: groups === outFeatures ? smoothed : averaged(smoothed, outFeatures, groups),
      data: data.slice(),
    };
  });
  const codes = nearest.codes.slice();
  const coded = { ...nearest, codes };
  const before = tableError(coded, sides, tokens, n);
  for (let round = 0; round < rounds; round++) {
    const rows = dequantizeRows(coded, n);
    for (const side of sides) yield* roundProjection(side, rows, damping);
    yield* roundEmbedding(coded, embedding, sides, damping);
  }
  if (tableError(coded, sides, tokens, n) > before) {
    return {
      codes: nearest.codes.slice(),
      projections: projections.map((projection) => projection.nearest.weight),
    };
  }
  return { codes, projections: sides.map((side) => ({ ...side.nearest.weight, data: side.data })) };
}

/**
 * Largest number of products for which each output has its own importance, and so its own gram for
 * each token. Beyond it, the outputs of a group share theirs, so that the work grows with the
 * square of the width rather than with that times outputs * tokens.
 */
const MAX_PRODUCTS = 2 ** 30;

/**
 * Numbers of groups that outputs may be cut into: no group spans two gates, of three or of four.
 */
const GROUPS = [12, 4, 3, 1];

/** The mean importance of each group of outputs, for each token. */
function averaged(importance: Float64Array, outFeatures: number, groups: number): Float64Array {
  const out = new Float64Array(importance.length);
  const size = outFeatures / groups;
  for (let from = 0; from < importance.length; from += size) {
    let sum = 0;
    for (let i = from; i < from + size; i++) sum += importance[i]!;
    out.fill(sum / size, from, from + size);
  }
  return out;
}

/** A projection at work. */
interface Side extends TokenProjection {
  /** The float table [tokens, outFeatures]. */
  readonly target: Float64Array;
  /** Number of equal groups of outputs, each with one importance a token. */
  readonly groups: number;
  /** [tokens, outFeatures] */
  readonly importance: Float64Array;
  /** The integers so far. */
  readonly data: Int8Array;
}

/** [tokens, outFeatures]: every embedding row times every weight row. */
function project(
  rows: Float32Array | Float64Array,
  weight: Float32Array | Float64Array,
  tokens: number,
  outFeatures: number,
  n: number,
): Float64Array {
  const out = new Float64Array(tokens * outFeatures);
  for (let token = 0; token < tokens; token++) {
    for (let row = 0; row < outFeatures; row++) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += rows[token * n + k]! * weight[row * n + k]!;
      out[token * outFeatures + row] = sum;
    }
  }
  return out;
}

/** Adds to each token's importance the mean over all occurrences. */
function smooth(
  weights: Float64Array,
  tokens: number,
  outFeatures: number,
  met: number,
): Float64Array {
  const out = weights.slice();
  for (let row = 0; row < outFeatures; row++) {
    let sum = 0;
    for (let token = 0; token < tokens; token++) sum += weights[token * outFeatures + row]!;
    for (let token = 0; token < tokens; token++) out[token * outFeatures + row]! += sum / met;
  }
  return out;
}

function dequantizeRows({ codes, scales, biases }: CodedRows, n: number): Float64Array {
  return Float64Array.from(codes, (code, i) => {
    const row = Math.floor(i / n);
    return code * scales[row]! + biases[row]!;
  });
}

function dequantizeWeight({ nearest: { weight }, data }: Side): Float64Array {
  return Float64Array.from(data, (q, i) => {
    const channel = channelOf(weight, Math.floor(i / weight.inFeatures));
    return (q - weight.zeroPoints[channel]!) * weight.scales[channel]!;
  });
}

/** The weighted squared error of the projected table. */
function tableError(coded: CodedRows, sides: readonly Side[], tokens: number, n: number): number {
  const rows = dequantizeRows(coded, n);
  let error = 0;
  for (const side of sides) {
    const table = project(rows, dequantizeWeight(side), tokens, side.nearest.weight.outFeatures, n);
    table.forEach((value, i) => error += side.importance[i]! * (value - side.target[i]!) ** 2);
  }
  return error;
}

/** Views of the rows of a matrix [rows, width]. */
export function rowsOf(matrix: Float64Array, width: number): readonly Float64Array[] {
  return Array.from(
    { length: matrix.length / width },
    (_, row) => matrix.subarray(row * width, (row + 1) * width),
  );
}

/** Rounds a projection's rows: each output is a least-squares problem over the tokens. */
function* roundProjection(side: Side, rows: Float64Array, damping: number): Work<void> {
  const { nearest, weight, target, importance, data, groups } = side;
  const { quantMin, quantMax } = nearest;
  const { outFeatures, inFeatures: n, scales, zeroPoints } = nearest.weight;
  const inputs = rowsOf(rows, n);
  const gram = new Float64Array(n * n);
  const linear = new Float64Array(n);
  const q = new Int32Array(n);
  const search = openIntegerSearch(n);
  let added = 0;
  for (let row = 0; row < outFeatures; row++) {
    const channel = channelOf(nearest.weight, row);
    const scale = scales[channel]!;
    const zeroPoint = zeroPoints[channel]!;
    if (row % (outFeatures / groups) === 0) {
      gram.fill(0);
      accumulateRows(gram, rows, n, (token) => importance[token * outFeatures + row]!);
      added = complete(gram, n, damping);
      search.setGram(gram);
    }
    linear.fill(0);
    inputs.forEach((x, token) => {
      const at = token * outFeatures + row;
      const pull = importance[at]! * target[at]!;
      for (let k = 0; k < n; k++) linear[k]! += pull * x[k]!;
    });
    for (let k = 0; k < n; k++) {
      linear[k] = (linear[k]! + added * weight[row * n + k]!) / scale;
      q[k] = data[row * n + k]! - zeroPoint;
    }
    const pull = pullOf(gram, q, linear);
    search.descend(q, pull, quantMin - zeroPoint, quantMax - zeroPoint);
    for (let k = 0; k < n; k++) data[row * n + k] = q[k]! + zeroPoint;
    yield 1;
  }
}

/** A projection's current weight, and the grams of its groups if outputs share them. */
interface DequantizedSide {
  readonly side: Side;
  /** [outFeatures, n] */
  readonly weight: Float64Array;
  /** Rows of it. */
  readonly rows: readonly Float64Array[];
  /** [groups] of [n, n]; empty if each output has its own importance. */
  readonly grams: readonly Float64Array[];
}

function dequantizeSide(side: Side, n: number): DequantizedSide {
  const { groups, nearest: { weight: { outFeatures } } } = side;
  const weight = dequantizeWeight(side);
  const size = outFeatures / groups * n;
  const grams = groups === outFeatures ? [] : Array.from({ length: groups }, (_, group) => {
    const gram = new Float64Array(n * n);
    accumulateRows(gram, weight.subarray(group * size, (group + 1) * size), n, () => 1);
    return gram;
  });
  return { side, weight, rows: rowsOf(weight, n), grams };
}

/** Adds a token's share of one projection to the gram of its problem. */
function addTokenGram(
  gram: Float64Array,
  { side: { importance, nearest }, weight, grams }: DequantizedSide,
  token: number,
  n: number,
): void {
  const { outFeatures } = nearest.weight;
  const at = token * outFeatures;
  if (grams.length === 0) {
    accumulateRows(gram, weight, n, (row) => importance[at + row]!);
    return;
  }
  grams.forEach((own, group) => {
    const factor = importance[at + group * outFeatures / grams.length]!;
    for (let i = 0; i < gram.length; i++) gram[i]! += factor * own[i]!;
  });
}

/**
 * Rounds an embedding's rows: each token is a least-squares problem over the outputs of all
 * projections.
 */
function* roundEmbedding(
  { codes, scales, biases }: CodedRows,
  embedding: Float32Array,
  sides: readonly Side[],
  damping: number,
): Work<void> {
  const tokens = scales.length;
  const n = embedding.length / tokens;
  const gram = new Float64Array(n * n);
  const linear = new Float64Array(n);
  const q = new Int32Array(n);
  const search = openIntegerSearch(n);
  const dequantized = sides.map((side) => dequantizeSide(side, n));
  const quantMax = isUint8Array(codes) ? 255 : 65535;
  for (let token = 0; token < tokens; token++) {
    yield 1;
    const scale = scales[token]!;
    const bias = biases[token]!;
    if (!(scale > 0)) continue; // all values equal: the bias is exact
    gram.fill(0);
    linear.fill(0);
    for (const each of dequantized) {
      const { side: { target, importance }, rows } = each;
      addTokenGram(gram, each, token, n);
      rows.forEach((weight, row) => {
        const at = token * rows.length + row;
        let fixed = 0; // the bias's share of the output
        for (let k = 0; k < n; k++) fixed += weight[k]! * bias;
        const pull = importance[at]! * (target[at]! - fixed);
        for (let k = 0; k < n; k++) linear[k]! += pull * weight[k]!;
      });
    }
    const added = complete(gram, n, damping);
    for (let k = 0; k < n; k++) {
      linear[k] = (linear[k]! + added * (embedding[token * n + k]! - bias)) / scale;
      q[k] = codes[token * n + k]!;
    }
    search.setGram(gram);
    search.descend(q, pullOf(gram, q, linear), 0, quantMax);
    codes.set(q, token * n);
  }
}
