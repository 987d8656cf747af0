/**
 * The fast step, fused and split, in TypeScript: the default backend.
 *
 * @module
 */
import type { ActivationTables } from "../../kernels/activation.ts";
import { type LstmCell, type LstmScratch, lstmScratch, lstmStep, type StateBinding } from "../../kernels/lstm_cell.ts";
import { packedInput } from "../../kernels/pack.ts";
import { bindState, gateOrder, integerBound, prepareCell } from "../../kernels/prepare.ts";
import { dequantizeValue } from "../../kernels/requantize.ts";
import type { PerTensorQParams } from "../qparams.ts";
import { createState, initialQParams, type LstmBackend, type LstmState, reserveBetween } from "./backend.ts";
import { fastParts, hiddenQParams, packs } from "./cell.ts";
import { stateSize } from "./modules.ts";
import { projector } from "./projector.ts";
import { convertShifted, quantizeShifted } from "./shifted.ts";

/** One layer and direction made ready. */
interface PreparedCell {
  readonly cell: LstmCell;
  readonly running: StateBinding;
  readonly first: StateBinding;
  readonly hidden: PerTensorQParams;
  /** Projected inputs that the step is given, float32 or tokens: where they stand, and from where on one does. */
  readonly projected: Float32Array | null;
  readonly find: ((x: ArrayLike<number>, at: number) => number) | null;
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
  prepare(lstm, { input, tokens, initial }) {
    const { engine, inputSize, hiddenSize, cells } = lstm, size = stateSize(lstm), rows = 4 * hiddenSize;
    const directions = cells[0]!.length, width = size * directions, order = gateOrder(hiddenSize);
    const x = packedInput(Math.max(inputSize, width)), tables: ActivationTables = new Map();
    const layers: PreparedCell[][] = [], scratches: LstmScratch[] = [], between: Float64Array[] = [];
    let from = input;
    for (const layer of cells) {
      const prepared: PreparedCell[] = [], first = layers.length === 0;
      for (const source of layer) {
        const parts = fastParts(source), [h, c] = initialQParams(lstm, source, initial);
        if (parts === null || !packs(from) || !packs(h)) return null;
        const hidden = hiddenQParams(source)!, cellState = source.parts.fgate_cx_igate_cgate!;
        const bind = (h: PerTensorQParams, c: PerTensorQParams) => bindState(engine, source, parts, order, h, c);
        const running = bind(hidden, cellState), bound = Math.max(integerBound(hidden), integerBound(h!));
        let projected: Float32Array | null = null, find: PreparedCell["find"] = null;
        if (from === null || (first && tokens !== null)) {
          const project = projector(engine, source.weightIh, source.biasIh, order, from, source.parts.igates);
          const out = projected = new Float32Array(rows * (first ? tokens?.count ?? 1 : 1));
          if (tokens === null) {
            find = (x, at) => {
              project(x, at, out, 0);
              return 0;
            };
          } else {
            // Projected inputs by token, each computed when its token is first met.
            const known = new Uint8Array(tokens.count), row = new Float64Array(inputSize);
            find = (ids, at) => {
              const token = ids[at]! | 0, offset = token * rows;
              if (known[token] === 0) {
                tokens.read(token, row, 0);
                convertShifted(row, 0, inputSize, null, input);
                project(row, 0, out, offset);
                known[token] = 1;
              }
              return offset;
            };
          }
        }
        prepared.push({
          cell: prepareCell(engine, source, parts, order, projected === null ? from : null, bound, tables),
          running,
          first: h === hidden && c === cellState ? running : bind(h!, c!),
          hidden,
          projected,
          find,
        });
      }
      layers.push(prepared);
      from = prepared[0]!.hidden;
    }
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
      const layer = layers[l]!, { cell, running, first, hidden, projected, find } = layer[d]!;
      const each = l > 0 ? width : tokens !== null ? 1 : inputSize, place = (l * directions + d) * batch + b;
      // Locals: an engine may read what a closure holds at every use.
      const inputs = x, units = size, all = width, hAt = place * units, cAt = place * hiddenSize;
      const given = find === null ? inputs : null;
      const reals = from instanceof Float32Array, realsOut = to instanceof Float32Array, { scale } = hidden;
      for (let i = 0; i < steps; i++) {
        const row = (d === 0 ? i : steps - 1 - i) * batch + b;
        const at = fromOffset + row * each, outAt = toOffset + row * all + d * units;
        let offset = 0;
        if (find !== null) offset = find(from, at);
        else if (reals) quantizeShifted(from, at, inputs, 0, each, input!);
        else for (let k = 0; k < each; k++) inputs[k] = from[at + k]!;
        const binding = fresh[place] === 1 ? first : running;
        lstmStep(cell, binding, given, projected, offset, h as Float64Array, hAt, c as Float64Array, cAt, scratch);
        fresh[place] = 0;
        if (!realsOut) { for (let j = 0; j < units; j++) to[outAt + j] = h[hAt + j]!; }
        else for (let j = 0; j < units; j++) to[outAt + j] = dequantizeValue(h[hAt + j]!, scale, 0);
        // torch.cat keeps the first tensor's parameters and requantizes the others.
        if (d > 0) convertShifted(to as Float64Array, outAt, units, hidden, layer[0]!.hidden);
      }
    };
    return {
      takesReals: directions === 1 && tokens === null && input !== null,
      givesReals: directions === 1,
      createState: (batch) => createState(lstm, batch),
      reserve(batch, steps, splitGates) {
        const scratch = scratches[+splitGates] ??= lstmScratch(hiddenSize, lstm.projSize, splitGates);
        let bytes = reserveBetween(between, layers.length, batch * steps * width) + x.length * 8;
        for (const { length } of new Set<ArrayLike<number>>(Object.values(scratch))) bytes += length * 8;
        return bytes;
      },
      process(state, given, out, steps, batch, lengths, splitGates, givenOffset = 0, outOffset = 0) {
        const scratch = scratches[+splitGates]!;
        for (let l = 0, last = layers.length - 1; l <= last; l++) {
          const from = l > 0 ? between[(l - 1) & 1]! : given, to = l < last ? between[l & 1]! : out;
          const fromOffset = from instanceof Float32Array ? givenOffset : 0;
          const toOffset = to instanceof Float32Array ? outOffset : 0;
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
