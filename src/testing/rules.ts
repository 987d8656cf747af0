/**
 * PyTorch 2.8's quantized arithmetic, step by step on exact numbers: the oracle of the kernels.
 * Each function rounds exactly where PyTorch rounds, and nowhere else. Scales are float32 values.
 * f(x) rounds to float32, rne(x) to the nearest integer, ties to even.
 *
 * @module
 */
import {
  add,
  compare,
  div,
  type Exact,
  exact,
  exp,
  log,
  mul,
  nearestEven,
  scaled,
  tanh,
  toFloat32,
  toFloat64,
} from "./exact.ts";

/** Scale, zero point and range. */
export interface Params {
  readonly scale: number;
  readonly zeroPoint: number;
  readonly quantMin: number;
  readonly quantMax: number;
}

const ONE = exact(1);

/** An integer as an exact number. */
function integer(n: number | bigint): Exact {
  return { n: BigInt(n), d: 1n };
}

/** f(a * b) */
export function mul32(a: number, b: number): number {
  return toFloat32(mul(exact(a), exact(b)));
}

/** f(a + b) */
export function add32(a: number, b: number): number {
  return toFloat32(add(exact(a), exact(b)));
}

/** f(a / b) */
export function div32(a: number, b: number): number {
  return toFloat32(div(exact(a), exact(b)));
}

/** f(a * b + c), rounded once */
export function fma32(a: number, b: number, c: number): number {
  return toFloat32(add(mul(exact(a), exact(b)), exact(c)));
}

/** f(1 / scale) */
export function inverse(scale: number): number {
  return toFloat32(div(ONE, exact(scale)));
}

/** Rounds half to even and clamps; an infinite x becomes the end of the range. */
function roundAndClamp(
  x: number,
  zeroPoint: number,
  { quantMin, quantMax }: Params,
  wide = false,
): number {
  if (x === Infinity) return quantMax;
  if (x === -Infinity) return quantMin;
  let q = nearestEven(exact(x)) + BigInt(zeroPoint);
  if (wide) q = nearestEven(exact(toFloat32(integer(q))));
  if (q < BigInt(quantMin)) return quantMin;
  if (q > BigInt(quantMax)) return quantMax;
  return Number(q);
}

/** clamp(rne(f(x * inv)) + zeroPoint); if `wide`, the zero point is added in float32. */
export function quantize(x: number, to: Params, wide: boolean): number {
  return roundAndClamp(mul32(x, inverse(to.scale)), to.zeroPoint, to, wide);
}

/** f(scale * f(q - zeroPoint)) */
export function dequantize(q: number, from: { scale: number; zeroPoint: number }): number {
  return mul32(from.scale, toFloat32(integer(BigInt(q) - BigInt(from.zeroPoint))));
}

/** Dequantizes, then quantizes. */
export function requantize(
  q: number,
  from: { scale: number; zeroPoint: number },
  to: Params,
  wide: boolean,
): number {
  return quantize(dequantize(q, from), to, wide);
}

/** sum (x - zx) * (w - zw) */
export function dot(x: ArrayLike<number>, zx: number, w: ArrayLike<number>, zw: number): bigint {
  let sum = 0n;
  for (let k = 0; k < x.length; k++) sum += BigInt(x[k]! - zx) * BigInt(w[k]! - zw);
  return sum;
}

/** The accumulator with its bias, by the engine's rule; `scale` is f(xs * ws). */
export function withBias(
  engine: string,
  perChannel: boolean,
  sum: bigint,
  bias: number | null,
  scale: number,
): number {
  const acc = toFloat32(integer(sum));
  if (bias === null) return acc;
  if (engine === "qnnpack") {
    const term = roundAndClamp(mul32(bias, inverse(scale)), 0, {
      scale: 1,
      zeroPoint: 0,
      quantMin: -2147483648,
      quantMax: 2147483647,
    });
    return toFloat32(integer(sum + BigInt(term)));
  }
  return perChannel ? add32(acc, div32(bias, scale)) : fma32(bias, inverse(scale), acc);
}

/** Qparams whose range begins at real 0: the output range of a fused ReLU. */
export function withoutNegative(to: Params): Params {
  return { ...to, quantMin: Math.max(to.zeroPoint, to.quantMin) };
}

/**
 * One output of a linear operator from its accumulator {@linkcode withBias}, in units of `scale`.
 */
export function linearOutput(
  engine: string,
  value: number,
  scale: number,
  to: Params,
  relu: boolean,
): number {
  const multiplier = engine === "qnnpack"
    ? mul32(scale, inverse(to.scale))
    : div32(scale, to.scale);
  return roundAndClamp(mul32(value, multiplier), to.zeroPoint, relu ? withoutNegative(to) : to);
}

/** The scalar rule of a quantized add. */
export function addQuantized(
  a: number,
  qa: { scale: number; zeroPoint: number },
  b: number,
  qb: { scale: number; zeroPoint: number },
  to: Params,
): number {
  const sum = mul32(add32(dequantize(a, qa), dequantize(b, qb)), inverse(to.scale));
  return roundAndClamp(sum, to.zeroPoint, to);
}

/**
 * QNNPACK's multipliers for two ratios of scales, and its shift: the larger ratio times 2^shift
 * lies in 2^21..2^22.
 */
export function fixedPointConstants(
  ra: number,
  rb: number,
): { am: bigint; bm: bigint; shift: number } {
  const largest = exact(Math.max(ra, rb));
  let shift = 14;
  while (compare(mul(largest, scaled(1n, shift)), exact(2 ** 21)) < 0) shift++;
  return {
    am: nearestEven(mul(exact(ra), scaled(1n, shift))),
    bm: nearestEven(mul(exact(rb), scaled(1n, shift))),
    shift,
  };
}

/** QNNPACK's integer add, as in its C source but without overflow. */
export function addFixedPoint(
  a: number,
  qa: { scale: number; zeroPoint: number },
  b: number,
  qb: { scale: number; zeroPoint: number },
  to: Params,
): number {
  const { am, bm, shift } = fixedPointConstants(
    div32(qa.scale, to.scale),
    div32(qb.scale, to.scale),
  );
  const acc = BigInt(a) * am + BigInt(b) * bm -
    (am * BigInt(qa.zeroPoint) + bm * BigInt(qb.zeroPoint));
  const bits = BigInt(shift);
  const mask = (1n << bits) - 1n;
  const rest = (acc & mask) - (acc < 0n ? 1n : 0n);
  const q = (acc >> bits) + (rest > (mask >> 1n) ? 1n : 0n) + BigInt(to.zeroPoint);
  return q < BigInt(to.quantMin) ? to.quantMin : q > BigInt(to.quantMax) ? to.quantMax : Number(q);
}

/** A quantized mul: the integer product, rounded once to float32, times f(f(sa * sb) * inv(so)). */
export function mulQuantized(
  a: number,
  qa: { scale: number; zeroPoint: number },
  b: number,
  qb: { scale: number; zeroPoint: number },
  to: Params,
): number {
  const scale = mul32(qa.scale, qb.scale);
  const qint8 = to.quantMin === -128 && to.quantMax === 127;
  const multiplier = qint8 ? div32(scale, to.scale) : mul32(scale, inverse(to.scale));
  const product = toFloat32(
    integer((BigInt(a) - BigInt(qa.zeroPoint)) * (BigInt(b) - BigInt(qb.zeroPoint))),
  );
  return roundAndClamp(mul32(product, multiplier), to.zeroPoint, to);
}

/** f(e^x) */
export function exp32(x: number): number {
  // Far beyond the range of float32.
  if (Math.abs(x) > 200) return x < 0 ? 0 : Infinity;
  return toFloat32(exp(exact(x)));
}

/** f(1 / f(1 + f(e^-x))) */
export function sigmoid32(x: number): number {
  const e = exp32(-x);
  if (e === Infinity) return 0;
  const sum = add32(1, e);
  return sum === Infinity ? 0 : div32(1, sum);
}

/** f(tanh x) */
export function tanh32(x: number): number {
  // 1 - tanh 20 is below 2^-56.
  if (Math.abs(x) > 20) return Math.sign(x);
  return toFloat32(tanh(exact(x)));
}

/** f(log x), x positive and finite */
export function log32(x: number): number {
  return x === 1 ? 0 : toFloat32(log(exact(x)));
}

function clamp(x: number, lo: number, hi: number): number {
  return Math.min(Math.max(x, lo), hi);
}

/** f(min(max(f(x + 3), 0), 6) / 6) */
export function hardSigmoid32(x: number): number {
  return div32(clamp(add32(x, 3), 0, 6), 6);
}

/** min(max(f(f(slope * x) + offset), 0), 1), for float32 slope and offset */
export function hardSigmoidOf32(x: number, slope: number, offset: number): number {
  const product = mul32(slope, x);
  return clamp(Number.isFinite(product) ? add32(product, offset) : product, 0, 1);
}

/** x if x > 0, else f(x * negativeSlope) */
export function leakyRelu32(x: number, negativeSlope: number): number {
  return x > 0 ? x : mul32(x, negativeSlope);
}

/** The float32 function of an activation. */
export function function32(
  activation: string | {
    name: string;
    slope?: number;
    offset?: number;
    negativeSlope?: number;
  },
  x: number,
): number {
  if (typeof activation !== "string") {
    const { slope, offset, negativeSlope } = activation;
    return activation.name === "leakyRelu"
      ? leakyRelu32(x, negativeSlope!)
      : hardSigmoidOf32(x, slope!, offset!);
  }
  switch (activation) {
    case "sigmoid":
      return sigmoid32(x);
    case "tanh":
      return tanh32(x);
    case "relu":
      return Math.max(x, 0);
    case "linear":
      return x;
    case "hardSigmoid":
      return hardSigmoid32(x);
    default:
      throw new Error(`no activation ${activation}`);
  }
}

/** A quantized activation of x by the general rule. */
export function activation(
  activation: Parameters<typeof function32>[0],
  x: number,
  to: Params,
): number {
  return quantize(function32(activation, x), to, false);
}

/** QNNPACK's own rounding of an activation, at the only output qparams that it supports. */
export function activationQnnpack(name: "sigmoid" | "tanh", x: number): number {
  const clamped = (y: number, lo: number, hi: number) =>
    Number(nearestEven(exact(Math.min(Math.max(y, lo), hi))));
  if (name === "tanh") return clamped(mul32(128, tanh32(x)), -128, 127) + 128;
  const e = exp32(-x);
  const sum = e === Infinity ? Infinity : add32(1, e);
  return sum === Infinity ? 0 : clamped(div32(256, sum), 0, 255);
}

/**
 * torch.fake_quantize_per_tensor_affine for finite x: the last product is computed in double, then
 * rounded to float32.
 */
export function fakeQuantize(x: number, to: Params): number {
  const scaledX = mul32(x, inverse(to.scale));
  let q: number;
  if (scaledX === Infinity) q = to.quantMax;
  else if (scaledX === -Infinity) q = to.quantMin;
  else {
    const r = toFloat32(integer(nearestEven(exact(scaledX)) + BigInt(to.zeroPoint)));
    q = Math.min(Math.max(r, to.quantMin), to.quantMax);
  }
  return toFloat32(exact(toFloat64(mul(integer(q - to.zeroPoint), exact(to.scale)))));
}

/** sqrt(x) rounded to double, for x >= 0. */
export function sqrt64(x: number): number {
  if (x === 0) return 0;
  // floor(sqrt(x * 4^k)) has at least 60 bits; a sticky bit below it makes the rounding correct.
  const { n, d } = exact(x);
  let shift = 0n;
  while ((n << (2n * shift)) / d < 1n << 120n) shift++;
  const radicand = n << (2n * shift);
  const root = integerRoot(radicand / d);
  const sticky = root * root * d === radicand ? 0n : 1n;
  return toFloat64({ n: 2n * root + sticky, d: 1n << (shift + 1n) });
}

/** floor(sqrt(n)), by Newton's method. */
function integerRoot(n: bigint): bigint {
  let root = 1n << BigInt(Math.ceil(n.toString(2).length / 2));
  for (;;) {
    const next = (root + n / root) / 2n;
    if (next >= root) return root;
    root = next;
  }
}

/** f(a / b), where the quotient is first rounded to double */
export function div64to32(a: number, b: number): number {
  return toFloat32(exact(toFloat64(div(exact(a), exact(b)))));
}

/** The sum in double, from left to right. */
export function sum64(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum = toFloat64(add(exact(sum), exact(values[i]!)));
  return sum;
}

/** Softmax and log-softmax of a row. */
export function softmax32(row: readonly number[]): { softmax: number[]; logSoftmax: number[] } {
  const max = Math.max(...row);
  const differences = row.map((x) => add32(x, -max));
  const powers = differences.map(exp32);
  const sum = sum64(powers);
  const log = log32(toFloat32(exact(sum)));
  return {
    softmax: powers.map((e) => div64to32(e, sum)),
    logSoftmax: differences.map((x) => add32(x, -log)),
  };
}

/** Entry k of QNNPACK's table: rne(largest * e^(-k * scale)). */
function softmaxEntry(k: number, scale: number, width: number): bigint {
  const limit = toFloat64(div(integer(2 ** 32 - 1), integer(width)));
  const largest = exact(Math.min(limit, 8388607));
  const exponent = mul(integer(-k), exact(scale));
  return compare(exponent, integer(-60)) < 0 ? 0n : nearestEven(mul(largest, exp(exponent)));
}

/** QNNPACK's table for rows of the given width. */
export function softmaxEntries(scale: number, width: number): number[] {
  return Array.from({ length: 256 }, (_, i) => Number(softmaxEntry(255 - i, scale, width)));
}

/** QNNPACK's softmax of a row, as in its C source. */
export function softmaxFixedPoint(row: readonly number[], scale: number): number[] {
  const max = Math.max(...row);
  const terms = row.map((q) => softmaxEntry(max - q, scale, row.length));
  const sum = terms.reduce((a, b) => a + b);
  return terms.map((term) => {
    const q = ((term << 8n) + (sum >> 1n)) / sum;
    return q > 255n ? 255 : Number(q);
  });
}

/** The parameters of one channel of a batch normalization. */
export interface Channel {
  readonly gamma: number;
  readonly beta: number;
  readonly mean: number;
  readonly variance: number;
  readonly eps: number;
}

/** f(1 / f(sqrt(f(variance + f(eps))))) */
export function inverseDeviation32({ variance, eps }: Channel): number {
  const sum = add32(variance, toFloat32(exact(eps)));
  return div32(1, toFloat32(exact(sqrt64(sum))));
}

/** Batch normalization in float32. */
export function batchNorm32(x: number, channel: Channel): number {
  const alpha = mul32(inverseDeviation32(channel), channel.gamma);
  return add32(mul32(x, alpha), add32(channel.beta, -mul32(channel.mean, alpha)));
}

/** Batch normalization of an integer. */
export function batchNormQuantized(
  q: number,
  from: { scale: number; zeroPoint: number },
  channel: Channel,
  to: Params,
  relu: boolean,
): number {
  const inverse = inverseDeviation32(channel);
  const ratio = toFloat64(div(exact(from.scale), exact(to.scale)));
  const product = toFloat64(mul(exact(mul32(inverse, channel.gamma)), exact(ratio)));
  const alpha = toFloat32(exact(product));
  const mean = mul32(mul32(channel.mean, inverse), channel.gamma);
  const beta = div64to32(add32(channel.beta, -mean), to.scale);
  const y = add32(mul32(alpha, q - from.zeroPoint), beta);
  return roundAndClamp(y, to.zeroPoint, relu ? withoutNegative(to) : to);
}

/** Layer normalization of a row of integers. */
export function layerNormQuantized(
  row: readonly number[],
  from: { scale: number; zeroPoint: number },
  { weight, bias, eps }: { weight: readonly number[]; bias: readonly number[]; eps: number },
  to: Params,
): number[] {
  const count = row.length;
  const total = row.reduce((sum, q) => sum + BigInt(q), 0n);
  const squares = row.reduce((sum, q) => sum + BigInt(q) ** 2n, 0n);
  const mean = div32(toFloat32(integer(total)), count);
  const centered = add32(mean, -from.zeroPoint);
  const meanOfSquares = div32(toFloat32(integer(squares)), count);
  const variance = Math.max(add32(meanOfSquares, -mul32(mean, mean)), 0);
  const real = mul32(mul32(variance, from.scale), from.scale);
  const root = sqrt64(toFloat64(add(exact(real), exact(eps))));
  const factor = div64to32(from.scale, root);
  return row.map((q, i) => {
    const normal = mul32(add32(q - from.zeroPoint, -centered), factor);
    return quantize(add32(mul32(normal, weight[i]!), bias[i]!), to, false);
  });
}

/** Layer normalization of a row of float32 values. */
export function layerNorm32(
  row: readonly number[],
  weight: readonly number[],
  bias: readonly number[],
  eps: number,
): number[] {
  const double = (x: Exact) => toFloat64(x);
  const count = integer(row.length);
  const mean = double(div(exact(sum64(row)), count));
  const differences = row.map((x) => double(add(exact(x), exact(-mean))));
  const squares = differences.map((d) => double(mul(exact(d), exact(d))));
  const variance = double(div(exact(sum64(squares)), count));
  const deviation = sqrt64(double(add(exact(variance), exact(eps))));
  return differences.map((d, i) => {
    const normal = double(div(exact(d), exact(deviation)));
    const scaled = double(mul(exact(normal), exact(weight[i]!)));
    return toFloat32(exact(double(add(exact(scaled), exact(bias[i]!)))));
  });
}

/** rne(f(f(sum) / f(count))), clamped. */
export function meanQuantized(
  values: readonly number[],
  range: { quantMin: number; quantMax: number },
): number {
  const sum = toFloat32(integer(values.reduce((total, q) => total + BigInt(q), 0n)));
  return roundAndClamp(div32(sum, values.length), 0, { scale: 1, zeroPoint: 0, ...range });
}
