/** Tensors cut and turned, for tests of modules. */
import { type Tensor, tensor } from "@splitgate/splitgate";

/** A tensor with its first two dimensions exchanged. */
export function transposed({ data, shape: [rows, columns, width] }: Tensor): Tensor {
  const out = new Float32Array(data.length);
  for (let r = 0; r < rows!; r++) {
    for (let k = 0; k < columns!; k++) {
      out.set(
        data.subarray((r * columns! + k) * width!, (r * columns! + k + 1) * width!),
        (k * rows! + r) * width!,
      );
    }
  }
  return tensor(out, [columns!, rows!, width!]);
}

/** Entry `index` of a dimension of a 3-dimensional tensor, which stays as a dimension of 1. */
export function pick({ data, shape }: Tensor, axis: 0 | 1, index: number): Tensor {
  const [rows, columns, width] = shape;
  const out: number[] = [];
  for (let r = 0; r < rows!; r++) {
    for (let k = 0; k < columns!; k++) {
      if ((axis === 0 ? r : k) !== index) continue;
      for (let j = 0; j < width!; j++) out.push(data[(r * columns! + k) * width! + j]!);
    }
  }
  return tensor(out, axis === 0 ? [1, columns!, width!] : [rows!, 1, width!]);
}

/** The first `count` entries of the first dimension. */
export function head({ data, shape }: Tensor, count: number): Tensor {
  return tensor(data.slice(0, data.length / shape[0]! * count), [count, ...shape.slice(1)]);
}
