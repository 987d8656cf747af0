/**
 * torch's float32 summation order.
 *
 * @module
 */
const f = Math.fround;
const LANES = 8;
const ROWS = 4;
const LEVELS = 4;

/**
 * The float32 sum of `data` in the order of torch.sum on a CPU with AVX2 or AVX512 (up to 32768
 * elements, which torch does not split over threads; aten/src/ATen/native/cpu/SumKernel.cpp): 4
 * interleaved rows of 8 lanes; each is summed in chunks of 16 or more elements, the chunks' sums in
 * chunks again, 4 levels deep.
 */
export function cascadeSum(data: Float32Array): number {
  const width = LANES * ROWS;
  const vectors = Math.floor(data.length / LANES);
  const steps = Math.floor(vectors / ROWS);
  const ceilLog2 = steps <= 2 ? 1 : 32 - Math.clz32(steps - 1);
  const power = Math.max(4, Math.floor(ceilLog2 / LEVELS));
  const step = 1 << power;

  const sums = new Float32Array(LEVELS * width);
  let i = 0;
  while (i + step <= steps) {
    for (const end = i + step; i < end; i++) addStep(sums, data, i);
    for (let level = 1; level < LEVELS; level++) {
      const at = level * width;
      for (let k = 0; k < width; k++) {
        sums[at + k]! += sums[at - width + k]!;
        sums[at - width + k] = 0;
      }
      if ((i & ((step - 1) << (level * power))) !== 0) break;
    }
  }
  for (; i < steps; i++) addStep(sums, data, i);
  for (let level = 1; level < LEVELS; level++) {
    for (let k = 0; k < width; k++) sums[k]! += sums[level * width + k]!;
  }

  // Lanes beyond the last full group of 4 rows go to the first row; then rows, leftover elements
  // and lanes are added.
  for (let v = steps * ROWS; v < vectors; v++) {
    for (let k = 0; k < LANES; k++) sums[k]! += data[v * LANES + k]!;
  }
  for (let row = 1; row < ROWS; row++) {
    for (let k = 0; k < LANES; k++) sums[k]! += sums[row * LANES + k]!;
  }
  let total = 0;
  for (let k = vectors * LANES; k < data.length; k++) total = f(total + data[k]!);
  for (let k = 0; k < LANES; k++) total = f(total + sums[k]!);
  return total;
}

function addStep(sums: Float32Array, data: Float32Array, step: number): void {
  const width = LANES * ROWS;
  for (let k = 0; k < width; k++) sums[k]! += data[step * width + k]!;
}
