/**
 * The batch normalization of a quantized model: float32 numbers, integers in and out.
 *
 * @module
 */
import { type BatchNorm, batchNormFloat32, batchNormInt8 } from "../../../kernels/ops/normalize.ts";
import { copyArray } from "../../../kernels/numeric/typed_array.ts";
import { checkGiven } from "../../core/errors.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import { checkValues } from "../check.ts";
import { forwardRows } from "../forward.ts";
import type { ForwardTensor, QuantizedModule } from "../kind.ts";
import { checkBatchNorm } from "./check.ts";

/** A batch normalization between quantized values. */
export interface BatchNorm1dModule extends QuantizedModule, BatchNorm {
  /** Name of the kind. */
  readonly kind: "BatchNorm1d";
  /** Parameters of the input; null takes float32 input. */
  readonly input: PerTensorQParams | null;
  /** Parameters of the output; null gives float32 output. */
  readonly output: PerTensorQParams | null;
}

/** Constructor data of {@linkcode QuantizedBatchNorm1d}. */
export type QuantizedBatchNorm1dOptions = Omit<BatchNorm1dModule, "kind">;

/** Scales of a batch normalization between integers; null if it runs in float32. */
export function scalesOf(
  input: PerTensorQParams | null,
  output: PerTensorQParams | null,
): { from: number; to: number } | null {
  return input === null || output === null ? null : { from: input.scale, to: output.scale };
}

/**
 * A batch normalization that could not be folded: torch's quantized::batch_norm1d between integers,
 * else float32.
 *
 * @example
 * ```ts
 * import { perTensorAffine, tensor } from "@splitgate/splitgate";
 * import { QuantizedBatchNorm1d } from "./quantized.ts";
 * import { assertEquals } from "@std/assert";
 * const norm = new QuantizedBatchNorm1d({
 *   weight: Float32Array.of(2),
 *   bias: Float32Array.of(1),
 *   runningMean: Float32Array.of(0),
 *   runningVar: Float32Array.of(1),
 *   eps: 0,
 *   input: perTensorAffine({ dtype: "quint8", scale: 0.5, zeroPoint: 4 }),
 *   output: perTensorAffine({ dtype: "quint8", scale: 0.5, zeroPoint: 10 }),
 * });
 * assertEquals([...norm.forward(tensor([1.5], [1, 1])).data], [18]); // 2 * 1.5 + 1 = 4
 * ```
 */
export class QuantizedBatchNorm1d implements BatchNorm1dModule {
  /** Name of the kind. */
  readonly kind = "BatchNorm1d";
  readonly weight: Float32Array | null;
  readonly bias: Float32Array | null;
  readonly runningMean: Float32Array;
  readonly runningVar: Float32Array;
  readonly eps: number;
  readonly input: PerTensorQParams | null;
  readonly output: PerTensorQParams | null;

  /**
   * Checks arrays and parameters and keeps them; arrays are copied.
   *
   * @throws {TypeError} If an array is no Float32Array, or eps no number.
   * @throws {RangeError} If a length is wrong, a value not finite, a variance negative, or 0
   * without eps, or a feature's factor exceeds float32.
   */
  constructor(options: QuantizedBatchNorm1dOptions) {
    checkGiven(options);
    this.weight = copyArray(options.weight);
    this.bias = copyArray(options.bias);
    this.runningMean = copyArray(options.runningMean);
    this.runningVar = copyArray(options.runningVar);
    this.eps = options.eps;
    this.input = options.input;
    this.output = options.output;
    checkValues("BatchNorm1d.input", this.input);
    checkValues("BatchNorm1d.output", this.output);
    checkBatchNorm("BatchNorm1d", this, scalesOf(this.input, this.output));
  }

  /**
   * Runs the module with the plain kernels.
   *
   * @param x [..., features]. A quantized tensor keeps its own parameters; floats are quantized to
   * the module's `input`, or stay floats where that is null.
   * @returns Of x's shape, quantized, or float32 where the module's `output` is null.
   * @throws {TypeError} If `x` is no tensor.
   * @throws {RangeError} If its last dimension is another one, a value is out of range, its
   * parameters do not suit the module, or a float32 result overflows.
   */
  forward(x: ForwardTensor): ForwardTensor {
    const { runningMean: { length }, input, output } = this;
    return forwardRows(x, length, { input, output }, {
      integers: (x, out) => {
        checkBatchNorm("BatchNorm1d", this, scalesOf(x.qparams, out.qparams));
        batchNormInt8(x, this, out);
        return true;
      },
      floats: (data) => batchNormFloat32(data, this, data),
    });
  }
}
