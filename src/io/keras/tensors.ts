/**
 * Conversion of weights from Keras' layout, [in, gates * units], to PyTorch's, [gates * units, in].
 *
 * @module
 */
import { checkFinite, failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import type { Flow } from "./builder.ts";

/** Requires a weight of this shape, finite; undefined stands for any size. */
export function checkWeight(
  name: string,
  { shape, data }: Tensor,
  expected: readonly (number | undefined)[],
): void {
  const fits = shape.length === expected.length &&
    shape.every((n, i) => n > 0 && n === (expected[i] ?? n));
  if (!fits) {
    failRange(name, `a weight [${expected.map((n) => n ?? "any").join(", ")}]`, [...shape]);
  }
  checkFinite(name, data);
}

/** The transpose of a matrix. */
export function transposed({ data, shape: [rows, columns] }: Tensor): Tensor {
  const out = new Float32Array(data.length);
  for (let i = 0; i < rows!; i++) {
    for (let j = 0; j < columns!; j++) out[j * rows! + i] = data[i * columns! + j]!;
  }
  return { data: out, shape: [columns!, rows!] };
}

/** Reorders blocks of rows of equal size. */
export function reordered({ data, shape }: Tensor, order: readonly number[]): Tensor {
  const size = data.length / order.length;
  const out = new Float32Array(data.length);
  order.forEach((from, to) => out.set(data.subarray(from * size, (from + 1) * size), to * size));
  return { data: out, shape };
}

/** Concatenates tensors by rows. */
export function stacked(tensors: readonly Tensor[]): Tensor {
  const data = new Float32Array(tensors.reduce((sum, { data }) => sum + data.length, 0));
  let rows = 0;
  let at = 0;
  for (const { data: part, shape } of tensors) {
    data.set(part, at);
    at += part.length;
    rows += shape[0]!;
  }
  return { data, shape: [rows, ...tensors[0]!.shape.slice(1)] };
}

/** A kernel adapted to rows that hold two directions side by side. */
export function forHalves(kernel: Tensor, { halves }: Flow): Tensor {
  if (halves === undefined) return kernel;
  const scaled = halves.map((factor) => ({ ...kernel, data: kernel.data.map((x) => x * factor) }));
  return stacked(scaled);
}
