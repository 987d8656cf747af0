/**
 * LayerNorm as a kind of module.
 *
 * @module
 */
import { type LayerNorm as Norm, layerNormFloat32 } from "../../../kernels/ops/normalize.ts";
import type { Tensor } from "../../core/tensor.ts";
import { layerNorm as running, type LayerNormProgram } from "../../runtime/kinds/layer_norm.ts";
import { failWidth, type Kind, type QuantizedEnds } from "../kind.ts";
import { type ObservedValues, observedValues } from "../observed_values.ts";
import { observedQParams } from "../observing.ts";
import { LayerNorm } from "./float.ts";
import { QuantizedLayerNorm, takesIntegers } from "./quantized.ts";

function ends({ normalizedShape, input, output }: QuantizedLayerNorm): QuantizedEnds {
  return {
    inputs: [{ size: normalizedShape, qparams: input }],
    output: { size: normalizedShape, qparams: output },
    batchFirst: null,
  };
}

/** LayerNorm over the last dimension. */
export const layerNormKind: Kind<LayerNorm, ObservedValues<LayerNorm>, QuantizedLayerNorm> = {
  name: "LayerNorm",
  time: "row",
  inputs: 1,
  hasState: false,
  hasWeight: false,

  inputSize: ({ normalizedShape }) => normalizedShape,
  outputSize(name, { normalizedShape }, [given]) {
    if (given !== normalizedShape) failWidth(name, given!, normalizedShape);
    return normalizedShape;
  },
  batchFirst: () => null,
  options: ["eps", "normalizedShape"],
  // Without a weight no tensor tells the size.
  optionsOf: ({ eps, weight, normalizedShape }) =>
    weight === null ? { eps, normalizedShape } : { eps },
  create(options, shapes) {
    const has = { elementwiseAffine: shapes.has("weight"), bias: shapes.has("bias") };
    const size = options.normalizedShape as number | undefined;
    const normalizedShape = has.elementwiseAffine ? shapes.of("weight", size)[0]! : size!;
    return new LayerNorm({ ...options, ...has, normalizedShape });
  },
  forward: (module, [x]) => module.forward(x as Tensor),

  ...observedValues("layer_norm"),

  convert({ module: { normalizedShape, weight, bias, eps }, output }, { name, input }) {
    const norm = { normalizedShape, weight, bias, eps };
    return new QuantizedLayerNorm({ ...norm, input, output: observedQParams(name, output) });
  },
  withInputs: (norm, [input]) => new QuantizedLayerNorm({ ...norm, input: input! }),
  ends,
  fingerprint: ({ normalizedShape, weight, bias, eps, input, output }) => [
    normalizedShape,
    weight,
    bias,
    eps,
    input,
    output,
  ],

  running: [running],
  lower(_name, quantized): LayerNormProgram {
    const { weight, bias, eps, input, output: to } = quantized;
    const { inputs, output } = ends(quantized);
    const integers = takesIntegers(input, to);
    return { kind: "LayerNorm", inputs, output, integers, weight, bias, eps };
  },

  ops: {
    layer_norm: {
      inputs: 1,
      width({ constants, width }, [given]) {
        const { weight, bias } = constants as unknown as Norm;
        const own = weight?.length ?? bias?.length ?? width;
        return own === given ? own : `normalizes ${own} values, not ${given}`;
      },
      compute({ constants, width }, [x]) {
        const data = new Float32Array(x!.length);
        layerNormFloat32(x as Float32Array, width, constants as unknown as Norm, data);
        return data;
      },
    },
  },
  reference({ normalizedShape: width, weight, bias, eps, input, output }, name, [x], builder) {
    const owner = { module: name };
    const { float } = builder.convert(x!, input, owner, `${name}.input`);
    const constants = { weight, bias, eps };
    const node = { name, op: "layer_norm", inputs: [float], width, constants, ...owner };
    return builder.operation(node, owner, output);
  },

  write({ normalizedShape, weight, bias, eps, input, output }, file) {
    if (weight !== null) file.tensor("weight", weight, normalizedShape);
    if (bias !== null) file.tensor("bias", bias, normalizedShape);
    return { normalizedShape, eps, input: file.qparams(input), output: file.qparams(output) };
  },
  read(file) {
    const size = file.field("normalizedShape") as number;
    const optional = (key: string) =>
      file.shapeOf(key) === undefined ? null : file.floats(key, size);
    return new QuantizedLayerNorm({
      normalizedShape: size,
      weight: optional("weight"),
      bias: optional("bias"),
      eps: file.field("eps") as number,
      input: file.qparams("input", file.field("input")),
      output: file.qparams("output", file.field("output")),
    });
  },
};
