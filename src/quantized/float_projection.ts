/**
 * The input projection of a cell whose input is float32.
 *
 * @module
 */
import { linearFloat32 } from "../../kernels/float_linear.ts";
import { gateOrder } from "../../kernels/prepare.ts";
import { dequantizePerChannel } from "../../kernels/quantize.ts";
import type { QuantizedLstmCell } from "./cell.ts";
import { quantizeShifted } from "./shifted.ts";

/** Projects float32 inputs on dequantized weights, in the order of the gates array. */
export class FloatProjection {
  readonly #source: QuantizedLstmCell;
  readonly #weight: Float32Array;
  readonly #order: Int32Array;
  readonly #row: Float32Array;

  constructor(source: QuantizedLstmCell) {
    const { data, outFeatures, scales, zeroPoints } = source.weightIh;
    this.#source = source;
    this.#weight = new Float32Array(data.length);
    dequantizePerChannel(data, this.#weight, scales, zeroPoints, data.length / scales.length);
    this.#order = gateOrder(outFeatures / 4);
    this.#row = new Float32Array(outFeatures);
  }

  /** Projects an input [inputSize] to what a step takes, [4 * hiddenSize] from `offset` on. */
  project(x: Float32Array, out: Float32Array, offset: number): void {
    const { weightIh: { inFeatures, outFeatures }, biasIh, parts } = this.#source,
      row = this.#row,
      size = outFeatures / 4;
    linearFloat32(x, 0, this.#weight, biasIh, inFeatures, outFeatures, row, 0);
    for (let gate = 0; gate < 4; gate++) {
      const q = parts.igates[gate]!;
      if (q !== null) quantizeShifted(row, gate * size, row, gate * size, size, q);
    }
    for (let i = 0; i < outFeatures; i++) out[offset + i] = row[this.#order[i]!]!;
  }
}
