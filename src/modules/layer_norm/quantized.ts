/**
 * The layer normalization of a quantized model: float32 numbers, integers in and out.
 *
 * @module
 */
import { type LayerNorm, layerNormFloat32, layerNormInt8 } from "../../../kernels/ops/normalize.ts";
import { copyArray, isFloat32Array } from "../../../kernels/numeric/typed_array.ts";
import { MAX_SIZE } from "../../core/check.ts";
import { checkFinite, checkGiven, checkInteger, failRange, failType } from "../../core/errors.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import { checkEps, checkValues, fitsFloat32 } from "../check.ts";
import { forwardRows } from "../forward.ts";
import type { ForwardTensor, QuantizedModule } from "../kind.ts";

/** A layer normalization between quantized values. */
export interface LayerNormModule extends QuantizedModule, LayerNorm {
  /** Name of the kind. */
  readonly kind: "LayerNorm";
  /** Last dimension of the input, the one that is normalized. */
  readonly normalizedShape: number;
  /** Parameters of the input; null takes float32 input. */
  readonly input: PerTensorQParams | null;
  /** Parameters of the output; null gives float32 output. */
  readonly output: PerTensorQParams | null;
}

/** Constructor data of {@linkcode QuantizedLayerNorm}. */
export type QuantizedLayerNormOptions = Omit<LayerNormModule, "kind">;

/** Largest distance of an 8-bit value from the mean, in steps. */
const STEPS = 256;

/**
 * Whether it runs between integers: 8-bit ones, as torch's. For wider integers the sum of squares
 * would lose the variance in float32; these go through float32 values less their mean.
 */
export function takesIntegers(
  input: PerTensorQParams | null,
  output: PerTensorQParams | null,
): boolean {
  const narrow = (q: PerTensorQParams | null) => q !== null && q.dtype !== "qint32";
  return narrow(input) && narrow(output);
}

/**
 * Requires that eps is large enough, or the scale small enough, that no integer step becomes
 * infinite.
 */
function checkFactor(name: string, { eps }: LayerNorm, input: PerTensorQParams): void {
  if (!fitsFloat32(STEPS * input.scale / Math.sqrt(eps))) {
    failRange(name, `a number that suits the input's scale ${input.scale}`, eps);
  }
}

/**
 * A layer normalization of a quantized model: torch's quantized::layer_norm between 8-bit integers,
 * else float32, by the arithmetic of the kernels' `layerNormFloat32`.
 *
 * @example
 * ```ts
 * import { perTensorAffine, tensor } from "@splitgate/splitgate";
 * import { QuantizedLayerNorm } from "./quantized.ts";
 * import { assertEquals } from "@std/assert";
 * const norm = new QuantizedLayerNorm({
 *   normalizedShape: 2,
 *   weight: null,
 *   bias: null,
 *   eps: 1e-5,
 *   input: perTensorAffine({ dtype: "quint8", scale: 0.1, zeroPoint: 7 }),
 *   output: perTensorAffine({ dtype: "quint8", scale: 1 / 64, zeroPoint: 128 }),
 * });
 * assertEquals([...norm.forward(tensor([9.3, 13.3], [1, 2])).data], [64, 192]);
 * ```
 */
export class QuantizedLayerNorm implements LayerNormModule {
  /** Name of the kind. */
  readonly kind = "LayerNorm";
  readonly normalizedShape: number;
  readonly weight: Float32Array | null;
  readonly bias: Float32Array | null;
  readonly eps: number;
  readonly input: PerTensorQParams | null;
  readonly output: PerTensorQParams | null;

  /**
   * Checks arrays and parameters and keeps them; arrays are copied.
   *
   * @throws {TypeError} If an array is no Float32Array, or a number none.
   * @throws {RangeError} If a length is wrong, a value not finite, or eps not above 0 or too small
   * for the input's scale.
   */
  constructor(options: QuantizedLayerNormOptions) {
    checkGiven(options);
    const { normalizedShape, eps, input, output } = options;
    this.normalizedShape = checkInteger("LayerNorm.normalizedShape", normalizedShape, 1, MAX_SIZE);
    this.weight = copyArray(options.weight);
    this.bias = copyArray(options.bias);
    this.eps = checkEps("LayerNorm.eps", eps, false);
    this.input = input;
    this.output = output;
    for (const key of ["weight", "bias"] as const) {
      const array = this[key];
      if (array === null) continue;
      if (!isFloat32Array(array)) failType(`LayerNorm.${key}`, "a Float32Array or null", array);
      if (array.length !== normalizedShape) {
        failRange(`LayerNorm.${key}`, `${normalizedShape} elements`, array.length);
      }
      checkFinite(`LayerNorm.${key}`, array);
    }
    checkValues("LayerNorm.input", input);
    checkValues("LayerNorm.output", output);
    if (takesIntegers(input, output)) checkFactor("LayerNorm.eps", this, input!);
  }

  /**
   * Runs the module with the plain kernels.
   *
   * @param x [..., normalizedShape]. A quantized tensor keeps its own parameters; floats are
   * quantized to the module's `input`, or stay floats where that is null.
   * @returns Of x's shape, quantized, or float32 where the module's `output` is null.
   * @throws {TypeError} If `x` is no tensor.
   * @throws {RangeError} If its last dimension is another one, a value is out of range, its
   * parameters do not suit the module, or a float32 result overflows.
   */
  forward(x: ForwardTensor): ForwardTensor {
    const { normalizedShape, input, output } = this;
    return forwardRows(x, normalizedShape, { input, output }, {
      integers: (x, out) => {
        if (!takesIntegers(x.qparams, out.qparams)) return false;
        checkFactor("LayerNorm.eps", this, x.qparams);
        layerNormInt8(x, normalizedShape, this, out);
        return true;
      },
      floats: (data) => layerNormFloat32(data, normalizedShape, this, data),
    });
  }
}
