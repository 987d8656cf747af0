/**
 * Dynamic quantization: int8 weights, and float32 activations that are quantized at each call, by their own range.
 *
 * @module
 */
import { linearDynamicInt8 } from "../../kernels/ops/linear_dynamic.ts";
import type { Engine, LinearWeight } from "../../kernels/ops/linear.ts";

/** torch's modules always ask for it; qnnpack's kernel ignores it. */
const REDUCE_RANGE = true;

/** A dynamic linear operator with the memory for its rows. */
export class DynamicRows {
  x: Float32Array;
  y: Float32Array;
  #integers: Uint8Array;

  constructor(
    readonly engine: Engine,
    readonly weight: LinearWeight,
    readonly bias: Float32Array | null,
    readonly relu = false,
  ) {
    this.x = new Float32Array(0);
    this.y = this.x;
    this.#integers = new Uint8Array(0);
  }

  /** Makes room for `rows` rows, and gives the bytes in use. */
  reserve(rows: number): number {
    const { inFeatures, outFeatures } = this.weight;
    const size = rows * inFeatures;
    if (this.x.length < size) {
      this.x = new Float32Array(size);
      this.y = new Float32Array(rows * outFeatures);
      this.#integers = new Uint8Array(size);
    }
    return size * 5 + rows * outFeatures * 4;
  }

  /** Runs the first `rows` rows of `x`, which share one range, into `y`. */
  run(rows: number): void {
    if (rows === 0) return;
    const { engine, weight, bias, relu, x, y } = this;
    linearDynamicInt8(
      engine,
      x.subarray(0, rows * weight.inFeatures),
      weight,
      bias,
      y,
      relu,
      REDUCE_RANGE,
      this.#integers,
    );
  }
}
