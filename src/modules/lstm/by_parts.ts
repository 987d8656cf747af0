/**
 * Integer execution by parts: the cell's dataflow with a plain kernel for each part, each output
 * with the part's own qparams. It runs any observed LSTM: 8-, 16- and 32-bit parts mixed, and parts
 * that are not quantized, in float32. Plain and slow; the fast step is held to it.
 *
 * @module
 */
import { quantizedActivation } from "../../../kernels/numeric/activation.ts";
import { addInt8, addQuint8FixedPoint, mulInt8 } from "../../../kernels/ops/elementwise.ts";
import { linearFloat32 } from "../../../kernels/float/linear.ts";
import {
  type Engine,
  linearEngine,
  linearInt8,
  linearInt8Float32,
  type LinearWeight,
} from "../../../kernels/ops/linear.ts";
import { addsInFixedPoint, fixedPointAdd } from "../../../kernels/packed/lower.ts";
import {
  dequantizePerChannel,
  dequantizePerTensor,
  type Integers,
  quantizePerTensor,
} from "../../../kernels/numeric/quantize.ts";
import { saturateFloat32 } from "../../../kernels/numeric/requantize.ts";
import { pointwiseFloat32 } from "../../cells/float_executor.ts";
import { newQArray } from "../../core/dtype.ts";
import {
  type CellExecutor,
  GATES,
  LSTM_PARTS,
  lstmParts,
  type Part,
  runCell,
} from "../../cells/lstm_parts.ts";
import { failType } from "../../core/errors.ts";
import { type PerTensorQParams, sameQParams } from "../../core/qparams.ts";
import type { QTensor, Tensor } from "../../core/tensor.ts";
import type {
  Backend,
  Call,
  ModuleInstance,
  ModuleState,
  NodeProgram,
  Values,
} from "../../runtime/kind.ts";
import { hiddenQParams, type QuantizedLSTMCell } from "./cell.ts";
import { initialQParams, type LSTMSource, stateSize } from "./data.ts";
import { convertCentered, quantizeCentered } from "../../runtime/centered.ts";

/** What a part reads and gives: one row, quantized or float32. */
export type PartValue = QTensor<PerTensorQParams> | Tensor;

/** Sees each part's output as it is computed. */
export interface PartWatcher {
  /**
   * @param place The part's name in its LSTM, such as `layers.0.layer_fw.cell.gates` or, one gate
   * of a split part, `layers.0.layer_bw.cell.gates.forget`.
   * @param saturated How many of its values would lie outside the part's range and were clamped to
   * its ends.
   */
  (place: string, value: PartValue, saturated: number): void;
}

type PartQParams = PerTensorQParams | null;

const WHOLE = { quantMin: -2147483648, quantMax: 2147483647 };

const gateName = (gate: number): string => gate < 0 ? "" : `.${GATES[gate]}`;

function isQuantized(value: PartValue): value is QTensor<PerTensorQParams> {
  return "qparams" in value;
}

function floats(value: PartValue): Float32Array {
  if (!isQuantized(value)) return value.data;
  const out = new Float32Array(value.data.length);
  dequantizePerTensor(value.data, out, value.qparams.scale, value.qparams.zeroPoint);
  return out;
}

/** The rows of one gate, or all of them. */
function rowsOf(weight: LinearWeight, gate: number): LinearWeight {
  if (gate < 0) return weight;
  const { data, inFeatures, perChannel, scales, zeroPoints } = weight;
  const rows = weight.outFeatures / 4;
  const channels = scales.length / 4;
  const [from, to] = channels < 1 ? [0, 1] : [gate * channels, (gate + 1) * channels];
  return {
    data: data.subarray(gate * rows * inFeatures, (gate + 1) * rows * inFeatures),
    outFeatures: rows,
    inFeatures,
    perChannel,
    scales: scales.subarray(from, to),
    zeroPoints: zeroPoints.subarray(from, to),
  };
}

/** Runs the parts of one quantized cell. */
export class ByPartsExecutor implements CellExecutor<PartValue> {
  readonly #engine: Engine;
  readonly #cell: QuantizedLSTMCell;
  readonly #place: string;
  readonly #observe: PartWatcher | null;

  /** @param place Where the cell stands, such as `layers.0.layer_fw.cell`. */
  constructor(
    engine: Engine,
    cell: QuantizedLSTMCell,
    place: string = "cell",
    observe: PartWatcher | null = null,
  ) {
    this.#engine = engine;
    this.#cell = cell;
    this.#place = place;
    this.#observe = observe;
    this.#checkSums();
  }

  /** Refuses scales that qnnpack's addition does not take before a step has moved a state. */
  #checkSums(): void {
    const { parts } = this.#cell;
    const own = (name: string) => [parts[name as Part["name"]]].flat() as PartQParams[];
    for (const { name, op, inputs } of LSTM_PARTS) {
      if (op !== "add") continue;
      own(name).forEach((to, gate) => {
        const [a, b] = inputs.map((input, i) => parts.inputs?.[name]?.[i] ?? own(input)[gate]!);
        if (addsInFixedPoint(this.#engine, a!, b!, to)) {
          fixedPointAdd(`${this.#place}.${name}`, a!, b!, to!);
        }
      });
    }
  }

  apply(part: Part, gate: number, inputs: readonly PartValue[]): PartValue {
    const given = this.#cell.parts[part.name];
    const to = Array.isArray(given) ? given[Math.max(gate, 0)] : given as PerTensorQParams | null;
    const place = `${this.#place}.${part.name}${gateName(gate)}`;
    const value = part.op === "linear"
      ? this.#linear(part, gate, inputs[0]!, to)
      : this.#pointwise(part, inputs, to, place);
    if (this.#observe !== null) this.#observe(place, value.value, value.saturated);
    return value.value;
  }

  read(part: Part, gate: number, index: number, value: PartValue): PartValue {
    const to = this.#cell.parts.inputs?.[part.name]?.[index] ?? null;
    if (to === null || (isQuantized(value) && sameQParams(value.qparams, to))) return value;
    const read = this.#quantize(floats(value), to);
    if (this.#observe !== null) {
      this.#observe(
        `${this.#place}.${part.name}${gateName(gate)}.inputs[${index}]`,
        read.value,
        read.saturated,
      );
    }
    return read.value;
  }

  chunk(value: PartValue, gate: number): PartValue {
    const size = value.data.length / 4;
    const from = gate * size;
    return {
      ...value,
      data: value.data.subarray(from, from + size),
      shape: [1, size],
    } as PartValue;
  }

  /**
   * Runs a kernel into integers of `to`; where somebody observes, once more without its range, to
   * count saturation.
   */
  #integers(
    to: PerTensorQParams,
    size: number,
    kernel: (out: Integers, to: PerTensorQParams) => void,
  ): Output {
    const data = newQArray(to.dtype, size);
    kernel(data, to);
    let saturated = 0;
    if (this.#observe !== null) {
      const whole = new Int32Array(size);
      kernel(whole, { ...to, ...WHOLE });
      for (const q of whole) if (q < to.quantMin || q > to.quantMax) saturated++;
    }
    return { value: { data, shape: [1, size], qparams: to }, saturated };
  }

  #quantize(data: Float32Array, to: PerTensorQParams | null): Output {
    if (to === null) return { value: { data, shape: [1, data.length] }, saturated: 0 };
    return this.#integers(to, data.length, (out, to) => quantizePerTensor(data, out, to));
  }

  #linear(part: Part, gate: number, x: PartValue, to: PerTensorQParams | null): Output {
    const { weightIh, weightHh, weightHr, biasIh, biasHh } = this.#cell;
    const [whole, wholeBias] = part.name === "igates"
      ? [weightIh, biasIh]
      : part.name === "hgates"
      ? [weightHh, biasHh]
      : [weightHr!, null];
    const weight = rowsOf(whole, gate);
    const { data, inFeatures, outFeatures, scales, zeroPoints } = weight;
    const bias = gate < 0
      ? wholeBias
      : wholeBias?.subarray(gate * outFeatures, (gate + 1) * outFeatures) ?? null;
    const own = this.#cell.parts[part.name] as
      | PerTensorQParams
      | null
      | readonly (PerTensorQParams | null)[];
    const outputs = Array.isArray(own) ? own : [own];
    if (isQuantized(x) && to !== null) {
      return this.#integers(to, outFeatures, (out, to) => {
        const engine = linearEngine(this.#engine, x.qparams, outputs);
        linearInt8(engine, x, { weight, bias }, { data: out, qparams: to });
      });
    }
    const out = new Float32Array(outFeatures);
    if (isQuantized(x)) {
      const engine = linearEngine(this.#engine, x.qparams, outputs);
      linearInt8Float32(engine, x, { weight, bias }, out);
    } else {
      const floats = new Float32Array(data.length);
      dequantizePerChannel(data, floats, scales, zeroPoints, data.length / scales.length);
      linearFloat32(x.data, 0, floats, bias, inFeatures, outFeatures, out, 0);
    }
    if (to === null) saturateFloat32(out);
    return this.#quantize(out, to);
  }

  #pointwise(
    part: Part,
    inputs: readonly PartValue[],
    to: PerTensorQParams | null,
    place: string,
  ): Output {
    const [a, b] = inputs;
    const size = a!.data.length;
    const engine = this.#engine;
    if (to !== null && inputs.every(isQuantized)) {
      const qa = a as QTensor<PerTensorQParams>;
      const qb = b as QTensor<PerTensorQParams>;
      return this.#integers(to, size, (out, to) => {
        if (part.op === "mul") {
          mulInt8(qa, qb, { data: out, qparams: to });
        } else if (part.activation !== undefined) {
          const { scale, zeroPoint } = qa.qparams;
          const activation = quantizedActivation(part.activation!, scale, to);
          for (let i = 0; i < size; i++) {
            out[i] = activation(qa.data[i]! - zeroPoint) + to.zeroPoint;
          }
        } else if (addsInFixedPoint(engine, qa.qparams, qb.qparams, to)) {
          const add = fixedPointAdd(place, qa.qparams, qb.qparams, to);
          addQuint8FixedPoint(qa, qb, { data: out, qparams: to }, add);
        } else {
          addInt8(qa, qb, { data: out, qparams: to });
        }
      });
    }
    const x = floats(a!);
    const y = inputs.length > 1 ? floats(b!) : x;
    const out = pointwiseFloat32(part.activation ?? part.op as "add" | "mul", x, y);
    if (to === null) saturateFloat32(out);
    return this.#quantize(out, to);
  }
}

interface Output {
  readonly value: PartValue;
  readonly saturated: number;
}

/** A value from integers less the zero point, or floats. */
function valueOf(
  x: Float64Array,
  offset: number,
  length: number,
  qparams: PerTensorQParams | null,
): PartValue {
  if (qparams === null) {
    return { data: Float32Array.from(x.subarray(offset, offset + length)), shape: [1, length] };
  }
  const data = newQArray(qparams.dtype, length);
  for (let i = 0; i < length; i++) data[i] = x[offset + i]! + qparams.zeroPoint;
  return { data, shape: [1, length], qparams };
}

/** The reverse of valueOf. */
function storeValue(value: PartValue, out: Float64Array, offset: number): void {
  const zeroPoint = isQuantized(value) ? value.qparams.zeroPoint : 0;
  for (let i = 0; i < value.data.length; i++) out[offset + i] = value.data[i]! - zeroPoint;
}

/** Whether a cell's gates have parameters of their own, which no fused part can have. */
function gatesDiffer({ parts }: QuantizedLSTMCell): boolean {
  return [parts.igates, parts.hgates, parts.gates].some((part) =>
    part.some((q) => JSON.stringify(q) !== JSON.stringify(part[0]))
  );
}

class PreparedByParts implements ModuleInstance {
  readonly #source: LSTMSource;
  readonly #executors: readonly (readonly ByPartsExecutor[])[];

  constructor(source: LSTMSource, observe: PartWatcher | null) {
    this.#source = source;
    const { engine, cells } = source.module;
    this.#executors = cells.map((layer, l) =>
      layer.map((cell, d) =>
        new ByPartsExecutor(
          engine,
          cell,
          `layers.${l}.layer_${d === 0 ? "fw" : "bw"}.cell`,
          observe,
        )
      )
    );
  }

  process(state: ModuleState, inputs: readonly Values[], out: Values, call: Call): void {
    const { steps, batch, lengths, splitGates } = call;
    const { module: lstm, tokens } = this.#source;
    const directions = lstm.cells[0]!.length;
    const size = stateSize(lstm);
    const width = size * directions;
    const token = new Float32Array(lstm.inputSize);
    const parts = lstmParts(lstm.projSize > 0, lstm);
    const h = state.h as Float64Array;
    const c = state.c as Float64Array;
    let from = inputs[0] as Float64Array;
    let input = this.#source.input;
    let inputSize = tokens === null ? lstm.inputSize : 1;
    lstm.cells.forEach((layer, l) => {
      const to = l === lstm.numLayers - 1
        ? out as Float64Array
        : new Float64Array(steps * batch * width);
      const first = hiddenQParams(layer[0]!);
      layer.forEach((cell, d) => {
        const split = splitGates || gatesDiffer(cell);
        const executor = this.#executors[l]![d]!;
        const hidden = hiddenQParams(cell);
        const cellState = cell.parts.fgate_cx_igate_cgate;
        const initial = initialQParams(this.#source, cell);
        for (let b = 0; b < batch; b++) {
          const index = (l * directions + d) * batch + b;
          const hAt = index * size;
          const cAt = index * lstm.hiddenSize;
          const length = lengths === null ? steps : Math.min(steps, lengths[b]!);
          for (let i = 0; i < length; i++) {
            const row = (d === 0 ? i : length - 1 - i) * batch + b;
            const fresh = state.fresh![index] === 1;
            let value = valueOf(
              from,
              row * inputSize,
              inputSize,
              l === 0 && tokens !== null ? null : input,
            );
            if (l === 0 && tokens !== null) {
              tokens.read(from[row]!, token, 0);
              const centered = Float64Array.from(token);
              if (input !== null) quantizeCentered(token, 0, centered, 0, token.length, input);
              value = valueOf(centered, 0, token.length, input);
            }
            const next = runCell<PartValue>(
              executor,
              parts,
              split,
              value,
              valueOf(h, hAt, size, fresh ? initial[0] : hidden),
              valueOf(c, cAt, lstm.hiddenSize, fresh ? initial[1] : cellState),
            );
            storeValue(next.h, h, hAt);
            storeValue(next.c, c, cAt);
            state.fresh![index] = 0;
            storeValue(next.h, to, row * width + d * size);
            if (d === 1) convertCentered(to, row * width + size, size, hidden, first);
          }
        }
      });
      from = to;
      input = first;
      inputSize = width;
    });
  }
}

/**
 * The backend that runs cells by parts. Its steps allocate; it serves where the fast step does not,
 * and as its check.
 *
 * @param observe Sees every part's output, and how many of its values saturated.
 *
 * @example Each part as it is computed
 * ```ts
 * import { byParts, convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { assert, assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed), x = Float32Array.of(0.1, -0.4), places: string[] = [];
 * const fast = new Float32Array(3), slow = new Float32Array(3);
 * model.createSession().step(x, fast);
 * model.createSession({ kernels: byParts((place) => places.push(place)) }).step(x, slow);
 * assertEquals(slow, fast);
 * assert(places.includes("layers.0.layer_fw.cell.forget_gate"));
 * ```
 */
export function byParts(observe: PartWatcher | null = null): Backend {
  if (observe !== null && typeof observe !== "function") {
    failType("observe", "a function or null", observe);
  }
  return {
    name: "by parts",
    instantiate: ({ kind, source }: NodeProgram) =>
      kind === "LSTM" && source !== undefined
        ? new PreparedByParts(source as LSTMSource, observe)
        : null,
  };
}
