/**
 * `forward` of a quantized LSTM, with torch's meaning: a whole sequence, a given or implicit state,
 * and the final one.
 *
 * @module
 */
import { checkOptions } from "../../core/check.ts";
import { checkBoolean, checkInteger, failRange, failType } from "../../core/errors.ts";
import { type PerTensorQParams, sameQParams } from "../../core/qparams.ts";
import { type Backend, createCall, createSlots, type RunningKind } from "../../runtime/kind.ts";
import { dynamicLSTM as dynamicRunning } from "../../runtime/kinds/dynamic_lstm.ts";
import { lstm as portableRunning } from "../../runtime/kinds/lstm.ts";
import { convertCentered } from "../../runtime/centered.ts";
import { inputQParams, shiftedTensor, shiftedValues } from "../forward.ts";
import type { ForwardTensor } from "../kind.ts";
import { hiddenQParams } from "./cell.ts";
import { checkLSTM } from "./check.ts";
import { type LSTMModule, stateSize } from "./data.ts";
import { lowerDynamicLSTM, lowerLSTM } from "./lower.ts";

/** Options of a quantized LSTM's `forward`. */
export interface QuantizedLSTMForwardOptions {
  /** Steps of each batch row, 1 to the sequence's; all by default. Beyond them the output is 0. */
  readonly lengths?: ArrayLike<number>;
  /** Overrides the form; the results are the same. */
  readonly splitGates?: boolean;
  /** What runs it: the fast step by default, and execution by parts where that does not run it. */
  readonly kernels?: Backend;
}

/** Output, and the final hidden and cell state. */
export type QuantizedLSTMForwardResult = readonly [
  ForwardTensor,
  readonly [ForwardTensor, ForwardTensor],
];

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

/** Whether two parameters are the same, or both stand for float32. */
function sameOrFloat(a: PerTensorQParams | null, b: PerTensorQParams | null): boolean {
  return a === null || b === null ? a === b : sameQParams(a, b);
}

/** Runs a quantized LSTM over a sequence; see `QuantizedLSTM.forward`. */
export function lstmForward(
  lstm: LSTMModule,
  x: ForwardTensor,
  state: readonly [ForwardTensor, ForwardTensor] | undefined,
  options: QuantizedLSTMForwardOptions,
): QuantizedLSTMForwardResult {
  checkOptions("options", options, ["lengths", "splitGates", "kernels"]);
  if (state !== undefined && !Array.isArray(state)) {
    failType("state", "an array of the hidden and the cell state", state);
  }
  const { inputSize, hiddenSize, batchFirst, bidirectional, numLayers, cells } = lstm;
  const directions = bidirectional ? 2 : 1;
  const size = stateSize(lstm);
  const rows = numLayers * directions;
  const given = inputQParams("x", x);
  const input = given ?? lstm.input;
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
  const { lengths, splitGates = lstm.splitGates, kernels } = options;
  checkBoolean("splitGates", splitGates);
  if (lengths !== undefined && lengths.length !== batch) {
    failRange("lengths", `${batch} elements`, lengths.length);
  }
  const counts = lengths === undefined
    ? null
    : Int32Array.from(lengths, (n, b) => checkInteger(`lengths[${b}]`, n, 1, steps));
  const stateShape = (width: number) => batched ? [rows, batch, width] : [rows, width];
  const givenStates = state?.map((tensor, i) => {
    const name = i === 0 ? "h0" : "c0";
    const expected = stateShape(i === 0 ? size : hiddenSize);
    const q = inputQParams(name, tensor);
    if (tensor.shape.join() !== expected.join()) {
      failRange(`${name}.shape`, `[${expected}]`, [...tensor.shape]);
    }
    return q;
  });
  const initial = givenStates?.map((q, i) => q ?? lstm.stateInput?.[i] ?? null) as
    | [PerTensorQParams | null, PerTensorQParams | null]
    | undefined;
  // Without these the constructor has seen to it.
  if (given !== null || initial !== undefined) checkLSTM("lstm", lstm, input, initial);
  const program = lstm.dynamic
    ? lowerDynamicLSTM(lstm)
    : lowerLSTM({ module: lstm, input, tokens: null, initial });
  const kind = (lstm.dynamic ? dynamicRunning : portableRunning) as RunningKind;
  const prepared = kernels?.instantiate(program) ?? program.byParts?.instantiate() ??
    kind.instantiate(program);
  prepared.reserve?.(batch, steps, splitGates);
  const running = prepared.createState?.(batch) ?? createSlots(program, batch);
  const hiddens = cells.flat().map(hiddenQParams);
  const cellStates = cells.flat().map((c) => c.parts.fgate_cx_igate_cgate);
  if (state !== undefined) {
    for (let cell = 0; cell < rows; cell++) {
      const states = [
        [0, running.h!, hiddens, size],
        [1, running.c!, cellStates, hiddenSize],
      ] as const;
      for (const [i, to, q, width] of states) {
        const at = cell * batch * width;
        const end = at + batch * width;
        const part = state[i].data.subarray(at, end);
        const own = initial![i] ?? q[cell]!;
        to.set(
          shiftedValues({ ...state[i], data: part } as ForwardTensor, givenStates![i]!, own),
          at,
        );
      }
    }
  }
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
    if (!lstm.torchInitialState && !q.every((own) => sameOrFloat(own, q[0]!))) {
      q.forEach((own, cell) => convertCentered(all, cell * each, each, own, null));
      return shiftedTensor(all, stateShape(width), null);
    }
    // torch stacks directions, then layers; each time the first tensor's parameters hold for all.
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
      hiddenQParams(cells[numLayers - 1]![0]!),
    ),
    [final(running.h!, hiddens, size), final(running.c!, cellStates, hiddenSize)],
  ];
}
