/**
 * The fast step, fused and split, in TypeScript: the default backend.
 *
 * @module
 */
import {
  type LstmCell,
  type LstmScratch,
  lstmScratch,
  lstmStep,
  type StateBinding,
} from "../../kernels/packed/lstm_cell.ts";
import { packedInput } from "../../kernels/packed/pack.ts";
import { prepareCell, prepareTables } from "../../kernels/packed/program.ts";
import { dequantizeValue } from "../../kernels/numeric/requantize.ts";
import { isCallers } from "../../kernels/numeric/typed_array.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { createState, type LstmBackend, type LstmState, reserveBetween } from "./backend.ts";
import { makeProjector, type Projector } from "./projector.ts";
import { convertShifted, quantizeShifted } from "./shifted.ts";

/** One layer and direction made ready. */
interface PreparedCell {
  readonly cell: LstmCell;
  readonly running: StateBinding;
  readonly first: StateBinding;
  readonly hidden: PerTensorQParams;
  /** Projected inputs that the step is given, by token or one at a time, and what gives that one; null elsewhere. */
  readonly projected: Float32Array | null;
  readonly project: Projector | null;
}

/**
 * The portable kernels.
 *
 * @example
 * ```ts
 * import { convert, dynamicQConfig, LSTM, portable, prepare } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const model = convert(prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), dynamicQConfig));
 * assertEquals(portable.name, "portable");
 * model.createSession({ kernels: portable }); // what a session takes anyway
 * ```
 */
export const portable: LstmBackend = {
  name: "portable",
  prepare(lstm) {
    if (lstm.layers === null) return null;
    const { inputSize, hiddenSize, projSize, input, fill } = lstm;
    const size = projSize || hiddenSize;
    const rows = 4 * hiddenSize;
    const directions = lstm.layers[0]!.length;
    const width = size * directions;
    const x = packedInput(Math.max(inputSize, width));
    const scratches: LstmScratch[] = [];
    const between: Float64Array[] = [];
    const tables = prepareTables(lstm.tables);
    const layers = lstm.layers.map((layer) =>
      layer.map(({ cell, running, first, hidden, projector, rows: known }): PreparedCell => ({
        cell: prepareCell(cell, tables),
        running,
        first: first ?? running,
        hidden,
        projected: projector ? new Float32Array(rows) : known,
        project: projector && makeProjector(projector),
      }))
    );
    /** Runs one row of the batch through one layer and direction. */
    const runRow = (
      { h, c, fresh }: LstmState,
      l: number,
      d: number,
      b: number,
      from: Float64Array | Float32Array,
      fromOffset: number,
      to: Float64Array | Float32Array,
      toOffset: number,
      steps: number,
      batch: number,
      scratch: LstmScratch,
    ): void => {
      const layer = layers[l]!;
      const { cell, running, first, hidden, projected, project } = layer[d]!;
      const each = l > 0 ? width : inputSize;
      const place = (l * directions + d) * batch + b;
      // Locals: an engine may read what a closure holds at every use.
      const inputs = x;
      const units = size;
      const all = width;
      const hAt = place * units;
      const cAt = place * hiddenSize;
      const given = projected === null ? inputs : null;
      const reals = isCallers(from);
      const realsOut = isCallers(to);
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
        } else if (reals) quantizeShifted(from, at, inputs, 0, each, input!);
        else for (let k = 0; k < each; k++) inputs[k] = from[at + k]!;
        const binding = fresh[place] === 1 ? first : running;
        lstmStep(
          cell,
          binding,
          given,
          projected,
          offset,
          h as Float64Array,
          hAt,
          c as Float64Array,
          cAt,
          scratch,
        );
        fresh[place] = 0;
        if (!realsOut) { for (let j = 0; j < units; j++) to[outAt + j] = h[hAt + j]!; }
        else for (let j = 0; j < units; j++) to[outAt + j] = dequantizeValue(h[hAt + j]!, scale, 0);
        // torch.cat keeps the first tensor's parameters and requantizes the others.
        if (d > 0) convertShifted(to as Float64Array, outAt, units, hidden, layer[0]!.hidden);
      }
    };
    return {
      infallible: true,
      takesReals: directions === 1 && input !== null,
      givesReals: directions === 1,
      createState: (batch) => createState(lstm, batch),
      reserve(batch, steps, splitGates) {
        const scratch = scratches[+splitGates] ??= lstmScratch(hiddenSize, projSize, splitGates);
        let bytes = reserveBetween(between, layers.length, batch * steps * width) + x.length * 8;
        for (const { length } of new Set<ArrayLike<number>>(Object.values(scratch))) {
          bytes += length * 8;
        }
        return bytes;
      },
      process(
        state,
        given,
        out,
        steps,
        batch,
        lengths,
        splitGates,
        givenOffset = 0,
        outOffset = 0,
      ) {
        const scratch = scratches[+splitGates]!;
        for (let l = 0, last = layers.length - 1; l <= last; l++) {
          const from = l > 0 ? between[(l - 1) & 1]! : given;
          const to = l < last ? between[l & 1]! : out;
          const fromOffset = isCallers(from) ? givenOffset : 0;
          const toOffset = isCallers(to) ? outOffset : 0;
          for (let d = 0; d < directions; d++) {
            for (let b = 0; b < batch; b++) {
              const count = lengths === null ? steps : Math.min(steps, lengths[b]!);
              runRow(state, l, d, b, from, fromOffset, to, toOffset, count, batch, scratch);
            }
          }
        }
      },
    };
  },
};
