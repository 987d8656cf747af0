/**
 * Convolution, pooling and padding over time; in ONNX on [batch, features, steps], or on images of
 * height or width 1.
 *
 * @module
 */
import { isFloat32Array } from "../../../kernels/numeric/typed_array.ts";
import type { Module } from "../../modules/module.ts";
import { AvgPool1d } from "../../modules/avg_pool1d/float.ts";
import { Conv1d } from "../../modules/conv1d/float.ts";
import { MaxPool1d } from "../../modules/max_pool1d/float.ts";
import { ZeroPad1d } from "../../modules/zero_pad1d/float.ts";
import { windowSteps } from "../../../kernels/ops/window.ts";
import type { NodeContext } from "./context.ts";
import { numberOf, sizeOf } from "./sizes.ts";
import { type Atom, atom, type Flow, type OnnxValue } from "./values.ts";

/** Axes before those that a window moves over: batch and features. */
const OUTER = 2;

/** A node's window over time. */
interface TimeWindow {
  /** The axis of time. */
  readonly axis: number;
  readonly kernelSize: number;
  readonly stride: number;
  readonly dilation: number;
  readonly padding: readonly [number, number];
  readonly ceilMode: boolean;
}

/** Padding on both sides that keeps the number of steps at stride 1. */
function samePadding(node: NodeContext, total: number, stride: number): [number, number] {
  const kind = node.text("auto_pad", "NOTSET");
  if (kind === "VALID") return [0, 0];
  if (stride !== 1) node.fail("pads that are numbers, of a stride of 1", kind, ".auto_pad");
  const less = Math.floor(total / 2);
  return kind === "SAME_LOWER" ? [total - less, less] : [less, total - less];
}

/** The window of a node that reads [batch, features, steps]. */
function windowOf(node: NodeContext, flow: Flow, kernel: readonly number[]): TimeWindow {
  const rank = flow.dims.length - OUTER;
  if (rank < 1 || kernel.length !== rank) {
    node.fail("[batch, features, steps]", `${flow.dims.length} axes`);
  }
  const list = (name: string, length: number, byDefault: number) => {
    const given = node.list<number>(name, "number") ?? Array<number>(length).fill(byDefault);
    return given.length === length
      ? given
      : node.fail(`${length} numbers`, given.length, `.${name}`);
  };
  const strides = list("strides", rank, 1);
  const dilations = list("dilations", rank, 1);
  const pads = list("pads", 2 * rank, 0);
  const moving = kernel.flatMap((size, i) =>
    flow.dims[OUTER + i]!.length > 0 || size !== 1 || pads[i] !== 0 || pads[rank + i] !== 0
      ? [i]
      : []
  );
  const [i = rank - 1, ...others] = moving;
  if (others.length > 0) {
    node.fail("a window over one axis, that of time (`cut` leaves out images)", kernel);
  }
  const [kernelSize, stride, dilation] = [kernel[i]!, strides[i]!, dilations[i]!];
  const padding: [number, number] = node.text("auto_pad", "NOTSET") === "NOTSET"
    ? [pads[i]!, pads[rank + i]!]
    : samePadding(node, (kernelSize - 1) * dilation, stride);
  const ceilMode = node.number("ceil_mode", 0) !== 0;
  return { axis: OUTER + i, kernelSize, stride, dilation, padding, ceilMode };
}

/** The output of a window over time, with one step for each position. */
function windowFlow(
  node: NodeContext,
  flow: Flow,
  { window, features, make }: {
    readonly window: TimeWindow;
    /** null if features are unchanged. */
    readonly features: readonly Atom[] | null;
    make(batchFirst: boolean): Module;
  },
): Flow {
  const { axis, padding: [left, right] } = window;
  node.claim(flow.dims[0]!, "batch");
  const steps = node.claim(flow.dims[axis]!, "time");
  const count = numberOf(steps.size);
  const kept = window.stride === 1 && left + right === (window.kernelSize - 1) * window.dilation;
  const size = count === undefined
    ? sizeOf(`${node.node.outputs[0]}[${axis}]`)
    : sizeOf(windowSteps({ ...window, left, right }, count));
  const dims = [...flow.dims];
  dims[axis] = [kept ? steps : atom(size, "time")];
  if (features !== null) dims[1] = features;
  const part = node.part([flow], { make });
  return { kind: "flow", part, dims, features: features ?? flow.features };
}

/** Conv over time. */
export function conv(node: NodeContext): OnnxValue {
  const flow = node.flow(0);
  const weight = node.constant(1);
  const [outChannels, perGroup, ...kernel] = weight.shape as [number, number, ...number[]];
  const window = windowOf(node, flow, kernel);
  const inChannels = node.width(flow, flow.dims[1]!);
  const groups = node.number("group", 1);
  if (perGroup * groups !== inChannels) {
    node.fail(`a weight for ${inChannels} features in ${groups} groups`, weight.shape);
  }
  const bias = node.inputs[2] === undefined ? null : node.constant(2).data;
  if (!isFloat32Array(weight.data) || bias !== null && bias.length !== outChannels) {
    node.fail("a weight and bias of float32 values", "others");
  }
  const { kernelSize, stride, dilation, padding } = window;
  return windowFlow(node, flow, {
    window,
    features: [atom(sizeOf(outChannels), "features")],
    make(batchFirst) {
      const options = { inChannels, outChannels, kernelSize, stride, dilation, padding, groups };
      const module = new Conv1d({ ...options, bias: bias !== null, batchFirst });
      module.weight.set(weight.data);
      if (bias !== null) module.bias!.set(bias);
      return module;
    },
  });
}

/** MaxPool and AveragePool over time. */
export function pool(node: NodeContext): OnnxValue {
  const flow = node.flow(0);
  const kernel = node.list<number>("kernel_shape", "number") ?? node.fail("kernel_shape", "none");
  const { axis, ...window } = windowOf(node, flow, kernel);
  node.width(flow, flow.dims[1]!);
  const { dilation, ...rest } = window;
  if (node.node.op === "AveragePool" && dilation !== 1) node.fail("1", dilation, ".dilations");
  return windowFlow(node, flow, {
    window: { axis, ...window },
    features: null,
    make: (batchFirst) =>
      node.node.op === "MaxPool" ? new MaxPool1d({ ...window, batchFirst }) : new AvgPool1d({
        ...rest,
        countIncludePad: node.number("count_include_pad", 0) !== 0,
        batchFirst,
      }),
  });
}

/** Pad with zeros before and after a sequence. */
export function pad(node: NodeContext): OnnxValue {
  const flow = node.flow(0);
  const rank = flow.dims.length;
  const mode = node.text("mode", "constant");
  const value = node.inputs[2] === undefined ? node.number("value", 0) : node.constant(2).data[0];
  if (mode !== "constant" || value !== 0) node.fail("constant zeros", mode, ".mode");
  const pads = node.integers(1, "pads") ?? node.fail("pads", "none");
  const padded = flow.dims.flatMap((_, i) => pads[i] !== 0 || pads[rank + i] !== 0 ? [i] : []);
  const [axis, ...others] = padded;
  if (axis === undefined) return flow;
  if (others.length > 0 || pads.length !== 2 * rank) node.fail("padding of time", pads, ".pads");
  const steps = node.claim(flow.dims[axis]!, "time");
  const padding: [number, number] = [pads[axis]!, pads[rank + axis]!];
  const count = numberOf(steps.size);
  const dims = [...flow.dims];
  dims[axis] = [
    atom(
      sizeOf(
        count === undefined ? `${node.node.outputs[0]}[${axis}]` : count + padding[0] + padding[1],
      ),
      "time",
    ),
  ];
  const part = node.part([flow], {
    make: (batchFirst) => new ZeroPad1d({ padding, batchFirst }),
  });
  return { kind: "flow", part, dims, features: flow.features };
}
