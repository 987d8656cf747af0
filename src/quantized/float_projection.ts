/**
 * The input projection of a cell whose input is float32.
 *
 * @module
 */
import { linearFloat32 } from "../../kernels/float_linear.ts";
import { gateOrder } from "../../kernels/prepare.ts";
import type { QuantizedLstmCell } from "./cell.ts";
import { quantizeShifted } from "./shifted.ts";

/** Projects float32 inputs on dequantized weights, in the order of the gates array. */
export class FloatProjection {
  readonly #source: QuantizedLstmCell;
  readonly #weight: Float32Array;
  readonly #bias: Float32Array | null;

  constructor(source: QuantizedLstmCell) {
    const { data, inFeatures, outFeatures, scales, zeroPoints } = source.weightIh, { biasIh } = source;
    const order = gateOrder(outFeatures / 4);
    this.#source = source;
    const floats = this.#weight = new Float32Array(data.length);
    this.#bias = biasIh === null ? null : new Float32Array(outFeatures);
    for (let place = 0; place < outFeatures; place++) {
      const row = order[place]!, channel = Math.floor(row * scales.length / outFeatures);
      const from = row * inFeatures, to = place * inFeatures;
      const scale = scales[channel]!, zeroPoint = zeroPoints[channel]!;
      // As dequantizeValue: stored in float32, the product is rounded once.
      for (let k = 0; k < inFeatures; k++) floats[to + k] = scale * (data[from + k]! - zeroPoint);
      if (this.#bias !== null) this.#bias[place] = biasIh![row]!;
    }
  }

  /** Projects an input [inputSize] to what a step takes, [4 * hiddenSize] from `offset` on. */
  project(x: Float32Array, out: Float32Array, offset: number): void {
    const { inFeatures, outFeatures } = this.#source.weightIh, { igates } = this.#source.parts;
    linearFloat32(x, 0, this.#weight, this.#bias, inFeatures, outFeatures, out, offset);
    for (let row = 0; row < outFeatures; row++) {
      const q = igates[row & 3]!;
      if (q !== null) quantizeShifted(out, offset + row, out, offset + row, 1, q);
    }
  }
}
