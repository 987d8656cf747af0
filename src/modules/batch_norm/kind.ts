/**
 * BatchNorm1d as a kind of module. `rewrites.ts` folds it into a layer before it.
 *
 * @module
 */
import { type BatchNorm, batchNormFloat32 } from "../../../kernels/ops/normalize.ts";
import { failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { batchNorm1d as running, type BatchNorm1dProgram } from "../../runtime/kinds/batch_norm.ts";
import { failWidth, type Kind, type QuantizedEnds } from "../kind.ts";
import { type ObservedValues, observedValues } from "../observed_values.ts";
import { observedQParams } from "../observing.ts";
import { checkBatchNorm, WITHOUT_VARIANCE } from "./check.ts";
import { BatchNorm1d } from "./float.ts";
import { QuantizedBatchNorm1d, scalesOf } from "./quantized.ts";

function ends({ runningMean: { length }, input, output }: QuantizedBatchNorm1d): QuantizedEnds {
  return {
    inputs: [{ size: length, qparams: input }],
    output: { size: length, qparams: output },
    batchFirst: null,
  };
}

/** BatchNorm1d in evaluation mode: y = (x - mean) / sqrt(variance + eps) * weight + bias. */
export const batchNorm1dKind: Kind<
  BatchNorm1d,
  ObservedValues<BatchNorm1d>,
  QuantizedBatchNorm1d
> = {
  name: "BatchNorm1d",
  time: "row",
  inputs: 1,
  hasState: false,
  hasWeight: false,

  inputSize: ({ numFeatures }) => numFeatures,
  outputSize(name, { numFeatures }, [given]) {
    if (given !== numFeatures) failWidth(name, given!, numFeatures);
    return numFeatures;
  },
  batchFirst: () => null,
  options: ["eps"],
  create(options, shapes) {
    const [numFeatures] = shapes.of("running_mean", undefined);
    return new BatchNorm1d({
      ...options,
      numFeatures: numFeatures!,
      affine: shapes.has("weight"),
    });
  },
  forward: (module, [x]) => module.forward(x as Tensor),

  ...observedValues("batch_norm"),

  convert({ module: { weight, bias, runningMean, runningVar, eps }, output }, { name, input }) {
    const norm = { weight, bias, runningMean, runningVar, eps };
    return new QuantizedBatchNorm1d({ ...norm, input, output: observedQParams(name, output) });
  },
  withInputs: (norm, [input]) => new QuantizedBatchNorm1d({ ...norm, input: input! }),
  ends,
  fingerprint: ({ weight, bias, runningMean, runningVar, eps, input, output }) => [
    weight,
    bias,
    runningMean,
    runningVar,
    eps,
    input,
    output,
  ],

  running: [running],
  lower(name, quantized): BatchNorm1dProgram {
    const { inputs, output } = ends(quantized);
    const scales = scalesOf(quantized.input, quantized.output);
    const { alpha, beta } = checkBatchNorm(name, quantized, scales);
    return { kind: "BatchNorm1d", inputs, output, alpha, beta };
  },

  ops: {
    batch_norm: {
      inputs: 1,
      width({ constants }, [given]) {
        const { length } = (constants as unknown as BatchNorm).runningMean;
        return length === given ? length : `normalizes ${length} features, not ${given}`;
      },
      compute({ constants }, [x]) {
        const data = new Float32Array(x!.length);
        batchNormFloat32(x as Float32Array, constants as unknown as BatchNorm, data);
        return data;
      },
    },
  },
  reference({ weight, bias, runningMean, runningVar, eps, input, output }, name, [x], builder) {
    const owner = { module: name };
    const { float } = builder.convert(x!, input, owner, `${name}.input`);
    const constants = { weight, bias, runningMean, runningVar, eps };
    const width = runningMean.length;
    const node = { name, op: "batch_norm", inputs: [float], width, constants, ...owner };
    return builder.operation(node, owner, output);
  },

  write({ weight, bias, runningMean, runningVar, eps, input, output }, file) {
    const { length } = runningMean;
    if (weight !== null) file.tensor("weight", weight, length);
    if (bias !== null) file.tensor("bias", bias, length);
    file.tensor("running_mean", runningMean, length);
    file.tensor("running_var", runningVar, length);
    return { eps, input: file.qparams(input), output: file.qparams(output) };
  },
  read(file) {
    const runningMean = file.floats("running_mean");
    const { length } = runningMean;
    if (file.shapeOf("running_var") === undefined) {
      failRange(`${file.name}.running_var`, `a tensor F32 [${length}]`, WITHOUT_VARIANCE);
    }
    const optional = (key: string) =>
      file.shapeOf(key) === undefined ? null : file.floats(key, length);
    return new QuantizedBatchNorm1d({
      weight: optional("weight"),
      bias: optional("bias"),
      runningMean,
      runningVar: file.floats("running_var", length),
      eps: file.field("eps") as number,
      input: file.qparams("input", file.field("input")),
      output: file.qparams("output", file.field("output")),
    });
  },
};
