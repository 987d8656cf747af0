/**
 * Dynamic quantization: int8 weights, and float32 activations that are quantized at each call, by
 * their own range.
 *
 * @module
 */
import { type DynamicQuantization, linearDynamicInt8 } from "../../kernels/ops/linear_dynamic.ts";
import type { Engine, LinearWeight } from "../../kernels/ops/linear.ts";

/** As torch's modules ask for it, with memory for `size` values; qnnpack ignores reduceRange. */
function quantizationOf(size: number): DynamicQuantization {
  return { reduceRange: true, integers: new Uint8Array(size) };
}

/** A dynamic linear operator with the memory for its rows. */
export class DynamicRows {
  x: Float32Array;
  y: Float32Array;
  #quantization: DynamicQuantization;

  constructor(
    readonly engine: Engine,
    readonly weight: LinearWeight,
    readonly bias: Float32Array | null,
    readonly relu = false,
  ) {
    this.x = new Float32Array(0);
    this.y = this.x;
    this.#quantization = quantizationOf(0);
  }

  /** Makes room for `rows` rows, and gives the bytes in use. */
  reserve(rows: number): number {
    const { inFeatures, outFeatures } = this.weight;
    const size = rows * inFeatures;
    if (this.x.length < size) {
      this.x = new Float32Array(size);
      this.y = new Float32Array(rows * outFeatures);
      this.#quantization = quantizationOf(size);
    }
    return size * 5 + rows * outFeatures * 4;
  }

  /** Runs the first `rows` rows of `x`, which share one range, into `y`. */
  run(rows: number): void {
    if (rows === 0) return;
    const x = this.x.subarray(0, rows * this.weight.inFeatures);
    linearDynamicInt8(this.engine, x, this, this.y, this.#quantization);
  }
}
