/**
 * The observed linear layer.
 *
 * @module
 */
import { copyOf } from "../copy.ts";
import type { InputObserver, ObservedModule } from "../kind.ts";
import { gatherRows, outputObserver } from "../observing.ts";
import { Linear, LinearReLU } from "./float.ts";
import type { FakeQuantize } from "../../observer/fake_quantize.ts";
import type { Observer } from "../../observer/observer.ts";
import type { QConfig } from "../../qconfig/qconfig.ts";
import type { Tensor } from "../../core/tensor.ts";
import { accumulateEvenly } from "../rounding/weight_rounding.ts";
import { fakeQuantizeWeight, weightFakeQuantizers } from "../rounding/weights.ts";

/**
 * A float linear layer with an observed output, and an observed input if it is float32.
 *
 * @example
 * ```ts
 * import { Linear, prepare, tensor } from "@splitgate/splitgate";
 * import { Observer } from "@splitgate/splitgate/qconfig";
 * import { fbgemmQConfig } from "../../qconfig/qconfig.ts";
 * import { type ObservedLinear } from "./observed.ts";
 * import { assert, assertEquals } from "@std/assert";
 * const observed = prepare(new Linear({ inFeatures: 2, outFeatures: 3 }), fbgemmQConfig);
 * const { input } = observed.modules.get("linear") as ObservedLinear;
 * assert(input instanceof Observer); // the input comes as float32
 * observed.forward(tensor([0.5, -2], [1, 2]));
 * assertEquals([(input as Observer).minVal, (input as Observer).maxVal], [-2, 0.5]);
 * ```
 */
export class ObservedLinear implements ObservedModule {
  /** Name of the kind. */
  readonly kind = "Linear";
  /** A copy of the layer, independent of the original. */
  readonly linear: Linear;
  /** Source of the observers; `convert` takes the weight's observer and the engine from it. */
  readonly qconfig: QConfig;
  /** The source of the input's parameters. */
  readonly input: InputObserver;
  /** Whether ReLU follows; then its output is observed. */
  readonly relu: boolean;
  /** The output's observer; null: the output stays float32. */
  readonly output: Observer | null;
  /** The weight's fake-quantizer, as a list; empty if the QConfig has none. */
  readonly weightFakeQuant: readonly FakeQuantize[];
  /**
   * Gram matrix of its inputs, for calibrated rounding of the weight; null if the QConfig does not
   * ask for it.
   */
  readonly gram: Float64Array | null;

  /** Called by `prepare`. */
  constructor(linear: Linear, qconfig: QConfig, input: InputObserver) {
    this.linear = linear;
    this.qconfig = qconfig;
    this.input = input;
    this.gram = qconfig.weightRounding === "calibrated"
      ? new Float64Array(linear.inFeatures ** 2)
      : null;
    this.output = outputObserver(qconfig);
    this.relu = linear instanceof LinearReLU;
    this.weightFakeQuant = weightFakeQuantizers(qconfig.weight);
  }

  /** Adds the given rows of an input, or all of it, to the gram matrix. */
  watch({ data }: Tensor, rows: readonly number[] | null): void {
    const { gram, linear: { inFeatures } } = this;
    if (gram === null) return;
    accumulateEvenly(gram, rows === null ? data : gatherRows(data, rows, inFeatures), inFeatures);
  }

  /**
   * The float layer's output, with the fake-quantized weight if there is one. The model shows it to
   * the observer, since it knows which rows are padding.
   */
  forward(x: Tensor): Tensor {
    const { inFeatures, outFeatures, weight, bias } = this.linear;
    const own = fakeQuantizeWeight(this.weightFakeQuant, weight, outFeatures);
    if (own === weight) return this.linear.forward(x);
    const Kind = this.relu ? LinearReLU : Linear;
    const fake = copyOf(this.linear, new Kind({ inFeatures, outFeatures, bias: bias !== null }));
    fake.weight.set(own);
    return fake.forward(x);
  }
}
