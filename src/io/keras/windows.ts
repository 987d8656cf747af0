/**
 * Keras' layers that read windows of steps: convolution, pooling, padding; and Flatten.
 *
 * @module
 */
import { failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { AvgPool1d } from "../../modules/avg_pool1d/float.ts";
import { Conv1d } from "../../modules/conv1d/float.ts";
import { Flatten } from "../../modules/flatten/float.ts";
import { MaxPool1d } from "../../modules/max_pool1d/float.ts";
import { ZeroPad1d } from "../../modules/zero_pad1d/float.ts";
import { type Flow, sizeOf } from "./builder.ts";
import { activated, type Import, inputOf, type LayerCall, nameOf, refuse } from "./call.ts";
import { fieldOf, type KerasLayer } from "./config.ts";
import { checkWeight } from "./tensors.ts";
import { weightsFor } from "./weights.ts";

/** A window, from a layer's config. */
interface Window {
  readonly kernelSize: number;
  readonly stride: number;
  readonly dilation: number;
  readonly padding: readonly [before: number, after: number];
}

/** A number that a config holds alone or in a list. */
function numberOf(layer: KerasLayer, name: string, value: unknown): number {
  const number = Array.isArray(value) && value.length === 1 ? value[0] : value;
  return Number.isSafeInteger(number) && (number as number) > 0
    ? number as number
    : failRange(`${nameOf(layer)}.${name}`, "a positive integer", value);
}

/** Requires that the number of an input's steps is known, for the reason `why`. */
function stepsOf(layer: KerasLayer, { dims }: Flow, why: string): number {
  if (dims.length !== 2) failRange(nameOf(layer), "an input of steps and values", dims);
  return dims[0] ?? failRange(nameOf(layer), `an input whose steps are known, ${why}`, "others");
}

/** Steps of padding before and after a sequence, from Keras' name. */
function paddingOf(
  layer: KerasLayer,
  flow: Flow,
  { kernelSize, stride, dilation }: Omit<Window, "padding">,
): [before: number, after: number] {
  const padding = fieldOf(layer.config, "padding", "border_mode") ?? "valid";
  const reach = dilation * (kernelSize - 1);
  if (padding === "valid") return [0, 0];
  if (padding === "causal") return [reach, 0];
  if (padding !== "same") {
    return failRange(`${nameOf(layer)}.padding`, "valid, same or causal", padding);
  }
  let all = reach;
  if (stride > 1) {
    const steps = stepsOf(layer, flow, "since padding is same and there is a stride");
    all = Math.max((Math.ceil(steps / stride) - 1) * stride + reach + 1 - steps, 0);
  }
  const before = Math.floor(all / 2);
  return [before, all - before];
}

/** The dimensions of a window's output. */
function dimsAfter(layer: KerasLayer, { dims }: Flow, window: Window, size: number) {
  const { kernelSize, stride, dilation, padding: [before, after] } = window;
  if (dims.length !== 2) failRange(nameOf(layer), "an input of steps and values", dims);
  const [steps] = dims;
  const reach = dilation * (kernelSize - 1);
  const out = steps == null ? null : Math.floor((steps + before + after - reach - 1) / stride) + 1;
  return [out, size];
}

/** Conv1D; its kernel [steps, in, out] is transposed to PyTorch's [out, in, steps]. */
export function convolution(call: LayerCall): Flow {
  const { layer, builder, weights } = call;
  const { config } = layer;
  const at = nameOf(layer);
  const flow = inputOf(call);
  refuse(layer, config, { data_format: "channels_last" });
  const bias = fieldOf(config, "use_bias", "bias") !== false;
  const [given, offset] = weightsFor(at, weights, ["kernel", ...bias ? ["bias"] : []]);
  // Keras 1 has a dimension of size 1 after the steps.
  const kernel = given!.shape.length === 4 && given!.shape[1] === 1
    ? { ...given!, shape: given!.shape.filter((_, i) => i !== 1) }
    : given!;
  checkWeight(`${at}.kernel`, kernel, [undefined, undefined, undefined]);
  const [kernelSize, inner, outChannels] = kernel.shape as [number, number, number];
  if (bias) checkWeight(`${at}.bias`, offset!, [outChannels]);
  const groups = numberOf(layer, "groups", fieldOf(config, "groups") ?? 1);
  const stride = numberOf(layer, "strides", fieldOf(config, "strides", "subsample_length") ?? 1);
  const dilation = numberOf(layer, "dilation_rate", fieldOf(config, "dilation_rate") ?? 1);
  const window = { kernelSize, stride, dilation };
  const padding = paddingOf(layer, flow, window);
  const module = new Conv1d({
    ...window,
    padding,
    inChannels: inner * groups,
    outChannels,
    groups,
    bias,
    batchFirst: true,
  });
  const weight: Tensor = { data: new Float32Array(kernel.data.length), shape: [] };
  for (let k = 0; k < kernelSize; k++) {
    for (let i = 0; i < inner; i++) {
      for (let o = 0; o < outChannels; o++) {
        weight.data[(o * inner + i) * kernelSize + k] = kernel
          .data[(k * inner + i) * outChannels + o]!;
      }
    }
  }
  const dims = dimsAfter(layer, flow, { ...window, padding }, outChannels);
  if (kernelSize > 1 || stride > 1) builder.maskIgnorers.push(at);
  const out = builder.add(layer.name, module, [flow], dims, {
    weight: { ...weight, shape: [outChannels, inner, kernelSize] },
    ...bias && { bias: offset! },
  });
  return activated(call, out, fieldOf(config, "activation"));
}

/** MaxPooling1D and AveragePooling1D, which ignore padding. */
export function pooling(kind: "max" | "average"): Import {
  return (call) => {
    const { layer, builder } = call;
    const { config } = layer;
    const flow = inputOf(call);
    refuse(layer, config, { data_format: "channels_last" });
    const size = fieldOf(config, "pool_size", "pool_length") ?? 2;
    const kernelSize = numberOf(layer, "pool_size", size);
    const strides = fieldOf(config, "strides", "stride") ?? kernelSize;
    const stride = numberOf(layer, "strides", strides);
    const window = { kernelSize, stride, dilation: 1 };
    const padding = paddingOf(layer, flow, window);
    const options = { kernelSize, stride, padding, batchFirst: true };
    const module = kind === "max"
      ? new MaxPool1d(options)
      : new AvgPool1d({ ...options, countIncludePad: false });
    const dims = dimsAfter(layer, flow, { ...window, padding }, sizeOf(nameOf(layer), flow));
    builder.maskIgnorers.push(nameOf(layer));
    return builder.add(layer.name, module, [flow], dims);
  };
}

/** ZeroPadding1D. */
export function zeroPadding(call: LayerCall): Flow {
  const { layer, builder } = call;
  const flow = inputOf(call);
  refuse(layer, layer.config, { data_format: "channels_last" });
  const given = fieldOf(layer.config, "padding") ?? 1;
  const padding = Array.isArray(given) ? given : [given, given];
  const whole = padding.length === 2 && padding.every((n) => Number.isSafeInteger(n) && n >= 0);
  if (!whole) failRange(`${nameOf(layer)}.padding`, "one number of steps or two", given);
  const [before, after] = padding as [number, number];
  const module = new ZeroPad1d({ padding: [before, after], batchFirst: true });
  const [steps, size] = flow.dims;
  const dims = [steps == null ? null : steps + before + after, size ?? null];
  builder.maskIgnorers.push(nameOf(layer));
  if (flow.dims.length !== 2) failRange(nameOf(layer), "an input of steps and values", flow.dims);
  return builder.add(layer.name, module, [flow], dims);
}

/** Flatten, in order of steps; their number must be fixed. */
export function flattening(call: LayerCall): Flow {
  const { layer, builder } = call;
  const flow = inputOf(call);
  refuse(layer, layer.config, { data_format: "channels_last" });
  if (flow.dims.length === 1) return flow;
  const steps = stepsOf(layer, flow, "since Flatten makes one row of them");
  builder.maskIgnorers.push(nameOf(layer));
  const module = new Flatten({ steps, stepsFirst: true, batchFirst: true });
  return builder.add(layer.name, module, [flow], [steps * sizeOf(nameOf(layer), flow)]);
}
