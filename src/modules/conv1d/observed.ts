/**
 * The observed convolution.
 *
 * @module
 */
import { swapInner, windowRows } from "../../../kernels/ops/convolution.ts";
import type { LinearWeight } from "../../../kernels/ops/linear.ts";
import type { Window } from "../../../kernels/ops/window.ts";
import { failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import type { Work } from "../../core/work.ts";
import type { FakeQuantize } from "../../observer/fake_quantize.ts";
import type { Observer } from "../../observer/observer.ts";
import type { QConfig } from "../../qconfig/qconfig.ts";
import { copyOf } from "../copy.ts";
import type { InputObserver, ObservedModule } from "../kind.ts";
import { outputObserver } from "../observing.ts";
import { accumulateEvenly, type NearestWeight } from "../rounding/weight_rounding.ts";
import { fakeQuantizeWeight, roundWeight, weightFakeQuantizers } from "../rounding/weights.ts";
import { forwardWindow, type WindowForwardOptions } from "../window.ts";
import { Conv1d, Conv1dReLU, convLike } from "./float.ts";

/**
 * A float convolution with an observed output, and an observed input if it is float32.
 *
 * @example
 * ```ts
 * import { Conv1d, getPreset, prepare, tensor } from "@splitgate/splitgate";
 * import { Observer } from "@splitgate/splitgate/qconfig";
 * import { type ObservedConv1d } from "./observed.ts";
 * import { assert } from "@std/assert";
 * const conv = new Conv1d({ inChannels: 1, outChannels: 3, kernelSize: 2 });
 * const observed = prepare(conv, getPreset("fbgemm"));
 * const { input } = observed.modules.get("conv1d") as ObservedConv1d;
 * observed.forward(tensor([0.5, -2], [2, 1]));
 * assert(input instanceof Observer && input.seen); // the input comes as float32
 * ```
 */
export class ObservedConv1d implements ObservedModule {
  /** Name of the kind. */
  readonly kind = "Conv1d";
  /** A copy of the layer, independent of the original. */
  readonly conv: Conv1d;
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
   * Gram matrices of the values in its windows, one a group, for calibrated rounding of the weight;
   * null if the QConfig does not ask for it.
   */
  readonly grams: Float64Array | null;

  /** Called by `prepare`. */
  constructor(conv: Conv1d, qconfig: QConfig, input: InputObserver) {
    const { groups, inChannels, window: { kernelSize } } = conv;
    this.conv = conv;
    this.qconfig = qconfig;
    this.input = input;
    this.grams = qconfig.weightRounding === "calibrated"
      ? new Float64Array(groups * (inChannels / groups * kernelSize) ** 2)
      : null;
    this.output = outputObserver(qconfig);
    this.relu = conv instanceof Conv1dReLU;
    this.weightFakeQuant = weightFakeQuantizers(qconfig.weight);
  }

  /** The window. */
  get window(): Window {
    return this.conv.window;
  }

  /** Adds the values in the windows to the gram matrices. */
  watch(x: Tensor, options: WindowForwardOptions): void {
    const { grams, conv } = this;
    if (grams === null) return;
    const { groups, inChannels, window } = conv;
    const length = inChannels / groups * window.kernelSize;
    const take = (row: Float32Array) => {
      for (let group = 0; group < groups; group++) {
        const covered = windowRows(row, inChannels, conv, group, 0);
        const gram = grams.subarray(group * length ** 2, (group + 1) * length ** 2);
        accumulateEvenly(gram, covered, length);
      }
    };
    forwardWindow(x, options, conv, inChannels, () => ({ window, width: 1, compute: take }));
  }

  /** A weight rounded against the values in the windows. */
  *round(name: string, nearest: NearestWeight): Work<LinearWeight> {
    const { grams, conv } = this;
    if (grams?.every((value) => value === 0)) {
      const expected = "calibration data: run some through the observed model first";
      failRange(name, expected, "none, or nothing but zeros");
    }
    const { groups, inChannels, window: { kernelSize } } = conv;
    const perGroup = inChannels / groups;
    // Grams order a window's values by step, then channel; torch's weights by channel, then step.
    const rounded = yield* roundWeight(
      {
        ...nearest,
        weight: {
          ...nearest.weight,
          data: swapInner(nearest.weight.data, perGroup, kernelSize),
        },
      },
      swapInner(conv.weight, perGroup, kernelSize),
      grams,
      true,
    );
    return { ...rounded, data: swapInner(rounded.data, kernelSize, perGroup) };
  }

  /** The float layer's output, with the fake-quantized weight if there is one. */
  forward(x: Tensor, options: WindowForwardOptions): Tensor {
    const { conv } = this;
    const own = fakeQuantizeWeight(this.weightFakeQuant, conv.weight, conv.outChannels);
    if (own === conv.weight) return conv.forward(x, options);
    const fake = copyOf(conv, convLike(conv, this.relu ? Conv1dReLU : Conv1d));
    fake.weight.set(own);
    return fake.forward(x, options);
  }
}
