/**
 * Sessions: a quantized model, its state, and memory for its steps.
 *
 * @module
 */
import { dequantizeValue } from "../../kernels/requantize.ts";
import { dtypeOf, type QArray } from "../dtype.ts";
import { checkBoolean, checkInteger, failRange, failType } from "../errors.ts";
import { type PerTensorQParams, sameQParams } from "../qparams.ts";
import { LstmRunner, quantizeShifted } from "./lstm.ts";
import type { QuantizedModel, Stage } from "./model.ts";

/** Options of a session. */
export interface SessionOptions {
  readonly batch?: number;
  readonly maxSteps?: number;
  readonly splitGates?: boolean;
}

/** Input of a session: token ids, reals, or integers of the model's input dtype. */
export type SessionInput = Int32Array | Float32Array | QArray;

/** Output of a session: reals, or integers of the model's output dtype. */
export type SessionOutput = Float32Array | QArray;

const MAGIC = 0x54534753, STATE_VERSION = 1, HEADER = 20;

/** Bytes that a value of the given parameters takes in a state. */
function stateBytes(q: PerTensorQParams): number {
  const range = q.quantMax - q.quantMin;
  return range < 256 ? 1 : range < 65536 ? 2 : 4;
}

/** A running model. Steps allocate nothing. */
export class Session {
  readonly batch: number;
  readonly maxSteps: number;
  readonly #model: QuantizedModel;
  readonly #stages: readonly Stage[];
  readonly #runners: readonly (LstmRunner | null)[];
  readonly #buffers: readonly Float64Array[];
  readonly #row: Float32Array;

  /** Use {@linkcode QuantizedModel.createSession}. */
  constructor(model: QuantizedModel, stages: readonly Stage[], options: SessionOptions) {
    this.#model = model;
    this.#stages = stages;
    this.batch = checkInteger("batch", options.batch ?? 1, 1, 2 ** 20);
    this.maxSteps = checkInteger("maxSteps", options.maxSteps ?? (model.bidirectional ? 256 : 16), 1, 2 ** 20);
    const { splitGates } = options;
    if (splitGates !== undefined) checkBoolean("splitGates", splitGates);
    const rows = this.batch * this.maxSteps;
    this.#runners = stages.map(({ lstm }) =>
      lstm === null ? null : new LstmRunner(lstm, this.batch, this.maxSteps, splitGates ?? lstm.lstm.splitGates)
    );
    this.#buffers = [stages[0].inputSize, ...stages.map((s) => s.outputSize)].map((size) =>
      new Float64Array(rows * size)
    );
    this.#row = new Float32Array(stages[0].kind === "embedding" ? stages[0].outputSize : 0);
  }

  /** Bytes of state, scratch and buffers that the session works in (weights and tables belong to the model). */
  get workingBytes(): number {
    let bytes = this.#row.byteLength;
    for (const buffer of this.#buffers) bytes += buffer.byteLength;
    for (const runner of this.#runners) bytes += runner?.workingBytes ?? 0;
    return bytes;
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
    this.#check(input, output, 1);
    this.#process(input, 0, output, 1);
  }

  /**
   * Many steps: continues from the state, or, where the model is bidirectional, runs a whole sequence from the
   * initial state.
   *
   * @param sequence [steps, batch, inputSize] as for {@linkcode step}.
   * @param output [steps, batch, outputSize].
   * @throws {TypeError} If an array is of the wrong kind.
   * @throws {RangeError} If a length, a token id or a value is wrong, or a bidirectional model is given more than
   * `maxSteps` steps. The state is unchanged then.
   */
  run(sequence: SessionInput, output: SessionOutput): void {
    const width = this.batch * this.#model.inputSize;
    const steps = ArrayBuffer.isView(sequence) ? sequence.length / width : 0;
    if (ArrayBuffer.isView(sequence) && !(Number.isInteger(steps) && steps > 0)) {
      failRange("sequence", `a positive multiple of ${width} elements`, `${sequence.length} elements`);
    }
    this.#check(sequence, output, steps);
    if (this.#model.bidirectional) {
      if (steps > this.maxSteps) {
        failRange("sequence", `at most maxSteps = ${this.maxSteps} steps of a bidirectional model`, steps);
      }
      this.reset();
    }
    for (let done = 0; done < steps; done += this.maxSteps) {
      this.#process(sequence, done, output, Math.min(this.maxSteps, steps - done));
    }
  }

  #refuse(method: string): never {
    throw new TypeError(
      `${method}: a bidirectional model reads whole sequences and keeps no state between them; use run`,
    );
  }

  #check(input: SessionInput, output: SessionOutput, steps: number): void {
    const { takesTokens, vocabulary, inputSize, outputSize, input: from, output: to } = this.#model;
    const count = steps * this.batch * inputSize, outCount = steps * this.batch * outputSize;
    if (takesTokens) {
      if (!(input instanceof Int32Array)) failType("input", "an Int32Array of token ids", input);
    } else if (!(input instanceof Float32Array) && (from === null || dtypeOf(input) !== from.dtype)) {
      failType("input", `a Float32Array${from === null ? "" : ` or an array of ${from.dtype}`}`, input);
    }
    if (input.length !== count) failRange("input", `${count} elements`, `${input.length} elements`);
    if (!(output instanceof Float32Array) && (to === null || dtypeOf(output) !== to.dtype)) {
      failType("output", `a Float32Array${to === null ? "" : ` or an array of ${to.dtype}`}`, output);
    }
    if (output.length !== outCount) failRange("output", `${outCount} elements`, `${output.length} elements`);
    if (takesTokens) {
      for (let i = 0; i < count; i++) {
        if (input[i] < 0 || input[i] >= vocabulary) {
          failRange(`input[${i}]`, `a token id in 0..${vocabulary - 1}`, input[i]);
        }
      }
    } else if (input instanceof Float32Array) {
      for (let i = 0; i < count; i++) {
        if (!(Math.abs(input[i]) < Infinity)) failRange(`input[${i}]`, "a finite number", input[i]);
      }
    } else {
      for (let i = 0; i < count; i++) {
        if (input[i] < from!.quantMin || input[i] > from!.quantMax) {
          failRange(`input[${i}]`, `an integer in ${from!.quantMin}..${from!.quantMax}`, input[i]);
        }
      }
    }
  }

  #process(input: SessionInput, done: number, output: SessionOutput, steps: number): void {
    const { takesTokens, inputSize, outputSize, input: from, output: to } = this.#model;
    const rows = steps * this.batch, buffers = this.#buffers, x = buffers[0];
    const count = rows * inputSize, at = done * this.batch * inputSize;
    if (takesTokens || from === null) {
      for (let i = 0; i < count; i++) x[i] = input[at + i];
    } else if (input instanceof Float32Array) {
      quantizeShifted(input, at, x, 0, count, from);
    } else {
      for (let i = 0; i < count; i++) x[i] = input[at + i] - from.zeroPoint;
    }
    for (let s = 0; s < this.#stages.length; s++) {
      const stage = this.#stages[s], given = buffers[s], out = buffers[s + 1];
      if (s > 0) convertBuffer(given, rows * stage.inputSize, this.#stages[s - 1].output, stage.input);
      if (stage.kind === "lstm") this.#runners[s]!.process(given, out, steps);
      else if (stage.kind === "linear") stage.linear!.process(given, out, rows);
      else this.#embed(stage, given, out, rows);
    }
    const y = buffers[this.#stages.length], outCount = rows * outputSize, outAt = done * this.batch * outputSize;
    if (to === null) {
      for (let i = 0; i < outCount; i++) output[outAt + i] = y[i];
    } else if (output instanceof Float32Array) {
      for (let i = 0; i < outCount; i++) output[outAt + i] = dequantizeValue(y[i], to.scale, 0);
    } else {
      for (let i = 0; i < outCount; i++) output[outAt + i] = y[i] + to.zeroPoint;
    }
  }

  #embed(stage: Stage, tokens: Float64Array, out: Float64Array, rows: number): void {
    const row = this.#row, width = stage.outputSize;
    for (let r = 0; r < rows; r++) {
      stage.embedding!.read(tokens[r], row);
      for (let k = 0; k < width; k++) out[r * width + k] = row[k];
    }
  }

  /** Back to the initial state, all zeros. */
  reset(): void {
    for (const runner of this.#runners) runner?.reset();
  }

  #stateSize(): number {
    let size = HEADER;
    this.#eachState((h, c, hidden, cell) => size += 1 + h.length * stateBytes(hidden) + c.length * stateBytes(cell));
    return size;
  }

  #eachState(
    visit: (
      h: Float64Array,
      c: Float64Array,
      hidden: PerTensorQParams,
      cell: PerTensorQParams,
      state: { fresh: boolean },
    ) => void,
  ): void {
    this.#runners.forEach((runner, s) => {
      runner?.states.forEach((layer, l) =>
        layer.forEach((rows, d) => {
          const { hidden, cellState } = this.#stages[s].lstm!.cells[l][d];
          for (const state of rows) visit(state.h, state.c, hidden, cellState, state);
        })
      );
    });
  }

  /**
   * The state as plain bytes: move them to another worker, or keep them and {@linkcode restore} them later.
   *
   * @throws {TypeError} If the model is bidirectional and so keeps no state.
   */
  state(): Uint8Array {
    if (this.#model.bidirectional) this.#refuse("state");
    const bytes = new Uint8Array(this.#stateSize()), view = new DataView(bytes.buffer);
    view.setUint32(0, MAGIC, true);
    view.setUint32(4, STATE_VERSION, true);
    bytes.set(this.#model.fingerprint, 8);
    view.setUint32(16, this.batch, true);
    let at = HEADER;
    this.#eachState((h, c, hidden, cell, state) => {
      bytes[at++] = state.fresh ? 1 : 0;
      for (const [values, q] of [[h, hidden], [c, cell]] as const) {
        const size = stateBytes(q), least = q.quantMin - q.zeroPoint;
        for (let i = 0; i < values.length; i++, at += size) {
          const value = values[i] - least;
          if (size === 1) view.setUint8(at, value);
          else if (size === 2) view.setUint16(at, value, true);
          else view.setUint32(at, value, true);
        }
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
    if (version !== STATE_VERSION) failRange("state", `version ${STATE_VERSION}`, `version ${version}`);
    if (!this.#model.fingerprint.every((byte, i) => bytes[8 + i] === byte)) {
      failRange("state", "a state of this model", "one of another model");
    }
    const batch = view.getUint32(16, true);
    if (batch !== this.batch) failRange("state", `a batch of ${this.batch}`, batch);
    if (bytes.length !== size) failRange("state", `${size} bytes`, `${bytes.length} bytes`);
    for (const apply of [false, true]) {
      let at = HEADER;
      this.#eachState((h, c, hidden, cell, state) => {
        const fresh = bytes[at++];
        if (fresh > 1) failRange(`state[${at - 1}]`, "0 or 1", fresh);
        if (apply) state.fresh = fresh === 1;
        for (const [values, q] of [[h, hidden], [c, cell]] as const) {
          const width = stateBytes(q), least = q.quantMin - q.zeroPoint;
          for (let i = 0; i < values.length; i++, at += width) {
            const value = width === 1
              ? view.getUint8(at)
              : width === 2
              ? view.getUint16(at, true)
              : view.getUint32(at, true);
            if (value > q.quantMax - q.quantMin) failRange(`state[${at}]`, `at most ${q.quantMax - q.quantMin}`, value);
            if (apply) values[i] = value + least;
          }
        }
      });
    }
  }
}

/** Converts `count` values in place from one module's output to what the next reads. */
function convertBuffer(
  x: Float64Array,
  count: number,
  from: PerTensorQParams | null,
  to: PerTensorQParams | null,
): void {
  if (from === to || (from !== null && to !== null && sameQParams(from, to))) return;
  if (from !== null) {
    for (let i = 0; i < count; i++) x[i] = dequantizeValue(x[i], from.scale, 0);
  }
  if (to !== null) quantizeShifted(x, 0, x, 0, count, to);
}
