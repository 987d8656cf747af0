/**
 * The quantized linear layer and its plain execution.
 *
 * @module
 */
import { linearFloat32 } from "../../../kernels/float/linear.ts";
import {
  type Engine,
  linearEngine,
  linearInt8,
  linearInt8Float32,
  type LinearWeight,
} from "../../../kernels/ops/linear.ts";
import { dequantizePerChannel, quantizePerTensor } from "../../../kernels/numeric/quantize.ts";
import { copyArray } from "../../../kernels/numeric/typed_array.ts";
import { newQArray } from "../../core/dtype.ts";
import { checkGiven, checkResult, failRange, failType } from "../../core/errors.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import { createCall } from "../../runtime/kind.ts";
import { dynamicLinear } from "../../runtime/kinds/dynamic_linear.ts";
import { checkLayer, checkLinear, checkValues } from "../check.ts";
import { copyWeight } from "../copy.ts";
import { inputQParams } from "../forward.ts";
import type { ForwardTensor } from "../kind.ts";
import type { LinearModule } from "./data.ts";
import { lowerDynamicLinear } from "./lower.ts";

/** Constructor data of {@linkcode QuantizedLinear}. */
export type QuantizedLinearOptions = Omit<LinearModule, "kind">;

/** float32 weights of an int8 layer. */
function floatWeight({ data, scales, zeroPoints }: LinearWeight): Float32Array {
  const out = new Float32Array(data.length);
  dequantizePerChannel(data, out, scales, zeroPoints, data.length / scales.length);
  return out;
}

/**
 * A linear layer with int8 weights.
 *
 * @example
 * ```ts
 * import { perTensorAffine, tensor } from "@splitgate/splitgate";
 * import { QuantizedLinear } from "./quantized.ts";
 * import { assertEquals } from "@std/assert";
 * const linear = new QuantizedLinear({
 *   engine: "fbgemm",
 *   weight: {
 *     data: Int8Array.of(2, -1),
 *     outFeatures: 1,
 *     inFeatures: 2,
 *     perChannel: false,
 *     scales: Float32Array.of(0.5),
 *     zeroPoints: Int32Array.of(0),
 *   },
 *   bias: Float32Array.of(1),
 *   input: perTensorAffine({ dtype: "quint8", scale: 1, zeroPoint: 10 }),
 *   output: null,
 * });
 * assertEquals([...linear.forward(tensor([2, 0], [1, 2])).data], [3]);
 * ```
 */
export class QuantizedLinear implements LinearModule {
  /** Name of the kind. */
  readonly kind = "Linear";
  /** Whose rounding it has. */
  readonly engine: Engine;
  readonly weight: LinearWeight;
  readonly bias: Float32Array | null;
  readonly input: PerTensorQParams | null;
  readonly output: PerTensorQParams | null;
  readonly dynamic: boolean;
  readonly relu: boolean;

  /**
   * Checks weight, bias and parameters and keeps them; arrays are copied.
   *
   * @throws {TypeError} If the weight is no Int8Array.
   * @throws {RangeError} If a length, scale, zero point or bias is wrong, or it is dynamic and
   * `input` or `output` is not null.
   */
  constructor(options: QuantizedLinearOptions) {
    checkGiven(options);
    this.engine = options.engine;
    this.weight = copyWeight(options.weight);
    this.bias = copyArray(options.bias);
    this.input = options.input;
    this.output = options.output;
    this.dynamic = options.dynamic ?? false;
    this.relu = options.relu ?? false;
    for (const end of ["input", "output"] as const) {
      if (this.dynamic && this[end] !== null) {
        failRange(end, "null, since the layer is dynamic", this[end]);
      }
    }
    checkValues("Linear.input", this.input);
    checkValues("Linear.output", this.output);
    checkLayer("Linear.weight", this, [this.input], [this.output]);
  }

  /**
   * Runs the layer with the plain kernels.
   *
   * @param x [..., inFeatures]. A quantized tensor keeps its own parameters; floats are quantized
   * to the layer's `input`, or stay floats where that is null.
   * @returns [..., outFeatures], quantized, or float32 where the layer's `output` is null.
   * @throws {TypeError} If `x` is no tensor, or a quantized one and the layer is dynamic.
   * @throws {RangeError} If its last dimension is not inFeatures, a value is out of range, its
   * parameters do not suit the layer, or a float32 result overflows.
   */
  forward(x: ForwardTensor): ForwardTensor {
    const { engine, weight, bias, input, output, relu } = this;
    const { inFeatures, outFeatures } = weight;
    let from = inputQParams("x", x);
    let { data } = x;
    const rows = data.length / inFeatures;
    if (x.shape[x.shape.length - 1] !== inFeatures) {
      failRange("x.shape", `[..., ${inFeatures}]`, [...x.shape]);
    }
    const shape = [...x.shape.slice(0, -1), outFeatures];
    if (this.dynamic) {
      if (from !== null) failType("x", "a float32 tensor, since the layer is dynamic", from.dtype);
      return { data: this.#forwardDynamic(data as Float32Array, rows), shape };
    }
    if (from === null && input !== null) {
      from = input;
      const q = newQArray(input.dtype, data.length);
      quantizePerTensor(data as Float32Array, q, input);
      data = q;
    }
    if (from !== null) checkLinear("weight", this, from, [output]);
    if (from !== null && output !== null) {
      const q = newQArray(output.dtype, rows * outFeatures);
      const rule = linearEngine(engine, from, [output]);
      const given = { data: data as Int32Array, qparams: from };
      linearInt8(rule, given, this, { data: q, qparams: output });
      return { data: q, shape, qparams: output };
    }
    const out = new Float32Array(rows * outFeatures);
    if (from !== null) {
      const rule = linearEngine(engine, from, [null]);
      linearInt8Float32(rule, { data: data as Int32Array, qparams: from }, this, out);
    } else {
      const layer = { weight: floatWeight(weight), bias, inFeatures, outFeatures };
      for (let r = 0; r < rows; r++) {
        linearFloat32(layer, data as Float32Array, r * inFeatures, out, r * outFeatures);
      }
    }
    if (relu) out.forEach((value, i) => out[i] = value > 0 ? value : 0);
    if (output === null) {
      if (from === null) out.forEach(checkResult);
      return { data: out, shape };
    }
    const q = newQArray(output.dtype, out.length);
    quantizePerTensor(out, q, output);
    return { data: q, shape, qparams: output };
  }

  #forwardDynamic(x: Float32Array, rows: number): Float32Array {
    const out = new Float32Array(rows * this.weight.outFeatures);
    const prepared = dynamicLinear.instantiate(lowerDynamicLinear(this));
    prepared.reserve!(rows, 1, false);
    prepared.process({}, [x], out, createCall(1, rows));
    return out;
  }
}
