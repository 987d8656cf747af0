/**
 * A quantized Linear as plain data.
 *
 * @module
 */
import type { Engine, LinearWeight } from "../../../kernels/ops/linear.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import type { QuantizedModule } from "../kind.ts";

/** A linear layer with an int8 weight. */
export interface LinearModule extends QuantizedModule {
  /** Name of the kind. */
  readonly kind: "Linear";
  /** Whose rounding it has. */
  readonly engine: Engine;
  /** int8 [outFeatures, inFeatures] */
  readonly weight: LinearWeight;
  /** [outFeatures] or null. */
  readonly bias: Float32Array | null;
  /** Parameters of the input; null takes float32 input. */
  readonly input: PerTensorQParams | null;
  /** Parameters of the output; null gives float32 output. */
  readonly output: PerTensorQParams | null;
  /**
   * Whether the float32 input is quantized at each call, by its own range. `input` and `output` are
   * null then.
   */
  readonly dynamic?: boolean;
  /** Whether negative results become 0, as in torch's linear_relu; false by default. */
  readonly relu?: boolean;
}
