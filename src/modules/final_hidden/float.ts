/**
 * The final hidden state of a recurrent module, in float32.
 *
 * @module
 */
import { finalHidden } from "../../../kernels/ops/over_time.ts";
import { failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { type EndForwardOptions, EndOfTime, type EndOptions } from "../end_of_time.ts";

/**
 * Options of {@linkcode FinalHidden}.
 *
 * @example
 * ```ts
 * import { FinalHidden, type FinalHiddenOptions, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const options: FinalHiddenOptions = { bidirectional: true };
 * const y = tensor([1, 2, 3, 4], [2, 1, 2]); // two steps, a value for each direction
 * // Forward's last step, and backward's, which stands at the first step.
 * assertEquals([...new FinalHidden(options).forward(y).data], [3, 2]);
 * ```
 */
export interface FinalHiddenOptions extends EndOptions {
  /** Whether the recurrent module that it reads is bidirectional; false by default. */
  readonly bidirectional?: boolean;
}

/**
 * Ends time: the last layer's final hidden state, read from the output of the recurrent module
 * before it: `h_n[-1]` of torch, or `cat(h_n[-2], h_n[-1])` if that is bidirectional. The forward
 * direction ends at the last step of each row's own length, the backward one at the first step.
 *
 * @example
 * ```ts
 * import { FinalHidden, LSTM, Sequential, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3, bidirectional: true });
 * const model = new Sequential({ lstm, head: new FinalHidden({ bidirectional: true }) });
 * const x = tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]), [, [h]] = lstm.forward(x);
 * assertEquals(model.forward(x), tensor(h.data, [1, 6]));
 * ```
 */
export class FinalHidden extends EndOfTime {
  /** Name of the kind. */
  override readonly kind = "FinalHidden";
  /** Whether the second half of each row is the backward direction's. */
  readonly bidirectional: boolean;

  /**
   * Checks the options.
   *
   * @throws {TypeError} If an option is unknown or no boolean.
   */
  constructor(options: FinalHiddenOptions = {}) {
    super(options, reduceHidden, ["batchFirst", "bidirectional"]);
    this.bidirectional = options.bidirectional ?? false;
  }

  /**
   * Ends sequences.
   *
   * @param x [steps, batch, features], [batch, steps, features] if batchFirst, or [steps, features]
   * unbatched; finite.
   * @param options.lengths Steps of each batch row; all by default.
   * @returns [batch, features], or [features] unbatched.
   * @throws {TypeError} If `x` is no float32 tensor or an option is unknown.
   * @throws {RangeError} If a shape does not fit, a dimension is 0, a value is not finite, a length
   * out of range, or the number of features odd where there are two directions.
   */
  override forward(x: Tensor, options: EndForwardOptions = {}): Tensor {
    if (this.bidirectional && Array.isArray(x?.shape) && x.shape.at(-1)! % 2 !== 0) {
      failRange("x.shape", "an even number of features, since it is bidirectional", x.shape);
    }
    return super.forward(x, options);
  }
}

/** The arithmetic of {@linkcode FinalHidden}. */
export function reduceHidden(
  x: Float32Array,
  sequences: Parameters<typeof finalHidden>[1],
  out: Float32Array,
  { bidirectional }: Readonly<Record<string, boolean>>,
): void {
  finalHidden(x, sequences, out, bidirectional!);
}
