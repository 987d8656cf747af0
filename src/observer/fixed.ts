/**
 * The observer whose parameters are given, not observed.
 *
 * @module
 */
import { type DType, dtypeRange } from "../core/dtype.ts";
import { failRange, failType } from "../core/errors.ts";
import { checkOptions } from "../core/check.ts";
import { perTensorAffine, type PerTensorQParams } from "../core/qparams.ts";
import { Observer, PER_TENSOR_SCHEMES, type QScheme } from "./observer.ts";

/**
 * Options of {@linkcode FixedQParamsObserver}.
 *
 * @example
 * ```ts
 * import { FixedQParamsObserver, type FixedQParamsOptions } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const sigmoid: FixedQParamsOptions = { scale: 1 / 256, zeroPoint: 0 }; // for values of [0, 1)
 * assertEquals(new FixedQParamsObserver(sigmoid).calculateQParams().scale, 1 / 256);
 * ```
 */
export interface FixedQParamsOptions {
  /** Positive and finite; rounded to float32. */
  scale: number;
  /** In quantMin..quantMax. */
  zeroPoint: number;
  /** quint8 by default. */
  dtype?: DType;
  /** Kept for the record; the parameters are the same for both per-tensor schemes. */
  qscheme?: "perTensorAffine" | "perTensorSymmetric";
  /**
   * The dtype's smallest integer by default. torch's default is 0 for every dtype, qint8 and qint32
   * too.
   */
  quantMin?: number;
  /**
   * The dtype's largest integer by default. torch's default is 255 for every dtype, qint8 and
   * qint32 too.
   */
  quantMax?: number;
}

/**
 * Has the parameters that it was made with, whatever the data:
 * torch.ao.quantization.FixedQParamsObserver, except for the defaults of quantMin and quantMax (see
 * {@linkcode FixedQParamsOptions}). Data is still refused if it is not finite.
 *
 * @example
 * ```ts
 * import { FixedQParamsObserver } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const sigmoid = new FixedQParamsObserver({ scale: 1 / 256, zeroPoint: 0 });
 * assertEquals(sigmoid.calculateQParams().scale, 1 / 256);
 * ```
 */
export class FixedQParamsObserver extends Observer {
  /** `"FixedQParamsObserver"`. */
  override readonly kind: string = "FixedQParamsObserver";
  /** Storage dtype of the given parameters. */
  override readonly dtype: DType;
  /** For the record only: it changes no parameter. */
  readonly qscheme: QScheme;
  /** Smallest integer that values are clamped to. */
  readonly quantMin: number;
  /** Largest integer that values are clamped to. */
  readonly quantMax: number;
  /** The given scale, rounded to float32. */
  readonly scale: number;
  /** The integer that stands for 0, in quantMin..quantMax. */
  readonly zeroPoint: number;

  /**
   * Checks the parameters and keeps them.
   *
   * @throws {TypeError} If an option is missing, unknown or of the wrong kind.
   * @throws {RangeError} If an option's value is out of range.
   */
  constructor(options: FixedQParamsOptions) {
    super();
    checkOptions("options", options, [
      "scale",
      "zeroPoint",
      "dtype",
      "qscheme",
      "quantMin",
      "quantMax",
    ]);
    const { scale, zeroPoint, dtype = "quint8", qscheme = "perTensorAffine" } = options;
    if (!PER_TENSOR_SCHEMES.includes(qscheme)) {
      (typeof qscheme === "string" ? failRange : failType)(
        "qscheme",
        PER_TENSOR_SCHEMES.join(" or "),
        qscheme,
      );
    }
    const [lowest, highest] = dtypeRange(dtype);
    const qparams = perTensorAffine({
      dtype,
      scale,
      zeroPoint,
      quantMin: options.quantMin ?? lowest,
      quantMax: options.quantMax ?? highest,
    });
    this.dtype = dtype;
    this.qscheme = qscheme;
    this.quantMin = qparams.quantMin;
    this.quantMax = qparams.quantMax;
    this.scale = qparams.scale;
    this.zeroPoint = qparams.zeroPoint;
  }

  /** Learns nothing from the data, which has been checked. */
  protected override update(): void {}

  /** The given parameters, observed data or not. */
  override calculateQParams(): PerTensorQParams {
    const { dtype, scale, zeroPoint, quantMin, quantMax } = this;
    return { dtype, scale, zeroPoint, quantMin, quantMax };
  }

  /** Always true: nothing needs to be observed. */
  override get seen(): boolean {
    return true;
  }
}
