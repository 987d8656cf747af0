/**
 * Running LSTM: the fast step, fused and split, in TypeScript.
 *
 * @module
 */
import {
  type LSTMCell,
  type LSTMScratch,
  lstmScratch,
  lstmStep,
  type StateBinding,
} from "../../../kernels/packed/lstm_cell.ts";
import { packedInput } from "../../../kernels/packed/pack.ts";
import {
  type ActivationProgram,
  buildCell,
  buildTables,
  type CellProgram,
} from "../../../kernels/packed/program.ts";
import { dequantizeValue } from "../../../kernels/numeric/requantize.ts";
import type { Engine } from "../../../kernels/ops/linear.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import {
  type Call,
  type Image,
  type ModuleState,
  type NodeProgram,
  reserveBetween,
  type RunningKind,
  type Values,
} from "../kind.ts";
import { makeProjector, type Projector, type ProjectorProgram } from "../projector.ts";
import { convertCentered, quantizeCentered } from "../centered.ts";

/** One layer and direction of an LSTM. */
export interface LSTMCellProgram {
  /** Its weights and constants. */
  readonly cell: CellProgram;
  /** How the state enters a step. */
  readonly running: StateBinding;
  /** How it enters a row's first step; null is the same way. */
  readonly first: StateBinding | null;
  /** Parameters of the hidden state. */
  readonly hidden: PerTensorQParams;
  /**
   * The smallest integer that a hidden state can be, less the zero point, a given initial one
   * included.
   */
  readonly min: number;
  /** The largest one. */
  readonly max: number;
  /** Whether float32 takes every integer of a step: then SIMD kernels run it. */
  readonly float32: boolean;
  /** What projects inputs that are float32, or null. */
  readonly projector: ProjectorProgram | null;
  /** Projected inputs by token, or null: [vocabulary, 4 * hiddenSize]. */
  readonly rows: Float32Array | null;
}

/** An LSTM's numbers. */
export interface LSTMProgram extends NodeProgram {
  /** Tells modules apart. */
  readonly kind: "LSTM";
  /** Whose rounding it has. */
  readonly engine: Engine;
  /** Width of the cell state. */
  readonly hiddenSize: number;
  /** Width of the projected hidden state; 0 where it is not projected. */
  readonly projSize: number;
  readonly splitGates: boolean;
  /** Activation tables of all cells. */
  readonly tables: readonly ActivationProgram[];
  /** By layer, then direction; null where the fast step does not run it. */
  readonly layers: readonly (readonly LSTMCellProgram[])[] | null;
  /** What `compileModel` was given kernels for; absent where it was not. */
  readonly image?: Image;
  /** Computes a token's rows if they are not yet; absent where all are known. */
  readonly fill?: (token: number) => void;
}

/** One layer and direction made ready. */
interface CellInstance {
  readonly cell: LSTMCell;
  readonly running: StateBinding;
  readonly first: StateBinding;
  readonly hidden: PerTensorQParams;
  /**
   * Projected inputs that the step is given, by token or one at a time, and what gives that one;
   * null elsewhere.
   */
  readonly projected: Float32Array | null;
  readonly project: Projector | null;
}

/** How LSTM runs. */
export const lstm: RunningKind<LSTMProgram> = {
  kind: "LSTM",
  instantiate(lstm) {
    const { hiddenSize, projSize, fill } = lstm;
    const { size: inputSize, qparams: input } = lstm.inputs[0]!;
    const size = projSize || hiddenSize;
    const rows = 4 * hiddenSize;
    const directions = lstm.layers![0]!.length;
    const width = size * directions;
    const x = packedInput(Math.max(inputSize, width));
    const scratches: LSTMScratch[] = [];
    const between: Float64Array[] = [];
    const tables = buildTables(lstm.tables);
    const layers = lstm.layers!.map((layer) =>
      layer.map(({ cell, running, first, hidden, projector, rows: known }): CellInstance => ({
        cell: buildCell(cell, tables),
        running,
        first: first ?? running,
        hidden,
        projected: projector ? new Float32Array(rows) : known,
        project: projector && makeProjector(projector),
      }))
    );
    /** Runs one row of the batch through one layer and direction. */
    const runRow = (
      state: ModuleState,
      l: number,
      d: number,
      b: number,
      from: Values,
      to: Values,
      call: Call,
    ): void => {
      const { batch, lengths } = call;
      const steps = lengths === null ? call.steps : Math.min(call.steps, lengths[b]!);
      const realsIn = call.realsIn && l === 0;
      const realsOut = call.realsOut && l === layers.length - 1;
      const fromOffset = realsIn ? call.inputOffset : 0;
      const toOffset = realsOut ? call.outputOffset : 0;
      const scratch = scratches[+call.splitGates]!;
      const h = state.h as Float64Array;
      const c = state.c as Float64Array;
      const fresh = state.fresh as Uint8Array;
      const layer = layers[l]!;
      const { cell, running, first, hidden, projected, project } = layer[d]!;
      const each = l > 0 ? width : inputSize;
      const index = (l * directions + d) * batch + b;
      // Locals: an engine may read what a closure holds at every use.
      const inputs = x;
      const units = size;
      const all = width;
      const hAt = index * units;
      const cAt = index * hiddenSize;
      const given = projected === null ? inputs : null;
      const { scale } = hidden;
      for (let i = 0; i < steps; i++) {
        const row = (d === 0 ? i : steps - 1 - i) * batch + b;
        const at = fromOffset + row * each;
        const outAt = toOffset + row * all + d * units;
        let offset = 0;
        if (project !== null) project(from, at, projected!, 0);
        else if (projected !== null) {
          const token = from[at]! | 0;
          fill?.(token);
          offset = token * rows;
        } else if (realsIn) quantizeCentered(from, at, inputs, 0, each, input!);
        else for (let k = 0; k < each; k++) inputs[k] = from[at + k]!;
        const binding = fresh[index] === 1 ? first : running;
        lstmStep(cell, binding, given, projected, offset, h, hAt, c, cAt, scratch);
        fresh[index] = 0;
        if (!realsOut) { for (let j = 0; j < units; j++) to[outAt + j] = h[hAt + j]!; }
        else for (let j = 0; j < units; j++) to[outAt + j] = dequantizeValue(h[hAt + j]!, scale, 0);
        // torch.cat keeps the first tensor's parameters and requantizes the others.
        if (d > 0) convertCentered(to as Float64Array, outAt, units, hidden, layer[0]!.hidden);
      }
    };
    return {
      infallible: true,
      takesReals: directions === 1 && input !== null,
      givesReals: directions === 1,
      reserve(batch, steps, splitGates) {
        const scratch = scratches[+splitGates] ??= lstmScratch(hiddenSize, projSize, splitGates);
        let bytes = reserveBetween(between, layers.length, batch * steps * width) + x.length * 8;
        for (const { length } of new Set<ArrayLike<number>>(Object.values(scratch))) {
          bytes += length * 8;
        }
        return bytes;
      },
      process(state, inputs, out, call) {
        for (let l = 0, last = layers.length - 1; l <= last; l++) {
          const from = l > 0 ? between[(l - 1) & 1]! : inputs[0]!;
          const to = l < last ? between[l & 1]! : out;
          for (let d = 0; d < directions; d++) {
            for (let b = 0; b < call.batch; b++) runRow(state, l, d, b, from, to, call);
          }
        }
      },
    };
  },
};
