/**
 * LSTM and GRU of ONNX, and com.microsoft's LSTM with integer weights.
 *
 * @module
 */
import type { CellActivation, CellFunctions, GateActivation } from "../../../kernels/float/lstm.ts";
import { FinalHidden } from "../../modules/final_hidden/float.ts";
import { isInteger, type NodeContext, numbersOf, product } from "./context.ts";
import { transposed } from "./fold.ts";
import { secondHalf } from "./linear.ts";
import { dequantized } from "./quantized.ts";
import { numberOf, showSize, sizeOf } from "./sizes.ts";
import {
  type Atom,
  atom,
  type CellWeights,
  type Constant,
  type Flow,
  type Initial,
  type OnnxValue,
  type Part,
  type RecurrentPart,
  type StatePiece,
} from "./values.ts";

/** Indices of the nodes' inputs; a GRU has no initial cell state. */
const INPUTS = { x: 0, w: 1, r: 2, b: 3, lengths: 4, h: 5, c: 6, peepholes: 7, scales: 8 };

/**
 * ONNX's blocks of gates in PyTorch's order: LSTM i o f c is i f g(c) o; GRU z r h is r z n(h).
 */
const GATES = { LSTM: [0, 2, 3, 1], GRU: [1, 0, 2] };

/** Default functions of a direction. */
const FUNCTIONS = { LSTM: ["Sigmoid", "Tanh", "Tanh"], GRU: ["Sigmoid", "Tanh"] };

/** Reorders the blocks of a weight or bias. */
function reordered(data: Float32Array, order: readonly number[]): Float32Array {
  const block = data.length / order.length;
  const out = new Float32Array(data.length);
  order.forEach((from, to) => out.set(data.subarray(from * block, (from + 1) * block), to * block));
  return out;
}

/** A weight [directions, rows, columns], float32. */
function weight(node: NodeContext, i: number, isDynamic: boolean): Constant {
  const given = node.constant(i);
  if (given.shape.length !== 3) node.fail("a weight with three axes", given.shape, `.inputs[${i}]`);
  if (!isDynamic) return given;
  const at = INPUTS.scales + 2 * (i - INPUTS.w);
  const [directions, , columns] = given.shape as [number, number, number];
  const scale = node.constant(at);
  const zero = node.inputs[at + 1] === undefined ? undefined : node.constant(at + 1);
  const perColumn = scale.data.length === directions * columns;
  const data = dequantized(node, given, {
    scale,
    zero,
    group: (k) => {
      const direction = Math.floor(k / (given.data.length / directions));
      return perColumn ? direction * columns + k % columns : direction;
    },
    groups: perColumn ? directions * columns : directions,
  });
  return transposed(node, { ...given, data }, [0, 2, 1]);
}

/** Functions without parameters, with their names here. */
const CELL_ACTIVATIONS: Readonly<Record<string, CellActivation>> = {
  Tanh: "tanh",
  Relu: "relu",
  Sigmoid: "sigmoid",
};

/** ONNX's HardSigmoid with default slope and offset. */
const HARD_SIGMOID = { alpha: 0.2, beta: 0.5 };

/** Functions of the cells of all directions, which have to be the same. */
function functionsOf(
  node: NodeContext,
  kind: "LSTM" | "GRU",
  directions: number,
): Partial<CellFunctions> {
  const byDefault = FUNCTIONS[kind];
  const names = node.list<string>("activations", "string") ??
    Array.from({ length: directions }, () => byDefault).flat();
  const count = byDefault.length;
  if (names.length !== directions * count) {
    node.fail(`${directions * count} functions`, names, ".activations");
  }
  const alphas = [...node.list<number>("activation_alpha", "number") ?? []];
  const betas = [...node.list<number>("activation_beta", "number") ?? []];
  // Parameters are in the order of the functions that have them.
  const functions = names.map((name) => {
    const key = name.toLowerCase();
    if (key === "hardsigmoid") {
      const { alpha, beta } = HARD_SIGMOID;
      return { name, slope: alphas.shift() ?? alpha, offset: betas.shift() ?? beta };
    }
    if (key === "affine") return { name, slope: alphas.shift() ?? 1, offset: betas.shift() ?? 0 };
    const known = Object.keys(CELL_ACTIVATIONS).find((each) => each.toLowerCase() === key);
    return known === undefined
      ? node.fail("Sigmoid, HardSigmoid, Tanh, Relu or Affine", name, ".activations")
      : { name: known, slope: 1, offset: 0 };
  });
  const [own, other] = [functions.slice(0, count), functions.slice(count)];
  if (other.length > 0 && JSON.stringify(own) !== JSON.stringify(other)) {
    node.fail("the same functions in both directions", names, ".activations");
  }
  const [gate, cell, state = cell] = own;
  const gates: GateActivation = gate!.name === "Sigmoid"
    ? "sigmoid"
    : gate!.name.toLowerCase() === "hardsigmoid"
    ? { name: "hardSigmoid", slope: gate!.slope, offset: gate!.offset }
    : node.fail("Sigmoid or HardSigmoid of gates", gate!.name, ".activations");
  const [activation, cellActivation] = [cell!, state!].map(({ name, slope, offset }) => {
    const linear = name.toLowerCase() === "affine" && slope === 1 && offset === 0;
    return linear
      ? "linear"
      : CELL_ACTIVATIONS[name] ?? node.fail("Tanh, Relu, Sigmoid", name, ".activations");
  }) as [CellActivation, CellActivation];
  return {
    ...gates !== "sigmoid" && { gateActivation: gates },
    ...activation !== "tanh" && { activation },
    ...kind === "LSTM" && cellActivation !== activation && { cellActivation },
  };
}

/** Throws for unsupported features. */
function refuseOptions(node: NodeContext): void {
  const { attributes, op } = node.node;
  if (attributes.has("clip") && node.number("clip", 0) !== 0) {
    node.fail("no clipping", node.number("clip", 0), ".clip");
  }
  if (op !== "GRU" && node.number("input_forget", 0) !== 0) {
    node.fail("0, for input and forget gate are two here", 1, ".input_forget");
  }
  const peepholes = op === "GRU" ? undefined : node.inputs[INPUTS.peepholes];
  if (peepholes !== undefined && node.constant(INPUTS.peepholes).data.some((w) => w !== 0)) {
    node.fail("no peephole weights", "some", `.inputs[${INPUTS.peepholes}]`);
  }
}

/**
 * Throws for sequence lengths that are neither an input of the graph nor equal to the number of
 * steps.
 */
function checkLengths(node: NodeContext, steps: Atom): void {
  const value = node.inputs[INPUTS.lengths];
  if (value === undefined) return;
  if (value.kind === "lengths") {
    node.graph.notes.add(
      `the input ${JSON.stringify(value.input)} holds the lengths of sequences: give them to ` +
        "`forward` as options.lengths, to a session's `run` as its third argument",
    );
    return;
  }
  const expected = "an input of the graph as lengths, or that of all steps";
  const count = numberOf(steps.size);
  if (node.constant(INPUTS.lengths).data.some((length) => length !== count)) {
    node.fail(expected, "others", `.inputs[${INPUTS.lengths}]`);
  }
}

/** Sizes of a node's states. */
interface StateShape {
  readonly directions: number;
  readonly batch: Atom;
  readonly hidden: number;
  readonly batchFirst: boolean;
}

/** An initial state; null where it is zero. A wrong shape is refused, even of zeros. */
function initialState(
  node: NodeContext,
  i: number,
  { directions, batch, hidden, batchFirst }: StateShape,
): Initial {
  const value = node.inputs[i];
  if (value === undefined) return null;
  const at = `.inputs[${i}]`;
  if (value.kind === "initial") {
    const fits = value.rows.length === directions && (value.width ?? hidden) === hidden;
    const got = `${value.rows.length} of ${value.width ?? hidden}`;
    return fits ? value : node.fail(`${directions} states of ${hidden}`, got, at);
  }
  if (value.kind !== "fill" && value.kind !== "constant") {
    return node.fail("an initial state out of the file, or an input of the graph", value.kind, at);
  }
  const shape = value.shape.map((n) => typeof n === "number" ? sizeOf(n) : n);
  const steps = numberOf(batch.size);
  const expected = batchFirst ? [steps, directions, hidden] : [directions, steps, hidden];
  const fits = shape.length === expected.length && shape.every((size, axis) => {
    const [own, other] = [numberOf(size), expected[axis]];
    return own === undefined || other === undefined || own === other;
  });
  if (!fits) {
    const text = expected.map((n) => n ?? "batch").join(", ");
    node.fail(`a state of shape [${text}]`, `[${shape.map(showSize).join(", ")}]`, at);
  }
  if (value.kind === "fill" && value.value === 0) return null;
  if (value.kind === "constant" && value.data.every((each) => each === 0)) return null;
  if (numbersOf(shape) === null) {
    node.fail("zeros, or a state of a known batch", "one number for any batch", at);
  }
  const state = node.constant(i);
  return batchFirst ? transposed(node, state, [1, 0, 2]) : state;
}

/** LSTM, GRU and DynamicQuantizeLSTM. */
export function recurrent(node: NodeContext): readonly OnnxValue[] {
  const { op } = node.node;
  const kind = op === "GRU" ? "GRU" : "LSTM";
  const isDynamic = op === "DynamicQuantizeLSTM";
  refuseOptions(node);
  const direction = node.text("direction", "forward");
  if (!["forward", "reverse", "bidirectional"].includes(direction)) {
    node.fail('"forward", "reverse" or "bidirectional"', direction, ".direction");
  }
  const isReverse = direction === "reverse";
  const directions = direction === "bidirectional" ? 2 : 1;
  const batchFirst = node.number("layout", 0) === 1;
  const x = node.flowOrHalf(INPUTS.x);
  if (x.dims.length !== 3) node.fail("three axes", `${x.dims.length}`, ".inputs[0]");
  const steps = node.claim(x.dims[batchFirst ? 1 : 0]!, "time");
  const batch = node.claim(x.dims[batchFirst ? 0 : 1]!, "batch");
  const [, inputSize] = node.featuresLast(x);
  checkLengths(node, steps);

  const order = GATES[kind];
  const w = weight(node, INPUTS.w, isDynamic);
  const r = weight(node, INPUTS.r, isDynamic);
  const hidden = node.number("hidden_size", r.shape[2]!);
  const rows = order.length * hidden;
  for (const [at, given, columns] of [["W", w, inputSize], ["R", r, hidden]] as const) {
    const expected = [directions, rows, columns];
    if (isInteger(given) || given.shape.join() !== expected.join()) {
      node.fail(`float32 values of shape [${expected.join(", ")}]`, given.shape, `.${at}`);
    }
  }
  const b = node.inputs[INPUTS.b] === undefined ? null : node.constant(INPUTS.b);
  if (b !== null && b.shape.join() !== [directions, 2 * rows].join()) {
    node.fail(`shape [${directions}, ${2 * rows}]`, b.shape, ".B");
  }
  const part = (from: Constant, d: number) => {
    const size = product(from.shape) / directions;
    return (from.data as Float32Array).subarray(d * size, (d + 1) * size);
  };
  const cells = Array.from({ length: directions }, (_, d): CellWeights => {
    const bias = b && part(b, d);
    return {
      weightIh: x.backward
        ? secondHalf(reordered(part(w, d), order), inputSize)
        : reordered(part(w, d), order),
      weightHh: reordered(part(r, d), order),
      biasIh: bias && reordered(bias.subarray(0, rows), order),
      biasHh: bias && reordered(bias.subarray(rows), order),
    };
  });
  const shape = { directions, batch, hidden, batchFirst };
  const recurrentPart: RecurrentPart = {
    kind,
    inputSize: x.backward ? 2 * inputSize : inputSize,
    hiddenSize: hidden,
    bidirectional: directions === 2 || isReverse,
    options: {
      ...functionsOf(node, kind, directions),
      ...kind === "GRU" && { resetAfter: node.number("linear_before_reset", 0) !== 0 },
    },
    // Modules run forward or in both directions. A backward node becomes a bidirectional module
    // whose first half is not read; it gets the same weights, so that both have similar ranges.
    cells: [isReverse ? [...cells, ...cells] : cells],
    initial: {
      h: [initialState(node, INPUTS.h, shape)],
      c: [kind === "GRU" ? null : initialState(node, INPUTS.c, shape)],
    },
  };
  if (isDynamic) {
    node.graph.notes.add(
      `${node.label} rounds its input and its state by the range of a whole batch: here both are ` +
        "float32, its weights those of the file, dequantized",
    );
  }
  const { h, c } = recurrentPart.initial;
  if (isReverse && (h[0] !== null || c[0] !== null)) {
    node.fail("no initial state, of a node that runs backward alone", "one");
  }
  return outputsOf(node, x, { ...shape, steps, part: recurrentPart, isReverse });
}

/** The results of a recurrent node: its output, and its final states. */
function outputsOf(
  node: NodeContext,
  x: Flow,
  { directions, batch, steps, hidden, batchFirst, part: recurrent, isReverse }: StateShape & {
    readonly steps: Atom;
    readonly part: RecurrentPart;
    readonly isReverse: boolean;
  },
): readonly OnnxValue[] {
  const d = atom(sizeOf(directions), "features");
  const features = [d, atom(sizeOf(hidden), "features")];
  const width = [features[1]!];
  const part = node.part([x], { recurrent });
  const { bidirectional } = recurrent;
  const backward = isReverse ? { backward: true } : {};
  const last: Part = {
    name: `${part.name}_hidden`,
    reads: [part],
    make: (batchFirst) => new FinalHidden({ batchFirst, bidirectional }),
  };
  const dims = batchFirst ? [[batch], [steps], [d], width] : [[steps], [d], [batch], width];
  const stateDims = batchFirst ? [[batch], [d], width] : [[d], [batch], width];
  const state = (slot: "h" | "c"): Flow => {
    const pieces = Array.from(
      { length: directions },
      (_, direction): StatePiece => ({ part, slot, direction: isReverse ? 1 : direction }),
    );
    const flow: Flow = { kind: "flow", part: last, dims: stateDims, features, pieces, ...backward };
    return slot === "h" ? flow : { ...flow, mark: { kind: "state" } };
  };
  const outputs: OnnxValue[] = [{ kind: "flow", part, dims, features, ...backward }, state("h")];
  if (recurrent.kind === "LSTM") outputs.push(state("c"));
  return outputs;
}
