/**
 * The quantized convolution, and its lowering.
 *
 * @module
 */
import { conv1dFloat32, conv1dInt8, groupWeight } from "../../../kernels/ops/convolution.ts";
import { type Engine, linearEngine, type LinearWeight } from "../../../kernels/ops/linear.ts";
import { dequantizePerChannel, quantizePerTensor } from "../../../kernels/numeric/quantize.ts";
import { copyArray } from "../../../kernels/numeric/typed_array.ts";
import type { Window } from "../../../kernels/ops/window.ts";
import { rowOrder } from "../../../kernels/packed/lower.ts";
import { newQArray, type QArray } from "../../core/dtype.ts";
import {
  checkBoolean,
  checkGiven,
  checkInteger,
  checkResult,
  failRange,
} from "../../core/errors.ts";
import { checkOptions, MAX_SIZE } from "../../core/check.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import type { Conv1dProgram } from "../../runtime/kinds/conv1d.ts";
import { isCausal } from "../../runtime/window.ts";
import { checkLayer, checkLinear, checkValues } from "../check.ts";
import { copyWeight } from "../copy.ts";
import { inputQParams } from "../forward.ts";
import type { ForwardTensor, QuantizedEnds, QuantizedModule } from "../kind.ts";
import { lowerProjector, packs, reluFloor } from "../lower_projector.ts";
import {
  checkWindow,
  moveOverRows,
  rowsOf,
  type WindowForwardOptions,
  windowSlots,
} from "../window.ts";
import { checkGroups } from "./float.ts";

/** A convolution with an int8 weight. */
export interface Conv1dModule extends QuantizedModule {
  /** Name of the kind. */
  readonly kind: "Conv1d";
  /** Whose rounding it has. */
  readonly engine: Engine;
  /** int8 [outChannels, inChannels / groups * kernelSize], rows in torch's order. */
  readonly weight: LinearWeight;
  /** [outChannels] or null. */
  readonly bias: Float32Array | null;
  /** Parameters of the input; null takes float32 input. */
  readonly input: PerTensorQParams | null;
  /** Parameters of the output; null gives float32 output. */
  readonly output: PerTensorQParams | null;
  readonly window: Window;
  /** Number of channel groups. */
  readonly groups: number;
  /** Whether sequences are [batch, steps, ...]. */
  readonly batchFirst: boolean;
  /** Whether negative results become 0, as in torch's conv1d_relu. */
  readonly relu: boolean;
}

/** Input channels of a convolution. */
export function inChannelsOf({ weight, window, groups }: Conv1dModule): number {
  return weight.inFeatures / window.kernelSize * groups;
}

/**
 * A convolution with int8 weights.
 *
 * @example
 * ```ts
 * import { perTensorAffine, tensor } from "@splitgate/splitgate";
 * import { QuantizedConv1d } from "./quantized.ts";
 * import { assertEquals } from "@std/assert";
 * const conv = new QuantizedConv1d({
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
 *   window: { kernelSize: 2, stride: 1, dilation: 1, left: 0, right: 0, ceilMode: false },
 *   groups: 1,
 *   batchFirst: false,
 *   relu: false,
 * });
 * assertEquals([...conv.forward(tensor([2, 0, 4], [3, 1])).data], [3, -1]);
 * ```
 */
export class QuantizedConv1d implements Conv1dModule {
  /** Name of the kind. */
  readonly kind = "Conv1d";
  /** Whose rounding it has. */
  readonly engine: Engine;
  readonly weight: LinearWeight;
  readonly bias: Float32Array | null;
  readonly input: PerTensorQParams | null;
  readonly output: PerTensorQParams | null;
  readonly window: Window;
  readonly groups: number;
  readonly batchFirst: boolean;
  readonly relu: boolean;

  /**
   * Checks weight, bias and parameters and keeps them; arrays are copied.
   *
   * @throws {TypeError} If the weight is no Int8Array.
   * @throws {RangeError} If a length, scale, zero point, bias or number of the window is wrong, or
   * groups does not divide the channels.
   */
  constructor(options: Omit<Conv1dModule, "kind">) {
    checkGiven(options);
    this.engine = options.engine;
    this.weight = copyWeight(options.weight);
    this.bias = copyArray(options.bias);
    this.input = options.input;
    this.output = options.output;
    this.window = checkWindow("Conv1d", options.window);
    this.batchFirst = checkBoolean("Conv1d.batchFirst", options.batchFirst);
    this.relu = checkBoolean("Conv1d.relu", options.relu);
    checkValues("Conv1d.input", this.input);
    checkValues("Conv1d.output", this.output);
    checkLayer("Conv1d.weight", this, [this.input], [this.output]);
    const { outFeatures, inFeatures, scales } = this.weight;
    const { kernelSize, ceilMode } = this.window;
    if (inFeatures % kernelSize !== 0) {
      failRange("Conv1d.kernelSize", `a divisor of the weight's ${inFeatures} columns`, kernelSize);
    }
    if (ceilMode) failRange("Conv1d.ceilMode", "false", ceilMode);
    const groups = checkInteger("Conv1d.groups", options.groups, 1, MAX_SIZE);
    this.groups = checkGroups(
      "Conv1d.groups",
      groups,
      inFeatures / kernelSize * groups,
      outFeatures,
    );
    if (scales.length !== 1 && scales.length !== outFeatures) {
      failRange("Conv1d.weight.scales", `1 or ${outFeatures}`, scales.length);
    }
  }

  /**
   * Runs the layer with the plain kernels.
   *
   * @param x [steps, batch, inChannels], [batch, steps, inChannels] if batchFirst, or
   * [steps, inChannels]. A quantized tensor keeps its own parameters; floats are quantized to the
   * layer's `input`, or stay floats where that is null.
   * @param options.lengths Steps of each batch row; all by default.
   * @returns Of x's layout, quantized, or float32 where the layer's `output` is null; 0 beyond a
   * row's steps.
   * @throws {TypeError} If `x` is no tensor.
   * @throws {RangeError} If a shape does not fit, a value is out of range, its parameters do not
   * suit the layer, a row is shorter than the window, or a float32 result overflows.
   */
  forward(x: ForwardTensor, options: WindowForwardOptions = {}): ForwardTensor {
    checkOptions("options", options, ["lengths"]);
    const { engine, weight, input, output, relu, window, batchFirst } = this;
    const size = inChannelsOf(this);
    const width = weight.outFeatures;
    let from = inputQParams("x", x);
    let { data } = x;
    const { shapeOf, ...rows } = rowsOf(x, size, { batchFirst, lengths: options.lengths });
    if (from === null && input !== null) {
      from = input;
      const q = newQArray(input.dtype, data.length);
      quantizePerTensor(data as Float32Array, q, input);
      data = q;
    }
    const stepsOf = (length: number) => length / width / rows.batch;
    if (from !== null && output !== null) {
      const qparams = from;
      checkLinear("weight", this, qparams, [output]);
      const rule = linearEngine(engine, qparams, [output]);
      // Input and output may have different dtypes: both are held as int32.
      const y = moveOverRows(Int32Array.from(data as QArray), rows, {
        window,
        size,
        width,
        make: (length) => new Int32Array(length).fill(output.zeroPoint),
        compute: (row, out) =>
          conv1dInt8(rule, { data: row, qparams }, size, this, { data: out, qparams: output }),
      });
      const q = newQArray(output.dtype, y.length);
      q.set(y);
      return { data: q, shape: shapeOf(stepsOf(q.length), width), qparams: output };
    }
    const floats = from === null ? this.#floatWeight() : null;
    if (from !== null) checkLinear("weight", this, from, [null]);
    const y = moveOverRows(Float32Array.from(data), rows, {
      window,
      size,
      width,
      make: (length) => new Float32Array(length),
      compute: (row, out) => {
        if (from === null) {
          conv1dFloat32(row, size, { ...this, weight: floats! }, out);
          if (relu) out.forEach((value, i) => out[i] = value > 0 ? value : 0);
        } else {
          const rule = linearEngine(engine, from, [null]);
          const given = { data: Int32Array.from(row), qparams: from };
          conv1dInt8(rule, given, size, this, { data: out, qparams: null });
        }
      },
    });
    const shape = shapeOf(stepsOf(y.length), width);
    if (output === null) {
      if (from === null) y.forEach(checkResult);
      return { data: y, shape };
    }
    const q = newQArray(output.dtype, y.length);
    quantizePerTensor(y, q, output);
    return { data: q, shape, qparams: output };
  }

  #floatWeight(): Float32Array {
    const { data, scales, zeroPoints } = this.weight;
    const out = new Float32Array(data.length);
    dequantizePerChannel(data, out, scales, zeroPoints, data.length / scales.length);
    return out;
  }
}

/** Ports of a convolution. */
export function convEnds(conv: Conv1dModule): QuantizedEnds {
  const { weight, input, output, window, batchFirst } = conv;
  return {
    inputs: [{ size: inChannelsOf(conv), qparams: input }],
    output: { size: weight.outFeatures, qparams: output },
    looksAhead: !isCausal(window),
    batchFirst,
  };
}

/**
 * Lowers a convolution.
 *
 * @throws {RangeError} If its input has more than 24 bits.
 */
export function lowerConv1d(name: string, conv: Conv1dModule): Conv1dProgram {
  const { engine, weight, bias, input, relu, window, groups } = conv;
  if (!packs(input)) {
    const range = `${input!.quantMin}..${input!.quantMax}`;
    failRange(`${name}.input`, "parameters of at most 24 bits", range);
  }
  const { inputs, output } = convEnds(conv);
  const to = relu && output.qparams !== null ? reluFloor(output.qparams) : output.qparams;
  const projectors = Array.from({ length: groups }, (_, group) => {
    const own = groupWeight(weight, window.kernelSize, groups, group);
    const rows = own.outFeatures;
    const added = bias && bias.slice(group * rows, (group + 1) * rows);
    const order = rowOrder(rows);
    return lowerProjector({ engine, weight: own, bias: added, order }, input, [to]);
  });
  const slots = isCausal(window) ? windowSlots(window, inputs[0]!) : [];
  return { kind: "Conv1d", inputs, output, slots, window, projectors, relu };
}
