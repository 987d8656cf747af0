// The float linear operator in WebAssembly SIMD (AssemblyScript): two rows of the weight at a time.
// Each sum is accumulated in double, in the order of the columns, and rounded to float32 once, as
// linearFloat32 does: the same bits.

// Rows of a block: eight pairs, whose sums do not wait for each other.
const BLOCK: usize = 16;

// weight: float32 values as float64, blocks of [columns, 16 rows]. bias: float64 [16 * blocks]. x:
// float32 values as float64 [columns].
// out: float32 [16 * blocks].
export function multiply(
  weight: usize,
  bias: usize,
  x: usize,
  out: usize,
  columns: usize,
  blocks: usize,
): void {
  const end = x + (columns << 3);
  for (let block: usize = 0; block < blocks; block++) {
    let a = f64x2.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
    for (let at = x; at < end; at += 8) {
      const value = v128.load64_splat(at);
      a = multiplyAdd(value, v128.load(weight + 0), a);
      b = multiplyAdd(value, v128.load(weight + 16), b);
      c = multiplyAdd(value, v128.load(weight + 32), c);
      d = multiplyAdd(value, v128.load(weight + 48), d);
      e = multiplyAdd(value, v128.load(weight + 64), e);
      f = multiplyAdd(value, v128.load(weight + 80), f);
      g = multiplyAdd(value, v128.load(weight + 96), g);
      h = multiplyAdd(value, v128.load(weight + 112), h);
      weight += BLOCK << 3;
    }
    finish(a, bias, out, 0);
    finish(b, bias, out, 1);
    finish(c, bias, out, 2);
    finish(d, bias, out, 3);
    finish(e, bias, out, 4);
    finish(f, bias, out, 5);
    finish(g, bias, out, 6);
    finish(h, bias, out, 7);
    bias += BLOCK << 3;
    out += BLOCK << 2;
  }
}

// The same of four rows of x, one behind the other, and of out: each value of the weight is read once
// for all of them.
export function multiplyFour(
  weight: usize,
  bias: usize,
  x: usize,
  out: usize,
  columns: usize,
  blocks: usize,
): void {
  const row = columns << 3;
  const width = blocks * (BLOCK << 2);
  for (let block: usize = 0; block < blocks; block++) {
    for (let part: usize = 0; part < BLOCK; part += 4) {
      let a = f64x2.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
      let from = weight + (part << 3);
      for (let at = x, end = x + row; at < end; at += 8) {
        const first = v128.load(from), second = v128.load(from + 16);
        let value = v128.load64_splat(at);
        a = multiplyAdd(value, first, a);
        b = multiplyAdd(value, second, b);
        value = v128.load64_splat(at + row);
        c = multiplyAdd(value, first, c);
        d = multiplyAdd(value, second, d);
        value = v128.load64_splat(at + 2 * row);
        e = multiplyAdd(value, first, e);
        f = multiplyAdd(value, second, f);
        value = v128.load64_splat(at + 3 * row);
        g = multiplyAdd(value, first, g);
        h = multiplyAdd(value, second, h);
        from += BLOCK << 3;
      }
      const biases = bias + (part << 3), to = out + (part << 2);
      finish(a, biases, to, 0);
      finish(b, biases, to, 1);
      finish(c, biases, to + width, 0);
      finish(d, biases, to + width, 1);
      finish(e, biases, to + 2 * width, 0);
      finish(f, biases, to + 2 * width, 1);
      finish(g, biases, to + 3 * width, 0);
      finish(h, biases, to + 3 * width, 1);
    }
    weight += row << 4;
    bias += BLOCK << 3;
    out += BLOCK << 2;
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
function finish(sums: v128, bias: usize, out: usize, i: usize): void {
  const rounded = f32x4.demote_f64x2_zero(v128.add<f64>(sums, v128.load(bias + (i << 4))));
  store<i64>(out + (i << 3), i64x2.extract_lane(rounded, 0));
}
