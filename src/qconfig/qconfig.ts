/**
 * The observers of a module's outputs and weights, and torch's presets.
 *
 * @module
 */
import type { Engine } from "../../kernels/ops/linear.ts";
import type { PartName, PartSlot } from "../cells/names.ts";
import { HistogramObserver } from "../observer/histogram.ts";
import { MinMaxObserver } from "../observer/min_max.ts";
import type { ObserverFactory } from "../observer/observer.ts";
import { PerChannelMinMaxObserver } from "../observer/per_channel.ts";
import { PlaceholderObserver } from "../observer/placeholder.ts";

/**
 * An observer factory, null for "not quantized", or one of these for each gate.
 *
 * @example
 * ```ts
 * import { LSTM } from "@splitgate/splitgate";
 * import {
 *   MinMaxObserver,
 *   observeLSTMParts,
 *   type OutputObserver,
 * } from "@splitgate/splitgate/qconfig";
 * const quint8 = MinMaxObserver.withArgs({ dtype: "quint8" });
 * const qint8 = MinMaxObserver.withArgs({ dtype: "qint8" });
 * const byGate: OutputObserver = [quint8, quint8, qint8, quint8]; // input, forget, cell, output
 * observeLSTMParts(new LSTM({ inputSize: 2, hiddenSize: 3 }), { linearOutput: byGate }, {
 *   splitGates: true,
 * });
 * ```
 */
export type OutputObserver = ObserverFactory | null | readonly (ObserverFactory | null)[];

/**
 * Observers of a cell's part: of its output and its inputs.
 *
 * @example
 * ```ts
 * import { LSTM } from "@splitgate/splitgate";
 * import { MinMaxObserver, observeLSTMParts, type PartConfig } from "@splitgate/splitgate/qconfig";
 * const cellState: PartConfig = { output: MinMaxObserver.withArgs({ dtype: "quint8" }) };
 * observeLSTMParts(new LSTM({ inputSize: 2, hiddenSize: 3 }), { cellState });
 * ```
 */
export interface PartConfig {
  /** Of the output; inherited by default. */
  readonly output?: OutputObserver;
  /**
   * Of the inputs, in the part's order, where an input is to be requantized before it is read:
   * there are then two q-dq pairs between producer and part. null: read as the producer gives it.
   */
  readonly inputs?: readonly (ObserverFactory | null)[];
}

/**
 * The setting of a cell's part: an observer of its output, or observers of its inputs, too.
 *
 * @example
 * ```ts
 * import { getPreset, LSTM, prepare } from "@splitgate/splitgate";
 * import { MinMaxObserver, type PartObserver } from "@splitgate/splitgate/qconfig";
 * const cellState: PartObserver = MinMaxObserver.withArgs({ dtype: "quint8" });
 * const qconfig = { ...getPreset("fbgemm"), parts: { cellState } };
 * prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), qconfig);
 * ```
 */
export type PartObserver = OutputObserver | PartConfig;

/**
 * Observers of an LSTM cell's parts, by slot (`sigmoid`: all three gates that have one) or, more
 * specific, by part (`forget_gate`). Defaults: sigmoid, tanh and tanh(cell) have the fixed
 * parameters that torch's operators give them, every other part has the QConfig's `activation`.
 *
 * @example
 * ```ts
 * import { getPreset, LSTM, prepare } from "@splitgate/splitgate";
 * import { MinMaxObserver, type PartObservers } from "@splitgate/splitgate/qconfig";
 * const wide = { dtype: "qint32", quantMin: -(2 ** 15), quantMax: 2 ** 15 - 1 } as const;
 * const parts: PartObservers = { cellState: MinMaxObserver.withArgs(wide) }; // 16 bits for c
 * prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), { ...getPreset("fbgemm"), parts });
 * ```
 */
export type PartObservers = { readonly [key in PartSlot | PartName]?: PartObserver };

/**
 * The observers of one module, and how it is converted. Factories, not observers: each module and
 * part gets an observer of its own.
 *
 * @example
 * ```ts
 * import { getPreset, LSTM, prepare, type QConfig } from "@splitgate/splitgate";
 * import { MinMaxObserver } from "@splitgate/splitgate/qconfig";
 * // torch's QConfig, and whatever a preset here says besides.
 * const qconfig: QConfig = {
 *   ...getPreset("fbgemm"),
 *   activation: MinMaxObserver.withArgs({ dtype: "quint8" }),
 * };
 * prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), qconfig);
 * ```
 */
export interface QConfig {
  /**
   * For outputs. A PlaceholderObserver leaves them float32. Sigmoid, HardSigmoid, Tanh and Softmax
   * have fixed parameters, as in torch, with this observer's dtype and, for qint32, its range.
   */
  readonly activation: ObserverFactory;
  /** For weights. */
  readonly weight: ObserverFactory;
  /**
   * For float32 values that enter the module; `activation` by default. A PlaceholderObserver leaves
   * them float32: they are multiplied with the dequantized weights. Integer inputs keep their
   * parameters if they have the same dtype, or if `input` asks for qint32, which would add no
   * precision; in the latter case rows of an Embedding that only an LSTM reads stay float32, since
   * each is projected once and kept.
   */
  readonly input?: ObserverFactory;
  /** For the parts of an LSTM's cells. */
  readonly parts?: PartObservers;
  /** The rounding family of the integer operators; "fbgemm" by default. */
  readonly engine?: Engine;
  /**
   * Parameters of an LSTM's initial and final state. "torch": the default state is zeros with scale
   * 1 and zero point 0; given float32 states have an observer for h and one for c, as after a
   * QuantStub; final states have the first cell's parameters, as torch.stack keeps them. "own":
   * every state has its own cell's parameters, whose observers also see the initial states given in
   * calibration. "torch" by default.
   */
  readonly initialState?: "torch" | "own";
  /**
   * The values that a bidirectional LSTM's output observer sees. The output has the forward
   * direction's parameters: "torch": the forward direction only, as in torch, so that larger values
   * of the backward direction saturate; "both": both directions. "torch" by default.
   */
  readonly concatenation?: "torch" | "both";
  /**
   * How weights become integers: "nearest" as in torch, or "calibrated", which rounds each row so
   * that its output error on the calibration data is small; an Embedding's rows are rounded
   * together with the input weights of the LSTM that reads them. "nearest" by default.
   */
  readonly weightRounding?: "nearest" | "calibrated";
  /** Bits of an Embedding's rows; by default 8, and float32 rows where `dynamic`, as in torch. */
  readonly embeddingBits?: 8 | 16;
  /**
   * Whether Linear and LSTM are quantized dynamically: int8 weights, and float32 activations that
   * are quantized at each call, by the range of what the call gives. `activation` and `input` must
   * then be PlaceholderObservers, and there can be no `parts`. No calibration is needed. false by
   * default.
   */
  readonly dynamic?: boolean;
}

/**
 * torch's default_observer: MinMaxObserver, quint8 in 0..127.
 *
 * @example
 * ```ts
 * import { defaultObserver } from "./qconfig.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals([defaultObserver().dtype, defaultObserver().quantMax], ["quint8", 127]);
 * ```
 */
export const defaultObserver: ObserverFactory<MinMaxObserver> = MinMaxObserver
  .withArgs({ quantMin: 0, quantMax: 127 });

/**
 * torch's default_weight_observer: MinMaxObserver, symmetric qint8.
 *
 * @example
 * ```ts
 * import { defaultWeightObserver } from "./qconfig.ts";
 * import { assertEquals } from "@std/assert";
 * const observer = defaultWeightObserver();
 * observer.observe(Float32Array.of(-127.5, 3));
 * assertEquals(observer.calculateQParams().scale, 1);
 * ```
 */
export const defaultWeightObserver: ObserverFactory<MinMaxObserver> = MinMaxObserver.withArgs({
  dtype: "qint8",
  qscheme: "perTensorSymmetric",
});

/**
 * torch's default_per_channel_weight_observer: PerChannelMinMaxObserver, symmetric qint8.
 *
 * @example
 * ```ts
 * import { defaultPerChannelWeightObserver } from "./qconfig.ts";
 * import { assertEquals } from "@std/assert";
 * const observer = defaultPerChannelWeightObserver();
 * observer.observe(Float32Array.of(-127.5, 3, 0, 255), [2, 2]);
 * assertEquals([...observer.calculateQParams().scales], [1, 2]);
 * ```
 */
export const defaultPerChannelWeightObserver: ObserverFactory<
  PerChannelMinMaxObserver
> = PerChannelMinMaxObserver.withArgs({
  dtype: "qint8",
  qscheme: "perChannelSymmetric",
});

/**
 * torch's default_qconfig: {@linkcode defaultObserver} and {@linkcode defaultWeightObserver}.
 *
 * @example
 * ```ts
 * import { defaultQConfig } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const { activation, weight } = defaultQConfig;
 * assertEquals([activation.observerName, weight.observerName], [
 *   "MinMaxObserver",
 *   "MinMaxObserver",
 * ]);
 * ```
 */
export const defaultQConfig: QConfig = Object.freeze({
  activation: defaultObserver,
  weight: defaultWeightObserver,
});

/**
 * torch's default_per_channel_qconfig: {@linkcode defaultObserver}, per-channel weights.
 *
 * @example
 * ```ts
 * import { defaultPerChannelQConfig } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const { activation, weight } = defaultPerChannelQConfig;
 * assertEquals([activation.observerName, weight.observerName], [
 *   "MinMaxObserver",
 *   "PerChannelMinMaxObserver",
 * ]);
 * ```
 */
export const defaultPerChannelQConfig: QConfig = Object.freeze({
  activation: defaultObserver,
  weight: defaultPerChannelWeightObserver,
});

/**
 * torch's get_default_qconfig("fbgemm"): a histogram with reduced range, per-channel weights.
 *
 * @example
 * ```ts
 * import { fbgemmQConfig } from "./qconfig.ts";
 * import { assertEquals } from "@std/assert";
 * const { activation, weight } = fbgemmQConfig;
 * assertEquals([activation.observerName, activation.args], ["HistogramObserver", {
 *   reduceRange: true,
 * }]);
 * assertEquals(weight.observerName, "PerChannelMinMaxObserver");
 * ```
 */
export const fbgemmQConfig: QConfig = Object.freeze({
  activation: HistogramObserver.withArgs({ reduceRange: true }),
  weight: defaultPerChannelWeightObserver,
});

/**
 * torch's get_default_qconfig("x86"), which equals fbgemm's in 2.8.0.
 *
 * @example
 * ```ts
 * import { fbgemmQConfig, x86QConfig } from "./qconfig.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(x86QConfig.activation.args, fbgemmQConfig.activation.args);
 * assertEquals(x86QConfig.engine, undefined); // fbgemm's rounding
 * ```
 */
export const x86QConfig: QConfig = Object.freeze({
  activation: HistogramObserver.withArgs({ reduceRange: true }),
  weight: defaultPerChannelWeightObserver,
});

/**
 * torch's get_default_qconfig("qnnpack"): a histogram with the whole range, per-tensor weights,
 * qnnpack's rounding.
 *
 * @example
 * ```ts
 * import { qnnpackQConfig } from "./qconfig.ts";
 * import { assertEquals } from "@std/assert";
 * const { activation, weight, engine } = qnnpackQConfig;
 * assertEquals([activation.args, weight.observerName, engine], [
 *   { reduceRange: false },
 *   "MinMaxObserver",
 *   "qnnpack",
 * ]);
 * ```
 */
export const qnnpackQConfig: QConfig = Object.freeze({
  activation: HistogramObserver.withArgs({ reduceRange: false }),
  weight: defaultWeightObserver,
  engine: "qnnpack",
});

/**
 * torch's default_dynamic_qconfig: what torch.ao.quantization.quantize_dynamic gives a Linear and
 * an LSTM. Weights per tensor, activations in 7 bits (8 under
 * `{ ...dynamicQConfig, engine: "qnnpack" }`, as torch's kernels do).
 *
 * @example No calibration
 * ```ts
 * import { convert, LSTM, prepare } from "@splitgate/splitgate";
 * import { dynamicQConfig } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const model = convert(prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), dynamicQConfig));
 * const session = model.createSession(), output = new Float32Array(3);
 * session.step(Float32Array.of(0.1, -0.4), output);
 * assertEquals(model.output, null); // float32
 * ```
 */
export const dynamicQConfig: QConfig = Object.freeze({
  activation: PlaceholderObserver.withArgs({}),
  weight: defaultWeightObserver,
  dynamic: true,
});

/**
 * torch's per_channel_dynamic_qconfig: {@linkcode dynamicQConfig} with per-channel weights.
 *
 * @example
 * ```ts
 * import { convert, Linear, prepare } from "@splitgate/splitgate";
 * import { perChannelDynamicQConfig } from "@splitgate/splitgate/qconfig";
 * import { type QuantizedLinear } from "../modules/linear/quantized.ts";
 * import { assert } from "@std/assert";
 * const model = convert(
 *   prepare(new Linear({ inFeatures: 2, outFeatures: 3 }), perChannelDynamicQConfig),
 * );
 * const linear = model.modules.get("linear") as QuantizedLinear;
 * assert(linear.weight.scales.length === 3);
 * ```
 */
export const perChannelDynamicQConfig: QConfig = Object.freeze({
  activation: PlaceholderObserver.withArgs({}),
  weight: defaultPerChannelWeightObserver,
  dynamic: true,
});
