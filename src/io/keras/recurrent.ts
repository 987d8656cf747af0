/**
 * Keras' recurrent layers, in one direction and in both.
 *
 * @module
 */
import type { CellActivation, GateActivation } from "../../../kernels/float/lstm.ts";
import { failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { FinalHidden } from "../../modules/final_hidden/float.ts";
import { GRU } from "../../modules/gru/float.ts";
import { LastStep } from "../../modules/last_step/float.ts";
import { LSTM } from "../../modules/lstm/float.ts";
import type { Module } from "../../modules/module.ts";
import { type Flow, sizeOf, withSize } from "./builder.ts";
import { flag, type LayerCall, nameOf, projectedOf, refuse } from "./call.ts";
import { type CellTensors, cellTensors, type Gates, GRU_GATES, LSTM_GATES } from "./cells.ts";
import { fieldOf, type JsonObject, type KerasLayer, readLayer } from "./config.ts";
import { cellActivation, gateActivation, isKeras3 } from "./functions.ts";
import type { KerasWeight } from "./weights.ts";

/** Conversion of a class of recurrent layers. */
interface RecurrentClass {
  readonly gates: Gates;
  readonly cudnn: boolean;
  /** Makes its module. */
  make(options: CellOptions, config: JsonObject, cudnn: boolean): Module;
}

/** What both modules are made with. */
interface CellOptions {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly bias: boolean;
  readonly bidirectional: boolean;
  readonly batchFirst: true;
  readonly gateActivation?: GateActivation;
  readonly activation?: CellActivation;
}

const makeLSTM = (options: CellOptions) => new LSTM(options);

/**
 * Keras' GRU multiplies h by the reset gate first, unless reset_after is set or it is a CuDNN
 * layer.
 */
const makeGRU = (options: CellOptions, config: JsonObject, cudnn: boolean) =>
  new GRU({ ...options, resetAfter: cudnn || flag(fieldOf(config, "reset_after")) });

const RECURRENT: Readonly<Record<string, RecurrentClass>> = {
  LSTM: { gates: LSTM_GATES, cudnn: false, make: makeLSTM },
  CuDNNLSTM: { gates: LSTM_GATES, cudnn: true, make: makeLSTM },
  GRU: { gates: GRU_GATES, cudnn: false, make: makeGRU },
  CuDNNGRU: { gates: GRU_GATES, cudnn: true, make: makeGRU },
};

/** Adds a module for a recurrent layer's one or two directions, and its end of time. */
function recurrentModule(
  call: LayerCall,
  inner: KerasLayer,
  flow: Flow,
  directions: readonly (readonly KerasWeight[])[],
): Flow {
  const { layer, builder, version } = call;
  const { config, className } = inner;
  const at = nameOf(layer);
  const { gates, cudnn, make } = RECURRENT[className]!;
  refuse(layer, config, { time_major: false });
  builder.maskReaders.push(at);
  if (flag(fieldOf(config, "zero_output_for_mask"))) {
    builder.maskIgnorers.push(`${at}.zero_output_for_mask`);
  }
  const bias = fieldOf(config, "use_bias") !== false;
  const cells = directions.map((weights) => cellTensors(at, weights, flow, { gates, cudnn, bias }));
  const [{ inputSize, units }, second] = cells as [CellTensors, CellTensors?];
  if (second !== undefined && (second.units !== units || second.inputSize !== inputSize)) {
    failRange(at, `two directions of ${units} units`, second.units);
  }
  const gateDefault = isKeras3(version) ? "sigmoid" : "hard_sigmoid";
  const gate = fieldOf(config, "recurrent_activation", "inner_activation") ?? gateDefault;
  const module = make(
    {
      inputSize,
      hiddenSize: units,
      bias,
      bidirectional: second !== undefined,
      batchFirst: true,
      ...cudnn ? {} : {
        gateActivation: gateActivation(`${at}.recurrent_activation`, gate, version),
        activation: cellActivation(`${at}.activation`, fieldOf(config, "activation") ?? "tanh"),
      },
    },
    config,
    cudnn,
  );
  const tensors: Record<string, Tensor> = {};
  cells.forEach(({ weightIh, weightHh, biases }, d) => {
    const suffix = d === 0 ? "_l0" : "_l0_reverse";
    tensors[`weight_ih${suffix}`] = weightIh;
    tensors[`weight_hh${suffix}`] = weightHh;
    if (biases === null) return;
    tensors[`bias_ih${suffix}`] = biases[0];
    tensors[`bias_hh${suffix}`] = biases[1];
  });
  const size = units * directions.length;
  if (flow.dims.length < 2) failRange(at, "an input with steps", flow.dims);
  const out = builder.add(layer.name, module, [flow], withSize(flow, size), tensors);
  if (flag(fieldOf(config, "stateful"))) {
    builder.notes.push(
      `${at}: stateful, which is what a session does: its state stays until reset()`,
    );
  }
  if (flag(fieldOf(config, "return_sequences"))) return out;
  const end = second === undefined
    ? new LastStep({ batchFirst: true })
    : new FinalHidden({ bidirectional: true, batchFirst: true });
  return builder.add(`${out.name}_last`, end, [out], [size]);
}

/** A recurrent layer in one direction. */
export function recurrent(call: LayerCall): Flow {
  const { layer, weights } = call;
  const flow = projectedOf(call);
  if (!flag(fieldOf(layer.config, "go_backwards"))) {
    return recurrentModule(call, layer, flow, [weights]);
  }
  if (flag(fieldOf(layer.config, "return_sequences"))) {
    const expected =
      "return_sequences=False, since go_backwards=True gives steps in reversed order";
    failRange(`${nameOf(layer)}.return_sequences`, expected, true);
  }
  // A backward layer becomes the backward direction of a bidirectional module; the forward
  // direction gets the same weights, so that both have similar ranges.
  const both = recurrentModule(call, layer, flow, [weights, weights]);
  return { ...both, dims: [sizeOf(nameOf(layer), both) / 2], halves: [0, 1] };
}

/** Factors of the two directions for each mode of Bidirectional; null for concatenation. */
const MERGES: Readonly<Record<string, readonly [number, number] | null>> = {
  concat: null,
  sum: [1, 1],
  ave: [0.5, 0.5],
};

/** Bidirectional around a recurrent layer. */
export function bidirectional(call: LayerCall): Flow {
  const { layer, weights } = call;
  const { config } = layer;
  const at = nameOf(layer);
  const inner = readLayer(`${at}.layer`, fieldOf(config, "layer"));
  if (!Object.hasOwn(RECURRENT, inner.className)) {
    failRange(`${at}.layer`, Object.keys(RECURRENT).join(", "), inner.className);
  }
  const mode = fieldOf(config, "merge_mode");
  if (typeof mode !== "string" || !Object.hasOwn(MERGES, mode)) {
    failRange(`${at}.merge_mode`, Object.keys(MERGES).join(", "), mode);
  }
  refuse(layer, inner.config, { go_backwards: false });
  const backward = fieldOf(config, "backward_layer");
  if (backward !== undefined && backward !== null) {
    const other = readLayer(`${at}.backward_layer`, backward);
    const keys = [
      "use_bias",
      "activation",
      "recurrent_activation",
      "return_sequences",
      "reset_after",
    ];
    const text = ({ className, config }: KerasLayer) =>
      JSON.stringify([className, ...keys.map((key) => fieldOf(config, key))]);
    if (text(other) !== text(inner)) {
      failRange(`${at}.backward_layer`, "a layer like the forward one", other.className);
    }
  }
  const half = weights.length / 2;
  const named = (direction: string) => weights.filter(({ name }) => name.includes(direction));
  const [forward, back] = [named("forward"), named("backward")];
  const split = forward.length === half && back.length === half;
  const directions = split ? [forward, back] : [weights.slice(0, half), weights.slice(half)];
  const out = recurrentModule(call, inner, projectedOf(call), directions);
  const halves = MERGES[mode]!;
  return halves === null ? out : { ...out, dims: withSize(out, sizeOf(at, out) / 2), halves };
}
