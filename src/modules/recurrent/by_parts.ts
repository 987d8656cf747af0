/**
 * Integer execution by parts: the cell's dataflow with a plain kernel for each part, each output
 * with the part's own qparams. It runs any observed cell: 8-, 16- and 32-bit parts mixed, and parts
 * that are not quantized, in float32. Plain and slow; tests compare the fast step with it.
 *
 * @module
 */
import { quantizedActivation } from "../../../kernels/numeric/activation.ts";
import { addInt8, addQuint8FixedPoint, mulInt8 } from "../../../kernels/ops/elementwise.ts";
import { embeddingRow } from "../../../kernels/ops/embedding.ts";
import { linearFloat32 } from "../../../kernels/float/linear.ts";
import {
  type Engine,
  linearEngine,
  linearInt8,
  linearInt8Float32,
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
  type Cell,
  type CellExecutor,
  gateSuffix,
  ofPart,
  type Part,
  type PartName,
  runCell,
  spanOf,
} from "../../cells/cell.ts";
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
import { partWeight, type QuantizedCell, stateQParams } from "./cell.ts";
import { initialQParams, type RecurrentSource, stateSize, stateSizes } from "./data.ts";
import { convertCentered, quantizeCentered } from "../../runtime/centered.ts";

/**
 * An input or output of a part: one row, quantized or float32.
 *
 * @example
 * ```ts
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { byParts, type PartValue } from "@splitgate/splitgate/reference";
 * import { assert } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const dtypes = new Set<string>();
 * const look = (value: PartValue) =>
 *   void dtypes.add("qparams" in value ? value.qparams.dtype : "float32");
 * const session = convert(observed).createSession({ kernels: byParts((_, value) => look(value)) });
 * session.step(Float32Array.of(0.1, -0.4), new Float32Array(3));
 * assert(dtypes.has("quint8"));
 * ```
 */
export type PartValue = QTensor<PerTensorQParams> | Tensor;

/**
 * Sees each part's output as it is computed.
 *
 * @example
 * ```ts
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { byParts, type PartWatcher } from "@splitgate/splitgate/reference";
 * import { assert } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const saturated = new Map<string, number>();
 * const watch: PartWatcher = (name, _value, count) => void saturated.set(name, count);
 * const kernels = byParts(watch);
 * convert(observed).createSession({ kernels }).step(Float32Array.of(99, -99), new Float32Array(3));
 * assert([...saturated.keys()].some((name) => name.endsWith("forget_gate")));
 * ```
 */
export interface PartWatcher {
  /**
   * @param name The part's name in its module, such as `layers.0.layer_fw.cell.gates` or, one gate
   * of a split part, `layers.0.layer_bw.cell.gates.forget`.
   * @param saturated Number of its values that were clamped to the part's range.
   */
  (name: string, value: PartValue, saturated: number): void;
}

type PartQParams = PerTensorQParams | null;

const WHOLE = { quantMin: -2147483648, quantMax: 2147483647 };

function isQuantized(value: PartValue): value is QTensor<PerTensorQParams> {
  return "qparams" in value;
}

function floats(value: PartValue): Float32Array {
  if (!isQuantized(value)) return value.data;
  const out = new Float32Array(value.data.length);
  dequantizePerTensor(value.data, out, value.qparams.scale, value.qparams.zeroPoint);
  return out;
}

/** Runs the parts of one quantized cell. */
export class ByPartsExecutor implements CellExecutor<PartValue> {
  readonly #engine: Engine;
  readonly #cell: Cell;
  readonly #own: QuantizedCell;
  readonly #label: string;
  readonly #observe: PartWatcher | null;

  /** @param label Name of the cell, such as `layers.0.layer_fw.cell`. */
  constructor(
    engine: Engine,
    cell: Cell,
    own: QuantizedCell,
    label: string = "cell",
    observe: PartWatcher | null = null,
  ) {
    this.#engine = engine;
    this.#cell = cell;
    this.#own = own;
    this.#label = label;
    this.#observe = observe;
    this.#checkSums();
  }

  /** Throws for scales that qnnpack's addition cannot take, before a step has changed a state. */
  #checkSums(): void {
    const { parts } = this.#own;
    for (const { name, op, inputs } of this.#cell.parts) {
      if (op !== "add") continue;
      ofPart(parts, name).forEach((to, gate) => {
        const [a, b] = inputs.map((input, i) =>
          parts.inputs?.[name]?.[i] ?? this.#qparamsOf(input, gate)
        );
        if (addsInFixedPoint(this.#engine, a!, b!, to)) {
          fixedPointAdd(`${this.#label}.${name}`, a!, b!, to!);
        }
      });
    }
  }

  /** Parameters of a value that a part reads, by its name; of one gate if it has several. */
  #qparamsOf(input: string, gate: number): PartQParams {
    const { gates, states } = this.#cell;
    const [name, which] = input.split(".");
    const state = states.findIndex((each) => each.name === name);
    if (state >= 0) return stateQParams(this.#cell, this.#own, state);
    const all = ofPart(this.#own.parts, name as PartName);
    return all[which === undefined ? Math.min(gate, all.length - 1) : gates.indexOf(which)]!;
  }

  apply(part: Part, gate: number, inputs: readonly PartValue[]): PartValue {
    const to = ofPart(this.#own.parts, part.name)[Math.max(gate, 0)]!;
    const label = `${this.#label}.${part.name}${gateSuffix(this.#cell, gate)}`;
    const value = part.op === "linear"
      ? this.#linear(part, gate, inputs[0]!, to)
      : this.#pointwise(part, inputs, to, label);
    if (this.#observe !== null) this.#observe(label, value.value, value.saturated);
    return value.value;
  }

  read(part: Part, gate: number, index: number, value: PartValue): PartValue {
    const to = this.#own.parts.inputs?.[part.name]?.[index] ?? null;
    if (to === null || (isQuantized(value) && sameQParams(value.qparams, to))) return value;
    const read = this.#quantize(floats(value), to);
    if (this.#observe !== null) {
      this.#observe(
        `${this.#label}.${part.name}${gateSuffix(this.#cell, gate)}.inputs[${index}]`,
        read.value,
        read.saturated,
      );
    }
    return read.value;
  }

  chunk(part: Part, gate: number, value: PartValue): PartValue {
    const [from, to] = spanOf(this.#cell, part);
    const size = value.data.length / (to - from);
    const at = (gate - from) * size;
    return { ...value, data: value.data.subarray(at, at + size), shape: [1, size] } as PartValue;
  }

  /**
   * Runs a kernel into integers of `to`; if there is a watcher, runs it again without the range, to
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
    const { weight, bias } = partWeight(this.#cell, this.#own, part, gate);
    const { data, inFeatures, outFeatures, scales, zeroPoints } = weight;
    const outputs = ofPart(this.#own.parts, part.name);
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
      linearFloat32({ weight: floats, bias, inFeatures, outFeatures }, x.data, 0, out, 0);
    }
    if (to === null) saturateFloat32(out);
    return this.#quantize(out, to);
  }

  #pointwise(
    part: Part,
    inputs: readonly PartValue[],
    to: PerTensorQParams | null,
    label: string,
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
        } else if (part.op === "sub") {
          // a - b is a + -b: negating a float32 value is exact.
          const minus = { ...qb.qparams, scale: -qb.qparams.scale };
          addInt8(qa, { ...qb, qparams: minus }, { data: out, qparams: to });
        } else if (part.activation !== undefined) {
          const { scale, zeroPoint } = qa.qparams;
          const activation = quantizedActivation(part.activation!, scale, to);
          for (let i = 0; i < size; i++) {
            out[i] = activation(qa.data[i]! - zeroPoint) + to.zeroPoint;
          }
        } else if (addsInFixedPoint(engine, qa.qparams, qb.qparams, to)) {
          const add = fixedPointAdd(label, qa.qparams, qb.qparams, to);
          addQuint8FixedPoint(qa, qb, { data: out, qparams: to }, add);
        } else {
          addInt8(qa, qb, { data: out, qparams: to });
        }
      });
    }
    const x = floats(a!);
    const y = inputs.length > 1 ? floats(b!) : x;
    const out = pointwiseFloat32(part.activation ?? part.op as "add" | "sub" | "mul", x, y);
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

/** The inverse of valueOf. */
function storeValue(value: PartValue, out: Float64Array, offset: number): void {
  const zeroPoint = isQuantized(value) ? value.qparams.zeroPoint : 0;
  for (let i = 0; i < value.data.length; i++) out[offset + i] = value.data[i]! - zeroPoint;
}

/** Whether a cell's gates have different parameters, which fused parts cannot have. */
function gatesDiffer(cell: Cell, { parts }: QuantizedCell): boolean {
  return cell.parts.some((part) => {
    const [first, ...others] = part.gated ? ofPart(parts, part.name) : [];
    return others.some((q) => JSON.stringify(q) !== JSON.stringify(first));
  });
}

class PreparedByParts implements ModuleInstance {
  readonly #source: RecurrentSource;
  readonly #executors: readonly (readonly ByPartsExecutor[])[];

  constructor(source: RecurrentSource, observe: PartWatcher | null) {
    this.#source = source;
    const { engine, cell, cells } = source.module;
    this.#executors = cells.map((layer, l) =>
      layer.map((own, d) =>
        new ByPartsExecutor(
          engine,
          cell,
          own,
          `layers.${l}.layer_${d === 0 ? "fw" : "bw"}.cell`,
          observe,
        )
      )
    );
  }

  process(state: ModuleState, inputs: readonly Values[], out: Values, call: Call): void {
    const { steps, batch, lengths, splitGates } = call;
    const { module, tokens } = this.#source;
    const { cell, cells, numLayers } = module;
    const directions = cells[0]!.length;
    const size = stateSize(module);
    const width = size * directions;
    const sizes = stateSizes(module);
    const token = new Float32Array(module.inputSize);
    const states = cell.states.map(({ name }) => state[name] as Float64Array);
    let from = inputs[0] as Float64Array;
    let input = this.#source.input;
    let inputSize = tokens === null ? module.inputSize : 1;
    cells.forEach((layer, l) => {
      const to = l === numLayers - 1
        ? out as Float64Array
        : new Float64Array(steps * batch * width);
      const first = stateQParams(cell, layer[0]!);
      layer.forEach((own, d) => {
        const split = splitGates || gatesDiffer(cell, own);
        const executor = this.#executors[l]![d]!;
        const running = states.map((_, i) => stateQParams(cell, own, i));
        const initial = initialQParams(this.#source, own);
        for (let b = 0; b < batch; b++) {
          const index = (l * directions + d) * batch + b;
          const length = lengths === null ? steps : Math.min(steps, lengths[b]!);
          for (let i = 0; i < length; i++) {
            const row = (d === 0 ? i : length - 1 - i) * batch + b;
            const entering = state.fresh![index] === 1 ? initial : running;
            let value = valueOf(
              from,
              row * inputSize,
              inputSize,
              l === 0 && tokens !== null ? null : input,
            );
            if (l === 0 && tokens !== null) {
              embeddingRow(tokens, from[row]!, token, 0);
              const centered = Float64Array.from(token);
              if (input !== null) quantizeCentered(token, 0, centered, 0, token.length, input);
              value = valueOf(centered, 0, token.length, input);
            }
            const next = runCell<PartValue>(
              executor,
              cell,
              split,
              value,
              states.map((values, s) =>
                valueOf(values, index * sizes[s]!, sizes[s]!, entering[s]!)
              ),
            );
            states.forEach((values, s) => storeValue(next[s]!, values, index * sizes[s]!));
            state.fresh![index] = 0;
            storeValue(next[0]!, to, row * width + d * size);
            if (d === 1) convertCentered(to, row * width + size, size, running[0]!, first);
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
 * The backend that runs cells by parts. Its steps allocate. It runs cells that the fast step cannot
 * run, and serves to check the fast step.
 *
 * @param observe Sees every part's output, and how many of its values saturated.
 *
 * @example Each part as it is computed
 * ```ts
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { byParts } from "@splitgate/splitgate/reference";
 * import { assert, assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed), x = Float32Array.of(0.1, -0.4), names: string[] = [];
 * const fast = new Float32Array(3), slow = new Float32Array(3);
 * model.createSession().step(x, fast);
 * model.createSession({ kernels: byParts((name) => names.push(name)) }).step(x, slow);
 * assertEquals(slow, fast);
 * assert(names.includes("layers.0.layer_fw.cell.forget_gate"));
 * ```
 */
export function byParts(observe: PartWatcher | null = null): Backend {
  if (observe !== null && typeof observe !== "function") {
    failType("observe", "a function or null", observe);
  }
  return {
    name: "by parts",
    instantiate({ source }: NodeProgram) {
      const recurrent = source as RecurrentSource | undefined;
      return recurrent?.module.cell === undefined ? null : new PreparedByParts(recurrent, observe);
    },
  };
}
