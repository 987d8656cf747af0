// Float operators in WebAssembly SIMD (AssemblyScript): linear operators, activations, gram
// matrices, and the search for a row's integers. Each returns the bits of its plain form in
// TypeScript: every rounded operation is the same, in the same order, for every element.

// Number of rows of a weight that are interleaved: [columns, 4] for each four rows.
const FOUR: usize = 4;

// Number of rows of a weight that `multiply` takes at once for one row of x: their sums do not
// depend on each other.
const BLOCK: usize = 16;

// JavaScript computes the result if the last bit of the float32 result is uncertain.
// @ts-ignore: decorator
@external("exact", "exp")
declare function exactExp(x: f64): f64;
// @ts-ignore: decorator
@external("exact", "tanh")
declare function exactTanh(x: f64): f64;

// Packs 16 rows of a weight as `multiply` reads them.
// from: float32 [16, columns]. to: float64, four times [columns, 4].
export function pack(from: usize, to: usize, columns: usize): void {
  const row = columns << 2;
  for (let part: usize = 0; part < BLOCK; part += FOUR) {
    const end = from + row;
    const last = from + (columns >> 2 << 4);
    while (from < last) {
      const a = v128.load(from), b = v128.load(from + row);
      const c = v128.load(from + 2 * row), d = v128.load(from + 3 * row);
      interleave(to, v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 0, 4, 1, 5));
      interleave(to + 64, v128.shuffle<i32>(a, b, 2, 6, 3, 7), v128.shuffle<i32>(c, d, 2, 6, 3, 7));
      from += 16;
      to += 128;
    }
    while (from < end) {
      for (let r: usize = 0; r < FOUR; r++) {
        store<f64>(to + (r << 3), <f64> load<f32>(from + r * row));
      }
      from += 4;
      to += 32;
    }
    from += 3 * row;
  }
}

// Two columns of four rows, of which each half holds two: [a0, b0, a1, b1] and [c0, d0, c1, d1].
// @ts-ignore: decorator
@inline
function interleave(to: usize, ab: v128, cd: v128): void {
  v128.store(to, f64x2.promote_low_f32x4(ab));
  v128.store(to + 16, f64x2.promote_low_f32x4(cd));
  v128.store(to + 32, f64x2.promote_low_f32x4(v128.shuffle<i64>(ab, ab, 1, 1)));
  v128.store(to + 48, f64x2.promote_low_f32x4(v128.shuffle<i64>(cd, cd, 1, 1)));
}

// `out = weight x + bias` for consecutive rows.
// layer: the description of a layer in 32-bit integers: addresses of its weight (packed by `pack`),
// of its bias (float64 [16 * blocks]) and of scratch for four rows of x in float64; its number of
// columns, and of blocks of 16 rows.
// x: float32 [rows, columns]. out: float32 [rows, 16 * blocks].
export function multiply(layer: usize, x: usize, out: usize, rows: i32): void {
  const room = <usize> load<u32>(layer, 8), columns = <usize> load<u32>(layer, 12);
  const width = <usize> load<u32>(layer, 16) * (BLOCK << 2);
  const row = columns << 2;
  for (; rows >= 4; rows -= 4) {
    for (let k: usize = 0; k < columns; k++) {
      const from = x + (k << 2), to = room + (k << 5);
      for (let r: usize = 0; r < FOUR; r++) {
        store<f64>(to + (r << 3), <f64> load<f32>(from + r * row));
      }
    }
    multiplyFour(layer, out, width);
    x += row << 2;
    out += width << 2;
  }
  for (; rows > 0; rows--) {
    for (let k: usize = 0; k < columns; k++) {
      store<f64>(room + (k << 3), <f64> load<f32>(x + (k << 2)));
    }
    multiplyOne(layer, out);
    x += row;
    out += width;
  }
}

function multiplyOne(layer: usize, out: usize): void {
  let weight = <usize> load<u32>(layer), bias = <usize> load<u32>(layer, 4);
  const room = <usize> load<u32>(layer, 8), columns = <usize> load<u32>(layer, 12);
  const end = bias + <usize> load<u32>(layer, 16) * (BLOCK << 3);
  const part = columns << 5;
  const last = room + (columns << 3);
  while (bias < end) {
    let a = f64x2.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
    let second = weight + part, third = second + part, fourth = third + part;
    for (let at = room; at < last; at += 8) {
      const value = v128.load64_splat(at);
      a = multiplyAdd(value, v128.load(weight), a);
      b = multiplyAdd(value, v128.load(weight, 16), b);
      c = multiplyAdd(value, v128.load(second), c);
      d = multiplyAdd(value, v128.load(second, 16), d);
      e = multiplyAdd(value, v128.load(third), e);
      f = multiplyAdd(value, v128.load(third, 16), f);
      g = multiplyAdd(value, v128.load(fourth), g);
      h = multiplyAdd(value, v128.load(fourth, 16), h);
      weight += 32;
      second += 32;
      third += 32;
      fourth += 32;
    }
    finishFour(a, b, bias, out);
    finishFour(c, d, bias + 32, out + 16);
    finishFour(e, f, bias + 64, out + 32);
    finishFour(g, h, bias + 96, out + 48);
    weight = fourth;
    bias += BLOCK << 3;
    out += BLOCK << 2;
  }
}

// Each value of the weight is read once for four rows of x, which are interleaved as [columns, 4].
function multiplyFour(layer: usize, out: usize, width: usize): void {
  let weight = <usize> load<u32>(layer), bias = <usize> load<u32>(layer, 4);
  const room = <usize> load<u32>(layer, 8), columns = <usize> load<u32>(layer, 12);
  const end = bias + (width << 1);
  const last = room + (columns << 5);
  while (bias < end) {
    let a = f64x2.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
    for (let at = room; at < last; at += 32) {
      const first = v128.load(weight), second = v128.load(weight, 16);
      let value = v128.load64_splat(at);
      a = multiplyAdd(value, first, a);
      b = multiplyAdd(value, second, b);
      value = v128.load64_splat(at, 8);
      c = multiplyAdd(value, first, c);
      d = multiplyAdd(value, second, d);
      value = v128.load64_splat(at, 16);
      e = multiplyAdd(value, first, e);
      f = multiplyAdd(value, second, f);
      value = v128.load64_splat(at, 24);
      g = multiplyAdd(value, first, g);
      h = multiplyAdd(value, second, h);
      weight += 32;
    }
    finishFour(a, b, bias, out);
    finishFour(c, d, bias, out + width);
    finishFour(e, f, bias, out + 2 * width);
    finishFour(g, h, bias, out + 3 * width);
    bias += 32;
    out += 16;
  }
}

// a * b + c. Products of float32 values are exact in double, so that it makes no difference whether
// they are rounded before they are added.
// @ts-ignore: decorator
@inline
function multiplyAdd(a: v128, b: v128, c: v128): v128 {
  // @ts-ignore: a constant of the compiler
  return ASC_FEATURE_RELAXED_SIMD
    ? v128.relaxed_madd<f64>(a, b, c)
    : v128.add<f64>(c, v128.mul<f64>(a, b));
}

// @ts-ignore: decorator
@inline
function finishFour(first: v128, second: v128, bias: usize, out: usize): void {
  const low = v128.add<f64>(first, v128.load(bias));
  const high = v128.add<f64>(second, v128.load(bias, 16));
  v128.store(out, demote(low, high));
}

// @ts-ignore: decorator
@inline
function demote(low: v128, high: v128): v128 {
  return v128.shuffle<i64>(
    f32x4.demote_f64x2_zero(low),
    f32x4.demote_f64x2_zero(high),
    0,
    2,
  );
}

// Adding this to a double rounds it to an integer in the low bits of the sum; subtracting it again
// gives the rounded double.
const ROUND_MAGIC: f64 = 6755399441055744;

const LOG2_E: f64 = 1.4426950408889634;
const LN2_HIGH: f64 = 0.6931471803691238;
const LN2_LOW: f64 = 1.9082149292705877e-10;

// Assumed relative error of the results below; the true error is under 2^-48.
const MAX_ERROR: f64 = 5.684341886080802e-14; // 2^-44

// Lower and upper bounds of the exact result, rounded to float32: if they are equal, that is the
// correctly rounded result.
// @ts-ignore: decorator
@inline
function lower(low: v128, high: v128): v128 {
  const factor = f64x2.splat(1 - MAX_ERROR);
  return demote(v128.mul<f64>(low, factor), v128.mul<f64>(high, factor));
}

// @ts-ignore: decorator
@inline
function upper(low: v128, high: v128): v128 {
  const factor = f64x2.splat(1 + MAX_ERROR);
  return demote(v128.mul<f64>(low, factor), v128.mul<f64>(high, factor));
}

// (e^r - 1) / r by its series, for |r| <= ln(2) / 2.
// @ts-ignore: decorator
@inline
function series(r: v128): v128 {
  let sum = f64x2.splat(1.0 / 6227020800);
  sum = multiplyAdd(sum, r, f64x2.splat(1.0 / 479001600));
  sum = multiplyAdd(sum, r, f64x2.splat(1.0 / 39916800));
  sum = multiplyAdd(sum, r, f64x2.splat(1.0 / 3628800));
  sum = multiplyAdd(sum, r, f64x2.splat(1.0 / 362880));
  sum = multiplyAdd(sum, r, f64x2.splat(1.0 / 40320));
  sum = multiplyAdd(sum, r, f64x2.splat(1.0 / 5040));
  sum = multiplyAdd(sum, r, f64x2.splat(1.0 / 720));
  sum = multiplyAdd(sum, r, f64x2.splat(1.0 / 120));
  sum = multiplyAdd(sum, r, f64x2.splat(1.0 / 24));
  sum = multiplyAdd(sum, r, f64x2.splat(1.0 / 6));
  sum = multiplyAdd(sum, r, f64x2.splat(0.5));
  return multiplyAdd(sum, r, f64x2.splat(1));
}

// @ts-ignore: decorator
@inline
function nearestPower(x: v128): v128 {
  return v128.add<f64>(v128.mul<f64>(x, f64x2.splat(LOG2_E)), f64x2.splat(ROUND_MAGIC));
}

// The remainder of x after subtracting the integer times ln 2.
@inline
function remainder(x: v128, integer: v128): v128 {
  const high = v128.sub<f64>(x, v128.mul<f64>(integer, f64x2.splat(LN2_HIGH)));
  return v128.sub<f64>(high, v128.mul<f64>(integer, f64x2.splat(LN2_LOW)));
}

// e^x of doubles in -110..90: beyond, float32 has nothing but 0 and infinity.
// @ts-ignore: decorator
@inline
function exp(given: v128): v128 {
  const x = v128.max<f64>(v128.min<f64>(given, f64x2.splat(90)), f64x2.splat(-110));
  const power = nearestPower(x);
  const r = remainder(x, v128.sub<f64>(power, f64x2.splat(ROUND_MAGIC)));
  const fraction = multiplyAdd(series(r), r, f64x2.splat(1));
  return v128.add<i64>(fraction, v128.shl<i64>(power, 52));
}

// The hyperbolic tangent of doubles >= 0; of 20 and above float32 has nothing but 1.
// @ts-ignore: decorator
@inline
function tanh(given: v128): v128 {
  const one = f64x2.splat(1);
  const x = v128.min<f64>(v128.add<f64>(given, given), f64x2.splat(40));
  const power = nearestPower(x);
  const r = remainder(x, v128.sub<f64>(power, f64x2.splat(ROUND_MAGIC)));
  const scale = v128.add<i64>(one, v128.shl<i64>(power, 52));
  // e^2x - 1
  const t = v128.add<f64>(
    v128.mul<f64>(scale, v128.mul<f64>(series(r), r)),
    v128.sub<f64>(scale, one),
  );
  return v128.div<f64>(t, v128.add<f64>(t, f64x2.splat(2)));
}

// Replaces float32 values with their logistic function, as sigmoidFloat32; values after the last,
// up to a multiple of four, may be overwritten.
export function sigmoid(values: usize, count: i32): void {
  const one = f32x4.splat(1);
  for (const end = values + (<usize> count << 2); values < end; values += 16) {
    const x = v128.neg<f32>(v128.load(values));
    const low = exp(f64x2.promote_low_f32x4(x));
    const high = exp(f64x2.promote_low_f32x4(v128.shuffle<i64>(x, x, 1, 1)));
    let e = lower(low, high);
    const certain = v128.eq<f32>(e, upper(low, high));
    if (!v128.all_true<i32>(certain)) {
      for (let i: usize = 0; i < 16; i += 4) {
        store<f32>(values + i, <f32> exactExp(<f64> laneOf(x, i)));
      }
      e = v128.load(values);
    }
    v128.store(values, v128.div<f32>(one, v128.add<f32>(one, e)));
  }
}

// Replaces float32 values with their hyperbolic tangent, as tanhFloat32.
export function hyperbolicTangent(values: usize, count: i32): void {
  const sign = f32x4.splat(-0.0);
  for (const end = values + (<usize> count << 2); values < end; values += 16) {
    const given = v128.load(values);
    const x = v128.andnot(given, sign);
    const low = tanh(f64x2.promote_low_f32x4(x));
    const high = tanh(f64x2.promote_low_f32x4(v128.shuffle<i64>(x, x, 1, 1)));
    const y = lower(low, high);
    const certain = v128.eq<f32>(y, upper(low, high));
    v128.store(values, v128.or(y, v128.and(given, sign)));
    if (v128.all_true<i32>(certain)) continue;
    for (let i: usize = 0; i < 16; i += 4) {
      store<f32>(values + i, <f32> exactTanh(<f64> laneOf(given, i)));
    }
  }
}

// The value at a byte offset within a vector of float32 values.
function laneOf(x: v128, offset: usize): f32 {
  if (offset === 0) return f32x4.extract_lane(x, 0);
  if (offset === 4) return f32x4.extract_lane(x, 1);
  if (offset === 8) return f32x4.extract_lane(x, 2);
  return f32x4.extract_lane(x, 3);
}

// Adds `weight · x xᵀ` of consecutive inputs to the lower triangle of a gram matrix.
// gram: float64 [width, width], width a multiple of four. inputs: float64 [count, width]. weights:
// float64 [count]. room: scratch of the same size as the inputs.
export function addGrams(
  gram: usize,
  inputs: usize,
  weights: usize,
  room: usize,
  width: usize,
  count: usize,
): void {
  const row = width << 3;
  const end = inputs + count * row;
  let to = room;
  for (let from = inputs, weight = weights; from < end; weight += 8) {
    const factor = v128.load64_splat(weight);
    for (const last = from + row; from < last; from += 16, to += 16) {
      v128.store(to, v128.mul<f64>(factor, v128.load(from)));
    }
  }
  for (let i: usize = 0; i < row; i += 32) {
    for (let j: usize = 0; j < i; j += 32) {
      addTile(gram + j, inputs + j, room + i, row, end + j);
    }
    for (let r: usize = 0; r < 32; r += 8) {
      for (let c: usize = 0; c <= r; c += 8) {
        let sum = load<f64>(gram + r * width + i + c);
        for (let x = inputs + i, scaled = room + i; x < end; x += row, scaled += row) {
          sum += load<f64>(scaled + r) * load<f64>(x + c);
        }
        store<f64>(gram + r * width + i + c, sum);
      }
    }
    gram += row << 2;
  }
}

// Four rows and columns of a gram matrix.
// @ts-ignore: decorator
@inline
function addTile(gram: usize, x: usize, scaled: usize, row: usize, end: usize): void {
  const second = gram + row, third = second + row, fourth = third + row;
  let a = v128.load(gram), b = v128.load(gram, 16);
  let c = v128.load(second), d = v128.load(second, 16);
  let e = v128.load(third), f = v128.load(third, 16);
  let g = v128.load(fourth), h = v128.load(fourth, 16);
  for (; x < end; x += row, scaled += row) {
    const low = v128.load(x), high = v128.load(x, 16);
    let factor = v128.load64_splat(scaled);
    a = v128.add<f64>(a, v128.mul<f64>(factor, low));
    b = v128.add<f64>(b, v128.mul<f64>(factor, high));
    factor = v128.load64_splat(scaled, 8);
    c = v128.add<f64>(c, v128.mul<f64>(factor, low));
    d = v128.add<f64>(d, v128.mul<f64>(factor, high));
    factor = v128.load64_splat(scaled, 16);
    e = v128.add<f64>(e, v128.mul<f64>(factor, low));
    f = v128.add<f64>(f, v128.mul<f64>(factor, high));
    factor = v128.load64_splat(scaled, 24);
    g = v128.add<f64>(g, v128.mul<f64>(factor, low));
    h = v128.add<f64>(h, v128.mul<f64>(factor, high));
  }
  v128.store(gram, a);
  v128.store(gram, b, 16);
  v128.store(second, c);
  v128.store(second, d, 16);
  v128.store(third, e);
  v128.store(third, f, 16);
  v128.store(fourth, g);
  v128.store(fourth, h, 16);
}

// `out = G x` for four vectors; x and out: float64 [size, 4]. gram: float64 [size, size], size a
// multiple of four.
export function multiplyGram(gram: usize, x: usize, out: usize, size: usize): void {
  const row = size << 3;
  const last = x + (size << 5);
  for (const end = gram + size * row; gram < end; gram += 4 * row) {
    let a = f64x2.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
    let first = gram, second = gram + row, third = second + row, fourth = third + row;
    for (let at = x; at < last; at += 32) {
      const low = v128.load(at), high = v128.load(at, 16);
      let factor = v128.load64_splat(first);
      a = v128.add<f64>(a, v128.mul<f64>(factor, low));
      b = v128.add<f64>(b, v128.mul<f64>(factor, high));
      factor = v128.load64_splat(second);
      c = v128.add<f64>(c, v128.mul<f64>(factor, low));
      d = v128.add<f64>(d, v128.mul<f64>(factor, high));
      factor = v128.load64_splat(third);
      e = v128.add<f64>(e, v128.mul<f64>(factor, low));
      f = v128.add<f64>(f, v128.mul<f64>(factor, high));
      factor = v128.load64_splat(fourth);
      g = v128.add<f64>(g, v128.mul<f64>(factor, low));
      h = v128.add<f64>(h, v128.mul<f64>(factor, high));
      first += 8;
      second += 8;
      third += 8;
      fourth += 8;
    }
    v128.store(out, a);
    v128.store(out, b, 16);
    v128.store(out, c, 32);
    v128.store(out, d, 48);
    v128.store(out, e, 64);
    v128.store(out, f, 80);
    v128.store(out, g, 96);
    v128.store(out, h, 112);
    out += 128;
  }
}

// The search of integer_search.ts. problem: addresses of the gram matrix, its diagonal and its
// coupling, and the size, in 32-bit integers. q: int32 [size]. pull: float64 [size].

// As in integer_search.ts.
const MIN_GAIN: f64 = 1e-9;
const MAX_SWEEPS: i32 = 1000;

export function descend(problem: usize, q: usize, pull: usize, lo: f64, hi: f64): void {
  const gram = <usize> load<u32>(problem), diagonal = <usize> load<u32>(problem, 4);
  const coupling = <usize> load<u32>(problem, 8), size = <usize> load<u32>(problem, 12);
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep++) {
    let moved = false;
    for (let k: usize = 0; k < size; k++) {
      const curvature = load<f64>(diagonal + (k << 3));
      if (!(curvature > 0)) continue;
      const own = <f64> load<i32>(q + (k << 2)), along = load<f64>(pull + (k << 3));
      const step = nearest<f64>(min<f64>(max<f64>(own + along / curvature, lo), hi)) - own;
      if (step * (2 * along - step * curvature) > MIN_GAIN * curvature) {
        move(problem, q, pull, k, step);
        moved = true;
      }
    }
    if (moved) continue;
    for (let i: usize = 0; i < size; i++) {
      const curvature = load<f64>(diagonal + (i << 3));
      if (!(curvature > 0)) continue;
      // The gain of a single step down and up, as long as nothing has moved.
      const along = load<f64>(pull + (i << 3)), most = load<f64>(coupling + (i << 3));
      if (!(2 * abs(along) - curvature + most > 0)) continue;
      if (!anyPartner(problem, pull, i)) continue;
      for (let a: f64 = -1; a <= 1; a += 2) {
        const alone = 2 * a * load<f64>(pull + (i << 3)) - curvature;
        const to = <f64> load<i32>(q + (i << 2)) + a;
        if (!(alone + most > 0) || to < lo || to > hi) continue;
        const j = partner(problem, q, pull, i, a, lo, hi);
        if (j === 0) continue;
        const after = load<f64>(pull + (j << 3)) - a * load<f64>(gram + ((i * size + j) << 3));
        const b: f64 = after > 0 ? 1 : -1;
        move(problem, q, pull, i, a);
        move(problem, q, pull, j, b);
        moved = true;
      }
    }
    if (!moved) return;
  }
}

function move(problem: usize, q: usize, pull: usize, k: usize, step: f64): void {
  const size = <usize> load<u32>(problem, 12);
  let row = <usize> load<u32>(problem) + ((k * size) << 3);
  const own = q + (k << 2);
  store<i32>(own, load<i32>(own) + <i32> step);
  const steps = f64x2.splat(step);
  const end = pull + (size << 3);
  for (const last = pull + (size >> 1 << 4); pull < last; pull += 16, row += 16) {
    v128.store(pull, v128.sub<f64>(v128.load(pull), v128.mul<f64>(v128.load(row), steps)));
  }
  if (pull < end) store<f64>(pull, load<f64>(pull) - load<f64>(row) * step);
}

// Whether a step along i, down or up, lowers the error together with a step by any integer at an
// index after i, without regard to its range.
function anyPartner(problem: usize, pull: usize, i: usize): bool {
  const size = <usize> load<u32>(problem, 12);
  let row = <usize> load<u32>(problem) + ((i * size + i + 1) << 3);
  let diagonal = <usize> load<u32>(problem, 4);
  const own = load<f64>(diagonal + (i << 3)), along = load<f64>(pull + (i << 3));
  const aloneDown = -2 * along - own, aloneUp = 2 * along - own;
  const down = f64x2.splat(aloneDown), up = f64x2.splat(aloneUp);
  let best = f64x2.splat(0);
  const end = pull + (size << 3);
  pull += (i + 1) << 3;
  diagonal += (i + 1) << 3;
  for (const last = end - 8; pull < last; pull += 16, row += 16, diagonal += 16) {
    const pulls = v128.load(pull), g = v128.load(row), curvature = v128.load(diagonal);
    const afterDown = v128.abs<f64>(v128.add<f64>(pulls, g));
    const afterUp = v128.abs<f64>(v128.sub<f64>(pulls, g));
    const lowerDown = v128.add<f64>(
      v128.sub<f64>(down, curvature),
      v128.add<f64>(afterDown, afterDown),
    );
    const lowerUp = v128.add<f64>(v128.sub<f64>(up, curvature), v128.add<f64>(afterUp, afterUp));
    best = v128.pmax<f64>(best, v128.pmax<f64>(lowerDown, lowerUp));
  }
  if (f64x2.extract_lane(best, 0) > 0 || f64x2.extract_lane(best, 1) > 0) return true;
  if (pull === end) return false;
  const last = load<f64>(pull), g = load<f64>(row), curvature = load<f64>(diagonal);
  return aloneDown - curvature + 2 * abs(last + g) > 0 || aloneUp - curvature + 2 * abs(last - g) > 0;
}

// The best partner of a step `a` along i; 0 if none lowers the error.
function partner(
  problem: usize,
  q: usize,
  pull: usize,
  i: usize,
  a: f64,
  lo: f64,
  hi: f64,
): usize {
  const gram = <usize> load<u32>(problem), diagonal = <usize> load<u32>(problem, 4);
  const size = <usize> load<u32>(problem, 12);
  const own = load<f64>(diagonal + (i << 3));
  const alone = 2 * a * load<f64>(pull + (i << 3)) - own;
  let best: f64 = 0;
  let found: usize = 0;
  for (let j = i + 1; j < size; j++) {
    const curvature = load<f64>(diagonal + (j << 3));
    const after = load<f64>(pull + (j << 3)) - a * load<f64>(gram + ((i * size + j) << 3));
    const lower = alone - curvature + 2 * abs(after);
    if (lower <= best) continue;
    const to = <f64> load<i32>(q + (j << 2)) + (after > 0 ? 1.0 : -1.0);
    if (to < lo || to > hi || !(lower > MIN_GAIN * (own + curvature)) || !(curvature > 0)) continue;
    best = lower;
    found = j;
  }
  return found;
}
