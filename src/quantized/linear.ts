/**
 * The quantized linear layer and what runs it.
 *
 * @module
 */
import { linearFloat32 } from "../../kernels/float_linear.ts";
import type { Engine, LinearWeight } from "../../kernels/linear.ts";
import { type Projection, projectRows } from "../../kernels/lstm_cell.ts";
import { type PackedRows, packRows } from "../../kernels/pack.ts";
import { integerBound, prepareProjection, rowOrder } from "../../kernels/prepare.ts";
import { dequantizePerChannel } from "../../kernels/quantize.ts";
import type { PerTensorQParams } from "../qparams.ts";
import { quantizeShifted } from "./lstm.ts";

/** What a {@linkcode QuantizedLinear} is made of. */
export interface QuantizedLinearOptions {
  readonly engine: Engine;
  /** int8 [outFeatures, inFeatures] */
  readonly weight: LinearWeight;
  /** [outFeatures] or null. */
  readonly bias: Float32Array | null;
  /** Parameters of the input; null takes float32 input. */
  readonly input: PerTensorQParams | null;
  /** Parameters of the output; null gives float32 output. */
  readonly output: PerTensorQParams | null;
}

/** A linear layer with int8 weights. */
export class QuantizedLinear implements QuantizedLinearOptions {
  readonly engine: Engine;
  readonly weight: LinearWeight;
  readonly bias: Float32Array | null;
  readonly input: PerTensorQParams | null;
  readonly output: PerTensorQParams | null;

  constructor(options: QuantizedLinearOptions) {
    this.engine = options.engine;
    this.weight = options.weight;
    this.bias = options.bias;
    this.input = options.input;
    this.output = options.output;
  }
}

/** Constants and scratch of a linear layer, shared by all sessions. */
export class PreparedLinear {
  readonly #linear: QuantizedLinear;
  readonly #rows: PackedRows | null = null;
  readonly #projection: Projection | null = null;
  readonly #sums: Float64Array = new Float64Array(8);
  readonly #x: Float64Array;
  readonly #float: Float32Array | null = null;
  readonly #xFloat: Float32Array;
  readonly #yFloat: Float32Array;

  constructor(linear: QuantizedLinear) {
    const { engine, weight, bias, input, output } = linear, order = rowOrder(weight.outFeatures);
    this.#linear = linear;
    this.#x = new Float64Array(weight.inFeatures);
    this.#xFloat = new Float32Array(input === null ? weight.inFeatures : 0);
    this.#yFloat = new Float32Array(input === null ? weight.outFeatures : 0);
    if (input === null) {
      this.#float = new Float32Array(weight.data.length);
      const inner = weight.data.length / weight.scales.length;
      dequantizePerChannel(weight.data, this.#float, weight.scales, weight.zeroPoints, inner);
    } else {
      this.#rows = packRows(weight, order, integerBound(input));
      this.#projection = prepareProjection(engine, weight, bias, order, input, [output, output, output, output]);
    }
  }

  /**
   * Runs the layer on `count` rows: [count, inFeatures] to [count, outFeatures], integers less the zero point or
   * floats.
   */
  process(x: Float64Array, out: Float64Array, count: number): void {
    const { inFeatures, outFeatures } = this.#linear.weight, row = this.#x;
    for (let r = 0, at = 0; r < count; r++, at += inFeatures) {
      if (this.#rows !== null) {
        for (let k = 0; k < inFeatures; k++) row[k] = x[at + k];
        projectRows(this.#rows, this.#projection!, row, this.#sums, out, r * outFeatures, outFeatures);
        continue;
      }
      for (let k = 0; k < inFeatures; k++) this.#xFloat[k] = x[at + k];
      linearFloat32(this.#xFloat, 0, this.#float!, this.#linear.bias, inFeatures, outFeatures, this.#yFloat, 0);
      const { output } = this.#linear;
      if (output !== null) quantizeShifted(this.#yFloat, 0, out, r * outFeatures, outFeatures, output);
      else for (let j = 0; j < outFeatures; j++) out[r * outFeatures + j] = this.#yFloat[j];
    }
  }
}
