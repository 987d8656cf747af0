/**
 * Observing and fake-quantizing at once, for quantization-aware flows.
 *
 * @module
 */
import { fakeQuantizePerChannel, fakeQuantizePerTensor } from "../../kernels/ops/fake_quantize.ts";
import { checkBoolean, failRange, failType } from "../core/errors.ts";
import { checkOptions } from "../core/check.ts";
import type { DType } from "../core/dtype.ts";
import type { QParams } from "../core/qparams.ts";
import { MovingAverageMinMaxObserver } from "./moving_average.ts";
import {
  type CalculateOptions,
  Observer,
  type ObserverFactory,
  UniformObserver,
} from "./observer.ts";
import { PerChannelObserver } from "./per_channel.ts";

/**
 * Options of {@linkcode FakeQuantize}.
 *
 * @example
 * ```ts
 * import {
 *   FakeQuantize,
 *   type FakeQuantizeOptions,
 *   MinMaxObserver,
 * } from "@splitgate/splitgate/qconfig";
 * const options: FakeQuantizeOptions = {
 *   observer: MinMaxObserver.withArgs({ dtype: "quint8" }),
 *   fakeQuantEnabled: false, // observe only, as after torch's disable_fake_quant
 * };
 * new FakeQuantize(options).observe(Float32Array.of(-1, 0.5));
 * ```
 */
export interface FakeQuantizeOptions {
  /** Makes the observer; MovingAverageMinMaxObserver with its defaults by default. */
  observer?: ObserverFactory;
  /** Whether `forward` observes; true by default. */
  observerEnabled?: boolean;
  /** Whether `forward` quantizes; true by default. */
  fakeQuantEnabled?: boolean;
}

/**
 * Shows its input to an observer and returns it quantized and dequantized with the observer's
 * current parameters: the forward pass of torch.ao.quantization.FakeQuantize.
 *
 * @example
 * ```ts
 * import { FakeQuantize, MinMaxObserver } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const fake = new FakeQuantize({
 *   observer: MinMaxObserver.withArgs({ quantMin: 0, quantMax: 3 }),
 * });
 * assertEquals([...fake.forward(new Float32Array([0, 0.9, 2.2, 3]))], [0, 1, 2, 3]);
 * fake.fakeQuantEnabled = false;
 * assertEquals([...fake.forward(new Float32Array([0.5]))], [0.5]);
 * ```
 */
export class FakeQuantize extends Observer {
  /** `"FakeQuantize"`, whatever the observer inside. */
  override readonly kind: string = "FakeQuantize";
  /** The observer whose parameters are used. */
  readonly observer: Observer;
  /** Whether `forward` observes. */
  observerEnabled: boolean;
  /** Whether `forward` quantizes. */
  fakeQuantEnabled: boolean;

  /**
   * Makes an observer of its own by calling the factory once.
   *
   * @throws {TypeError} If an option is unknown or of the wrong kind, or the observer has no
   * parameters, as a PlaceholderObserver has none.
   */
  constructor(options: FakeQuantizeOptions = {}) {
    super();
    checkOptions("options", options, [
      "observer",
      "observerEnabled",
      "fakeQuantEnabled",
    ]);
    const factory = options.observer ??
      MovingAverageMinMaxObserver.withArgs({});
    if (typeof factory !== "function" || !("observerName" in factory)) {
      failType("observer", "a factory, as withArgs gives it", factory);
    }
    const observer = factory();
    if (observer.dtype === undefined || observer instanceof FakeQuantize) {
      failType("observer", "an observer with a dtype", observer);
    }
    this.observer = observer;
    this.observerEnabled = checkBoolean(
      "observerEnabled",
      options.observerEnabled ?? true,
    );
    this.fakeQuantEnabled = checkBoolean(
      "fakeQuantEnabled",
      options.fakeQuantEnabled ?? true,
    );
  }

  /**
   * Observes the values (if `observerEnabled`) and returns them quantized and dequantized (if
   * `fakeQuantEnabled`, else as a copy).
   *
   * @param shape Their shape; needed with per-channel observers only.
   * @throws {TypeError} If `data` is no Float32Array, or `shape` is missing or no array.
   * @throws {RangeError} If a value is NaN or infinite, `shape` does not fit, or there is nothing
   * observed to quantize by.
   */
  forward(data: Float32Array, shape?: readonly number[]): Float32Array {
    // The base class's checks hold whether the observer is enabled or not.
    super.observe(data, shape);
    if (!this.fakeQuantEnabled || data.length === 0) return data.slice();
    const { observer } = this;
    const qparams = observer instanceof PerChannelObserver &&
        observer.qscheme === "perChannelAffineFloatQParams"
      ? observer.calculateFloatQParams()
      : observer.calculateQParams();
    // As in torch, fake quantization clamps to a reduced range, quantization does not.
    const { quantMin, quantMax } = observer instanceof UniformObserver ? observer : qparams;
    if ("scale" in qparams) {
      const { scale, zeroPoint } = qparams;
      return fakeQuantizePerTensor(data, { scale, zeroPoint, quantMin, quantMax });
    }
    const { scales, zeroPoints, axis } = qparams;
    if (shape === undefined) {
      failType("shape", "the shape, which tells the channels apart", shape);
    }
    if (shape[axis] !== scales.length) {
      failRange(`shape[${axis}]`, `${scales.length} channels`, shape[axis]);
    }
    let inner = 1;
    for (let i = axis + 1; i < shape.length; i++) inner *= shape[i]!;
    return fakeQuantizePerChannel(data, { scales, zeroPoints, quantMin, quantMax }, inner);
  }

  /** Observes (if `observerEnabled`) without quantizing. */
  override observe(data: Float32Array, shape?: readonly number[]): void {
    super.observe(data, shape);
  }

  /** Hands the tensor on to the observer, unless `observerEnabled` is false. */
  protected override update(
    data: Float32Array,
    shape: readonly number[] | undefined,
  ): void {
    if (this.observerEnabled) this.observer.observe(data, shape);
  }

  /** The observer's dtype. */
  override get dtype(): DType | undefined {
    return this.observer.dtype;
  }

  /** The observer's parameters, those of its present state. */
  override calculateQParams(options?: CalculateOptions): QParams {
    return this.observer.calculateQParams(options);
  }

  /** Whether the observer has something to calculate parameters from. */
  override get seen(): boolean {
    return this.observer.seen;
  }

  /** The observer's minimum. */
  override get minVal(): number | Float32Array | undefined {
    return this.observer.minVal;
  }

  /** The observer's maximum. */
  override get maxVal(): number | Float32Array | undefined {
    return this.observer.maxVal;
  }

  /** Replaces the observer's range by a recorded one. */
  override setRange(
    min: number | ArrayLike<number>,
    max: number | ArrayLike<number>,
  ): void {
    this.observer.setRange(min, max);
  }

  /** Resets the observer. */
  override reset(): void {
    super.reset();
    this.observer.reset();
  }
}
