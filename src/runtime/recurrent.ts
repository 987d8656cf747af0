/**
 * Running recurrent modules: rows, layers and directions around a cell's fast step.
 *
 * @module
 */
import type { ActivationTable } from "../../kernels/numeric/activation.ts";
import { dequantizeValue } from "../../kernels/numeric/requantize.ts";
import { packedInput } from "../../kernels/packed/pack.ts";
import { type ActivationProgram, buildTables } from "../../kernels/packed/program.ts";
import type { Engine } from "../../kernels/ops/linear.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { convertCentered, quantizeCentered } from "./centered.ts";
import {
  type Call,
  type Image,
  type ModuleInstance,
  type NodeProgram,
  reserveBetween,
  type Values,
} from "./kind.ts";
import type { Projector, ProjectorProgram } from "./projector.ts";
import { type FoldedTokens, inputProjector } from "./tokens.ts";

/** One layer and direction of a recurrent module. */
export interface RecurrentCellProgram<C, B> {
  /** Its weights and constants. */
  readonly cell: C;
  /** Constants with which the state enters a step. */
  readonly running: B;
  /** Those for a row's first step; null if they are the same. */
  readonly first: B | null;
  /** Parameters of the hidden state. */
  readonly hidden: PerTensorQParams;
  /** Smallest integer of a hidden state less its zero point, initial states included. */
  readonly min: number;
  /** Largest integer. */
  readonly max: number;
  /** Whether float32 takes every integer of a step: then SIMD kernels run it. */
  readonly float32: boolean;
  /** Projects float32 inputs or rows of a folded table; null for integer inputs. */
  readonly projector: ProjectorProgram | null;
}

/** The program of a recurrent module. */
export interface RecurrentProgram<C extends RecurrentCellProgram<unknown, unknown>>
  extends NodeProgram {
  /** Whose rounding it has. */
  readonly engine: Engine;
  /** Width of each gate. */
  readonly hiddenSize: number;
  /** Width of the projected hidden state; 0 or absent where it is not projected. */
  readonly projSize?: number;
  /** Whether gates run split by default. */
  readonly splitGates: boolean;
  /** Activation tables of all cells. */
  readonly tables: readonly ActivationProgram[];
  /** By layer, then direction; null where the fast step does not run it. */
  readonly layers: readonly (readonly C[])[] | null;
  /** The table whose rows are the first layer's inputs; absent where there is none. */
  readonly tokens?: FoldedTokens;
  /** Data precomputed for the kernels given to `compileModel`; absent without them. */
  readonly image?: Image;
}

/** Slots of a module; c is there where its cells have one. */
interface RunningState {
  readonly h: Float64Array;
  readonly c: Float64Array;
  readonly fresh: Uint8Array;
}

/**
 * One step of a cell.
 *
 * @param x Input integers, or null with `projected`, which begins at `offset`.
 * @param row Index of the row of the states.
 */
export type RecurrentStep<R, B, S> = (
  cell: R,
  binding: B,
  x: readonly number[] | null,
  projected: Float32Array | null,
  offset: number,
  states: RunningState,
  row: number,
  scratch: S,
) => void;

/** One layer and direction made ready. */
interface CellInstance<R, B> {
  readonly cell: R;
  readonly running: B;
  readonly first: B | null;
  readonly hidden: PerTensorQParams;
  /**
   * Projected inputs, by token or one at a time, and the projector that computes them; null if the
   * step projects its input itself.
   */
  readonly projected: Float32Array | null;
  readonly project: Projector | null;
}

/**
 * Instantiates a recurrent module.
 *
 * @param gates Projected inputs of each unit.
 * @param build Instantiates a cell.
 * @param step Its fast step.
 * @param makeScratch Allocates a step's scratch.
 */
export function recurrentInstance<C, B, R, S extends object>(
  program: RecurrentProgram<RecurrentCellProgram<C, B>>,
  gates: number,
  build: (cell: C, tables: readonly ActivationTable[]) => R,
  step: RecurrentStep<R, B, S>,
  makeScratch: (hiddenSize: number, projSize: number, splitGates: boolean) => S,
): ModuleInstance {
  const { hiddenSize, projSize = 0, tokens } = program;
  const { size: inputSize, qparams: input } = program.inputs[0]!;
  const size = projSize || hiddenSize;
  const rows = gates * hiddenSize;
  const directions = program.layers![0]!.length;
  const width = size * directions;
  const x = packedInput(Math.max(inputSize, width));
  const scratches: S[] = [];
  const between: Float64Array[] = [];
  const tables = buildTables(program.tables);
  // Only the first layer has projectors. NaN marks tokens that are not projected yet.
  const count = tokens?.scales.length ?? 1;
  const layers = program.layers!.map((layer) =>
    layer.map((own): CellInstance<R, B> => ({
      ...own,
      cell: build(own.cell, tables),
      projected: own.projector && new Float32Array(count * rows).fill(NaN),
      project: own.projector && inputProjector(own.projector, tokens),
    }))
  );
  /** Runs one row of the batch through one layer and direction. */
  const runRow = (
    state: RunningState,
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
    const { h, fresh } = state;
    const layer = layers[l]!;
    const { cell, running, first, hidden, projected, project } = layer[d]!;
    const each = l > 0 ? width : inputSize;
    const index = (l * directions + d) * batch + b;
    // Local variables: an engine may reload a closure's variables at every use.
    const inputs = x;
    const units = size;
    const all = width;
    const hAt = index * units;
    const given = projected ? null : inputs;
    const { scale } = hidden;
    for (let i = 0; i < steps; i++) {
      const row = (d === 0 ? i : steps - 1 - i) * batch + b;
      const at = fromOffset + row * each;
      const outAt = toOffset + row * all + d * units;
      const offset = tokens && project ? (from[at]! | 0) * rows : 0;
      if (project) {
        // A token's row is projected on first use.
        if (!tokens || isNaN(projected![offset]!)) project(from, at, projected!, offset);
      } else if (realsIn) quantizeCentered(from, at, inputs, 0, each, input!);
      else for (let k = 0; k < each; k++) inputs[k] = from[at + k]!;
      const binding = fresh[index] === 1 && first ? first : running;
      step(cell, binding, given, projected, offset, state, index, scratch);
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
      const scratch = scratches[+splitGates] ??= makeScratch(hiddenSize, projSize, splitGates);
      let bytes = reserveBetween(between, layers.length, batch * steps * width) + x.length * 8;
      for (const { length } of new Set<ArrayLike<number>>(Object.values(scratch))) {
        bytes += length * 8;
      }
      return bytes;
    },
    process(given, inputs, out, call) {
      const state = given as unknown as RunningState;
      for (let l = 0, last = layers.length - 1; l <= last; l++) {
        const from = l > 0 ? between[(l - 1) & 1]! : inputs[0]!;
        const to = l < last ? between[l & 1]! : out;
        for (let d = 0; d < directions; d++) {
          for (let b = 0; b < call.batch; b++) runRow(state, l, d, b, from, to, call);
        }
      }
    },
  };
}
