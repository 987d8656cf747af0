/**
 * Exact rational arithmetic and correct rounding for oracles: slow and obvious. It calls no kernel.
 *
 * @module
 */

/** The rational number n / d, d > 0. */
export interface Exact {
  readonly n: bigint;
  readonly d: bigint;
}

/** A finite double as an exact rational number. */
export function exact(x: number): Exact {
  if (!Number.isFinite(x)) throw new RangeError(`expected a finite number, got ${x}`);
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, x);
  const bits = view.getBigUint64(0);
  const field = Number((bits >> 52n) & 2047n);
  const fraction = bits & ((1n << 52n) - 1n);
  const mantissa = field === 0 ? fraction : fraction + (1n << 52n);
  return scaled(bits >> 63n ? -mantissa : mantissa, Math.max(field, 1) - 1075);
}

/** n * 2^exponent. */
export function scaled(n: bigint, exponent: number): Exact {
  return exponent < 0 ? { n, d: 1n << BigInt(-exponent) } : { n: n << BigInt(exponent), d: 1n };
}

export function add(a: Exact, b: Exact): Exact {
  return { n: a.n * b.d + b.n * a.d, d: a.d * b.d };
}

export function mul(a: Exact, b: Exact): Exact {
  return { n: a.n * b.n, d: a.d * b.d };
}

/** b is not 0. */
export function div(a: Exact, b: Exact): Exact {
  return b.n < 0n ? { n: -a.n * b.d, d: a.d * -b.n } : { n: a.n * b.d, d: a.d * b.n };
}

export function neg(a: Exact): Exact {
  return { n: -a.n, d: a.d };
}

export function abs(a: Exact): Exact {
  return a.n < 0n ? neg(a) : a;
}

/** Negative, 0 or positive as a is below, equal to or above b. */
export function compare(a: Exact, b: Exact): number {
  const difference = a.n * b.d - b.n * a.d;
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** The greatest integer not above x. */
export function floor(x: Exact): bigint {
  const quotient = x.n / x.d; // toward zero
  return x.n % x.d < 0n ? quotient - 1n : quotient;
}

/** The nearest integer; of two, the even one. */
export function nearestEven(x: Exact): bigint {
  const low = floor(x);
  const twice = 2n * (x.n - low * x.d);
  if (twice < x.d) return low;
  if (twice > x.d) return low + 1n;
  return low % 2n === 0n ? low : low + 1n;
}

function bitLength(n: bigint): number {
  return n.toString(2).length;
}

/** floor(log2(|x|)), x not 0. */
function exponentOf(x: Exact): number {
  const n = x.n < 0n ? -x.n : x.n;
  const guess = bitLength(n) - bitLength(x.d);
  return compare({ n, d: x.d }, scaled(1n, guess)) < 0 ? guess - 1 : guess;
}

/** 2^k for -1074 <= k <= 1023, as a double. */
export function power2(k: number): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, k >= -1022 ? BigInt(k + 1023) << 52n : 1n << BigInt(k + 1074));
  return view.getFloat64(0);
}

/**
 * The exponent of the last place of x in a format with `bits` bits and the smallest exponent
 * `minExponent`.
 */
function unitOf(x: Exact, bits: number, minExponent: number): number {
  return Math.max(exponentOf(x) - bits + 1, minExponent);
}

function round(x: Exact, bits: number, minExponent: number, limit: number): number {
  if (x.n === 0n) return 0;
  const unit = unitOf(x, bits, minExponent);
  const units = nearestEven(mul(x, scaled(1n, -unit)));
  // units has at most `bits` bits, so that both factors and their product are doubles.
  if (compare(abs(scaled(units, 0)), scaled(1n, limit - unit)) >= 0) {
    return x.n < 0n ? -Infinity : Infinity;
  }
  return Number(units) * power2(unit);
}

/** Rounded to float32, half to even, with subnormals and overflow; never -0. */
export function toFloat32(x: Exact): number {
  return round(x, 24, -149, 128);
}

/** Rounded to double, half to even, with subnormals and overflow; never -0. */
export function toFloat64(x: Exact): number {
  return round(x, 53, -1074, 1024);
}

/** x if it is a double; otherwise the neighbouring double whose last bit is 1 (round to odd). */
export function toFloat64Odd(x: Exact): number {
  if (x.n === 0n) return 0;
  const unit = unitOf(x, 53, -1074);
  const inUnits = mul(x, scaled(1n, -unit));
  const low = floor(inUnits);
  const units = low * inUnits.d === inUnits.n || low % 2n !== 0n ? low : low + 1n;
  return Number(units) * power2(unit);
}

/** |got - want| in units of the last place of float32 at `want`. */
export function float32Ulps(got: number, want: Exact): number {
  const unit = want.n === 0n ? -149 : unitOf(want, 24, -149);
  return toFloat64(mul(abs(add(exact(got), neg(want))), scaled(1n, -unit)));
}

/** e^x with a relative error of 2^-bits. Time and memory grow with |x|. */
export function exp(x: Exact, bits = 120): Exact {
  // e^x = (e^(x / 2^halvings))^(2^halvings); each squaring doubles the relative error.
  const halvings = x.n === 0n ? 0 : Math.max(0, exponentOf(x) + 8);
  const precision = BigInt(bits + halvings + 20);
  const one = 1n << precision;
  const r = floor(mul(x, { n: one, d: 1n << BigInt(halvings) }));
  let sum = one;
  let term = one;
  for (let k = 1n; term !== 0n && term !== -1n; k++) {
    term = ((term * r) >> precision) / k;
    sum += term;
  }
  let power: Exact = { n: sum, d: one };
  for (let i = 0; i < halvings; i++) {
    const square = mul(power, power);
    const size = exponentOf(square);
    const drop = -(size - Number(precision));
    // Keep `precision` bits of it.
    power = scaled(floor(mul(square, scaled(1n, drop))), -drop);
  }
  return power;
}

const ONE = exact(1);
const TWO = exact(2);
const HALF = exact(0.5);

/** 1 / (1 + e^-x) with a relative error of 2^-110. */
export function sigmoid(x: Exact): Exact {
  return div(ONE, add(ONE, exp(neg(x))));
}

/** tanh x with a relative error of 2^-80 for |x| > 2^-40, and of 2^-79 below. */
export function tanh(x: Exact): Exact {
  if (x.n === 0n || exponentOf(x) < -40) return x; // x - x^3 / 3 ...
  const e = exp(mul(TWO, x));
  return div(add(e, neg(ONE)), add(e, ONE));
}

/**
 * The natural logarithm of a positive x with a relative error of 2^-120: Newton's method for e^y =
 * x, starting from Math.log.
 */
export function log(x: Exact): Exact {
  // y + (x e^-y - 1) - (x e^-y - 1)^2 / 2. The remaining error is of third order, 2^-156.
  const y = exact(Math.log(toFloat64(x)));
  const rest = add(mul(x, exp(neg(y), 160)), neg(ONE));
  return add(y, add(rest, neg(mul(mul(rest, rest), HALF))));
}
