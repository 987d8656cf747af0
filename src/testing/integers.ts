/**
 * Checks of quantized models against the reference graph, part by part, and against exact rules.
 *
 * @module
 */
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import { type Engine, linearEngine, linearInt8 } from "../../kernels/ops/linear.ts";
import { quantizePerTensor, requantize } from "../../kernels/numeric/quantize.ts";
import type { QuantizedModel } from "../authoring/model.ts";
import { type CellExecutor, gateSuffix, ofPart, type Part, runCell } from "../cells/cell.ts";
import { newQArray } from "../core/dtype.ts";
import { type PerTensorQParams, sameQParams } from "../core/qparams.ts";
import type { QTensor } from "../core/tensor.ts";
import { INPUT } from "../core/topology.ts";
import type { QuantizedLinear } from "../modules/linear/quantized.ts";
import { ByPartsExecutor, type PartValue } from "../modules/recurrent/by_parts.ts";
import { partWeight } from "../modules/recurrent/cell.ts";
import type { QuantizedRecurrent } from "../modules/recurrent/quantized.ts";
import type { GraphNode, GraphValue } from "../modules/reference.ts";
import { convertToReference, type ReferenceModel } from "../reference/reference.ts";
import { computeNode } from "../reference/run.ts";
import { channelOf } from "../../kernels/ops/linear.ts";
import { generator } from "./random.ts";
import {
  dot,
  linearOutput,
  mul32,
  quantize,
  requantize as requantizeExactly,
  withBias,
} from "./rules.ts";
import type { Trial } from "./trial.ts";
import { broken, type Difference, held, skipped, type Verdict } from "./verdict.ts";

/** The layout of a single row. */
const ROW = { steps: 1, batch: 1, batchFirst: false, lengths: null };

/** Rounding error of float32: half a unit in the last place for numbers below 2. */
const UNIT = 2 ** -24;

/**
 * Number of roundings to float32 on both paths: five in a linear here (accumulator scale,
 * multiplier, accumulator, bias, product) and five in the reference (x, weight, sum, reciprocal,
 * product).
 */
const ROUNDINGS = 10;

function isQuantized(value: PartValue): value is QTensor<PerTensorQParams> {
  return "qparams" in value;
}

/** A quantized recurrent module, and whether it reads the model's input. */
interface RecurrentNode {
  readonly name: string;
  readonly module: QuantizedRecurrent;
  readonly readsInput: boolean;
}

/** The recurrent modules of a model. */
function recurrentNodes({ modules, topology }: QuantizedModel): RecurrentNode[] {
  return [...modules].flatMap(([name, module]) =>
    "cells" in module
      ? [{
        name,
        module: module as QuantizedRecurrent,
        readsInput: topology.inputs.get(name)![0] === INPUT,
      }]
      : []
  );
}

const graphs = new WeakMap<QuantizedModel, ReadonlyMap<string, GraphNode>>();

/** The nodes of a model's reference graph, by name. */
function nodesOf(model: QuantizedModel): ReadonlyMap<string, GraphNode> {
  let nodes = graphs.get(model);
  if (nodes === undefined) {
    const graph: ReferenceModel = convertToReference(model);
    nodes = new Map(graph.nodes.map((node) => [node.name, node]));
    graphs.set(model, nodes);
  }
  return nodes;
}

/** Thrown if a part differs by more than the tolerance. */
class Found extends Error {
  constructor(readonly difference: Difference) {
    super(difference.value);
  }
}

/** Numbers of values that were compared, and of those that differ. */
interface Counts {
  values: number;
  differing: number;
}

/** The largest sum of magnitudes in a linear, of which float32 keeps 24 bits. */
function magnitudeOf({ weight, bias }: GraphNode, x: PartValue): number {
  const { scale, zeroPoint } = isQuantized(x) ? x.qparams : { scale: 1, zeroPoint: 0 };
  let largest = 0;
  for (let row = 0; row < weight!.outFeatures; row++) {
    const rowScale = weight!.scales[channelOf(weight!, row)]!;
    let sum = Math.abs(bias?.[row] ?? 0);
    x.data.forEach((q, k) =>
      sum += Math.abs(scale * (q - zeroPoint) * rowScale * weight!.data[row * x.data.length + k]!)
    );
    largest = Math.max(largest, sum);
  }
  return largest;
}

/** Compares each part with its node of the reference graph on the same inputs. */
class PartComparison implements CellExecutor<PartValue> {
  readonly #own: ByPartsExecutor;
  readonly #nodes: ReadonlyMap<string, GraphNode>;
  readonly #at: string;
  readonly #module: QuantizedRecurrent;
  readonly #counts: Counts;

  constructor(
    own: ByPartsExecutor,
    nodes: ReadonlyMap<string, GraphNode>,
    at: string,
    module: QuantizedRecurrent,
    counts: Counts,
  ) {
    this.#own = own;
    this.#nodes = nodes;
    this.#at = at;
    this.#module = module;
    this.#counts = counts;
  }

  #name(part: Part, gate: number): string {
    return `${this.#at}.${part.name}${gateSuffix(this.#module.cell, gate)}`;
  }

  /** The output of a node, quantized if a quantize node follows it. */
  #operate(node: GraphNode, inputs: readonly PartValue[]): GraphValue {
    const read = inputs.map((value): GraphValue => {
      const given = { data: value.data, qparams: isQuantized(value) ? value.qparams : null };
      return given.qparams === null
        ? given
        : computeNode({ ...node, op: "dequantize" }, [given], ROW, null);
    });
    const out = node.op === "quantize" ? read[0]! : computeNode(node, read, ROW, null);
    const to = node.op === "quantize" ? node : this.#nodes.get(`${node.name}.quantize`);
    return to === undefined ? out : computeNode(to, [out], ROW, null);
  }

  #check(here: PartValue, reference: GraphValue, part: string, terms: number): void {
    here.data.forEach((value, i) => {
      const [scale, zeroPoint] = isQuantized(here)
        ? [here.qparams.scale, here.qparams.zeroPoint]
        : [1, 0];
      const rounding = Math.max(Math.abs(value - zeroPoint), terms / scale) * ROUNDINGS * UNIT;
      const step = isQuantized(here) ? 1 + rounding : Math.max(rounding, UNIT);
      const expected = reference.data[i]!;
      this.#counts.values++;
      if (value !== expected) this.#counts.differing++;
      if (Math.abs(value - expected) <= step) return;
      throw new Found({
        between: ["the reference graph", "integers, within a step"],
        node: part.split(".")[0]!,
        part,
        value: `value ${i}`,
        expected,
        got: value,
      });
    });
  }

  apply(part: Part, gate: number, inputs: readonly PartValue[]): PartValue {
    const value = this.#own.apply(part, gate, inputs);
    const node = this.#nodes.get(this.#name(part, gate))!;
    const terms = part.op === "linear" ? magnitudeOf(node, inputs[0]!) : 0;
    this.#check(value, this.#operate(node, inputs), node.name, terms);
    return value;
  }

  chunk(part: Part, gate: number, value: PartValue): PartValue {
    return this.#own.chunk(part, gate, value);
  }

  read(part: Part, gate: number, index: number, value: PartValue): PartValue {
    const read = this.#own.read(part, gate, index, value);
    const node = this.#nodes.get(`${this.#name(part, gate)}.inputs[${index}].quantize`);
    if (node !== undefined) this.#check(read, this.#operate(node, [value]), node.name, 0);
    return read;
  }
}

/** A value from real numbers, quantized with the given qparams if there are any. */
function valueOf(reals: Float32Array, qparams: PerTensorQParams | null): PartValue {
  const shape = [1, reals.length];
  if (qparams === null) return { data: reals, shape };
  const data = newQArray(qparams.dtype, reals.length);
  quantizePerTensor(reals, data, qparams);
  return { data, shape, qparams };
}

/**
 * The rows that a recurrent module reads in a trial: the model's own input, or random values in the
 * input's range.
 */
function rowsFor(node: RecurrentNode, model: QuantizedModel, trial: Trial): PartValue[] {
  const { inputSize, input: qparams } = node.module;
  const random = generator(trial.input.length + 31 * trial.steps);
  return Array.from({ length: Math.min(trial.steps, 4) }, (_, t) => {
    if (node.readsInput && model.vocabulary === 0) {
      const row = trial.input.slice(
        t * trial.batch * inputSize,
        (t * trial.batch + 1) * inputSize,
      );
      if (isFloat32Array(row)) return valueOf(row, qparams);
      const { scale, zeroPoint } = model.input!;
      return valueOf(Float32Array.from(row, (q) => (q - zeroPoint) * scale), qparams);
    }
    const reach = qparams === null ? 2 : (qparams.quantMax - qparams.quantMin) * qparams.scale / 2;
    return valueOf(
      Float32Array.from({ length: inputSize }, () => random(-reach, reach)),
      qparams,
    );
  });
}

/** Runs a module's first layer by parts, and the reference of each part on the same inputs. */
function compareParts(
  node: RecurrentNode,
  model: QuantizedModel,
  trial: Trial,
  counts: Counts,
): void {
  const { module, name } = node;
  const nodes = nodesOf(model);
  const { cell, splitGates, engine } = module;
  module.cells[0]!.forEach((own, d) => {
    const at = `${name}.l0${d === 1 ? "_reverse" : ""}`;
    const executor = new PartComparison(
      new ByPartsExecutor(engine, cell, own),
      nodes,
      at,
      module,
      counts,
    );
    let states: readonly PartValue[] = cell.states.map(({ name: slot }) => {
      const state = nodes.get(`${at}.${slot}`)!;
      const zero = { data: new Float32Array(state.width), shape: [1, state.width] };
      if (state.dtype === "float32") return zero;
      const { data } = zero;
      const value = computeNode({ ...state, op: "quantize" }, [{ data, qparams: null }], ROW, null);
      return { ...value, shape: zero.shape } as PartValue;
    });
    for (const row of rowsFor(node, model, trial)) {
      states = runCell(executor, cell, splitGates, row, states);
    }
  });
}

/** The reason why a recurrent module cannot be compared with a reference; null if it can. */
function withoutReference({ module }: RecurrentNode): string | null {
  if (module.dynamic) return "dynamic ranges cannot be expressed in a reference graph";
  const bias = module.cells.flat().some(({ biasIh }) => biasIh !== null);
  // qnnpack rounds the bias to an integer in units of the accumulator; the reference does not.
  if (module.engine === "qnnpack" && bias) {
    return "qnnpack rounds biases to integers: the reference graph gives no bound for its parts";
  }
  return null;
}

/**
 * Each part of a recurrent module returns the integers of the reference graph's operation followed
 * by its quantize, on the same inputs. Parts of 8 bits with the rounding of fbgemm (and x86) are
 * equal, except where float32 sums in the graph round the other way. Wider parts (`accurate`,
 * `int8x16`) and parts in float32 lie within one step and ten roundings of float32. The verdict
 * reports how many values differ.
 *
 * @returns Skipped if no module has parts, ranges are dynamic, or biases are qnnpack's.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { integersMatchReference, trials } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const float = new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 });
 * const observed = prepare(float, getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * const [trial] = fc.sample(trials(model), { numRuns: 1, seed: 1 });
 * assertEquals(integersMatchReference(model, trial!).status, "held");
 * ```
 */
export function integersMatchReference(model: QuantizedModel, trial: Trial): Verdict {
  const nodes = recurrentNodes(model);
  if (nodes.length === 0) return skipped("no module has parts");
  const checked = nodes.filter((node) => withoutReference(node) === null);
  if (checked.length === 0) return skipped(withoutReference(nodes[0]!)!);
  const counts: Counts = { values: 0, differing: 0 };
  try {
    for (const node of checked) compareParts(node, model, trial, counts);
  } catch (error) {
    if (error instanceof Found) return broken(error.difference);
    throw error;
  }
  return held(counts.values, counts.differing);
}

/** A linear map of a model, with the qparams of its input and output. */
interface LinearMap {
  readonly node: string;
  readonly part: string | null;
  readonly engine: Engine;
  readonly linear: Parameters<typeof linearInt8>[2];
  readonly from: PerTensorQParams;
  readonly to: PerTensorQParams;
}

/** All linear maps of a model from integers to integers. */
function linearMaps(model: QuantizedModel): LinearMap[] {
  const maps: LinearMap[] = [];
  for (const [node, module] of model.modules) {
    if ("weight" in module && "engine" in module && "relu" in module) {
      const { engine, weight, bias, input, output, relu } = module as QuantizedLinear;
      if (input === null || output === null) continue;
      const own = linearEngine(engine, input, [output]);
      maps.push({
        node,
        part: null,
        engine: own,
        linear: { weight, bias, relu },
        from: input,
        to: output,
      });
    }
  }
  for (const { name, module } of recurrentNodes(model)) {
    const { cell, cells, input, engine } = module;
    cells.forEach((layer, l) =>
      layer.forEach((own, d) => {
        for (const part of cell.parts) {
          if (part.op !== "linear") continue;
          const outputs = ofPart(own.parts, part.name);
          const [first] = outputs;
          const state = cell.states.find(({ name: slot }) => slot === part.inputs[0]);
          const from = part.weight === "ih"
            ? l === 0 ? input : ofPart(cells[l - 1]![0]!.parts, cell.states[0]!.part)[0]
            : state === undefined
            ? null
            : ofPart(own.parts, state.part)[0];
          const same = outputs.every((q) => q !== null && first !== null && sameQParams(q, first!));
          if (from === null || from === undefined || !same) continue;
          maps.push({
            node: name,
            part: `${part.name} (layer ${l}, direction ${d})`,
            engine: linearEngine(engine, from, outputs),
            linear: partWeight(cell, own, part, -1),
            from,
            to: first!,
          });
        }
      })
    );
  }
  return maps;
}

/** Number of rows of a map that each trial computes exactly. */
const ROWS = 3;

/** Compares a linear map's outputs with exact rational arithmetic. */
function checkLinear(
  { node, part, engine, linear, from, to }: LinearMap,
  random: (lo: number, hi: number) => number,
  counts: Counts,
): Difference | null {
  const { weight, bias, relu = false } = linear;
  const { inFeatures, outFeatures, scales, zeroPoints } = weight;
  const x = newQArray(from.dtype, inFeatures);
  for (let k = 0; k < inFeatures; k++) {
    x[k] = Math.floor(random(from.quantMin, from.quantMax + 1));
  }
  const out = newQArray(to.dtype, outFeatures);
  linearInt8(engine, { data: x, qparams: from }, linear, { data: out, qparams: to });
  for (let i = 0; i < ROWS; i++) {
    const row = Math.floor(random(0, outFeatures));
    const channel = channelOf(weight, row);
    const own = weight.data.subarray(row * inFeatures, (row + 1) * inFeatures);
    const sum = dot(x, from.zeroPoint, own, zeroPoints[channel]!);
    const scale = mul32(Math.fround(from.scale), scales[channel]!);
    const value = withBias(engine, weight.perChannel, sum, bias?.[row] ?? null, scale);
    const expected = linearOutput(engine, value, scale, to, relu);
    counts.values++;
    if (out[row] === expected) continue;
    const between = ["exact arithmetic", "the linear kernel"] as const;
    return { between, node, part, value: `row ${row}`, expected, got: out[row]! };
  }
  return null;
}

/** All qparams in a module's data, at any depth. */
function* qparamsIn(value: unknown, depth = 0): Generator<PerTensorQParams> {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || depth > 6) return;
  if ("zeroPoint" in value && "quantMax" in value && "dtype" in value) {
    yield value as PerTensorQParams;
    return;
  }
  for (const each of Object.values(value)) yield* qparamsIn(each, depth + 1);
}

const allQParams = new WeakMap<QuantizedModel, readonly (readonly [string, PerTensorQParams])[]>();

/** All qparams of a model, with the name of their module. */
function qparamsOfModel(model: QuantizedModel): readonly (readonly [string, PerTensorQParams])[] {
  let all = allQParams.get(model);
  if (all === undefined) {
    all = [...model.modules].flatMap(([name, module]) =>
      [...qparamsIn(module)].map((q) => [name, q] as const)
    );
    allQParams.set(model, all);
  }
  return all;
}

/**
 * Quantizing, requantizing and every linear map with the model's own weights and qparams return the
 * results of exact rational arithmetic, rounded where PyTorch rounds.
 *
 * @returns Skipped if the model has no integers.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { requantizeIsExact, trials } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const float = new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 });
 * const observed = prepare(float, getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * const [trial] = fc.sample(trials(model), { numRuns: 1, seed: 1 });
 * assertEquals(requantizeIsExact(model, trial!).status, "held");
 * ```
 */
export function requantizeIsExact(model: QuantizedModel, trial: Trial): Verdict {
  const all = qparamsOfModel(model);
  if (all.length === 0) return skipped("the model has no parameters of integers");
  const counts: Counts = { values: 0, differing: 0 };
  const random = generator(trial.steps * 97 + trial.batch * 13 + Math.abs(trial.input[0]! | 0));
  const pick = () => all[Math.floor(random(0, all.length))]!;
  for (let i = 0; i < ROWS; i++) {
    const [, from] = pick();
    const [node, to] = pick();
    const q = newQArray(from.dtype, 1);
    q[0] = Math.floor(random(from.quantMin, from.quantMax + 1));
    const out = newQArray(to.dtype, 1);
    const wide = to.dtype === "qint32";
    requantize(q, from, out, to);
    const between = ["exact arithmetic", "the kernel"] as const;
    const where = { between, node, part: null };
    const expected = requantizeExactly(q[0]!, from, to, wide);
    if (out[0] !== expected) {
      return broken({ ...where, value: `requantize ${q[0]}`, expected, got: out[0]! });
    }
    // Half of the values lie half-way between two integers.
    const steps = Math.floor(random(to.quantMin, to.quantMax)) - to.zeroPoint;
    const x = Math.fround((steps + (i === 0 ? random(0, 1) : 0.5)) * to.scale);
    quantizePerTensor(Float32Array.of(x), out, to);
    const rounded = quantize(x, to, wide);
    if (out[0] !== rounded) {
      return broken({ ...where, value: `quantize ${x}`, expected: rounded, got: out[0]! });
    }
    counts.values += 2;
  }
  for (const map of linearMaps(model)) {
    const difference = checkLinear(map, random, counts);
    if (difference !== null) return broken(difference);
  }
  return held(counts.values);
}
