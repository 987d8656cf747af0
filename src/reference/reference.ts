/**
 * The reference form of a model: a graph that can be read, drawn, checked and run.
 *
 * @module
 */
import { dequantizePerTensor, quantizePerTensor } from "../../kernels/numeric/quantize.ts";
import { isFloat32Array, isInt32Array } from "../../kernels/numeric/typed_array.ts";
import { isOfDType, newQArray, type QArray } from "../core/dtype.ts";
import { checkBuiltIn, checkEach, checkFinite, failRange, failType } from "../core/errors.ts";
import { checkLengths, checkOptions } from "../core/check.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { convert } from "../authoring/convert.ts";
import { QuantizedModel } from "../authoring/model.ts";
import type { ObservedModel } from "../authoring/observed_model.ts";
import type { QTensor, Tensor, TokenTensor } from "../core/tensor.ts";
import { buildGraph } from "./build.ts";
import { kindOf } from "../modules/kinds.ts";
import type { GraphNode, GraphValue } from "../modules/reference.ts";
import { dotOf, jsonOf, mermaidOf, nodeQParams, tableOf } from "./graph.ts";
import {
  type CellState,
  type FloatWeights,
  GraphRunner,
  type GraphWatcher,
  slotOf,
} from "./run.ts";
import { assertGraph } from "./verify.ts";

/**
 * A tensor of a state: quantized with its own parameters, or float32.
 *
 * @example
 * ```ts
 * import { getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { convertToReference, type StateTensor } from "@splitgate/splitgate/reference";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 1, hiddenSize: 3 }), getPreset("fbgemm"));
 * const x = tensor([0.5, 1, 0, 0], [2, 2, 1]); // [steps, batch, features]
 * observed.forward(x);
 * const c: StateTensor = convertToReference(observed).run(x).state.get("lstm.l0")!.c!;
 * assertEquals(c.shape, [2, 3]); // [batch, units]
 * ```
 */
export type StateTensor = QTensor<PerTensorQParams> | Tensor;

/**
 * States by cell, such as `lstm.l0` and `lstm.l0_reverse`: of an LSTM h [batch, width] and c
 * [batch, hiddenSize].
 *
 * @example
 * ```ts
 * import { getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { convertToReference, type ReferenceState } from "@splitgate/splitgate/reference";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 1, hiddenSize: 3 }), getPreset("fbgemm"));
 * const x = tensor([0.5, 1, 0, 0], [2, 2, 1]); // [steps, batch, features]
 * observed.forward(x);
 * const reference = convertToReference(observed);
 * const state: ReferenceState = reference.run(x).state;
 * reference.run(x, { state }); // goes on
 * assertEquals([...state.keys()], ["lstm.l0"]); // one for each layer and direction
 * ```
 */
export type ReferenceState = ReadonlyMap<string, { readonly [slot: string]: StateTensor }>;

/**
 * Options of {@linkcode ReferenceModel.run}.
 *
 * @example
 * ```ts
 * import { getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { convertToReference, type ReferenceRunOptions } from "@splitgate/splitgate/reference";
 * const observed = prepare(new LSTM({ inputSize: 1, hiddenSize: 3 }), getPreset("fbgemm"));
 * const x = tensor([0.5, 1, 0, 0], [2, 2, 1]); // [steps, batch, features]
 * observed.forward(x);
 * const options: ReferenceRunOptions = { lengths: [2, 1] }; // the second row has one step
 * convertToReference(observed).run(x, options);
 * ```
 */
export interface ReferenceRunOptions {
  /**
   * Initial states; zeros for cells that are left out. A quantized tensor keeps its parameters for
   * the first step; a float32 one is quantized to the LSTM's `stateInput` or, if there is none, to
   * the cell's own parameters.
   */
  readonly state?: ReferenceState;
  /** Steps of each batch row, 1..steps; all by default. Beyond them the output of an LSTM is 0. */
  readonly lengths?: ArrayLike<number>;
  /** Sees each node's value as it is computed; of a cell's nodes step by step. */
  readonly watch?: GraphWatcher;
}

/**
 * One output of a reference graph.
 *
 * @example
 * ```ts
 * import { getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { convertToReference, type ReferenceOutput } from "@splitgate/splitgate/reference";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 1, hiddenSize: 3 }), getPreset("fbgemm"));
 * const x = tensor([0.5, 1, 0, 0], [2, 2, 1]); // [steps, batch, features]
 * observed.forward(x);
 * const y: ReferenceOutput = convertToReference(observed).run(x);
 * assertEquals(y.quantized?.data.length, y.output.data.length); // the same as integers
 * ```
 */
export interface ReferenceOutput {
  /** The output, dequantized. */
  readonly output: Tensor;
  /** Its integers, or null where the output is not quantized. */
  readonly quantized: QTensor<PerTensorQParams> | null;
}

/**
 * What {@linkcode ReferenceModel.run} gives.
 *
 * @example
 * ```ts
 * import { getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { convertToReference, type ReferenceResult } from "@splitgate/splitgate/reference";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 1, hiddenSize: 3 }), getPreset("fbgemm"));
 * const x = tensor([0.5, 1, 0, 0], [2, 2, 1]); // [steps, batch, features]
 * observed.forward(x);
 * const result: ReferenceResult = convertToReference(observed).run(x);
 * assertEquals([result.outputs.size, result.state.size], [1, 1]);
 * ```
 */
export interface ReferenceResult extends ReferenceOutput {
  /** All outputs by name; the fields of the first one are also here. */
  readonly outputs: ReadonlyMap<string, ReferenceOutput>;
  /** The final states. */
  readonly state: ReferenceState;
}

/**
 * The dq -> op -> q graph of a whole model: its nodes in order, to be run, drawn or written.
 *
 * @example
 * ```ts
 * import { LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { convertToReference } from "@splitgate/splitgate/reference";
 * import { fbgemmQConfig } from "../qconfig/qconfig.ts";
 * import { assert, assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), fbgemmQConfig);
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const graph = convertToReference(observed);
 * const cell = graph.nodes.find(({ name }) => name === "lstm.l0.fgate_cx_igate_cgate")!;
 * assertEquals(cell.inputs, ["lstm.l0.fgate_cx.dequantize", "lstm.l0.igate_cgate.dequantize"]);
 * assert(graph.toTable().startsWith("name") && graph.toMermaid().startsWith("flowchart"));
 * ```
 */
export class ReferenceModel {
  /** In order: each node after those that it reads, except states, which read the previous step. */
  readonly nodes: readonly GraphNode[];
  readonly #runner: GraphRunner;
  readonly #model: QuantizedModel;
  /** Whether a module reads steps in order. */
  readonly #time: boolean;
  readonly #float: boolean;

  /**
   * Called by {@linkcode convertToReference}.
   *
   * @param weights Float weights: with them the graph runs as the original float model, without
   * quantizing.
   */
  constructor(model: QuantizedModel, weights: FloatWeights | null = null) {
    const { modules, topology } = model;
    this.#model = model;
    this.nodes = buildGraph(modules, topology);
    assertGraph(this.nodes);
    this.#runner = new GraphRunner(this.nodes, weights);
    this.#float = weights !== null;
    this.#time = [...modules].some(([name, module]) => kindOf(name, module).time !== "row");
  }

  /** The nodes as a text table, one a line. */
  toTable(): string {
    return tableOf(this.nodes);
  }

  /** `{ "nodes": [...] }`, including weights. */
  toJSONText(): string {
    return jsonOf(this.nodes);
  }

  /** The graph in Graphviz's language; states passed to the next step are dashed. */
  toDot(): string {
    return dotOf(this.nodes);
  }

  /** The graph as a Mermaid flowchart. */
  toMermaid(): string {
    return mermaidOf(this.nodes);
  }

  /**
   * Runs the graph as torch's reference module does, in float32 between dequantize and quantize.
   *
   * @param x Float input or token ids, shaped as the float model takes them: with an LSTM [steps,
   * batch, width] (or [batch, steps, width] where it is batchFirst), or without `batch`; otherwise
   * any shape.
   * @throws {TypeError} If the input or a state is of the wrong kind.
   * @throws {RangeError} If a shape, length, token or value is wrong.
   *
   * @example
   * ```ts
   * import { LSTM, tensor } from "@splitgate/splitgate";
   * import { observeLSTMParts } from "@splitgate/splitgate/qconfig";
   * import { convertToReference } from "@splitgate/splitgate/reference";
   * import { assertEquals } from "@std/assert";
   * const observed = observeLSTMParts(new LSTM({ inputSize: 2, hiddenSize: 3 }), {});
   * const x = tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]);
   * observed.forward(x);
   * const { output, state } = convertToReference(observed).run(x);
   * assertEquals(output.shape, [2, 1, 3]);
   * assertEquals(state.get("lstm.l0")!.c!.shape, [1, 3]);
   * ```
   */
  run(
    x: Tensor | TokenTensor | QTensor<PerTensorQParams>,
    options: ReferenceRunOptions = {},
  ): ReferenceResult {
    checkOptions("options", options, ["state", "lengths", "watch"]);
    const [node] = this.nodes;
    const tokens = node!.dtype === "int32";
    if (!Array.isArray(x?.shape)) failType("x", "a tensor", x);
    let { data } = x as { data: Float32Array | QArray };
    const given = (x as { qparams?: PerTensorQParams }).qparams ?? null;
    if (
      tokens ? !isInt32Array(data) : given === null && !isFloat32Array(data)
    ) {
      failType("x.data", tokens ? "an Int32Array of token ids" : "a Float32Array", data);
    }
    if (given !== null && !tokens) data = computeInput(x as QTensor<PerTensorQParams>);
    if (isFloat32Array(data)) checkFinite("x", data);
    const width = node!.width;
    const outer = tokens ? x.shape : x.shape.slice(0, -1);
    if (!tokens && x.shape.at(-1) !== width) {
      failRange("x.shape", `a last dimension of ${width}`, x.shape);
    }
    const rows = outer.reduce((a, b) => a * b, 1);
    if (rows * width !== data.length) failRange("x.data", `${rows * width} values`, data.length);
    const { vocabulary, batchFirst } = this.#model;
    if (tokens) checkEach("x.data", data, 0, vocabulary - 1, `a token id in 0..${vocabulary - 1}`);
    let steps = rows;
    let batch = 1;
    if (this.#time) {
      if (outer.length !== 1 && outer.length !== 2) {
        failRange("x.shape", "steps and batch, or steps", x.shape);
      }
      if (outer.length === 2) {
        [steps, batch] = batchFirst ? [outer[1], outer[0]] : [outer[0], outer[1]];
      }
      if (steps < 1 || batch < 1) failRange("x.shape", "one step and batch row or more", x.shape);
    }
    const lengths = options.lengths === undefined
      ? null
      : checkLengths(options.lengths, batch, steps);
    const states = this.#states(options.state, batch);
    const layout = { steps, batch, lengths, batchFirst };
    const watch = options.watch ?? null;
    const { values, layouts } = this.#runner.run({ data, qparams: null }, layout, states, watch);
    const outputs = this.nodes.filter(({ op }) => op === "output").map((node): ReferenceOutput => {
      const { data } = values.get(node.name)!;
      const read = this.nodes.find(({ name }) => name === node.inputs[0])!;
      // After the end of time there is one row for each sequence.
      const ended = this.#runner.ended.has(node.name);
      const { steps: own } = layouts.get(node.name)!;
      const rows = outer.map((length, i) =>
        i === (batchFirst ? outer.length - 1 : 0) ? own : length
      );
      const shape = [
        ...ended ? outer.length === 1 ? [] : [batch] : this.#time ? rows : outer,
        node.width,
      ];
      // If a part of a float cell overflowed, its output shows it.
      if (this.#float) checkFinite("output", data);
      const integers = !this.#float && read.op === "dequantize"
        ? values.get(read.inputs[0]!)
        : null;
      return {
        output: { data: data as Float32Array, shape },
        quantized: integers === null || integers === undefined || integers.qparams === null
          ? null
          : { data: integers.data as QArray, shape, qparams: integers.qparams },
      };
    });
    const names = [...this.#model.topology.outputs.keys()];
    const finals = [...states].map(([name, state]) =>
      [
        name,
        Object.fromEntries(
          Object.entries(state).map(([slot, value]) => [slot, tensorOf(value, batch)]),
        ),
      ] as const
    );
    return {
      ...outputs[0]!,
      outputs: new Map(names.map((name, i) => [name, outputs[i]!])),
      state: new Map(finals),
    };
  }

  #states(given: ReferenceState | undefined, batch: number): Map<string, CellState> {
    const states = new Map<string, CellState>();
    if (given === undefined) return states;
    checkBuiltIn("options.state", given, "Map", "a Map of states by cell");
    const cells = new Map<string, GraphNode[]>();
    for (const node of this.nodes) {
      if (node.op !== "state") continue;
      const name = `${node.module}.${node.cell}`;
      cells.set(name, [...cells.get(name) ?? [], node]);
    }
    for (const [name, state] of given) {
      const nodes = cells.get(name);
      if (nodes === undefined) {
        return failRange("options.state", `cells ${[...cells.keys()].join(", ")}`, name);
      }
      const values: Record<string, GraphValue> = {};
      for (const node of nodes) {
        const slot = slotOf(node);
        const tensor = state[slot]!;
        checkState(`${name}.${slot}`, tensor, batch, node.width);
        const own = this.#float ? null : nodeQParams(node);
        const input = (node.constants?.stateInput ?? null) as PerTensorQParams | null;
        values[slot] = stateValue(tensor, own, input);
      }
      states.set(name, values);
    }
    return states;
  }
}

function computeInput(
  { data, qparams: { scale, zeroPoint } }: QTensor<PerTensorQParams>,
): Float32Array {
  const out = new Float32Array(data.length);
  dequantizePerTensor(data, out, scale, zeroPoint);
  return out;
}

function tensorOf({ data, qparams }: GraphValue, batch: number): StateTensor {
  const shape = [batch, data.length / batch];
  return qparams === null
    ? { data: data as Float32Array, shape }
    : { data: data as QArray, shape, qparams };
}

/** Requires a tensor [batch, width], of integers where it has qparams. */
function checkState(name: string, tensor: StateTensor, batch: number, width: number): void {
  if (typeof tensor !== "object" || tensor === null) failType(name, "a tensor", tensor);
  const { data, shape } = tensor;
  const expected = [batch, width];
  if (!Array.isArray(shape) || shape.join() !== expected.join() || data.length !== batch * width) {
    failRange(`${name}.shape`, `[${expected.join(", ")}]`, shape);
  }
  if ("qparams" in tensor) {
    const { dtype } = tensor.qparams;
    if (!isOfDType(data, dtype)) failType(`${name}.data`, `an array of ${dtype}`, data);
    checkFinite(name, computeInput(tensor));
  } else {
    if (!isFloat32Array(data)) {
      failType(`${name}.data`, "a Float32Array, or integers with qparams", data);
    }
    checkFinite(name, data);
  }
}

/**
 * A given state as the graph takes it: a float one is quantized if the cell's own is.
 *
 * @param own Parameters of the cell's own state; null for float32.
 * @param given Parameters for quantizing a float one, if not `own`.
 */
function stateValue(
  tensor: StateTensor,
  own: PerTensorQParams | null,
  given: PerTensorQParams | null,
): GraphValue {
  if ("qparams" in tensor) {
    return own === null
      ? { data: computeInput(tensor), qparams: null }
      : { data: tensor.data, qparams: tensor.qparams };
  }
  const { data } = tensor;
  if (own === null) return { data, qparams: null };
  const to = given ?? own;
  const out = newQArray(to.dtype, data.length);
  quantizePerTensor(data, out, to);
  return { data: out, qparams: to };
}

/**
 * The reference form of an observed and calibrated model, torch's convert to reference: each
 * operation in float32 between a dequantize of its inputs and a quantize of its output, with the
 * weights and parameters of {@linkcode convert}. Where two neighbours differ in dtype or parameters
 * there are two pairs between them.
 *
 * @param model An observed model, or a quantized one.
 * @returns The graph; it has passed {@linkcode verifyGraph}.
 * @throws {TypeError} If `model` is neither.
 * @throws {RangeError} If an observer has seen no data: it names the module and the part. Or a
 * module is dynamic.
 *
 * @example
 * ```ts
 * import { Linear, prepare, tensor } from "@splitgate/splitgate";
 * import { convertToReference } from "@splitgate/splitgate/reference";
 * import { fbgemmQConfig } from "../qconfig/qconfig.ts";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new Linear({ inFeatures: 2, outFeatures: 3 }), fbgemmQConfig);
 * observed.forward(tensor([0.1, -0.4], [1, 2]));
 * assertEquals(
 *   convertToReference(observed).nodes.map(({ op }) => op),
 *   ["input", "quantize", "dequantize", "linear", "quantize", "dequantize", "output"],
 * );
 * ```
 */
export function convertToReference(model: ObservedModel | QuantizedModel): ReferenceModel {
  return new ReferenceModel(model instanceof QuantizedModel ? model : convert(model));
}
