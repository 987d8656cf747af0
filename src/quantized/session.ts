/**
 * Sessions: a quantized model, its state, and memory for its steps.
 *
 * @module
 */
import { dequantizeValue } from "../../kernels/requantize.ts";
import { dtypeOf, type QArray } from "../dtype.ts";
import { checkBoolean, checkInteger, failRange, failType } from "../errors.ts";
import type { LstmBackend, LstmState } from "./backend.ts";
import { hiddenQParams } from "./cell.ts";
import type { QuantizedModel } from "./model.ts";
import type { Plan } from "./plan.ts";
import { convertShifted, quantizeShifted } from "./shifted.ts";

/** Options of a session. */
export interface SessionOptions {
  readonly batch?: number;
  readonly maxSteps?: number;
  readonly splitGates?: boolean;
  readonly foldEmbedding?: boolean;
  readonly kernels?: LstmBackend;
}

/** Input of a session: token ids, reals, or integers of the model's input dtype. */
export type SessionInput = Int32Array | Float32Array | QArray;

/** Output of a session: reals, or integers of the model's output dtype. */
export type SessionOutput = Float32Array | QArray;

const MAGIC = 0x54534753, STATE_VERSION = 1, HEADER = 20;

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
  readonly batch: number;
  readonly maxSteps: number;
  /** Bytes of state, scratch and buffers that the session works in (weights and tables belong to the model). */
  readonly workingBytes: number;
  readonly #model: QuantizedModel;
  readonly #plan: Plan;
  readonly #splitGates: boolean | undefined;
  readonly #states: readonly (LstmState | null)[];
  /** Steps that each row has left. */
  readonly #left: Int32Array;

  /** Use {@linkcode QuantizedModel.createSession}. */
  constructor(model: QuantizedModel, plan: Plan, options: SessionOptions) {
    const { batch = 1, maxSteps = model.bidirectional ? 256 : 16, splitGates } = options;
    this.batch = checkInteger("batch", batch, 1, 2 ** 20);
    this.maxSteps = checkInteger("maxSteps", maxSteps, 1, 2 ** 20);
    if (splitGates !== undefined) checkBoolean("splitGates", splitGates);
    this.#model = model;
    this.#plan = plan;
    this.#splitGates = splitGates;
    this.#states = plan.stages.map(({ lstm }) => lstm?.createState(batch) ?? null);
    this.#left = new Int32Array(batch);
    let bytes = plan.reserve(batch, maxSteps, splitGates) + batch * 4;
    for (const state of this.#states) {
      if (state !== null) bytes += state.h.byteLength + state.c.byteLength + state.fresh.byteLength;
    }
    this.workingBytes = bytes;
  }

  /**
   * One time step.
   *
   * @param input [batch, inputSize] reals or integers of the model's input dtype, or [batch] token ids (Int32Array).
   * @param output [batch, outputSize]: a Float32Array receives reals, an array of the output dtype integers.
   * @throws {TypeError} If an array is of the wrong kind, or the model is bidirectional.
   * @throws {RangeError} If a length, a token id or a value is wrong. The state is unchanged then.
   */
  step(input: SessionInput, output: SessionOutput): void {
    if (this.#model.bidirectional) this.#refuse("step");
    this.#check("input", input, output, 1);
    this.#process(input, 0, output, 1, null);
  }

  /**
   * Many steps: continues from the state, or, where the model is bidirectional, runs a whole sequence from the
   * initial state.
   *
   * @param sequence [steps, batch, inputSize] as for {@linkcode step}.
   * @param output [steps, batch, outputSize].
   * @param lengths Steps of each row, 1 to the sequence's; all by default. Each row is as if it ran alone: beyond its
   * length the output is real 0 and its state stays.
   * @throws {TypeError} If an array is of the wrong kind.
   * @throws {RangeError} If a length, a token id or a value is wrong, or a bidirectional model is given more than
   * `maxSteps` steps. The state is unchanged then.
   */
  run(sequence: SessionInput, output: SessionOutput, lengths?: ArrayLike<number>): void {
    const { batch, maxSteps } = this, left = this.#left, width = batch * this.#model.inputSize;
    const steps = ArrayBuffer.isView(sequence) ? sequence.length / width : 0;
    if (ArrayBuffer.isView(sequence) && !(Number.isInteger(steps) && steps > 0)) {
      failRange("sequence", `a positive multiple of ${width} elements`, sequence.length);
    }
    this.#check("sequence", sequence, output, steps);
    if (lengths !== undefined) {
      if (lengths?.length !== batch) failRange("lengths", `${batch} elements`, lengths?.length);
      for (let b = 0; b < batch; b++) checkInteger(`lengths[${b}]`, lengths[b], 1, steps);
    }
    if (this.#model.bidirectional) {
      if (steps > maxSteps) {
        failRange("sequence", `at most maxSteps = ${maxSteps} steps of a bidirectional model`, steps);
      }
      this.reset();
    }
    for (let done = 0; done < steps; done += maxSteps) {
      if (lengths !== undefined) { for (let b = 0; b < batch; b++) left[b] = Math.max(0, lengths[b]! - done); }
      this.#process(sequence, done, output, Math.min(maxSteps, steps - done), lengths === undefined ? null : left);
    }
  }

  #refuse(method: string): never {
    throw new TypeError(
      `${method}: a bidirectional model reads whole sequences and keeps no state between them; use run`,
    );
  }

  #check(name: string, input: SessionInput, output: SessionOutput, steps: number): void {
    const { vocabulary, inputSize, outputSize, input: from, output: to } = this.#model;
    const count = steps * this.batch * inputSize, outCount = steps * this.batch * outputSize;
    const reals = input instanceof Float32Array && vocabulary === 0;
    if (!reals && (vocabulary > 0 ? !(input instanceof Int32Array) : from === null || dtypeOf(input) !== from.dtype)) {
      failType(
        name,
        vocabulary > 0
          ? "an Int32Array of token ids"
          : `a Float32Array${from === null ? "" : ` or an array of ${from.dtype}`}`,
        input,
      );
    }
    if (input.length !== count) failRange(name, `${count} elements`, input.length);
    if (!(output instanceof Float32Array) && (to === null || dtypeOf(output) !== to.dtype)) {
      failType("output", `a Float32Array${to === null ? "" : ` or an array of ${to.dtype}`}`, output);
    }
    if (output.length !== outCount) failRange("output", `${outCount} elements`, output.length);
    const least = vocabulary > 0 ? 0 : reals ? -Number.MAX_VALUE : from!.quantMin;
    const most = vocabulary > 0 ? vocabulary - 1 : reals ? Number.MAX_VALUE : from!.quantMax;
    if (reals) {
      // Sooner than comparisons: the sum is 0 where all are finite.
      let sum = 0;
      for (let i = 0; i < count; i++) sum += input[i]! * 0;
      if (sum === 0) return;
    }
    for (let i = 0; i < count; i++) {
      if (!(input[i]! >= least && input[i]! <= most)) {
        failRange(
          `${name}[${i}]`,
          reals ? "a finite number" : `${vocabulary > 0 ? "a token id" : "an integer"} in ${least}..${most}`,
          input[i],
        );
      }
    }
  }

  #process(
    input: SessionInput,
    done: number,
    output: SessionOutput,
    steps: number,
    lengths: Int32Array | null,
  ): void {
    const { vocabulary, inputSize, outputSize, input: from, output: to } = this.#model;
    const { batch } = this, { stages, buffers } = this.#plan, rows = steps * batch, x = buffers[0]!;
    const count = rows * inputSize, at = done * batch * inputSize, last = stages.length - 1;
    const outCount = rows * outputSize, outAt = done * batch * outputSize;
    // Reals go to kernels that quantize, and come from ones that dequantize, as they are.
    const takes = input instanceof Float32Array && from !== null && stages[0]!.lstm?.takesReals === true;
    const gives = output instanceof Float32Array && to !== null && lengths === null &&
      stages[last]!.lstm?.givesReals === true;
    if (takes) {
      // Quantized by the first stage.
    } else if (vocabulary > 0 || from === null) {
      for (let i = 0; i < count; i++) x[i] = input[at + i]!;
    } else if (input instanceof Float32Array) {
      quantizeShifted(input, at, x, 0, count, from);
    } else {
      for (let i = 0; i < count; i++) x[i] = input[at + i]! - from.zeroPoint;
    }
    for (let s = 0; s < stages.length; s++) {
      const stage = stages[s]!, given = buffers[s]!, out = buffers[s + 1]!;
      if (s > 0) convertShifted(given, 0, rows * stage.inputSize, stages[s - 1]!.output, stage.input);
      if (stage.lstm !== undefined) {
        const splitGates = this.#splitGates ?? stage.source!.splitGates;
        const reals = s === 0 && takes ? input : given, results = s === last && gives ? output : out;
        stage.lstm.process(this.#states[s]!, reals, results, steps, batch, lengths, splitGates, at, outAt);
      } else {
        stage.rows!.process(given, out, rows, batch, lengths);
      }
    }
    if (gives) return;
    const y = buffers[stages.length]!;
    if (lengths !== null) {
      for (let i = 0; i < outCount; i++) {
        const row = Math.floor(i / outputSize);
        if (Math.floor(row / batch) >= lengths[row % batch]!) y[i] = 0;
      }
    }
    if (to === null) {
      for (let i = 0; i < outCount; i++) output[outAt + i] = y[i]!;
    } else if (output instanceof Float32Array) {
      for (let i = 0; i < outCount; i++) output[outAt + i] = dequantizeValue(y[i]!, to.scale, 0);
    } else {
      for (let i = 0; i < outCount; i++) output[outAt + i] = y[i]! + to.zeroPoint;
    }
  }

  /** Back to the initial state, all zeros. */
  reset(): void {
    for (const state of this.#states) {
      state?.h.fill(0);
      state?.c.fill(0);
      state?.fresh.fill(1);
    }
  }

  /**
   * Visits the values of the state in the order of its bytes: rows of `array` from `at`, integers in 0..range once
   * `least` is subtracted, of `size` bytes; a range of 0 stands for float32.
   */
  #visit(
    visitor: (
      array: Float64Array | Int32Array | Uint8Array,
      at: number,
      count: number,
      least: number,
      range: number,
      size: number,
    ) => void,
  ): void {
    this.#states.forEach((state, s) => {
      if (state === null) return;
      const cells = this.#plan.stages[s]!.source!.cells.flat(), rows = cells.length * this.batch;
      for (let row = 0; row < rows; row++) {
        const cell = cells[Math.floor(row / this.batch)]!;
        visitor(state.fresh, row, 1, 0, 1, 1);
        for (
          const [array, q] of [[state.h, hiddenQParams(cell)], [state.c, cell.parts.fgate_cx_igate_cgate]] as const
        ) {
          const count = array.length / rows, range = q === null ? 0 : q.quantMax - q.quantMin;
          const size = range > 65535 || q === null ? 4 : range > 255 ? 2 : 1;
          visitor(array, row * count, count, q === null ? 0 : q.quantMin - q.zeroPoint, range, size);
        }
      }
    });
  }

  #stateSize(): number {
    let total = HEADER;
    this.#visit((_array, _at, count, _least, _range, size) => total += count * size);
    return total;
  }

  /**
   * The state as plain bytes: move them to another worker, or keep them and {@linkcode restore} them later.
   *
   * @throws {TypeError} If the model is bidirectional and so keeps no state.
   */
  state(): Uint8Array<ArrayBuffer> {
    if (this.#model.bidirectional) this.#refuse("state");
    const bytes = new Uint8Array(this.#stateSize()), view = new DataView(bytes.buffer);
    view.setUint32(0, MAGIC, true);
    view.setUint32(4, STATE_VERSION, true);
    bytes.set(this.#model.fingerprint, 8);
    view.setUint32(16, this.batch, true);
    let to = HEADER;
    this.#visit((array, at, count, least, range, size) => {
      for (let i = at; i < at + count; i++, to += size) {
        if (range === 0) view.setFloat32(to, array[i]!, true);
        else for (let k = 0, value = array[i]! - least; k < size; k++) bytes[to + k] = value / 256 ** k;
      }
    });
    return bytes;
  }

  /**
   * Takes up a state that {@linkcode state} gave, in this process or another.
   *
   * @param bytes What `state` gave, for the same model and batch.
   * @throws {TypeError} If `bytes` is no Uint8Array, or the model is bidirectional.
   * @throws {RangeError} If it is no state, of another version, model or batch, cut off, or holds a value out of
   * range. The session's own state is unchanged then.
   */
  restore(bytes: Uint8Array): void {
    if (this.#model.bidirectional) this.#refuse("restore");
    if (!(bytes instanceof Uint8Array)) failType("state", "a Uint8Array", bytes);
    const size = this.#stateSize(), view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.length < HEADER || view.getUint32(0, true) !== MAGIC) {
      failRange("state", "the bytes of a session's state", bytes);
    }
    const version = view.getUint32(4, true);
    if (version !== STATE_VERSION) failRange("state", `version ${STATE_VERSION}`, version);
    if (!this.#model.fingerprint.every((byte, i) => bytes[8 + i] === byte)) {
      failRange("state", "a state of this model", "one of another model");
    }
    const batch = view.getUint32(16, true);
    if (batch !== this.batch) failRange("state", `a batch of ${this.batch}`, batch);
    if (bytes.length !== size) failRange("state", `${size} bytes`, bytes.length);
    for (const apply of [false, true]) {
      let from = HEADER;
      this.#visit((array, at, count, least, range, size) => {
        for (let i = at; i < at + count; i++, from += size) {
          let value = 0;
          if (range === 0) value = view.getFloat32(from, true);
          else for (let k = size - 1; k >= 0; k--) value = value * 256 + bytes[from + k]!;
          const valid = range === 0 ? Number.isFinite(value) : value <= range;
          if (!valid) failRange(`state[${from}]`, range === 0 ? "a finite number" : `at most ${range}`, value);
          if (apply) array[i] = value + least;
        }
      });
    }
  }
}
