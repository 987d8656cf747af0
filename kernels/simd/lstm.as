// The LSTM step in WebAssembly SIMD (AssemblyScript): what kernels/lstm_cell.ts computes, to the last bit.
//
// A vector's four lanes are the four gates of one unit while gates are projected and added, and four units once their
// activations are looked up. Units come in blocks of eight: eight accumulators run through one pass over an operand.
// Whoever calls lays out memory as src/simd/layout.ts says, with every integer less its zero point unless said.

// The first 512 bytes of memory are the kernel's: sums of a block's eight units; then their second sums, where two steps'
// inputs are projected at a time, or where their activations stand.
const SUMS: usize = 0;
const ADDRESSES: usize = 128;
// Eight int16 ones, from memory so that no engine makes them anew at each use.
const ONES: usize = 256;
// Whether four products are summed by one instruction rather than two: where it is one for the processor too.
const ONE_STEP: usize = 272;

// The forms of an operand: int16, bytes of 0..127, or bytes of their low seven bits and then bytes of their top bits.
const WIDE: i32 = 0;
const NARROW: i32 = 1;

// A cell's words and vectors.
const BLOCKS: usize = 0;
const INPUT_GROUPS: usize = 4;
const HIDDEN_GROUPS: usize = 8;
const INPUT_FORM: usize = 12;
const HIDDEN_FORM: usize = 16;
const INPUT_WEIGHTS: usize = 20;
const HIDDEN_WEIGHTS: usize = 24;
const INPUT_PROJECTION: usize = 28;
const GATE_SUM: usize = 32;
const CELL_SUM: usize = 192;
const CANDIDATE: usize = 352;
const FORGET: usize = 400;
const HIDDEN: usize = 432;
const GATE_TABLES: usize = 480;
const CELL_TABLE: usize = 496;
const HIDDEN_OFFSET: usize = 512;
const INPUT_OFFSET: usize = 528;

// A sum: float32 vectors; for qnnpack int32 multipliers, 2^13 / step, which lanes are so, and whether no (0), some (1) or
// all (2) are.
const SCALE_A: usize = 0;
const SCALE_B: usize = 16;
const INVERSE: usize = 32;
const SUM_LOWER: usize = 48;
const SUM_UPPER: usize = 64;
const FIXED_A: usize = 80;
const FIXED_B: usize = 96;
const FIXED_INVERSE: usize = 112;
const FIXED_LANES: usize = 128;
const FIXED: usize = 144;

// A projection: header, then 64 bytes a unit (term, multiplier f32 x 4, start i32 x 4). The way the bias is added is
// 0: term is f32 x 4 and one float32 addition is exact enough; 1: term is f64 x 4, and the sum is rounded once;
// 2: term is f64 x 4, and the sum is rounded to float32, then all of it as a fused multiply-add rounds.
const BIAS: usize = 0;
const UNQUANTIZED: usize = 4;
const QUANTIZED: usize = 16;
const LOWER: usize = 32;
const UPPER: usize = 48;
const FORGET_MULTIPLIER: usize = 64;
const ROWS: usize = 80;

/** Whether this is the module with relaxed dot products. */
export const relaxed: i32 = ASC_FEATURE_RELAXED_SIMD ? 1 : 0;

/** What the engine makes of a relaxed sum of four products -128 * 255, where it may choose. Tells its instructions. */
export function chosen(): i32 {
  if (!ASC_FEATURE_RELAXED_SIMD) return 0;
  v128.store(SUMS, i8x16.splat(-128));
  v128.store(SUMS, i8x16.splat(-1), 16);
  return i32x4.extract_lane(
    i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(SUMS), v128.load(SUMS, 16), i32x4.splat(0)),
    0,
  );
}

// 1.5 * 2^23: added to a float of magnitude below 2^22 it leaves the integer, rounded half to even, in the low bits.
// @ts-ignore: decorator
@inline function magic(): v128 {
  return f32x4.splat(12582912);
}

// @ts-ignore: decorator
@inline function clamp(x: v128, lo: v128, hi: v128): v128 {
  return f32x4.pmin(f32x4.pmax(x, lo), hi);
}

// Sums of a block's 32 rows on int16 weights and activations, two k at a time: `w` is [groups][8 units][4 gates][2], and
// the number of groups is even here and below.
function dotWide(w: usize, x: usize, groups: i32): void {
  let a = i32x4.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
  const end = x + (<usize> groups << 2);
  let at = w, from = x;
  while (from < end) {
    const v0 = v128.load32_splat(from, 0);
    a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load(at, 0), v0));
    b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load(at, 16), v0));
    c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load(at, 32), v0));
    d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load(at, 48), v0));
    e = i32x4.add(e, i32x4.dot_i16x8_s(v128.load(at, 64), v0));
    f = i32x4.add(f, i32x4.dot_i16x8_s(v128.load(at, 80), v0));
    g = i32x4.add(g, i32x4.dot_i16x8_s(v128.load(at, 96), v0));
    h = i32x4.add(h, i32x4.dot_i16x8_s(v128.load(at, 112), v0));
    const v1 = v128.load32_splat(from, 4);
    a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load(at, 128), v1));
    b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load(at, 144), v1));
    c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load(at, 160), v1));
    d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load(at, 176), v1));
    e = i32x4.add(e, i32x4.dot_i16x8_s(v128.load(at, 192), v1));
    f = i32x4.add(f, i32x4.dot_i16x8_s(v128.load(at, 208), v1));
    g = i32x4.add(g, i32x4.dot_i16x8_s(v128.load(at, 224), v1));
    h = i32x4.add(h, i32x4.dot_i16x8_s(v128.load(at, 240), v1));
    at += 256;
    from += 8;
  }
  v128.store(SUMS, a, 0);
  v128.store(SUMS, b, 16);
  v128.store(SUMS, c, 32);
  v128.store(SUMS, d, 48);
  v128.store(SUMS, e, 64);
  v128.store(SUMS, f, 80);
  v128.store(SUMS, g, 96);
  v128.store(SUMS, h, 112);
}

// The sums of four units on two operands `stride` apart: each weight is loaded once. The second one's stand 128 bytes on.
function dotWideTwice(w: usize, x: usize, stride: usize, out: usize): void {
  let a = i32x4.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
  const end = x + stride;
  for (let at = w, from = x; from < end; at += 256, from += 8) {
    const x0 = v128.load32_splat(from, 0), y0 = v128.load32_splat(from + stride, 0);
    const w00 = v128.load(at, 0);
    a = i32x4.add(a, i32x4.dot_i16x8_s(w00, x0));
    e = i32x4.add(e, i32x4.dot_i16x8_s(w00, y0));
    const w01 = v128.load(at, 16);
    b = i32x4.add(b, i32x4.dot_i16x8_s(w01, x0));
    f = i32x4.add(f, i32x4.dot_i16x8_s(w01, y0));
    const w02 = v128.load(at, 32);
    c = i32x4.add(c, i32x4.dot_i16x8_s(w02, x0));
    g = i32x4.add(g, i32x4.dot_i16x8_s(w02, y0));
    const w03 = v128.load(at, 48);
    d = i32x4.add(d, i32x4.dot_i16x8_s(w03, x0));
    h = i32x4.add(h, i32x4.dot_i16x8_s(w03, y0));
    const x1 = v128.load32_splat(from, 4), y1 = v128.load32_splat(from + stride, 4);
    const w10 = v128.load(at, 128);
    a = i32x4.add(a, i32x4.dot_i16x8_s(w10, x1));
    e = i32x4.add(e, i32x4.dot_i16x8_s(w10, y1));
    const w11 = v128.load(at, 144);
    b = i32x4.add(b, i32x4.dot_i16x8_s(w11, x1));
    f = i32x4.add(f, i32x4.dot_i16x8_s(w11, y1));
    const w12 = v128.load(at, 160);
    c = i32x4.add(c, i32x4.dot_i16x8_s(w12, x1));
    g = i32x4.add(g, i32x4.dot_i16x8_s(w12, y1));
    const w13 = v128.load(at, 176);
    d = i32x4.add(d, i32x4.dot_i16x8_s(w13, x1));
    h = i32x4.add(h, i32x4.dot_i16x8_s(w13, y1));
  }
  v128.store(out, a, 0);
  v128.store(out, b, 16);
  v128.store(out, c, 32);
  v128.store(out, d, 48);
  v128.store(out, e, 128);
  v128.store(out, f, 144);
  v128.store(out, g, 160);
  v128.store(out, h, 176);
}

// Sums of a block's rows on int8 weights and bytes of 0..127, four k at a time: `w` is [groups][8 units][4 gates][4]. Where
// activations have eight bits, `top` holds their top bits; otherwise it is `x`.
//
// Exact whatever the engine does where relaxed instructions leave it a choice: no activation has its top bit set, and two
// products stay within 2 * 128 * 127 < 2^15.
function dotOne(w: usize, x: usize, groups: i32, top: usize): void {
  let a = i32x4.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
  const bytes = <usize> groups << 2;
  for (let operand = top;; operand = x) {
    const end = operand + bytes;
    for (let at = w, from = operand; from < end; at += 256, from += 8) {
      // Top bits are rare: see `Operand` in src/simd/memory.ts.
      if (load<i64>(from) == 0) continue;
      const v0 = v128.load32_splat(from, 0);
      a = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 0), v0, a);
      b = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 16), v0, b);
      c = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 32), v0, c);
      d = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 48), v0, d);
      e = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 64), v0, e);
      f = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 80), v0, f);
      g = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 96), v0, g);
      h = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 112), v0, h);
      const v1 = v128.load32_splat(from, 4);
      a = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 128), v1, a);
      b = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 144), v1, b);
      c = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 160), v1, c);
      d = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 176), v1, d);
      e = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 192), v1, e);
      f = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 208), v1, f);
      g = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 224), v1, g);
      h = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 240), v1, h);
    }
    if (operand == x) break;
    a = i32x4.shl(a, 7);
    b = i32x4.shl(b, 7);
    c = i32x4.shl(c, 7);
    d = i32x4.shl(d, 7);
    e = i32x4.shl(e, 7);
    f = i32x4.shl(f, 7);
    g = i32x4.shl(g, 7);
    h = i32x4.shl(h, 7);
  }
  v128.store(SUMS, a, 0);
  v128.store(SUMS, b, 16);
  v128.store(SUMS, c, 32);
  v128.store(SUMS, d, 48);
  v128.store(SUMS, e, 64);
  v128.store(SUMS, f, 80);
  v128.store(SUMS, g, 96);
  v128.store(SUMS, h, 112);
}

// The same, sooner where an engine makes several instructions of that one.
function dotTwo(w: usize, x: usize, groups: i32, top: usize): void {
  let a = i32x4.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
  const ones = v128.load(ONES);
  const bytes = <usize> groups << 2;
  for (let operand = top;; operand = x) {
    const end = operand + bytes;
    for (let at = w, from = operand; from < end; at += 256, from += 8) {
      // Top bits are rare: see `Operand` in src/simd/memory.ts.
      if (load<i64>(from) == 0) continue;
      const v0 = v128.load32_splat(from, 0);
      a = i32x4.add(a, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 0), v0), ones));
      b = i32x4.add(b, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 16), v0), ones));
      c = i32x4.add(c, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 32), v0), ones));
      d = i32x4.add(d, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 48), v0), ones));
      e = i32x4.add(e, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 64), v0), ones));
      f = i32x4.add(f, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 80), v0), ones));
      g = i32x4.add(g, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 96), v0), ones));
      h = i32x4.add(h, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 112), v0), ones));
      const v1 = v128.load32_splat(from, 4);
      a = i32x4.add(a, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 128), v1), ones));
      b = i32x4.add(b, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 144), v1), ones));
      c = i32x4.add(c, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 160), v1), ones));
      d = i32x4.add(d, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 176), v1), ones));
      e = i32x4.add(e, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 192), v1), ones));
      f = i32x4.add(f, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 208), v1), ones));
      g = i32x4.add(g, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 224), v1), ones));
      h = i32x4.add(h, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 240), v1), ones));
    }
    if (operand == x) break;
    a = i32x4.shl(a, 7);
    b = i32x4.shl(b, 7);
    c = i32x4.shl(c, 7);
    d = i32x4.shl(d, 7);
    e = i32x4.shl(e, 7);
    f = i32x4.shl(f, 7);
    g = i32x4.shl(g, 7);
    h = i32x4.shl(h, 7);
  }
  v128.store(SUMS, a, 0);
  v128.store(SUMS, b, 16);
  v128.store(SUMS, c, 32);
  v128.store(SUMS, d, 48);
  v128.store(SUMS, e, 64);
  v128.store(SUMS, f, 80);
  v128.store(SUMS, g, 96);
  v128.store(SUMS, h, 112);
}

// Where the top bits of an operand at 0 stand.
// @ts-ignore: decorator
@inline function topOf(groups: i32): usize {
  return (<usize> groups * 4 + 15) & ~15;
}

// @ts-ignore: decorator
@inline function dot(form: i32, w: usize, x: usize, groups: i32): void {
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (form != WIDE) {
      let top = x;
      if (form != NARROW) {
        let any = i32x4.splat(0);
        const from = x + topOf(groups), end = from + topOf(groups);
        for (let at = from; at < end; at += 16) any = v128.or(any, v128.load(at));
        if (v128.any_true(any)) top = from;
      }
      if (load<i32>(ONE_STEP)) dotOne(w, x, groups, top);
      else dotTwo(w, x, groups, top);
      return;
    }
  }
  dotWide(w, x, groups);
}

// a + b rounded to odd: two float64 lanes of `addRoundedToOdd` in kernels/requantize.ts.
// @ts-ignore: decorator
@inline function addRoundedToOdd(a: v128, b: v128): v128 {
  const s = f64x2.add(a, b), t = f64x2.sub(s, a);
  const error = f64x2.add(f64x2.sub(a, f64x2.sub(s, t)), f64x2.sub(b, t));
  const zero = f64x2.splat(0), one = i64x2.splat(1);
  // 1 where the error is not zero and the last bit is even: away from zero if it has the sum's sign, else toward it.
  const even = v128.andnot(v128.and(f64x2.ne(error, zero), one), s);
  const away = i64x2.eq(f64x2.gt(error, zero), f64x2.gt(s, zero));
  return i64x2.add(s, v128.bitselect(even, i64x2.neg(even), away));
}

// What `project` does: a unit's four sums to its projected gates. `p` is the projection, `row` its unit's part; what is the
// same for all units comes as arguments, so that loops read it once.
// @ts-ignore: decorator
@inline function project(sums: usize, p: usize, row: usize, bias: i32, unquantized: i32, lower: v128, upper: v128): v128 {
  const sum = i32x4.add(v128.load(sums), v128.load(row, 48));
  let value: v128;
  if (bias == 0) {
    value = f32x4.add(v128.load(row), f32x4.convert_i32x4_s(sum));
  } else {
    let lo: v128, hi: v128;
    if (bias == 1) {
      lo = f64x2.add(v128.load(row), f64x2.convert_low_i32x4_s(sum));
      hi = f64x2.add(v128.load(row, 16), f64x2.convert_low_i32x4_s(v128.shuffle<i64>(sum, sum, 1, 1)));
    } else {
      const rounded = f32x4.convert_i32x4_s(sum);
      lo = addRoundedToOdd(v128.load(row), f64x2.promote_low_f32x4(rounded));
      hi = addRoundedToOdd(
        v128.load(row, 16),
        f64x2.promote_low_f32x4(v128.shuffle<i64>(rounded, rounded, 1, 1)),
      );
    }
    value = v128.shuffle<i64>(f32x4.demote_f64x2_zero(lo), f32x4.demote_f64x2_zero(hi), 0, 2);
  }
  const scaled = f32x4.mul(value, v128.load(row, 32));
  const quantized = clamp(f32x4.nearest(scaled), lower, upper);
  if (unquantized) return v128.bitselect(quantized, scaled, v128.load(p, QUANTIZED));
  return quantized;
}

// What `fixedPointSum` does. The sum of products has 31 bits; since at least 14 are shifted out, 13 can be dropped first,
// and what is left is exact in float32.
// @ts-ignore: decorator
@inline function addFixed(a: v128, b: v128, k: usize): v128 {
  const zero = i32x4.splat(0x4b400000), m = magic();
  const sum = i32x4.add(
    i32x4.mul(i32x4.sub(f32x4.add(a, m), zero), v128.load(k, FIXED_A)),
    i32x4.mul(i32x4.sub(f32x4.add(b, m), zero), v128.load(k, FIXED_B)),
  );
  const size = f32x4.convert_i32x4_s(i32x4.shr_u(i32x4.abs(sum), 13));
  const rounded = f32x4.floor(f32x4.add(f32x4.mul(size, v128.load(k, FIXED_INVERSE)), f32x4.splat(0.5)));
  return v128.or(rounded, v128.and(sum, f32x4.splat(-0.0)));
}

// @ts-ignore: decorator
@inline function addFloat(a: v128, b: v128, scaleA: v128, scaleB: v128, inverse: v128): v128 {
  return f32x4.mul(f32x4.add(f32x4.mul(scaleA, a), f32x4.mul(scaleB, b)), inverse);
}

// A quantized sum before its rounding to an integer, not clamped.
// @ts-ignore: decorator
@inline function add(a: v128, b: v128, k: usize, fixed: i32, scaleA: v128, scaleB: v128, inverse: v128): v128 {
  if (fixed == 0) return addFloat(a, b, scaleA, scaleB, inverse);
  const sum = addFixed(a, b, k);
  if (fixed == 2) return sum;
  return v128.bitselect(sum, addFloat(a, b, scaleA, scaleB, inverse), v128.load(k, FIXED_LANES));
}

// A quantized product before its rounding to an integer, clamped.
// @ts-ignore: decorator
@inline function multiply(a: v128, b: v128, multiplier: v128, lo: v128, hi: v128): v128 {
  return clamp(f32x4.mul(f32x4.mul(a, b), multiplier), lo, hi);
}

// Rounds half to even, for magnitudes below 2^22. Never -0.
// @ts-ignore: decorator
@inline function round(x: v128): v128 {
  return f32x4.sub(f32x4.add(x, magic()), magic());
}

// Where the float32 outputs of four rounded values stand; `base` holds the tables less the magic number's bits.
// @ts-ignore: decorator
@inline function addresses(x: v128, base: v128): v128 {
  return i32x4.add(i32x4.shl(f32x4.add(x, magic()), 2), base);
}

// Four outputs whose addresses lie `stride` bytes apart.
// @ts-ignore: decorator
@inline function gather(at: usize, stride: usize): v128 {
  let v = v128.load32_zero(load<u32>(at));
  v = v128.load32_lane(load<u32>(at + stride), v, 1);
  v = v128.load32_lane(load<u32>(at + 2 * stride), v, 2);
  return v128.load32_lane(load<u32>(at + 3 * stride), v, 3);
}

// Stores four values of an operand, less the offset that `zero` holds with the magic number's bits.
// @ts-ignore: decorator
@inline function store4(x: v128, zero: v128, to: usize, form: i32, top: usize): void {
  const stored = i32x4.sub(f32x4.add(x, magic()), zero), shorts = i16x8.narrow_i32x4_s(stored, stored);
  if (ASC_FEATURE_RELAXED_SIMD && form != WIDE) {
    const all = i8x16.narrow_i16x8_u(shorts, shorts);
    v128.store32_lane(to, v128.and(all, i8x16.splat(127)), 0);
    if (form != NARROW) v128.store32_lane(to + top, i8x16.shr_u(all, 7), 0);
  } else v128.store64_lane(to, shorts, 0);
}

// Stores an operand of `size` float64 values. Up to three beyond it are stored too: their weights are 0.
function storeOperand(from: usize, zero: v128, to: usize, size: i32, form: i32, top: usize): void {
  for (let end = from + (<usize> size << 3); from < end; from += 32) {
    const lo = f32x4.demote_f64x2_zero(v128.load(from)), hi = f32x4.demote_f64x2_zero(v128.load(from, 16));
    store4(v128.shuffle<i64>(lo, hi, 0, 2), zero, to, form, top);
    to += form == WIDE ? 8 : 4;
  }
}

/** Stores a hidden state, float64 [size], in the form the weights take it. */
export function storeHidden(cell: usize, from: usize, to: usize, size: i32): void {
  const form = load<i32>(cell, HIDDEN_FORM), top = topOf(load<i32>(cell, HIDDEN_GROUPS));
  storeOperand(from, v128.load(cell, HIDDEN_OFFSET), to, size, form, top);
}

/**
 * Projects the inputs of `steps` steps: W_ih x + b_ih, float32 [steps][units][4 gates].
 *
 * @param inputs float64 [steps][size].
 * @param x Scratch for the inputs in the form the weights take them.
 */
export function projectInput(cell: usize, inputs: usize, x: usize, projected: usize, size: i32, steps: i32): void {
  const blocks = load<i32>(cell, BLOCKS), groups = load<i32>(cell, INPUT_GROUPS);
  const form = load<i32>(cell, INPUT_FORM), p = load<usize>(cell, INPUT_PROJECTION);
  const stride = form > NARROW ? topOf(groups) << 1 : <usize> groups << 2, width = <usize> blocks << 7;
  const bias = load<i32>(p, BIAS), unquantized = load<i32>(p, UNQUANTIZED);
  for (let t = 0; t < steps; t++) {
    storeOperand(inputs, v128.load(cell, INPUT_OFFSET), x + <usize> t * stride, size, form, topOf(groups));
    inputs += <usize> size << 3;
  }
  let w = load<usize>(cell, INPUT_WEIGHTS), row = p + ROWS;
  for (let block = 0; block < blocks; block++) {
    const lower = v128.load(p, LOWER), upper = v128.load(p, UPPER);
    let from = x, to = projected;
    for (let t = 0; t < steps;) {
      let end = SUMS + 128;
      if (form == WIDE && t + 1 < steps) {
        dotWideTwice(w, from, stride, SUMS);
        dotWideTwice(w + 64, from, stride, SUMS + 64);
        from += stride;
        end += 128;
        t++;
      } else dot(form, w, from, groups);
      from += stride;
      t++;
      for (let sums = SUMS; sums < end; sums += 16) {
        const unit = sums & 127;
        v128.store(to + unit, project(sums, p, row + (unit << 2), bias, unquantized, lower, upper));
        if (unit == 112) to += width;
      }
    }
    w += <usize> groups << 7;
    row += 512;
    projected += 128;
  }
}

/**
 * Runs `steps` steps on projected inputs.
 *
 * @param p The hidden projection: what it is at the first step may differ from what it is later.
 * @param inputs Where the projected input of each step stands, [steps] addresses of float32 [units][4 gates].
 * @param h Hidden state less an offset, in the form the weights take it, overwritten.
 * @param c Cell state, float32, overwritten.
 * @param next Scratch as long as h.
 * @param out Receives the hidden state of each step, float64 [steps][units]. Beyond it whole blocks are written.
 * @param units The hidden size.
 */
export function runSteps(
  cell: usize,
  p: usize,
  inputs: usize,
  h: usize,
  c: usize,
  next: usize,
  out: usize,
  units: i32,
  steps: i32,
): void {
  const blocks = load<i32>(cell, BLOCKS), groups = load<i32>(cell, HIDDEN_GROUPS);
  const form = load<i32>(cell, HIDDEN_FORM);
  const weights = load<usize>(cell, HIDDEN_WEIGHTS), size = <usize> groups << 7;
  const bias = load<i32>(p, BIAS), unquantized = load<i32>(p, UNQUANTIZED);
  const fixedGates = load<i32>(cell, GATE_SUM + FIXED), fixedCell = load<i32>(cell, CELL_SUM + FIXED);
  const top = topOf(groups), width = <usize> units << 3;
  for (let t = 0; t < steps; t++) {
    let w = weights, row = p + ROWS, cAt = c, nextAt = next, outAt = out, projected = <usize> load<u32>(inputs);
    inputs += 4;
    out += width;
    for (let block = 0; block < blocks; block++) {
      dot(form, w, h, groups);
      const lower = v128.load(p, LOWER), upper = v128.load(p, UPPER), base = v128.load(cell, GATE_TABLES);
      const scaleA = v128.load(cell, GATE_SUM + SCALE_A), scaleB = v128.load(cell, GATE_SUM + SCALE_B);
      const inverse = v128.load(cell, GATE_SUM + INVERSE);
      const least = v128.load(cell, GATE_SUM + SUM_LOWER), most = v128.load(cell, GATE_SUM + SUM_UPPER);
      for (let unit: usize = 0; unit < 128; unit += 16) {
        const hidden = project(SUMS + unit, p, row, bias, unquantized, lower, upper);
        const sum = add(v128.load(projected), hidden, cell + GATE_SUM, fixedGates, scaleA, scaleB, inverse);
        v128.store(ADDRESSES + unit, addresses(clamp(sum, least, most), base));
        projected += 16;
        row += 64;
      }
      for (let at = ADDRESSES; at < ADDRESSES + 128; at += 64) {
        const forgotten = f32x4.nearest(multiply(
          gather(at + 4, 16),
          v128.load(cAt),
          v128.load(p, FORGET_MULTIPLIER),
          v128.load(cell, FORGET),
          v128.load(cell, FORGET + 16),
        ));
        const candidate = f32x4.nearest(multiply(
          gather(at, 16),
          gather(at + 8, 16),
          v128.load(cell, CANDIDATE),
          v128.load(cell, CANDIDATE + 16),
          v128.load(cell, CANDIDATE + 32),
        ));
        const sum = add(
          forgotten,
          candidate,
          cell + CELL_SUM,
          fixedCell,
          v128.load(cell, CELL_SUM + SCALE_A),
          v128.load(cell, CELL_SUM + SCALE_B),
          v128.load(cell, CELL_SUM + INVERSE),
        );
        const state = clamp(sum, v128.load(cell, CELL_SUM + SUM_LOWER), v128.load(cell, CELL_SUM + SUM_UPPER));
        v128.store(cAt, round(state));
        const open = gather(at + 12, 16);
        v128.store(at, addresses(state, v128.load(cell, CELL_TABLE)));
        const output = multiply(
          open,
          gather(at, 4),
          v128.load(cell, HIDDEN),
          v128.load(cell, HIDDEN + 16),
          v128.load(cell, HIDDEN + 32),
        );
        const rounded = round(output);
        v128.store(outAt, f64x2.promote_low_f32x4(rounded));
        v128.store(outAt, f64x2.promote_low_f32x4(v128.shuffle<i64>(rounded, rounded, 1, 1)), 16);
        store4(output, v128.load(cell, HIDDEN_OFFSET), nextAt, form, top);
        nextAt += form == WIDE ? 8 : 4;
        cAt += 16;
        outAt += 32;
      }
      w += size;
    }
    memory.copy(h, next, form == WIDE ? <usize> blocks << 4 : form == NARROW ? top : top << 1);
  }
}
