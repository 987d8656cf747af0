/**
 * Linear as a kind of module.
 *
 * @module
 */
import { checkBoolean, failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { dynamicLinear } from "../../runtime/kinds/dynamic_linear.ts";
import { linear as running } from "../../runtime/kinds/linear.ts";
import { supports } from "../fit_backend.ts";
import { failWidth, type Kind, type ObserveContext } from "../kind.ts";
import {
  FLOAT_OBSERVER,
  inputObserved,
  inputObserver,
  observedQParams,
  observeRows,
  requiredQConfig,
} from "../observing.ts";
import { checkDynamic } from "../dynamic.ts";
import { quantizeWeight, roundWeight, weightObserver } from "../rounding/weights.ts";
import { Linear, LinearReLU } from "./float.ts";
import { linearEnds, lowerDynamicLinear, lowerLinear } from "./lower.ts";
import { ObservedLinear } from "./observed.ts";
import { QuantizedLinear } from "./quantized.ts";

function observe(module: Linear, context: ObserveContext): ObservedLinear {
  const qconfig = requiredQConfig(context);
  const { name, inputs: [given], fit } = context;
  weightObserver(`${name}.weight`, qconfig.weight);
  if (qconfig.dynamic) checkDynamic(name, qconfig, fit);
  const input = inputObserver(qconfig, given!);
  const observed = new ObservedLinear(module, qconfig, input);
  const values = {
    inputs: [inputObserved(input, given!)],
    output: observed.output,
    weight: qconfig.weight(),
    bias: module.bias !== null,
  };
  if (fit === null || supports(fit, name, "linear", values)) return observed;
  return new ObservedLinear(module, { ...qconfig, activation: FLOAT_OBSERVER }, "float");
}

/** Linear: y = x W^T + b, with or without ReLU. */
export const linearKind: Kind<Linear, ObservedLinear, QuantizedLinear> = {
  name: "Linear",
  time: "row",
  inputs: 1,
  hasState: false,
  hasWeight: true,

  inputSize: ({ inFeatures }) => inFeatures,
  outputSize(name, { inFeatures, outFeatures }, [given]) {
    if (given !== inFeatures) failWidth(name, given!, inFeatures);
    return outFeatures;
  },
  batchFirst: () => null,
  options: ["relu"],
  optionsOf: (module) => module instanceof LinearReLU ? { relu: true } : {},
  create({ relu = false }, shapes) {
    const Kind = checkBoolean("relu", relu) ? LinearReLU : Linear;
    const [outFeatures, inFeatures] = shapes.of("weight", undefined, undefined);
    const sizes = { inFeatures: inFeatures!, outFeatures: outFeatures! };
    return new Kind({ ...sizes, bias: shapes.has("bias") });
  },
  forward: (module, [x]) => module.forward(x as Tensor),

  parts: () => [],
  observe,
  check: (observed, [x]) => observed.linear.forward(x as Tensor),
  watch(observed, [x], { rows }) {
    observed.watch(x as Tensor, rows);
    return observeRows(observed.output, observed.forward(x as Tensor), rows);
  },

  *convert({ linear, qconfig, gram, output, relu }, { name, input }) {
    const { outFeatures, weight, bias } = linear;
    if (gram?.every((value) => value === 0)) {
      const expected = "calibration data: run some through the observed model first";
      failRange(name, expected, "none, or nothing but zeros");
    }
    const nearest = quantizeWeight(`${name}.weight`, qconfig.weight, weight, outFeatures);
    return new QuantizedLinear({
      engine: qconfig.engine ?? "fbgemm",
      weight: yield* roundWeight(nearest, weight, gram, true),
      bias,
      input,
      output: observedQParams(name, output),
      dynamic: qconfig.dynamic ?? false,
      relu,
    });
  },
  rowsToRound: ({ gram, linear }) => gram === null ? 0 : linear.outFeatures,
  withInputs: (linear, [input]) => new QuantizedLinear({ ...linear, input: input! }),
  ends: linearEnds,
  fingerprint: ({ engine, weight, bias, input, output, dynamic, relu }) => [
    engine,
    weight,
    bias,
    input,
    output,
    dynamic,
    relu,
  ],

  running: [running, dynamicLinear],
  lower: (name, linear) => linear.dynamic ? lowerDynamicLinear(linear) : lowerLinear(name, linear),

  ops: {},
  reference(quantized, name, [value], builder) {
    const { weight, bias, output, input, dynamic, relu } = quantized;
    if (dynamic) {
      failRange(
        `modules.${name}`,
        "no dynamic module: its integers differ from call to call",
        "one",
      );
    }
    const owner = { module: name };
    const { float } = builder.convert(value!, input, owner, `${name}.input`);
    const width = weight.outFeatures;
    const op = relu ? "linear_relu" : "linear";
    return builder.operation(
      { name, op, inputs: [float], width, weight, bias, ...owner },
      owner,
      output,
    );
  },
  floatWeight: ({ linear }) => linear.weight,

  write({ engine, weight, bias, input, output, dynamic, relu }, file) {
    file.weight("weight", weight);
    if (bias !== null) file.tensor("bias", bias, bias.length);
    return {
      engine,
      perChannel: weight.perChannel,
      input: file.qparams(input),
      output: file.qparams(output),
      ...dynamic && { dynamic },
      ...relu && { relu },
    };
  },
  read(file) {
    const engine = file.engine("engine");
    const weight = file.weight("weight", undefined, undefined, file.flag("perChannel"));
    const bias = file.shapeOf("bias") === undefined
      ? null
      : file.floats("bias", weight.outFeatures);
    return new QuantizedLinear({
      engine,
      weight,
      bias,
      input: file.qparams("input", file.field("input")),
      output: file.qparams("output", file.field("output")),
      dynamic: file.option("dynamic"),
      relu: file.option("relu"),
    });
  },
};
