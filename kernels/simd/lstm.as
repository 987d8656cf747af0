// The LSTM step in WebAssembly SIMD (AssemblyScript). It returns the same bits as
// kernels/packed/lstm_cell.ts.
//
// The four lanes of a vector are the four gates of a unit during projection and addition, and four
// units from the look-up of activations on. Units come in blocks of eight: eight accumulators run
// through one pass over an operand. With two operands (steps or batch rows), the accumulators of
// four units run through one pass over both, so that they share loaded weights. The caller lays out
// memory as in kernels/simd/layout.ts; integers are minus their zero point unless noted. layout.as,
// compiled before this file, holds the same names with offsets in bytes, each prefixed with the
// name of its layout.

// Bytes of the sums of four units, and of their part of a group of weights.
const HALF_BLOCK: usize = BLOCK / 2;

/** Whether this is the module with relaxed dot products. */
export const relaxed: i32 = ASC_FEATURE_RELAXED_SIMD ? 1 : 0;

/**
 * The engine's result for a relaxed sum of four products -128 * 255, where it has a choice: it
 * reveals the instructions used.
 */
export function chosen(): i32 {
  if (!ASC_FEATURE_RELAXED_SIMD) return 0;
  v128.store(RUNNING, i8x16.splat(-128));
  v128.store(RUNNING, i8x16.splat(-1), 16);
  return i32x4.extract_lane(
    i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(RUNNING), v128.load(RUNNING, 16), i32x4.splat(0)),
    0,
  );
}

// 1.5 * 2^23: adding it to a float of magnitude below 2^22 leaves the integer, rounded half to
// even, in the low bits.
@inline function magic(): v128 {
  return v128.load(MAGIC);
}

// @ts-ignore: decorator
@inline function clamp(x: v128, lo: v128, hi: v128): v128 {
  return f32x4.pmin(f32x4.pmax(x, lo), hi);
}

// Always false, because no address of weights is below 4. Engines without relaxed SIMD hoist all
// loads of a basic block above its computations, until registers run out and accumulators are
// spilled. Branches split long blocks to prevent that.
@inline function parted(w: usize, which: usize): bool {
  return !ASC_FEATURE_RELAXED_SIMD && w == which;
}

// Sums of blocks of 32 rows with int16 weights and activations, two k at a time, from `sums` to
// `end`. Each block begins with the initial values of its sums, followed by weights [groups][8
// units][4 gates][2].
function dotWide(w: usize, x: usize, groups: i32, sums: usize, end: usize): void {
  for (const stop = x + (<usize> groups << 2); sums < end; sums += BLOCK) {
    let a = v128.load(w, 0), b = v128.load(w, 16), c = v128.load(w, 32), d = v128.load(w, 48), e = v128.load(w, 64), f = v128.load(w, 80), g = v128.load(w, 96), h = v128.load(w, 112);
    w += BLOCK;
    for (let from = x; from < stop; from += 4, w += BLOCK) {
      const v = v128.load32_splat(from);
      a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load(w, 0), v));
      b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load(w, 16), v));
      c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load(w, 32), v));
      if (parted(w, 1)) break;
      d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load(w, 48), v));
      e = i32x4.add(e, i32x4.dot_i16x8_s(v128.load(w, 64), v));
      f = i32x4.add(f, i32x4.dot_i16x8_s(v128.load(w, 80), v));
      if (parted(w, 2)) break;
      g = i32x4.add(g, i32x4.dot_i16x8_s(v128.load(w, 96), v));
      h = i32x4.add(h, i32x4.dot_i16x8_s(v128.load(w, 112), v));
    }
    v128.store(sums, a, 0);
    v128.store(sums, b, 16);
    v128.store(sums, c, 32);
    v128.store(sums, d, 48);
    v128.store(sums, e, 64);
    v128.store(sums, f, 80);
    v128.store(sums, g, 96);
    v128.store(sums, h, 112);
  }
}

// Sums of a block's rows with int8 weights and 8-bit activations: `w` is [groups][8 units][4
// gates][4].
//
// Two weights w0 and w1 are one int16, v = 256 w1 + w0 + 128, and two activations x0 and x1 are
// stored as x1 and 256 x0 - x1. With u the lower byte of v, v x1 + u (256 x0 - x1) = 256 (w1 x1 +
// w0 x0 + 128 x0). The initial value of the sums is minus the total of the last terms. All of this
// is exact modulo 2^32; with the contribution of the offsets, the result is 256 times a sum of 24
// bits.
function dotPaired(w: usize, x: usize, groups: i32, sums: usize, end: usize): void {
  const low = v128.load(LOW), stop = x + (<usize> groups << 3);
  const start = v128.load(x + lengthOf(FORM_PAIRED, groups));
  for (const size = <usize> (groups + 1) * BLOCK; sums < end; sums += BLOCK, w += size) {
    let a = i32x4.add(start, v128.load(w, 0)),
      b = i32x4.add(start, v128.load(w, 16)),
      c = i32x4.add(start, v128.load(w, 32)),
      d = i32x4.add(start, v128.load(w, 48)),
      e = i32x4.add(start, v128.load(w, 64)),
      f = i32x4.add(start, v128.load(w, 80)),
      g = i32x4.add(start, v128.load(w, 96)),
      h = i32x4.add(start, v128.load(w, 112));
    for (let at = w + BLOCK, from = x; from < stop; at += BLOCK, from += 8) {
      const x0 = v128.load32_splat(from, 0), x1 = v128.load32_splat(from, 4);
      const w0 = v128.load(at, 0);
      a = i32x4.add(i32x4.add(a, i32x4.dot_i16x8_s(w0, x0)), i32x4.dot_i16x8_s(v128.and(w0, low), x1));
      const w1 = v128.load(at, 16);
      b = i32x4.add(i32x4.add(b, i32x4.dot_i16x8_s(w1, x0)), i32x4.dot_i16x8_s(v128.and(w1, low), x1));
      const w2 = v128.load(at, 32);
      c = i32x4.add(i32x4.add(c, i32x4.dot_i16x8_s(w2, x0)), i32x4.dot_i16x8_s(v128.and(w2, low), x1));
      if (parted(at, 1)) break;
      const w3 = v128.load(at, 48);
      d = i32x4.add(i32x4.add(d, i32x4.dot_i16x8_s(w3, x0)), i32x4.dot_i16x8_s(v128.and(w3, low), x1));
      const w4 = v128.load(at, 64);
      e = i32x4.add(i32x4.add(e, i32x4.dot_i16x8_s(w4, x0)), i32x4.dot_i16x8_s(v128.and(w4, low), x1));
      const w5 = v128.load(at, 80);
      f = i32x4.add(i32x4.add(f, i32x4.dot_i16x8_s(w5, x0)), i32x4.dot_i16x8_s(v128.and(w5, low), x1));
      if (parted(at, 2)) break;
      const w6 = v128.load(at, 96);
      g = i32x4.add(i32x4.add(g, i32x4.dot_i16x8_s(w6, x0)), i32x4.dot_i16x8_s(v128.and(w6, low), x1));
      const w7 = v128.load(at, 112);
      h = i32x4.add(i32x4.add(h, i32x4.dot_i16x8_s(w7, x0)), i32x4.dot_i16x8_s(v128.and(w7, low), x1));
    }
    v128.store(sums, i32x4.shr_s(a, 8), 0);
    v128.store(sums, i32x4.shr_s(b, 8), 16);
    v128.store(sums, i32x4.shr_s(c, 8), 32);
    v128.store(sums, i32x4.shr_s(d, 8), 48);
    v128.store(sums, i32x4.shr_s(e, 8), 64);
    v128.store(sums, i32x4.shr_s(f, 8), 80);
    v128.store(sums, i32x4.shr_s(g, 8), 96);
    v128.store(sums, i32x4.shr_s(h, 8), 112);
  }
}

// Sums of four units with two operands; the second operand's sums are 128 bytes further. Weights
// are loaded twice, so that all accumulators stay in registers.
function dotPairedTwice(w: usize, x: usize, y: usize, groups: i32, sumsX: usize, sumsY: usize, end: usize): void {
  const low = v128.load(LOW), stop = x + (<usize> groups << 3), length = lengthOf(FORM_PAIRED, groups);
  const startX = v128.load(x + length), startY = v128.load(y + length);
  let half = HALF_BLOCK;
  const size = <usize> (groups + 1) * BLOCK;
  for (; sumsX < end; sumsX += HALF_BLOCK, sumsY += HALF_BLOCK, half ^= HALF_BLOCK) {
    let a = i32x4.add(startX, v128.load(w, 0)),
      b = i32x4.add(startX, v128.load(w, 16)),
      c = i32x4.add(startX, v128.load(w, 32)),
      d = i32x4.add(startX, v128.load(w, 48)),
      e = i32x4.add(startY, v128.load(w, 0)),
      f = i32x4.add(startY, v128.load(w, 16)),
      g = i32x4.add(startY, v128.load(w, 32)),
      h = i32x4.add(startY, v128.load(w, 48));
    for (let at = w + BLOCK, from = x, and = y; from < stop; at += BLOCK, from += 8, and += 8) {
      const x0 = v128.load32_splat(from, 0), y0 = v128.load32_splat(and, 0);
      const w0 = v128.load(at, 0);
      a = i32x4.add(a, i32x4.dot_i16x8_s(w0, x0));
      e = i32x4.add(e, i32x4.dot_i16x8_s(w0, y0));
      const w1 = v128.load(at, 16);
      b = i32x4.add(b, i32x4.dot_i16x8_s(w1, x0));
      f = i32x4.add(f, i32x4.dot_i16x8_s(w1, y0));
      const w2 = v128.load(at, 32);
      c = i32x4.add(c, i32x4.dot_i16x8_s(w2, x0));
      g = i32x4.add(g, i32x4.dot_i16x8_s(w2, y0));
      const w3 = v128.load(at, 48);
      d = i32x4.add(d, i32x4.dot_i16x8_s(w3, x0));
      h = i32x4.add(h, i32x4.dot_i16x8_s(w3, y0));
      const x1 = v128.load32_splat(from, 4), y1 = v128.load32_splat(and, 4);
      const u0 = v128.and(v128.load(at, 0), low);
      a = i32x4.add(a, i32x4.dot_i16x8_s(u0, x1));
      e = i32x4.add(e, i32x4.dot_i16x8_s(u0, y1));
      const u1 = v128.and(v128.load(at, 16), low);
      b = i32x4.add(b, i32x4.dot_i16x8_s(u1, x1));
      f = i32x4.add(f, i32x4.dot_i16x8_s(u1, y1));
      const u2 = v128.and(v128.load(at, 32), low);
      c = i32x4.add(c, i32x4.dot_i16x8_s(u2, x1));
      g = i32x4.add(g, i32x4.dot_i16x8_s(u2, y1));
      const u3 = v128.and(v128.load(at, 48), low);
      d = i32x4.add(d, i32x4.dot_i16x8_s(u3, x1));
      h = i32x4.add(h, i32x4.dot_i16x8_s(u3, y1));
    }
    v128.store(sumsX, i32x4.shr_s(a, 8), 0);
    v128.store(sumsX, i32x4.shr_s(b, 8), 16);
    v128.store(sumsX, i32x4.shr_s(c, 8), 32);
    v128.store(sumsX, i32x4.shr_s(d, 8), 48);
    v128.store(sumsY, i32x4.shr_s(e, 8), 0);
    v128.store(sumsY, i32x4.shr_s(f, 8), 16);
    v128.store(sumsY, i32x4.shr_s(g, 8), 32);
    v128.store(sumsY, i32x4.shr_s(h, 8), 48);
    w += half ? HALF_BLOCK : size - HALF_BLOCK;
  }
}

// Sums of the rows of blocks with int8 weights and bytes of 0..127, four k at a time: weights are
// [groups][8 units][4 gates][4]. For 8-bit activations, `top` is the address of their top bits;
// otherwise it equals `x`. Uses one instruction per sum, or two if the engine splits that one into
// several.
//
// The result does not depend on the choices that relaxed instructions leave to the engine: no
// activation has its top bit set, and two products stay within 2 * 128 * 127 < 2^15.
function dotNarrow(w: usize, x: usize, groups: i32, top: usize, sums: usize, end: usize): void {
  const ones = v128.load(ONES), oneStep = load<i32>(ONE_STEP);
  for (const bytes = <usize> groups << 2; sums < end; sums += BLOCK, w += bytes * (BLOCK / 4) + BLOCK) {
    let a = i32x4.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
    for (let operand = top;; operand = x) {
      let at = w + BLOCK, from = operand;
      const stop = operand + bytes;
      // Top bits are rare: see FORM in kernels/simd/layout.ts.
      if (oneStep) {
        for (; from < stop; at += BLOCK, from += 4) {
          if (load<i32>(from) == 0) continue;
          const v = v128.load32_splat(from);
          a = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 0), v, a);
          b = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 16), v, b);
          c = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 32), v, c);
          d = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 48), v, d);
          e = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 64), v, e);
          f = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 80), v, f);
          g = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 96), v, g);
          h = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(at, 112), v, h);
        }
      }
      for (; from < stop; at += 2 * BLOCK, from += 8) {
        if (load<i64>(from) == 0) continue;
        const v0 = v128.load32_splat(from, 0), v1 = v128.load32_splat(from, 4);
        a = i32x4.add(a, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 0), v0), ones));
        b = i32x4.add(b, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 16), v0), ones));
        c = i32x4.add(c, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 32), v0), ones));
        d = i32x4.add(d, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 48), v0), ones));
        e = i32x4.add(e, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 64), v0), ones));
        f = i32x4.add(f, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 80), v0), ones));
        g = i32x4.add(g, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 96), v0), ones));
        h = i32x4.add(h, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(at, 112), v0), ones));
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
    v128.store(sums, i32x4.add(a, v128.load(w, 0)), 0);
    v128.store(sums, i32x4.add(b, v128.load(w, 16)), 16);
    v128.store(sums, i32x4.add(c, v128.load(w, 32)), 32);
    v128.store(sums, i32x4.add(d, v128.load(w, 48)), 48);
    v128.store(sums, i32x4.add(e, v128.load(w, 64)), 64);
    v128.store(sums, i32x4.add(f, v128.load(w, 80)), 80);
    v128.store(sums, i32x4.add(g, v128.load(w, 96)), 96);
    v128.store(sums, i32x4.add(h, v128.load(w, 112)), 112);
  }
}

// Sums with two operands without top bits, four units at a time, so that each weight is loaded
// once. If `sumsY` is 0, `y` is the high half of `x`, and the result is the sum of both.
function dotNarrowTwice(w: usize, x: usize, y: usize, groups: i32, sumsX: usize, sumsY: usize, end: usize): void {
  const ones = v128.load(ONES), oneStep = load<i32>(ONE_STEP), stop = x + (<usize> groups << 2);
  let half = HALF_BLOCK;
  const size = <usize> (groups + 1) * BLOCK;
  const halves = !sumsY;
  for (; sumsX < end; sumsX += HALF_BLOCK, sumsY += HALF_BLOCK, half ^= HALF_BLOCK) {
    let a = v128.load(w), b = v128.load(w, 16), c = v128.load(w, 32), d = v128.load(w, 48), e = a, f = b, g = c, h = d;
    if (halves) e = f = g = h = i32x4.splat(0);
    let at = w + BLOCK, from = x, and = y;
    if (oneStep) {
      for (; from < stop; at += BLOCK, from += 4, and += 4) {
        const v = v128.load32_splat(from), u = v128.load32_splat(and);
        const w0 = v128.load(at, 0);
        a = i32x4.relaxed_dot_i8x16_i7x16_add_s(w0, v, a);
        e = i32x4.relaxed_dot_i8x16_i7x16_add_s(w0, u, e);
        const w1 = v128.load(at, 16);
        b = i32x4.relaxed_dot_i8x16_i7x16_add_s(w1, v, b);
        f = i32x4.relaxed_dot_i8x16_i7x16_add_s(w1, u, f);
        const w2 = v128.load(at, 32);
        c = i32x4.relaxed_dot_i8x16_i7x16_add_s(w2, v, c);
        g = i32x4.relaxed_dot_i8x16_i7x16_add_s(w2, u, g);
        const w3 = v128.load(at, 48);
        d = i32x4.relaxed_dot_i8x16_i7x16_add_s(w3, v, d);
        h = i32x4.relaxed_dot_i8x16_i7x16_add_s(w3, u, h);
      }
    }
    for (; from < stop; at += BLOCK, from += 4, and += 4) {
      const v = v128.load32_splat(from), u = v128.load32_splat(and);
      const w0 = v128.load(at, 0);
      a = i32x4.add(a, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(w0, v), ones));
      e = i32x4.add(e, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(w0, u), ones));
      const w1 = v128.load(at, 16);
      b = i32x4.add(b, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(w1, v), ones));
      f = i32x4.add(f, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(w1, u), ones));
      const w2 = v128.load(at, 32);
      c = i32x4.add(c, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(w2, v), ones));
      g = i32x4.add(g, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(w2, u), ones));
      const w3 = v128.load(at, 48);
      d = i32x4.add(d, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(w3, v), ones));
      h = i32x4.add(h, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(w3, u), ones));
    }
    if (halves) {
      a = i32x4.add(a, i32x4.shl(e, 7));
      b = i32x4.add(b, i32x4.shl(f, 7));
      c = i32x4.add(c, i32x4.shl(g, 7));
      d = i32x4.add(d, i32x4.shl(h, 7));
    } else {
      v128.store(sumsY, e, 0);
      v128.store(sumsY, f, 16);
      v128.store(sumsY, g, 32);
      v128.store(sumsY, h, 48);
    }
    v128.store(sumsX, a, 0);
    v128.store(sumsX, b, 16);
    v128.store(sumsX, c, 32);
    v128.store(sumsX, d, 48);
    w += half ? HALF_BLOCK : size - HALF_BLOCK;
  }
}

// Bytes of an operand of bytes; also the offset of its top bits.
@inline function topOf(groups: i32): usize {
  return (<usize> groups * 4 + 15) & ~15;
}

// @ts-ignore: decorator
@inline function lengthOf(form: i32, groups: i32): usize {
  return topOf(groups) << (form > FORM_NARROW ? 1 : 0);
}

// Sums of the rows of blocks with the operand at `x`, until `end`, and with the operand at `y` if
// that is not 0.
function dots(form: i32, w: usize, x: usize, y: usize, groups: i32, sumsX: usize, sumsY: usize, end: usize): void {
  // Engines without relaxed SIMD are slower with two operands at a time.
  if (ASC_FEATURE_RELAXED_SIMD && form == FORM_PAIRED && y) {
    dotPairedTwice(w, x, y, groups, sumsX, sumsY, end);
    return;
  }
  let topX = x, topY = y;
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (form == FORM_SPLIT) {
      const length = lengthOf(FORM_SPLIT, groups);
      if (load<i32>(x + length)) topX += topOf(groups);
      if (y && load<i32>(y + length)) topY += topOf(groups);
    }
    if ((form == FORM_NARROW || form == FORM_SPLIT) && y && topX == x && topY == y) {
      dotNarrowTwice(w, x, y, groups, sumsX, sumsY, end);
      return;
    }
  }
  for (;;) {
    if (form == FORM_PAIRED) dotPaired(w, x, groups, sumsX, end);
    else if (!ASC_FEATURE_RELAXED_SIMD || form == FORM_WIDE) dotWide(w, x, groups, sumsX, end);
    else if (form == FORM_HALVES) dotNarrowTwice(w, x, x + topOf(groups), groups, sumsX, 0, end);
    else dotNarrow(w, x, groups, topX, sumsX, end);
    if (!y) return;
    x = y;
    y = 0;
    topX = topY;
    end += sumsY - sumsX;
    sumsX = sumsY;
  }
}

// Bytes of sums whose weights are multiplied by several operands in turn: few enough for the
// weights to stay in the first-level cache.
@inline function tileOf(groups: i32): usize {
  const blocks = <usize> (TILE_GROUPS / (groups + 1));
  return blocks ? blocks * BLOCK : BLOCK;
}

// a + b rounded to odd: `addRoundedToOdd` of kernels/numeric/requantize.ts in two float64 lanes.
@inline function addRoundedToOdd(a: v128, b: v128): v128 {
  const s = f64x2.add(a, b), t = f64x2.sub(s, a);
  const error = f64x2.add(f64x2.sub(a, f64x2.sub(s, t)), f64x2.sub(b, t));
  const zero = f64x2.splat(0), one = i64x2.splat(1);
  // 1 if the error is not zero and the last bit is even: then the sum moves away from zero if the
  // error has its sign, else toward zero.
  const even = v128.andnot(v128.and(f64x2.ne(error, zero), one), s);
  const away = i64x2.eq(f64x2.gt(error, zero), f64x2.gt(s, zero));
  return i64x2.add(s, v128.bitselect(even, i64x2.neg(even), away));
}

// Projects the four sums of a unit to its gates. `p` is the projection, `row` the unit's part of
// it; values shared by all units are arguments, so that loops read them once.
@inline function project(sums: usize, p: usize, row: usize, bias: i32, unquantized: i32, lower: v128, upper: v128): v128 {
  const sum = v128.load(sums);
  let value: v128;
  if (bias == BIAS_FLOAT32) {
    value = f32x4.add(v128.load(row, UNIT_TERM), f32x4.convert_i32x4_s(sum));
  } else {
    let lo: v128, hi: v128;
    if (bias == BIAS_FLOAT64) {
      lo = f64x2.add(v128.load(row, UNIT_TERM), f64x2.convert_low_i32x4_s(sum));
      hi = f64x2.add(v128.load(row, UNIT_TERM + 16), f64x2.convert_low_i32x4_s(v128.shuffle<i64>(sum, sum, 1, 1)));
    } else {
      const rounded = f32x4.convert_i32x4_s(sum);
      lo = addRoundedToOdd(v128.load(row, UNIT_TERM), f64x2.promote_low_f32x4(rounded));
      hi = addRoundedToOdd(
        v128.load(row, UNIT_TERM + 16),
        f64x2.promote_low_f32x4(v128.shuffle<i64>(rounded, rounded, 1, 1)),
      );
    }
    value = v128.shuffle<i64>(f32x4.demote_f64x2_zero(lo), f32x4.demote_f64x2_zero(hi), 0, 2);
  }
  const scaled = f32x4.mul(value, v128.load(row, UNIT_MULTIPLIER));
  if (unquantized == UNQUANTIZED_ALL) return scaled;
  const quantized = clamp(f32x4.nearest(scaled), lower, upper);
  if (unquantized) return v128.bitselect(quantized, scaled, v128.load(p, PROJECTION_QUANTIZED));
  return quantized;
}

// The same if one float32 addition adds the bias and all gates are quantized: loops over it have no
// branches.
@inline function projectPlainly(sums: usize, row: usize, lower: v128, upper: v128): v128 {
  const value = f32x4.add(v128.load(row, UNIT_TERM), f32x4.convert_i32x4_s(v128.load(sums)));
  return clamp(f32x4.nearest(f32x4.mul(value, v128.load(row, UNIT_MULTIPLIER))), lower, upper);
}

// Projects the sums of a GRU to its gates, in place. Vectors of four units are interleaved by gate;
// each gate has its own projection, the first at `p`. The first vector of sums has index `first`.
function projectTurns(p: usize, first: usize, from: usize, end: usize, gates: i32): void {
  const rows = p + <usize> gates * PROJECTION_SIZE + first * UNIT_SIZE;
  for (let gate = 0; gate < gates; gate++, p += PROJECTION_SIZE) {
    const bias = load<i32>(p, PROJECTION_BIAS), unquantized = load<i32>(p, PROJECTION_UNQUANTIZED);
    const lower = v128.load(p, PROJECTION_LOWER), upper = v128.load(p, PROJECTION_UPPER);
    let row = rows + <usize> gate * UNIT_SIZE;
    for (let at = from + (<usize> gate << 4); at < end; at += <usize> gates << 4, row += <usize> gates * UNIT_SIZE) {
      v128.store(at, project(at, p, row, bias, unquantized, lower, upper));
    }
  }
}

// Projects the sums of units to their gates, in place; `row` is the first unit's part of the
// projection.
function projectAll(p: usize, row: usize, from: usize, end: usize): void {
  const bias = load<i32>(p, PROJECTION_BIAS), unquantized = load<i32>(p, PROJECTION_UNQUANTIZED);
  const lower = v128.load(p, PROJECTION_LOWER), upper = v128.load(p, PROJECTION_UPPER);
  if (bias == BIAS_FLOAT32 && !unquantized) {
    for (; from < end; from += 16, row += UNIT_SIZE) v128.store(from, projectPlainly(from, row, lower, upper));
  }
  for (; from < end; from += 16, row += UNIT_SIZE) {
    v128.store(from, project(from, p, row, bias, unquantized, lower, upper));
  }
}

// `fixedPointSum` in vectors. The sum of products has 31 bits. At least 14 are shifted out, so 13
// can be dropped first, and the rest is exact in float32.
@inline function addFixed(a: v128, b: v128, k: usize): v128 {
  const m = magic();
  const sum = i32x4.add(
    i32x4.mul(i32x4.sub(f32x4.add(a, m), m), v128.load(k, SUM_FIXED_A)),
    i32x4.mul(i32x4.sub(f32x4.add(b, m), m), v128.load(k, SUM_FIXED_B)),
  );
  const size = f32x4.convert_i32x4_s(i32x4.shr_u(i32x4.abs(sum), 13));
  const rounded = f32x4.floor(f32x4.add(f32x4.mul(size, v128.load(k, SUM_FIXED_INVERSE)), v128.load(HALF)));
  return v128.or(rounded, v128.and(sum, v128.load(SIGN)));
}

// @ts-ignore: decorator
@inline function addFloat(a: v128, b: v128, scaleA: v128, scaleB: v128, factor: v128): v128 {
  return f32x4.mul(f32x4.add(f32x4.mul(scaleA, a), f32x4.mul(scaleB, b)), factor);
}

// A quantized sum before rounding to an integer, not clamped.
@inline function add(a: v128, b: v128, k: usize, fixed: i32, scaleA: v128, scaleB: v128, factor: v128): v128 {
  if (fixed == FIXED_NONE) return addFloat(a, b, scaleA, scaleB, factor);
  const sum = addFixed(a, b, k);
  if (fixed == FIXED_ALL) return sum;
  return v128.bitselect(sum, addFloat(a, b, scaleA, scaleB, factor), v128.load(k, SUM_FIXED_LANES));
}

// A quantized product before rounding to an integer, clamped.
@inline function multiply(a: v128, b: v128, multiplier: v128, lo: v128, hi: v128): v128 {
  return clamp(f32x4.mul(f32x4.mul(a, b), multiplier), lo, hi);
}

// Rounds half to even, for magnitudes below 2^22. Never returns -0.
@inline function round(x: v128): v128 {
  return f32x4.sub(f32x4.add(x, magic()), magic());
}

// Addresses of the float32 outputs of four rounded values; `base` is the address of each table
// minus the bits of the magic number.
@inline function addresses(x: v128, base: v128): v128 {
  return i32x4.add(i32x4.shl(f32x4.add(x, magic()), 2), base);
}

// Loads four outputs; their addresses are `stride` bytes apart.
@inline function gather(at: usize, stride: usize): v128 {
  let v = v128.load32_zero(load<u32>(at));
  v = v128.load32_lane(load<u32>(at + stride), v, 1);
  v = v128.load32_lane(load<u32>(at + 2 * stride), v, 2);
  return v128.load32_lane(load<u32>(at + 3 * stride), v, 3);
}

// The output for an address in table `which`: the inverse of `addresses`. The shift has lost the
// upper bits of the magic number.
function outputOf(address: u32, which: usize): f32 {
  const base = load<u32>(RUNNING + CELL_GATE_TABLES + (which << 2));
  return activate(which, <f32> (<i32> ((address - base) >> 2 & 0x3fffffff) - (MAGIC_BITS & 0x3fffffff)));
}

// Computes missing outputs, which are 0, among `count` outputs; their addresses are at `at`:
// entries of the four gates' tables in turn, or four of table `only`.
function complete(at: usize, count: usize, only: usize): void {
  for (let i: usize = 0; i < count; i++) {
    const address = load<u32>(at + (i << 2)), which = count == 4 ? only : i & 3;
    if (load<i32>(address)) continue;
    store<f32>(address, outputOf(address, which));
  }
}

// Writes outputs to scratch instead of to the tables, and replaces their addresses: the first
// `count` of every 64 bytes from `at` on.
function setAside(at: usize, end: usize, count: usize): void {
  for (let to = load<usize>(ASIDE); at < end; at += 64) {
    for (let i: usize = 0; i < count; i++, to += 4) {
      store<f32>(to, outputOf(load<u32>(at + (i << 2)), count == 4 ? 4 : i & 3));
      store<u32>(at + (i << 2), <u32> to);
    }
  }
}

// One output of table `which`, where a zero is -0: like quantizedActivation of
// kernels/numeric/activation.ts.
function activate(which: usize, input: f32): f32 {
  const t = RUNNING + CELL_ACTIVATIONS + which * ACTIVATION_SIZE, tanh = !(which & 1) && which > 0;
  const x = <f64> (load<f32>(t, ACTIVATION_SCALE) * input);
  // Beyond this, float32 has tanh x = 1, and e^-x = 0 or infinity.
  const a = min(abs(tanh ? x + x : x), 104);
  // e^a - 1, precise enough for every float32 x: expm1 of kernels/numeric/activation.ts.
  const k = nearest(a * 1.4426950408889634), r = (a - k * 0.6931471803691238) - k * 1.9082149292705877e-10;
  let p: f64 = 0;
  for (let n = 14; n > 1; n--) p = (p * r + 1) / n;
  const scale = reinterpret<f64>((<i64> k + 1023) << 52), e = scale * (r + r * r * p) + (scale - 1);
  const y = tanh
    ? <f32> copysign(e / (e + 2), x)
    : <f32> 1 / (<f32> 1 + <f32> (x > 0 ? 1 / (1 + e) : 1 + e));
  // Subtracting from 0 twice turns a zero of either sign into -0.
  const output = max(nearest(y * load<f32>(t, ACTIVATION_INVERSE)), load<f32>(t, ACTIVATION_LOWER));
  return -(<f32> 0 - min(output, load<f32>(t, ACTIVATION_UPPER)));
}

// Stores four values of an operand, minus the offsets in `zero` (which include the bits of the
// magic number), and returns the stored values: int16, or bytes with their top bits.
@inline function store4(x: v128, zero: v128, to: usize, form: i32, top: usize): v128 {
  let stored = i32x4.sub(f32x4.add(x, magic()), zero);
  if (form == FORM_PAIRED) {
    const first = v128.shuffle<i32>(stored, i32x4.shl(stored, 8), 1, 3, 4, 6);
    stored = i32x4.sub(first, v128.shuffle<i32>(stored, i32x4.splat(0), 4, 4, 1, 3));
  }
  const shorts = i16x8.narrow_i32x4_s(stored, stored);
  if (ASC_FEATURE_RELAXED_SIMD && form == FORM_HALVES) {
    const low = v128.and(shorts, i16x8.splat(127));
    const halves = i8x16.narrow_i16x8_u(low, i16x8.shr_u(shorts, 7));
    v128.store32_lane(to, halves, 0);
    v128.store32_lane(to + top, halves, 2);
    return halves;
  }
  if (ASC_FEATURE_RELAXED_SIMD && (form == FORM_NARROW || form == FORM_SPLIT)) {
    const bytes = i8x16.narrow_i16x8_u(shorts, shorts);
    v128.store32_lane(to, v128.and(bytes, i8x16.splat(127)), 0);
    if (form == FORM_SPLIT) v128.store32_lane(to + top, i8x16.shr_u(bytes, 7), 0);
    return bytes;
  }
  v128.store64_lane(to, shorts, 0);
  return shorts;
}

// Accumulates the argument of `settle` over four values of an operand.
@inline function gatherUp(all: v128, stored: v128, form: i32): v128 {
  return form == FORM_PAIRED ? i32x4.add(all, i32x4.dot_i16x8_s(stored, v128.load(ONES))) : v128.or(all, stored);
}

// Writes the vector that follows an operand.
@inline function settle(all: v128, end: usize, form: i32): void {
  if (form == FORM_PAIRED) {
    v128.store(end, i32x4.neg(i32x4.shl(i32x4.add(all, v128.shuffle<i32>(all, all, 1, 0, 3, 2)), 7)));
  } else if (ASC_FEATURE_RELAXED_SIMD) store<i32>(end, i8x16.bitmask(all));
}

// Bytes of four values of an operand, without top bits.
@inline function quadOf(form: i32): usize {
  return ASC_FEATURE_RELAXED_SIMD && form != FORM_WIDE && form != FORM_PAIRED ? 4 : 8;
}

// Stores operands of `size` float32 values, one after another, times `inverse` and clamped. Up to
// seven values beyond each operand are stored as well; their weights are 0.
function storeOperands(
  from: usize,
  inverse: v128,
  lower: v128,
  upper: v128,
  zero: v128,
  to: usize,
  size: i32,
  count: i32,
  form: i32,
  groups: i32,
): void {
  const top = topOf(groups), quad = quadOf(form), bytes = <usize> size << 2, length = lengthOf(form, groups);
  const last = from + bytes * count, values = <usize> groups << (form == FORM_WIDE ? 3 : 4);
  for (; from < last; from += bytes, to += length + 16) {
    let all = i32x4.splat(0), at = to;
    for (let x = from; x < from + values; x += 16) {
      const value = clamp(f32x4.mul(v128.load(x), inverse), lower, upper);
      all = gatherUp(all, store4(value, zero, at, form, top), form);
      at += quad;
    }
    settle(all, to + length, form);
  }
}

/**
 * Stores the inputs of `count` steps or rows at `x`, in the form of the weights.
 *
 * @param inputs float32 [count][size]: real numbers, or integers minus the zero point.
 */
export function storeInputs(cell: usize, inputs: usize, x: usize, size: i32, count: i32): void {
  const zero = v128.load(cell, CELL_INPUT_OFFSET);
  const lower = v128.load(cell, CELL_INPUT_LOWER), upper = v128.load(cell, CELL_INPUT_UPPER);
  const form = load<i32>(cell, CELL_INPUT_FORM), groups = load<i32>(cell, CELL_INPUT_GROUPS);
  storeOperands(inputs, v128.load32_splat(IN_SCALE), lower, upper, zero, x, size, count, form, groups);
}

/**
 * Projects the inputs of `count` steps or rows: W_ih x + b_ih, float32 [count][units][4 gates] with
 * GAP bytes in between.
 *
 * @param inputs float32 [count][size]: real numbers, or integers minus the zero point.
 * @param x Scratch for the inputs in the form of the weights.
 */
export function projectInput(
  cell: usize,
  inputs: usize,
  x: usize,
  projected: usize,
  size: i32,
  count: i32,
): void {
  const blocks = load<i32>(cell, CELL_BLOCKS), groups = load<i32>(cell, CELL_INPUT_GROUPS);
  const form = load<i32>(cell, CELL_INPUT_FORM), p = load<usize>(cell, CELL_INPUT_PROJECTION);
  const stride = lengthOf(form, groups) + 16, width = <usize> blocks * BLOCK, pitch = width + GAP;
  storeInputs(cell, inputs, x, size, count);
  let w = load<usize>(cell, CELL_INPUT_WEIGHTS);
  // All sums come first: then many independent units are projected at a time.
  const tile = count > 1 ? tileOf(groups) : width;
  for (let block: usize = 0; block < width; block += tile) {
    let from = x, to = projected + block, end = projected + min(block + tile, width);
    for (let i = 0; i < count; i += 2) {
      dots(form, w, from, i + 1 < count ? from + stride : 0, groups, to, to + pitch, end);
      from += stride << 1;
      to += pitch << 1;
      end += pitch << 1;
    }
    w += tile * (groups + 1);
  }
  const gates = load<i32>(cell, CELL_INPUT_GATES);
  for (let i = 0; i < count; i++) {
    if (gates) projectTurns(p, 0, projected, projected + width, gates);
    else projectAll(p, p + PROJECTION_SIZE, projected, projected + width);
    projected += pitch;
  }
}

/**
 * Projects a row of float32 values with dequantized weights; sums are in double, in order.
 *
 * @param weights int8 [rows][size]; `scales` and `bias` are float32 [rows].
 */
export function projectFloats(
  weights: usize,
  scales: usize,
  bias: usize,
  x: usize,
  out: usize,
  size: i32,
  rows: i32,
): void {
  for (const end = out + (<usize> rows << 2), stop = x + (<usize> size << 2); out < end; out += 4) {
    const scale = load<f32>(scales);
    let sum: f64 = 0;
    for (let from = x; from < stop; from += 4) {
      sum += <f64> load<f32>(from) * <f64> (scale * <f32> load<i8>(weights++));
    }
    store<f32>(out, <f32> (sum + <f64> load<f32>(bias)));
    scales += 4;
    bias += 4;
  }
}

// Makes `cell` the current one.
function begin(cell: usize): void {
  if (load<usize>(CURRENT) == cell) return;
  memory.copy(RUNNING, cell, CELL_PATIENCE);
  store<usize>(CURRENT, cell);
}

// Counts down the steps that do not store outputs; returns whether this step stores them.
@inline function countStep(cell: usize): bool {
  const patience = load<i32>(cell, CELL_PATIENCE);
  if (patience) store<i32>(cell, patience - 1, CELL_PATIENCE);
  return !patience;
}

// Advances units by a step: from their sums at `gates`, up to `end`, and their projected inputs, to
// cell and hidden states. Hidden states are written as float32 at `out` and as an operand at
// `hidden`; the argument of `settle` is returned. `unit` is the first unit's part of the projection
// `p`, and `c` its cell state. Each pass runs over all units, so that the latencies of units,
// mostly of table look-ups, overlap.
@inline function advance(
  p: usize,
  unit: usize,
  gates: usize,
  end: usize,
  projected: usize,
  c: usize,
  out: usize,
  hidden: usize,
  form: i32,
  top: usize,
  offset: v128,
  kept: bool,
): v128 {
  const bias = load<i32>(p, PROJECTION_BIAS), unquantized = load<i32>(p, PROJECTION_UNQUANTIZED), quad = quadOf(form);
  const lower = v128.load(p, PROJECTION_LOWER), upper = v128.load(p, PROJECTION_UPPER);
  const fixedGates = load<i32>(RUNNING, CELL_GATE_SUM + SUM_FIXED);
  const fixedState = load<i32>(RUNNING, CELL_STATE_SUM + SUM_FIXED);
  let all = i32x4.splat(0);
  const base = v128.load(RUNNING, CELL_GATE_TABLES);
  const scaleA = v128.load(RUNNING, CELL_GATE_SUM + SUM_SCALE_A);
  const scaleB = v128.load(RUNNING, CELL_GATE_SUM + SUM_SCALE_B);
  const factor = v128.load(RUNNING, CELL_GATE_SUM + SUM_FACTOR);
  const least = v128.load(RUNNING, CELL_GATE_SUM + SUM_LOWER);
  const most = v128.load(RUNNING, CELL_GATE_SUM + SUM_UPPER);
  for (let gate = gates; gate < end; gate += 16) {
    const own = project(gate, p, unit, bias, unquantized, lower, upper);
    const sum = add(v128.load(projected), own, RUNNING + CELL_GATE_SUM, fixedGates, scaleA, scaleB, factor);
    v128.store(gate, addresses(clamp(sum, least, most), base));
    projected += 16;
    unit += UNIT_SIZE;
  }
  if (!kept) setAside(gates, end, 16);
  const forget = v128.load(p, PROJECTION_FORGET_MULTIPLIER);
  for (let at = gates; at < end; at += 64, c += 16) {
    let input: v128, forgetGate: v128, cellGate: v128, outputGate: v128;
    for (;;) {
      input = gather(at, 16);
      forgetGate = gather(at + 4, 16);
      cellGate = gather(at + 8, 16);
      outputGate = gather(at + 12, 16);
      const known = i32x4.min_u(i32x4.min_u(input, forgetGate), i32x4.min_u(cellGate, outputGate));
      if (i32x4.all_true(known)) break;
      complete(at, 16, 4);
    }
    const forgotten = f32x4.nearest(multiply(
      forgetGate,
      v128.load(c),
      forget,
      v128.load(RUNNING, CELL_FORGET + BOUNDS_LOWER),
      v128.load(RUNNING, CELL_FORGET + BOUNDS_UPPER),
    ));
    const candidate = f32x4.nearest(multiply(
      input,
      cellGate,
      v128.load(RUNNING, CELL_CANDIDATE + PRODUCT_MULTIPLIER),
      v128.load(RUNNING, CELL_CANDIDATE + PRODUCT_LOWER),
      v128.load(RUNNING, CELL_CANDIDATE + PRODUCT_UPPER),
    ));
    const sum = add(
      forgotten,
      candidate,
      RUNNING + CELL_STATE_SUM,
      fixedState,
      v128.load(RUNNING, CELL_STATE_SUM + SUM_SCALE_A),
      v128.load(RUNNING, CELL_STATE_SUM + SUM_SCALE_B),
      v128.load(RUNNING, CELL_STATE_SUM + SUM_FACTOR),
    );
    const state = clamp(
      sum,
      v128.load(RUNNING, CELL_STATE_SUM + SUM_LOWER),
      v128.load(RUNNING, CELL_STATE_SUM + SUM_UPPER),
    );
    v128.store(c, round(state));
    v128.store(at, outputGate, 16);
    v128.store(at, addresses(state, v128.load(RUNNING, CELL_STATE_TABLE)));
  }
  if (!kept) setAside(gates, end, 4);
  for (let at = gates; at < end; at += 64, out += 16) {
    let tanh: v128;
    for (;;) {
      tanh = gather(at, 4);
      if (i32x4.all_true(tanh)) break;
      complete(at, 4, 4);
    }
    const output = multiply(
      v128.load(at, 16),
      tanh,
      v128.load(RUNNING, CELL_HIDDEN + PRODUCT_MULTIPLIER),
      v128.load(RUNNING, CELL_HIDDEN + PRODUCT_LOWER),
      v128.load(RUNNING, CELL_HIDDEN + PRODUCT_UPPER),
    );
    v128.store(out, f32x4.mul(round(output), v128.load32_splat(OUT_SCALE)));
    all = gatherUp(all, store4(output, offset, hidden, form, top), form);
    hidden += quad;
  }
  return all;
}

// The address of the input of a row's step: an operand or a projected input.
@inline function inputOf(row: usize, offset: usize): usize {
  return <usize> load<u32>(load<usize>(row, ROW_INPUTS) + offset);
}

// The address of a row's operand in `field` of its description; `offset` applies only to INPUTS.
@inline function operandOf(row: usize, field: usize, offset: usize): usize {
  return field == ROW_INPUTS ? inputOf(row, offset) : load<usize>(row + field);
}

// Sums of all batch rows with the operands in `field`, written `to` bytes into each row's GATES.
function products(
  rows: usize,
  last: usize,
  form: i32,
  w: usize,
  groups: i32,
  field: usize,
  offset: usize,
  to: usize,
  width: usize,
): void {
  const tile = rows < last ? tileOf(groups) : width;
  for (const end = to + width; to < end; to += tile) {
    for (let row = rows; row <= last; row += ROW_SIZE << 1) {
      const next = row + ROW_SIZE, gates = load<usize>(row, ROW_GATES);
      const y = row < last ? operandOf(next, field, offset) : 0, more = y ? load<usize>(next, ROW_GATES) + to : 0;
      dots(form, w, operandOf(row, field, offset), y, groups, gates + to, more, gates + min(to + tile, end));
    }
    w += tile * (groups + 1);
  }
}

// Writes the vector that follows an operand, if its units are written in parts: `later` if this is
// not the first part, `more` if it is not the last.
@inline function settlePart(all: v128, end: usize, form: i32, later: bool, more: bool): void {
  if (later) {
    const before = v128.load(end);
    all = form == FORM_PAIRED ? i32x4.add(before, all) : v128.or(before, all);
  }
  if (more) v128.store(end, all);
  else settle(all, end, form);
}

// Replaces old hidden states with the new ones, once no unit reads the old ones any more.
function replaceHidden(rows: usize, last: usize, length: usize): void {
  for (let row = rows; row <= last; row += ROW_SIZE) {
    let from = load<usize>(row, ROW_NEXT), to = load<usize>(row, ROW_HIDDEN);
    for (const end = from + length; from <= end; from += 16, to += 16) v128.store(to, v128.load(from));
  }
}

// Projects the new states of rows to outputs and hidden states.
function projectStates(rows: usize, last: usize, form: i32, groups: i32, outStep: usize): void {
  const width = load<usize>(RUNNING, CELL_SECOND + SECOND_WIDTH), units = load<usize>(RUNNING, CELL_SECOND + SECOND_UNITS);
  const w = load<usize>(RUNNING, CELL_SECOND + SECOND_WEIGHTS), secondForm = load<i32>(RUNNING, CELL_SECOND + SECOND_FORM);
  const offset = v128.load(RUNNING, CELL_HIDDEN_OFFSET), scale = v128.load32_splat(OUT_SCALE), quad = quadOf(form);
  const length = lengthOf(form, groups), top = topOf(groups);
  products(rows, last, secondForm, w, load<i32>(RUNNING, CELL_SECOND + SECOND_GROUPS), ROW_SECOND, 0, 0, width);
  for (let row = rows; row <= last; row += ROW_SIZE) {
    let at = load<usize>(row, ROW_GATES), out = load<usize>(row, ROW_OUTPUT) + outStep;
    let hidden = load<usize>(row, ROW_HIDDEN), all = i32x4.splat(0);
    const end = hidden + length, stop = at + units;
    projectTurns(load<usize>(RUNNING, CELL_SECOND + SECOND_PROJECTION), 0, at, stop, 1);
    for (; at < stop; at += 16, out += 16, hidden += quad) {
      const state = round(v128.load(at));
      v128.store(out, f32x4.mul(state, scale));
      all = gatherUp(all, store4(state, offset, hidden, form, top), form);
    }
    settle(all, end, form);
  }
}

/**
 * Runs `steps` steps of `count` rows.
 *
 * @param rows Descriptions of the rows: ROW. Hidden states (minus an offset, in the form of the
 * weights) and cell states (float32) are overwritten. The addresses of projected inputs, float32
 * [units][4 gates], are `inputStride` bytes apart from step to step; outputs, float32 [units] in
 * whole blocks, `outStride` bytes.
 * @param split Number of units that run at a time, a multiple of 32; 0 for all. If not 0, inputs of
 * a cell with input weights are operands from `storeInputs`, and GATES has space for the sums of a
 * block, twice.
 */
export function runSteps(
  cell: usize,
  rows: usize,
  count: i32,
  inputStride: usize,
  outStride: usize,
  steps: i32,
  split: i32,
): void {
  begin(cell);
  const width = <usize> load<i32>(RUNNING, CELL_BLOCKS) * BLOCK, share = split ? min<usize>(<usize> split << 4, width) : width;
  const secondGroups = load<i32>(RUNNING, CELL_SECOND + SECOND_GROUPS), projects = secondGroups > 0, apart = share < width;
  const groups = load<i32>(RUNNING, CELL_HIDDEN_GROUPS), form = load<i32>(RUNNING, CELL_HIDDEN_FORM);
  const inputGroups = split ? load<i32>(RUNNING, CELL_INPUT_GROUPS) : 0, inputForm = load<i32>(RUNNING, CELL_INPUT_FORM);
  const inputProjection = load<usize>(RUNNING, CELL_INPUT_PROJECTION), length = lengthOf(form, groups);
  // The destination of new states: the operand of the projection, or of the next step's product.
  const target = projects ? ROW_SECOND : apart ? ROW_NEXT : ROW_HIDDEN;
  const toForm = projects ? load<i32>(RUNNING, CELL_SECOND + SECOND_FORM) : form, toGroups = projects ? secondGroups : groups;
  const offset = v128.load(projects ? RUNNING + CELL_SECOND + SECOND_OFFSET : RUNNING + CELL_HIDDEN_OFFSET);
  const top = topOf(toGroups), toLength = lengthOf(toForm, toGroups), quad = quadOf(toForm);
  const last = rows + <usize> (count - 1) * ROW_SIZE;
  for (let t = 0, inputStep: usize = 0, outStep: usize = 0; t < steps; t++, inputStep += inputStride, outStep += outStride) {
    const kept = countStep(cell);
    let w = load<usize>(RUNNING, CELL_HIDDEN_WEIGHTS), inputWeights = load<usize>(RUNNING, CELL_INPUT_WEIGHTS);
    for (let block: usize = 0; block < width; block += share) {
      const size = min(share, width - block), first = (block >> 4) * UNIT_SIZE + PROJECTION_SIZE, unit = block >> 2;
      if (inputGroups) products(rows, last, inputForm, inputWeights, inputGroups, ROW_INPUTS, inputStep, share, size);
      products(rows, last, form, w, groups, ROW_HIDDEN, 0, 0, size);
      for (let row = rows; row <= last; row += ROW_SIZE) {
        const gates = load<usize>(row, ROW_GATES), p = load<usize>(row, ROW_PROJECTION), next = load<usize>(row + target);
        let projected = gates + share;
        if (inputGroups) projectAll(inputProjection, inputProjection + first, projected, projected + size);
        else projected = inputOf(row, inputStep) + block;
        const c = load<usize>(row, ROW_CELL) + unit, hidden = next + (unit >> 4) * quad;
        // If the state is projected, the unprojected state is no output: it goes to the memory of
        // gates that are no longer needed.
        const out = projects ? gates : load<usize>(row, ROW_OUTPUT) + outStep + unit;
        const all = advance(p, p + first, gates, gates + size, projected, c, out, hidden, toForm, top, offset, kept);
        settlePart(all, next + toLength, toForm, block > 0, block + share < width);
      }
      w += size * (groups + 1);
      inputWeights += size * (inputGroups + 1);
    }
    if (projects) projectStates(rows, last, form, groups, outStep);
    else if (apart) replaceHidden(rows, last, length);
  }
}
