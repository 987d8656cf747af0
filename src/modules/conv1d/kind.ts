/**
 * Conv1d as a kind of module. `rewrites.ts` makes BatchNorm1d, ReLU and ZeroPad1d part of it.
 *
 * @module
 */
import { conv1dFloat32 } from "../../../kernels/ops/convolution.ts";
import type { Window } from "../../../kernels/ops/window.ts";
import { checkBoolean, checkInteger, failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { conv1d as running } from "../../runtime/kinds/conv1d.ts";
import { supports } from "../fit_backend.ts";
import { failWidth, type Kind, type ObserveContext } from "../kind.ts";
import {
  FLOAT_OBSERVER,
  inputObserved,
  inputObserver,
  observedQParams,
  observeRows,
  requiredQConfig,
  validRows,
} from "../observing.ts";
import { lengthsOption } from "../pool.ts";
import type { ReferenceOp } from "../reference.ts";
import { dequantizedWeight } from "../reference_ops.ts";
import { quantizeWeight, weightObserver } from "../rounding/weights.ts";
import { lengthsAfter, moveOverRows, readWindow, windowNumbers, writeWindow } from "../window.ts";
import { Conv1d, Conv1dReLU } from "./float.ts";
import { ObservedConv1d } from "./observed.ts";
import { convEnds, lowerConv1d, QuantizedConv1d } from "./quantized.ts";

function observe(module: Conv1d, context: ObserveContext): ObservedConv1d {
  const qconfig = requiredQConfig(context);
  const { name, inputs: [given], fit } = context;
  weightObserver(`${name}.weight`, qconfig.weight);
  if (qconfig.dynamic) {
    const expected =
      "a QConfig that is not dynamic (prepare with a preset such as fbgemm), since " +
      "a Conv1d has no dynamic form";
    failRange(`qconfig of ${name}`, expected, "a dynamic one");
  }
  const input = inputObserver(qconfig, given!);
  const observed = new ObservedConv1d(module, qconfig, input);
  const values = {
    inputs: [inputObserved(input, given!)],
    output: observed.output,
    weight: qconfig.weight(),
    bias: module.bias !== null,
  };
  if (fit === null || supports(fit, name, "conv1d", values)) return observed;
  return new ObservedConv1d(module, { ...qconfig, activation: FLOAT_OBSERVER }, "float");
}

/** @param relu Whether negative sums become 0. */
function convolution(relu: boolean): ReferenceOp {
  return {
    inputs: 1,
    hasWeight: true,
    window: ({ constants }) => constants!.window as Window,
    width({ weight, constants }, [given]) {
      if (weight === undefined) return "has no weight";
      const { window, groups } = constants as { window: Window; groups: number };
      const channels = weight.inFeatures / window.kernelSize * groups;
      return channels === given ? weight.outFeatures : `reads ${channels} channels, not ${given}`;
    },
    compute(node, [x], layout, weight) {
      const { window, groups } = node.constants as { window: Window; groups: number };
      const size = node.weight!.inFeatures / window.kernelSize * groups;
      const own = { window, groups, weight: weight ?? dequantizedWeight(node), bias: node.bias! };
      const data = moveOverRows(x as Float32Array, layout, {
        window,
        size,
        width: node.width,
        make: (length) => new Float32Array(length),
        compute: (row, out) => conv1dFloat32(row, size, own, out),
      });
      return relu ? data.map((value) => value > 0 ? value : 0) : data;
    },
  };
}

/** Conv1d over steps of time, with or without ReLU. */
export const conv1dKind: Kind<Conv1d, ObservedConv1d, QuantizedConv1d> = {
  name: "Conv1d",
  time: "sequence",
  inputs: 1,
  hasState: false,
  hasWeight: true,

  inputSize: ({ inChannels }) => inChannels,
  outputSize(name, { inChannels, outChannels }, [given]) {
    if (given !== inChannels) failWidth(name, given!, inChannels);
    return outChannels;
  },
  batchFirst: ({ batchFirst }) => batchFirst,
  window: ({ window }) => window,
  options: ["stride", "padding", "dilation", "groups", "batchFirst", "relu"],
  optionsOf(module) {
    const { window: { stride, left, right, dilation }, groups, batchFirst } = module;
    const relu = module instanceof Conv1dReLU ? { relu: true } : {};
    return { stride, padding: [left, right], dilation, groups, batchFirst, ...relu };
  },
  create({ relu = false, groups = 1, ...options }, shapes) {
    const Kind = checkBoolean("relu", relu) ? Conv1dReLU : Conv1d;
    const [outChannels, inner, kernelSize] = shapes.of("weight", undefined, undefined, undefined);
    const inChannels = inner! * checkInteger("groups", groups, 1, outChannels!);
    return new Kind({
      ...options,
      inChannels,
      outChannels: outChannels!,
      kernelSize: kernelSize!,
      groups: groups as number,
      bias: shapes.has("bias"),
    });
  },
  forward: (module, [x], call) => module.forward(x as Tensor, lengthsOption(call)),

  parts: () => [],
  observe,
  check: ({ conv }, [x], call) => conv.forward(x as Tensor, lengthsOption(call)),
  watch(observed, [x], call) {
    const { conv: { batchFirst }, window, output } = observed;
    const options = lengthsOption(call);
    observed.watch(x as Tensor, options);
    const y = observed.forward(x as Tensor, options);
    const lengths = lengthsAfter(window, call.lengths);
    return observeRows(output, y, lengths && validRows(y, lengths, batchFirst));
  },

  *convert(observed, { name, input }) {
    const { conv, qconfig, output, relu } = observed;
    const { outChannels, weight, bias, window, groups, batchFirst } = conv;
    const nearest = quantizeWeight(`${name}.weight`, qconfig.weight, weight, outChannels);
    return new QuantizedConv1d({
      engine: qconfig.engine ?? "fbgemm",
      weight: yield* observed.round(name, nearest),
      bias,
      input,
      output: observedQParams(name, output),
      window,
      groups,
      batchFirst,
      relu,
    });
  },
  rowsToRound: ({ grams, conv }) => grams === null ? 0 : conv.outChannels,
  withInputs: (conv, [input]) => new QuantizedConv1d({ ...conv, input: input! }),
  ends: convEnds,
  fingerprint: ({ engine, weight, bias, input, output, window, groups, relu }) => [
    engine,
    weight,
    bias,
    input,
    output,
    ...windowNumbers(window),
    groups,
    relu,
  ],

  running: [running],
  lower: lowerConv1d,

  ops: { conv1d: convolution(false), conv1d_relu: convolution(true) },
  reference({ weight, bias, input, output, window, groups, relu }, name, [value], builder) {
    const owner = { module: name };
    const { float } = builder.convert(value!, input, owner, `${name}.input`);
    const constants = { window, groups };
    const op = relu ? "conv1d_relu" : "conv1d";
    const width = weight.outFeatures;
    const node = { name, op, inputs: [float], width, weight, bias, constants, ...owner };
    return builder.operation(node, owner, output);
  },
  floatWeight: ({ conv }) => conv.weight,

  write(conv, file) {
    const { engine, weight, bias, input, output, window, groups, batchFirst, relu } = conv;
    file.weight("weight", weight);
    if (bias !== null) file.tensor("bias", bias, bias.length);
    return {
      engine,
      perChannel: weight.perChannel,
      input: file.qparams(input),
      output: file.qparams(output),
      ...writeWindow(window),
      groups,
      ...batchFirst && { batchFirst },
      ...relu && { relu },
    };
  },
  read(file) {
    const engine = file.engine("engine");
    const weight = file.weight("weight", undefined, undefined, file.flag("perChannel"));
    const bias = file.shapeOf("bias") === undefined
      ? null
      : file.floats("bias", weight.outFeatures);
    return new QuantizedConv1d({
      engine,
      weight,
      bias,
      input: file.qparams("input", file.field("input")),
      output: file.qparams("output", file.field("output")),
      window: readWindow(file),
      groups: file.field("groups") as number,
      batchFirst: file.option("batchFirst"),
      relu: file.option("relu"),
    });
  },
};
