/**
 * Sessions: a quantized model, its state, and memory for its steps.
 *
 * @module
 */
import { dequantizeValue } from "../../kernels/numeric/requantize.ts";
import { isFloat32Array, isUint8Array } from "../../kernels/numeric/typed_array.ts";
import { dtypeOf, type QArray } from "../core/dtype.ts";
import {
  checkEach,
  checkFinite,
  checkInteger,
  checkLength,
  failRange,
  failType,
} from "../core/errors.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { type LstmBackend, type LstmState, reserveBuffer } from "./backend.ts";
import type { LstmProgram, Plan, Program } from "./program.ts";
import { convertShifted, quantizeShifted } from "./shifted.ts";

/** Options of a session. */
export interface SessionOptions {
  /** Sequences that run side by side; 1 by default. */
  readonly batch?: number;
  /**
   * Most steps that `run` takes at a time, for which memory is allocated; 16 by default. Fewer are
   * taken together where a model is so wide that they would need megabytes: the results are the
   * same. For a bidirectional model the longest sequence; 256 by default.
   */
  readonly maxSteps?: number;
  /** Whether gates run split; by default as the model says. The results are the same. */
  readonly splitGates?: boolean;
  /** What runs LSTMs; the portable kernels by default, `simdKernels()` for WebAssembly SIMD. */
  readonly kernels?: LstmBackend | undefined;
}

/** Input of a session: token ids, reals, or integers of the model's input dtype. */
export type SessionInput = Int32Array | Float32Array | QArray;

/** Output of a session: reals, or integers of the model's output dtype. */
export type SessionOutput = Float32Array | QArray;

const MAGIC = 0x54534753;
const STATE_VERSION = 1;
const HEADER = 20;

/**
 * Most values, of all rows, that go into a stage or come out of one at a time, unless one step has
 * more: wide models take fewer steps at a time than `maxSteps`, so that what they work in does not
 * outgrow their weights.
 */
export const BUFFERED = 262144;

/** How the mark of a row's first step is stored. */
const FRESH = { quantMin: 0, quantMax: 1, zeroPoint: 0 };

/** How values of a state are stored. */
type StateKind = "Float32" | "Uint8" | "Uint16" | "Uint32";

/** One value of a state: which it is in memory, and how it is stored. */
interface StateValue {
  /** The array that it is in, and its index there. */
  readonly array: Float64Array | Int32Array | Uint8Array;
  readonly index: number;
  /** Its batch row. */
  readonly row: number;
  /** Where its bytes begin, and what they hold. */
  readonly at: number;
  readonly kind: StateKind;
  /** What it is stored less of, 0 where it is stored as it is, and the largest number that is stored. */
  readonly min: number;
  readonly range: number;
}

/** Requires `size` reals, or integers of the parameters that are taken; tells whether they are reals. */
function checkArray(
  name: string,
  data: SessionInput,
  q: PerTensorQParams | null,
  vocabulary: number,
  size: number,
): boolean {
  const reals = vocabulary === 0 && isFloat32Array(data);
  if (!reals && (q === null || dtypeOf(data) !== q.dtype)) {
    const reals = `a Float32Array${q ? ` or an array of ${q.dtype}` : ""}`;
    failType(name, vocabulary > 0 ? "an Int32Array of token ids" : reals, data);
  }
  checkLength(name, data.length, size);
  return reals;
}

/** Requires that no byte of the output is one of the input. */
function checkApart(name: string, input: SessionInput, output: SessionOutput): void {
  if (
    input.buffer === output.buffer &&
    input.byteOffset < output.byteOffset + output.byteLength &&
    output.byteOffset < input.byteOffset + input.byteLength
  ) {
    failRange("output", `memory apart from that of ${name}`, "memory that overlaps it");
  }
}

type States = readonly (LstmState | undefined)[];

function copyStates(from: States, to: States): void {
  from.forEach((state, s) => {
    if (state === undefined) return;
    to[s]!.h.set(state.h);
    to[s]!.c.set(state.c);
    to[s]!.fresh.set(state.fresh);
  });
}

/**
 * A running model. Steps allocate nothing (but where an LSTM runs by parts; a dynamic module's, a few views).
 *
 * A dynamically quantized module sees what one call gives it at once: the rows of a batch share a range, and so do
 * the steps of a `run`, up to `maxSteps` at a time. Its results for a step thus depend on these, as torch's do.
 *
 * @example
 * ```ts
 * import { convert, fbgemmQConfig, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), fbgemmQConfig);
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * const session = model.createSession(), sequence = Float32Array.of(0.1, -0.4, 0.9, 0.3);
 * const whole = new Float32Array(6), step = new Float32Array(3);
 * session.run(sequence, whole);
 * session.reset();
 * session.step(sequence.subarray(0, 2), step);
 * assertEquals(step, whole.subarray(0, 3));
 * session.step(sequence.subarray(2), step);
 * assertEquals(step, whole.subarray(3));
 * ```
 */
export class Session {
  /** Sequences that run side by side. */
  readonly batch: number;
  /** Steps that `run` takes at a time; of a bidirectional model the longest sequence. */
  readonly maxSteps: number;
  /** Bytes of state, scratch and buffers that the session works in (weights and tables belong to the model). */
  readonly workingBytes: number;
  readonly #model: Program;
  /** Parameters of integers that it takes: token ids have some, too. */
  readonly #given: PerTensorQParams | null;
  readonly #plan: Plan;
  readonly #splitGates: readonly boolean[];
  readonly #states: States;
  /**
   * Steps that are run at a time: `maxSteps`, or fewer where they need too much memory and do not
   * change results.
   */
  readonly #together: number;
  /** Steps that each row has left. */
  readonly #left: Int32Array;
  /** Whether the running call was given reals, and an array for reals. */
  #reals = false;
  #realsOut = false;
  /** How often lengths were read. */
  #reads = 0;
  /** The least steps of a call that can fail when a state has moved; Infinity where none can. */
  readonly #failsFrom: number;
  /** Copies of the states, which such a call puts back. */
  readonly #copies: States;

  /** Use `createSession` of a model or a program. */
  constructor(
    model: Program,
    plan: Plan,
    batch: number,
    maxSteps: number,
    splitGates: boolean | undefined,
  ) {
    this.batch = batch;
    this.maxSteps = maxSteps;
    this.#model = model;
    this.#plan = plan;
    this.#given = model.vocabulary === 0
      ? model.input
      : { dtype: "qint32", scale: 1, zeroPoint: 0, quantMin: 0, quantMax: model.vocabulary - 1 };
    this.#left = new Int32Array(batch);
    const { stages, buffers } = plan;
    const widest = stages.reduce(
      (n, { program }) => Math.max(n, program.outputSize),
      model.inputSize,
    );
    const steps = this.#together = model.bidirectional || stages.some(({ run }) => run.mixesSteps)
      ? maxSteps
      : Math.max(1, Math.min(maxSteps, Math.floor(BUFFERED / (batch * widest))));
    let bytes = batch * 4;
    bytes += reserveBuffer(buffers, 0, batch * steps * model.inputSize);
    this.#splitGates = stages.map(({ program }) =>
      splitGates ?? (program.kind === "LSTM" && program.splitGates)
    );
    const createState = (stage: number): LstmState | undefined => {
      const state = stages[stage]!.run.createState?.(batch);
      if (state) bytes += state.h.byteLength + state.c.byteLength + state.fresh.byteLength;
      return state;
    };
    this.#states = stages.map(({ run, program }, i) => {
      bytes += reserveBuffer(buffers, i + 1, batch * steps * program.outputSize);
      bytes += run.reserve?.(batch, steps, this.#splitGates[i]!) ?? 0;
      return createState(i);
    });
    const stateful = this.#states.findIndex((state) => state !== undefined);
    const fallible = stages.findLastIndex(({ run }) => !run.infallible);
    this.#failsFrom = fallible < 0 ? Infinity : fallible < stateful ? steps + 1 : 1;
    this.#copies = this.#failsFrom === Infinity ? [] : stages.map((_, i) => createState(i));
    this.workingBytes = bytes;
  }

  /**
   * One time step.
   *
   * @param input [batch, inputSize] reals or integers of the model's input dtype, or [batch] token ids (Int32Array).
   * Nothing may write to it while the step runs.
   * @param output [batch, outputSize]: a Float32Array receives reals, an array of the output dtype integers. It may
   * share a buffer with `input`; where a call has more than one row, no byte. (Two SharedArrayBuffers over the same
   * memory cannot be told from two memories: mind them.)
   * @throws {TypeError} If an array is of the wrong kind, or the model is bidirectional.
   * @throws {RangeError} If a length, a token id or a value is wrong, `output` overlaps `input`, or
   * a Linear's float32 result overflows. Whatever is thrown, the state is unchanged then; what
   * `output` holds means nothing.
   */
  step(input: SessionInput, output: SessionOutput): void {
    this.#refuse("step");
    this.#run("input", input, output, 1);
  }

  /**
   * Many steps: continues from the state, or, where the model is bidirectional, runs a whole sequence from the
   * initial state.
   *
   * @param sequence [steps, batch, inputSize], or [batch, steps, inputSize] where the model is batchFirst; as for
   * {@linkcode step}.
   * @param output [steps, batch, outputSize], or [batch, steps, outputSize] where the model is batchFirst; as for
   * {@linkcode step}.
   * @param lengths Steps of each row, 0 to the sequence's; all by default. Each row is as if it ran alone: beyond its
   * length the output is real 0 and its state stays. They are read once, before anything else.
   * @throws {TypeError} If an array is of the wrong kind.
   * @throws {RangeError} If a length, a token id or a value is wrong, `output` overlaps `sequence`,
   * a bidirectional model is given more than `maxSteps` steps, or a Linear's float32 result
   * overflows. Whatever is thrown, the state is unchanged then; what `output` holds means nothing.
   */
  run(sequence: SessionInput, output: SessionOutput, lengths?: ArrayLike<number>): void {
    const { maxSteps } = this;
    const { inputSize, bidirectional } = this.#model;
    const width = this.batch * inputSize;
    const steps = sequence?.length / width;
    // NaN where it is no array at all.
    if (steps < 1 || steps % 1) {
      failRange("sequence", `a positive multiple of ${width} elements`, sequence.length);
    }
    if (bidirectional && steps > maxSteps) {
      failRange("sequence", `at most maxSteps = ${maxSteps} steps`, steps);
    }
    this.#run("sequence", sequence, output, steps, lengths);
  }

  #refuse(method: string): void {
    if (this.#model.bidirectional) {
      failType(method, "run, since the model is bidirectional", method);
    }
  }

  /** Takes the rows' lengths. To read them may run code of the caller, which may run this session. */
  #readLengths(lengths: ArrayLike<number>, steps: number): void {
    const { batch } = this;
    const read = ++this.#reads;
    checkLength("lengths", lengths?.length, batch);
    for (let b = 0; b < batch; b++) {
      this.#left[b] = checkInteger(`lengths[${b}]`, lengths[b], 0, steps);
    }
    if (read !== this.#reads) failRange("lengths", "numbers", "code that runs the session");
  }

  #run(
    name: string,
    input: SessionInput,
    output: SessionOutput,
    steps: number,
    lengths?: ArrayLike<number>,
  ): void {
    const { vocabulary, inputSize, outputSize, output: to, bidirectional } = this.#model;
    const given = this.#given;
    const { batch } = this;
    const together = this.#together;
    const left = this.#left;
    if (lengths !== undefined) this.#readLengths(lengths, steps);
    const reals = this.#reals = checkArray(
      name,
      input,
      given,
      vocabulary,
      steps * batch * inputSize,
    );
    this.#realsOut = checkArray("output", output, to, 0, steps * batch * outputSize);
    // One row is read before any of it is written.
    if (steps * batch > 1) checkApart(name, input, output);
    if (reals) checkFinite(name, input);
    else checkEach(name, input, given!.quantMin, given!.quantMax);
    if (bidirectional) this.reset();
    const fails = steps >= this.#failsFrom;
    if (fails) copyStates(this.#states, this.#copies);
    try {
      for (let done = 0; done < steps; done += together) {
        const count = Math.min(together, steps - done);
        this.#process(input, output, done, count, steps, lengths ? left : null);
        if (lengths) { for (let b = 0; b < batch; b++) left[b] = Math.max(0, left[b]! - count); }
      }
    } catch (error) {
      if (fails) copyStates(this.#copies, this.#states);
      throw error;
    }
  }

  /** Runs `steps` of `all` steps, from step `done` on. */
  #process(
    input: SessionInput,
    output: SessionOutput,
    done: number,
    steps: number,
    all: number,
    lengths: Int32Array | null,
  ): void {
    const { inputSize, outputSize, output: to, batchFirst } = this.#model;
    const given = this.#given;
    const { batch } = this;
    const { stages, buffers } = this.#plan;
    const last = stages.length - 1;
    const x = buffers[0]!;
    const y = buffers[last + 1]!;
    const rows = steps * batch;
    const first = done * batch;
    const at = first * inputSize;
    const outAt = first * outputSize;
    // Modules take [steps, batch, ...]. Of one step or one row both orders are the same.
    const swap = batchFirst && batch > 1 && all > 1;
    // Reals go to kernels that quantize, and come from ones that dequantize, as they are.
    const takes = this.#reals && given !== null && !swap && stages[0]!.run.takesReals;
    const gives = this.#realsOut && to !== null && lengths === null && !swap &&
      stages[last]!.run.givesReals;
    if (swap) {
      for (let row = 0; row < rows; row++) {
        const from = (row % batch) * all + done + Math.floor(row / batch);
        this.#take(input, from * inputSize, x, row * inputSize, inputSize);
      }
    } else if (!takes) this.#take(input, at, x, 0, rows * inputSize);
    for (let s = 0; s <= last; s++) {
      const { run, program } = stages[s]!;
      const from = buffers[s]!;
      if (s > 0) {
        convertShifted(
          from,
          0,
          rows * program.inputSize,
          stages[s - 1]!.program.output,
          program.input,
        );
      }
      run.process(
        this.#states[s]!,
        s === 0 && takes ? input as Float32Array : from,
        s === last && gives ? output as Float32Array : buffers[s + 1]!,
        steps,
        batch,
        lengths,
        this.#splitGates[s]!,
        at,
        outAt,
      );
    }
    if (gives) return;
    if (!swap) this.#give(y, 0, output, outAt, rows * outputSize);
    if (!swap && lengths === null) return;
    const zero = this.#realsOut || to === null ? 0 : to.zeroPoint;
    for (let row = 0; row < rows; row++) {
      const b = row % batch;
      const t = Math.floor(row / batch);
      const place = (swap ? b * all + done + t : first + row) * outputSize;
      if (lengths !== null && t >= lengths[b]!) output.fill(zero, place, place + outputSize);
      else if (swap) this.#give(y, row * outputSize, output, place, outputSize);
    }
  }

  /** Puts `size` values that a caller gave where the first module reads them. */
  #take(input: SessionInput, at: number, x: Float64Array, to: number, size: number): void {
    const given = this.#given;
    if (this.#reals && given !== null) {
      quantizeShifted(input, at, x, to, size, given);
      return;
    }
    const zero = given === null ? 0 : given.zeroPoint;
    for (let i = 0; i < size; i++) x[to + i] = input[at + i]! - zero;
  }

  /** Gives the caller `size` values that the last module made. */
  #give(y: Float64Array, at: number, output: SessionOutput, to: number, size: number): void {
    const q = this.#model.output;
    if (q !== null && this.#realsOut) {
      for (let i = 0; i < size; i++) output[to + i] = dequantizeValue(y[at + i]!, q.scale, 0);
    } else {
      // Not y + zeroPoint, which would turn -0 to 0.
      const shift = q === null ? 0 : 0 - q.zeroPoint;
      for (let i = 0; i < size; i++) output[to + i] = y[at + i]! - shift;
    }
  }

  /**
   * Back to the initial state, all zeros.
   *
   * @param row The batch row that begins anew; all by default.
   * @throws {TypeError | RangeError} If it is no integer in 0..batch - 1.
   */
  reset(row?: number): void {
    if (row !== undefined) checkInteger("row", row, 0, this.batch - 1);
    for (const state of this.#states) {
      if (!state) continue;
      const { h, c, fresh } = state;
      // All places at once, or the row's in each cell.
      const count = row === undefined ? fresh.length : 1;
      const width = row === undefined ? fresh.length : this.batch;
      const hSize = h.length / fresh.length;
      const cSize = c.length / fresh.length;
      for (let i = row ?? 0; i < fresh.length; i += width) {
        h.fill(0, i * hSize, (i + count) * hSize);
        c.fill(0, i * cSize, (i + count) * cSize);
        fresh.fill(1, i, i + count);
      }
    }
  }

  /** Visits the values of the state in the order of its bytes, and gives the number of these. */
  #visit(visit?: (value: StateValue) => void): number {
    let at = HEADER;
    this.#plan.stages.forEach(({ program }, s) => {
      const state = this.#states[s];
      if (!state) return;
      const { length } = state.fresh;
      for (let place = 0; place < length; place++) {
        const [h, c] = (program as LstmProgram).states[Math.floor(place / this.batch)]!;
        const row = place % this.batch;
        for (const [array, q] of [[state.fresh, FRESH], [state.h, h], [state.c, c]] as const) {
          const count = array.length / length;
          const range = q === null ? Number.MAX_VALUE : q.quantMax - q.quantMin;
          const size = range > 65535 ? 4 : range > 255 ? 2 : 1;
          const kind = q === null ? "Float32" : `Uint${size * 8}` as StateKind;
          const min = q === null ? 0 : q.quantMin - q.zeroPoint;
          for (let index = place * count; index < (place + 1) * count; index++, at += size) {
            visit?.({ array, index, row, at, kind, min, range });
          }
        }
      }
    });
    return at;
  }

  /** What a state begins with: what it is, whose, and for how many rows. */
  #header(): Uint8Array {
    return new Uint8Array(
      Int32Array.of(MAGIC, STATE_VERSION, ...this.#model.data.fingerprint, this.batch).buffer,
    );
  }

  /**
   * The state as plain bytes: move them to another worker, or keep them and {@linkcode restore} them later.
   *
   * @throws {TypeError} If the model is bidirectional and so keeps no state.
   */
  state(): Uint8Array<ArrayBuffer> {
    this.#refuse("state");
    const bytes = new Uint8Array(this.#visit());
    const view = new DataView(bytes.buffer);
    bytes.set(this.#header());
    this.#visit(({ array, index, at, kind, min }) =>
      view[`set${kind}`](at, array[index]! - min, true)
    );
    return bytes;
  }

  /**
   * Takes up a state that {@linkcode state} gave, in this process or another.
   *
   * @param bytes What `state` gave, for the same model and batch.
   * @throws {TypeError} If `bytes` is no Uint8Array, or the model is bidirectional.
   * @throws {RangeError} If it is no state, of another version, model or batch, cut off, or holds what no run gives: a
   * value out of range, a row that has made a step in one layer and none in another, or none and is not at zero. The
   * session's own state is unchanged then.
   */
  restore(bytes: Uint8Array): void {
    this.#refuse("restore");
    if (!isUint8Array(bytes)) failType("state", "a Uint8Array", bytes);
    const size = this.#visit();
    // A copy: shared memory could change between the check and the use.
    const given = new Uint8Array(bytes);
    const view = new DataView(given.buffer);
    const model = "a state of this model";
    const version = `version ${STATE_VERSION}`;
    const expected = ["a session's state", version, model, model, `a batch of ${this.batch}`];
    this.#header().forEach((byte, i) => {
      // The version and the batch, words 1 and 4, say something.
      const word = i >> 2;
      const told = word % 3 === 1 && given.length >= HEADER;
      if (given[i] !== byte) {
        failRange("state", expected[word]!, told ? view.getInt32(4 * word, true) : "another");
      }
    });
    if (given.length !== size) failRange("state", `${size} bytes`, given.length);
    // By row: 1 where it has made no step. A value's mark comes before it.
    const marks: number[] = [];
    this.#visit(({ array, row, at, kind, min, range }) => {
      const value = view[`get${kind}`](at, true);
      const name = `state[${at}]`;
      if (!(Math.abs(value) <= range)) failRange(name, `at most ${range}`, value);
      if (isUint8Array(array)) {
        marks[row] ??= value;
        if (value !== marks[row]) failRange(name, `${marks[row]}, as the row's first mark`, value);
      } else if (marks[row] === 1 && !Object.is(value, 0 - min)) {
        failRange(name, `${0 - min}, since the row has made no step`, value);
      }
    });
    this.#visit(({ array, index, at, kind, min }) => {
      const value = view[`get${kind}`](at, true);
      // Not value + 0, which would turn -0 to 0.
      array[index] = min === 0 ? value : value + min;
    });
  }
}
