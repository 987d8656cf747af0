/**
 * Dynamically quantized modules: int8 weights, float32 in and out, activations quantized at each call by their own
 * range.
 *
 * @module
 */
import type { Engine, LinearWeight } from "../../kernels/linear.ts";
import { linearDynamicInt8 } from "../../kernels/linear_dynamic.ts";
import { finishStepFloat32 } from "../../kernels/lstm_float.ts";
import { checkFinite, failRange } from "../errors.ts";
import { checkTensor } from "../nn/check.ts";
import { planSequence } from "../nn/sequence.ts";
import type { Tensor } from "../tensor.ts";

/** What a {@linkcode DynamicLinear} is made of. */
export interface DynamicLinearOptions {
  readonly engine: Engine;
  /** int8 [outFeatures, inFeatures] */
  readonly weight: LinearWeight;
  /** [outFeatures] or null. */
  readonly bias: Float32Array | null;
  /** Whether the input is quantized to 7 bits, torch's default; qnnpack ignores it, as in torch. */
  readonly reduceRange: boolean;
}

/** torch.ao.nn.quantized.dynamic.Linear, bit for bit. */
export class DynamicLinear implements DynamicLinearOptions {
  readonly kind = "DynamicLinear";
  readonly engine: Engine;
  readonly weight: LinearWeight;
  readonly bias: Float32Array | null;
  readonly reduceRange: boolean;

  /** Use `quantizeDynamic`. */
  constructor(options: DynamicLinearOptions) {
    this.engine = options.engine;
    this.weight = options.weight;
    this.bias = options.bias;
    this.reduceRange = options.reduceRange;
  }

  /**
   * @param x [..., inFeatures], finite. All of it is quantized with one scale: a batch's rows depend on each other.
   * @returns [..., outFeatures]
   * @throws {TypeError} If `x` is no float32 tensor.
   * @throws {RangeError} If a dimension is 0, the last is not inFeatures, or `x` or the result is not finite.
   */
  forward(x: Tensor): Tensor {
    const { engine, weight, bias, reduceRange } = this, { inFeatures, outFeatures } = weight;
    checkTensor("x", x);
    if (x.shape.at(-1) !== inFeatures) failRange("x.shape", `[..., ${inFeatures}]`, x.shape);
    const data = new Float32Array(x.data.length / inFeatures * outFeatures);
    linearDynamicInt8(engine, x.data, weight, bias, data, false, reduceRange);
    checkFinite("y", data);
    return { data, shape: [...x.shape.slice(0, -1), outFeatures] };
  }
}

/** Weights of one layer and direction of a {@linkcode DynamicLSTM}. Rows in PyTorch's order of gates. */
export interface DynamicLstmCell {
  /** [4 * hiddenSize, inputSize] */
  readonly weightIh: LinearWeight;
  /** [4 * hiddenSize, hiddenSize] */
  readonly weightHh: LinearWeight;
  /** [4 * hiddenSize] or null. */
  readonly biasIh: Float32Array | null;
  /** [4 * hiddenSize] or null. */
  readonly biasHh: Float32Array | null;
}

/** What a {@linkcode DynamicLSTM} is made of. */
export interface DynamicLstmOptions {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly batchFirst: boolean;
  readonly bidirectional: boolean;
  readonly engine: Engine;
  /** Whether activations are quantized to 7 bits, torch's default; qnnpack ignores it, as in torch. */
  readonly reduceRange: boolean;
  /** Cells by layer and direction. */
  readonly cells: readonly (readonly DynamicLstmCell[])[];
}

/**
 * torch.ao.nn.quantized.dynamic.LSTM: every layer's input is quantized over the whole sequence and batch, the hidden
 * state at each step over the batch; everything else is float32. It differs from torch where the float sigmoid and
 * tanh do, by a unit in the last place, and where that moves a quantized hidden state, by that step.
 */
export class DynamicLSTM implements DynamicLstmOptions {
  readonly kind = "DynamicLSTM";
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly batchFirst: boolean;
  readonly bidirectional: boolean;
  readonly engine: Engine;
  readonly reduceRange: boolean;
  readonly cells: readonly (readonly DynamicLstmCell[])[];

  /** Use `quantizeDynamic`. */
  constructor(options: DynamicLstmOptions) {
    this.inputSize = options.inputSize;
    this.hiddenSize = options.hiddenSize;
    this.numLayers = options.numLayers;
    this.batchFirst = options.batchFirst;
    this.bidirectional = options.bidirectional;
    this.engine = options.engine;
    this.reduceRange = options.reduceRange;
    this.cells = options.cells;
  }

  /**
   * Runs a batch of sequences; one step at a time gives other integers than whole, since each call has its own scale.
   *
   * @param x [steps, batch, inputSize], [batch, steps, inputSize] if batchFirst, or [steps, inputSize]; finite.
   * @param state h and c, each [numLayers * directions, batch, hiddenSize], without `batch` if unbatched; zeros by
   * default.
   * @returns y, shaped as `x` with directions * hiddenSize in place of inputSize, and the final h and c.
   * @throws {TypeError} If a tensor is no float32 tensor.
   * @throws {RangeError} If a shape does not fit, a dimension is 0, or a value is not finite.
   */
  forward(x: Tensor, state?: readonly [Tensor, Tensor]): [y: Tensor, state: [h: Tensor, c: Tensor]] {
    const { hiddenSize, batchFirst, engine, reduceRange } = this, numDirections = this.bidirectional ? 2 : 1;
    const plan = planSequence({ ...this, projSize: 0, numDirections }, x, state, {}), { steps, batch, h, c } = plan;
    const stepRows = batchFirst ? 1 : batch, batchRows = batchFirst ? steps : 1;
    const width = hiddenSize * numDirections, gates = 4 * hiddenSize;
    const igates = new Float32Array(steps * batch * gates), hgates = new Float32Array(batch * gates);
    let from = x.data;
    this.cells.forEach((layer, l) => {
      const to = new Float32Array(steps * batch * width);
      layer.forEach(({ weightIh, weightHh, biasIh, biasHh }, d) => {
        const cell = (l * numDirections + d) * batch * hiddenSize;
        const hidden = h.subarray(cell, cell + batch * hiddenSize);
        linearDynamicInt8(engine, from, weightIh, biasIh, igates, false, reduceRange);
        for (let i = 0; i < steps; i++) {
          const t = d === 0 ? i : steps - 1 - i;
          linearDynamicInt8(engine, hidden, weightHh, biasHh, hgates, false, reduceRange);
          for (let b = 0; b < batch; b++) {
            const row = t * stepRows + b * batchRows, at = b * hiddenSize;
            finishStepFloat32(igates, row * gates, hgates, b * gates, hiddenSize, c, cell + at, hidden, at);
            to.set(hidden.subarray(at, at + hiddenSize), row * width + d * hiddenSize);
          }
        }
      });
      from = to;
    });
    checkFinite("y", from);
    return [
      { data: from, shape: [...x.shape.slice(0, -1), width] },
      [{ data: h, shape: plan.hShape }, { data: c, shape: plan.cShape }],
    ];
  }
}
