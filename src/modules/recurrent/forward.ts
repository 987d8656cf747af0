/**
 * `forward` of a quantized recurrent module as in torch: a whole sequence, a given or implicit
 * initial state, and the final state.
 *
 * @module
 */
import { checkOptions } from "../../core/check.ts";
import { checkBoolean, checkInteger, failRange, failType } from "../../core/errors.ts";
import { type PerTensorQParams, sameQParams } from "../../core/qparams.ts";
import { type Backend, createCall, createSlots } from "../../runtime/kind.ts";
import type { NodeProgram, RunningKind } from "../../runtime/kind.ts";
import { convertCentered } from "../../runtime/centered.ts";
import { inputQParams, shiftedTensor, shiftedValues } from "../forward.ts";
import type { ForwardTensor } from "../kind.ts";
import { stateQParams } from "./cell.ts";
import { checkRecurrent } from "./check.ts";
import { type RecurrentModule, type RecurrentSource, stateSizes } from "./data.ts";

/** Options of a quantized recurrent module's `forward`. */
export interface QuantizedForwardOptions {
  /** Steps of each batch row, 1 to the sequence's; all by default. Beyond them the output is 0. */
  readonly lengths?: ArrayLike<number>;
  /** Overrides whether gates run split; the results are the same. */
  readonly splitGates?: boolean;
  /**
   * The kernels; by default the fast step, or execution by parts where the fast step cannot run.
   */
  readonly kernels?: Backend;
}

/** How a kind of recurrent modules is lowered and run. */
export interface LoweredRecurrent<M extends RecurrentModule> {
  /** Lowers a module, for inputs and initial states of these parameters. */
  lower(source: RecurrentSource<M>): NodeProgram;
  /** Its running half. */
  readonly running: RunningKind<never>;
}

/** Output, and the final states in the cell's order. */
export type QuantizedForwardResult = readonly [ForwardTensor, readonly ForwardTensor[]];

/** Swaps the first two axes of [a, b, width]. */
function transpose(x: Float64Array, a: number, b: number, width: number): Float64Array {
  const out = new Float64Array(x.length);
  for (let i = 0; i < a; i++) {
    for (let j = 0; j < b; j++) {
      const at = (i * b + j) * width;
      out.set(x.subarray(at, at + width), (j * a + i) * width);
    }
  }
  return out;
}

/** Whether two parameters are the same, or both null for float32. */
function sameOrFloat(a: PerTensorQParams | null, b: PerTensorQParams | null): boolean {
  return a === null || b === null ? a === b : sameQParams(a, b);
}

/**
 * Runs a quantized module over a sequence, as its own `forward` documents it.
 *
 * @param state One tensor for each state of the cell.
 */
export function forwardRecurrent<M extends RecurrentModule>(
  module: M,
  { lower, running: kind }: LoweredRecurrent<M>,
  x: ForwardTensor,
  state: readonly ForwardTensor[] | undefined,
  options: QuantizedForwardOptions,
): QuantizedForwardResult {
  checkOptions("options", options, ["lengths", "splitGates", "kernels"]);
  const { cell, inputSize, batchFirst, bidirectional, numLayers, cells } = module;
  const directions = bidirectional ? 2 : 1;
  const sizes = stateSizes(module);
  const size = sizes[0]!;
  const rows = numLayers * directions;
  const given = inputQParams("x", x);
  if (given !== null && module.dynamic) {
    failType("x", `a float32 tensor, since the ${module.kind} is dynamic`, given.dtype);
  }
  const input = given ?? module.input;
  const { shape } = x;
  const batched = shape.length === 3;
  if (
    !batched && shape.length !== 2 || shape[shape.length - 1] !== inputSize || x.data.length === 0
  ) {
    failRange(
      "x.shape",
      `[${batchFirst ? "batch, steps" : "steps, batch"}, ${inputSize}] or [steps, ${inputSize}]`,
      [
        ...shape,
      ],
    );
  }
  const steps = batched && batchFirst ? shape[1]! : shape[0]!;
  const batch = !batched ? 1 : batchFirst ? shape[0]! : shape[1]!;
  const swap = batched && batchFirst;
  const { lengths, splitGates = module.splitGates, kernels } = options;
  checkBoolean("splitGates", splitGates);
  if (lengths !== undefined && lengths.length !== batch) {
    failRange("lengths", `${batch} elements`, lengths.length);
  }
  const counts = lengths === undefined
    ? null
    : Int32Array.from(lengths, (n, b) => checkInteger(`lengths[${b}]`, n, 1, steps));
  const stateShape = (width: number) => batched ? [rows, batch, width] : [rows, width];
  if (state !== undefined && state.length !== sizes.length) {
    failType("state", `${sizes.length} tensors`, state);
  }
  const givenStates = state?.map((tensor, i) => {
    const name = `${cell.states[i]!.name}0`;
    const q = inputQParams(name, tensor);
    if (q !== null && module.dynamic) {
      failType(name, `a float32 tensor, since the ${module.kind} is dynamic`, q.dtype);
    }
    const expected = stateShape(sizes[i]!);
    if (tensor.shape.join() !== expected.join()) {
      failRange(`${name}.shape`, `[${expected}]`, [...tensor.shape]);
    }
    return q;
  });
  const initial = givenStates?.map((q, i) => q ?? module.stateInput?.[i] ?? null);
  // Without given states the constructor has checked it.
  if (given !== null || initial !== undefined) checkRecurrent("module", module, input, initial);
  const program = lower({ module, input, tokens: null, initial });
  const prepared = kernels?.instantiate(program) ?? program.byParts?.instantiate() ??
    kind.instantiate(program as never, kernels);
  prepared.reserve?.(batch, steps, splitGates);
  const running = prepared.createState?.(batch) ??
    createSlots(program, batch);
  const own = sizes.map((_, i) => cells.flat().map((each) => stateQParams(cell, each, i)));
  // Read again each time: kernels may move their arrays.
  const slot = (i: number) => running[cell.states[i]!.name]!;
  state?.forEach((tensor, i) => {
    const each = batch * sizes[i]!;
    for (let index = 0; index < rows; index++) {
      const data = tensor.data.subarray(index * each, (index + 1) * each);
      const part = { ...tensor, data } as ForwardTensor;
      const to = initial![i] ?? own[i]![index]!;
      slot(i).set(shiftedValues(part, givenStates![i]!, to), index * each);
    }
  });
  let values = shiftedValues(x, given, input);
  if (swap) values = transpose(values, batch, steps, inputSize);
  let out: Float64Array = new Float64Array(steps * batch * size * directions);
  const call = { ...createCall(steps, batch), lengths: counts, splitGates };
  prepared.process(running, [values], out, call);
  if (swap) out = transpose(out, steps, batch, size * directions);
  const final = (
    values: ArrayLike<number>,
    q: readonly (PerTensorQParams | null)[],
    width: number,
  ): ForwardTensor => {
    const all = Float64Array.from(values);
    const each = batch * width;
    if (!module.torchInitialState && !q.every((own) => sameOrFloat(own, q[0]!))) {
      q.forEach((own, cell) => convertCentered(all, cell * each, each, own, null));
      return shiftedTensor(all, stateShape(width), null);
    }
    // torch stacks directions, then layers; each time the result has the first tensor's parameters.
    for (let l = 0; l < rows; l += directions) {
      if (bidirectional) convertCentered(all, (l + 1) * each, each, q[l + 1]!, q[l]!);
      convertCentered(all, l * each, directions * each, q[l]!, q[0]!);
    }
    return shiftedTensor(all, stateShape(width), q[0]!);
  };
  return [
    shiftedTensor(
      out,
      [...shape.slice(0, -1), size * directions],
      stateQParams(cell, cells[numLayers - 1]![0]!),
    ),
    sizes.map((width, i) => final(slot(i), own[i]!, width)),
  ];
}
