/**
 * Sessions whose state can be saved and restored as bytes, and read and set as real numbers.
 *
 * @module
 */
import { quantizeValue, reciprocal } from "../../kernels/numeric/requantize.ts";
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import { type Bytes, bytesOf, type BytesSource } from "../core/bytes.ts";
import { checkFinite, checkInteger, checkLength, failRange, failType } from "../core/errors.ts";
import type { Tensor } from "../core/tensor.ts";
import {
  BasicSession,
  refuseLookahead,
  type SessionInput,
  type SessionOutput,
} from "./basic_session.ts";
import { convertCentered } from "./centered.ts";
import type { Slot } from "./kind.ts";
import { readState, stateBytes, type StateRow, stateRows, writeState } from "./state.ts";

const MAGIC = 0x54534753;
const STATE_VERSION = 2;
const HEADER_BYTES = 20;

/**
 * A running model whose state can be saved, restored, read and set.
 *
 * @example
 * ```ts
 * import { convert, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { fbgemmQConfig } from "../qconfig/qconfig.ts";
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
export class Session extends BasicSession {
  /** Number of saturated reals; negative while they are not counted. */
  #saturated = -1;

  /** As in every session; {@linkcode countSaturated} makes it count. */
  override step(input: SessionInput, output: SessionOutput): void {
    // Counted first, since the output may overwrite the input.
    const more = this.#saturated < 0 ? 0 : this.#beyond(input);
    super.step(input, output);
    this.#saturated += more;
  }

  /** As in every session; {@linkcode countSaturated} makes it count. */
  override run(
    sequence: SessionInput,
    output: SessionOutput,
    lengths?: ArrayLike<number>,
  ): void {
    if (this.#saturated < 0) return super.run(sequence, output, lengths);
    // Lengths may have getters, and are read once.
    const read = lengths && Array.prototype.slice.call(lengths) as number[];
    const more = this.#beyond(sequence, read);
    super.run(sequence, output, read);
    this.#saturated += more;
  }

  /**
   * Starts counting, from 0, the input reals beyond the range of the model's input, which saturate.
   * A session that does not count spends no time on it.
   *
   * @example
   * ```ts
   * import { LSTM, quantize } from "@splitgate/splitgate";
   * import { assertEquals } from "@std/assert";
   * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
   * const { model } = await quantize(lstm, [Float32Array.of(0.5, -1, 1, 0.25)]);
   * const session = model.createSession(), output = new Float32Array(3);
   * session.countSaturated();
   * session.step(Float32Array.of(1.5, -1), output); // within twice what calibration has shown
   * session.step(Float32Array.of(0, 7), output);
   * assertEquals(session.saturated, 1);
   * ```
   */
  countSaturated(): void {
    this.#saturated = 0;
  }

  /** Number of saturated reals since {@linkcode countSaturated}; 0 if that was never called. */
  get saturated(): number {
    return Math.max(0, this.#saturated);
  }

  /** Number of an input's reals that saturate, padding not counted. */
  #beyond(input: SessionInput, lengths?: readonly number[]): number {
    const { input: { qparams, size }, batchFirst } = this.data;
    if (qparams === null || !isFloat32Array(input)) return 0;
    const { scale, zeroPoint, quantMin, quantMax } = qparams;
    const inverse = reciprocal(scale);
    const { batch } = this;
    const steps = input.length / (batch * size);
    let count = 0;
    for (let i = 0; i < input.length; i++) {
      const row = Math.floor(i / size);
      const b = batchFirst ? Math.floor(row / steps) : row % batch;
      const t = batchFirst ? row % steps : Math.floor(row / batch);
      if (lengths && t >= lengths[b]!) continue;
      const q = quantizeValue(input[i]!, inverse, zeroPoint, -Infinity, Infinity);
      if (q < quantMin || q > quantMax) count++;
    }
    return count;
  }

  /**
   * Number of steps of an output for a sequence of `steps` steps: it can differ if the model has
   * convolutions or pooling, and is 1 after the end of time.
   *
   * @param name The output's name; by default the first.
   * @throws {TypeError | RangeError} If `steps` is no positive integer or more or fewer than a
   * module takes, or there is no such output.
   */
  outputSteps(steps: number, name?: string): number {
    const { outputs } = this.data;
    const output = name === undefined ? outputs[0] : outputs.find((each) => each.name === name);
    if (!output) failRange("name", outputs.map(({ name }) => name).join(" or "), name);
    checkInteger("steps", steps, 1, 2 ** 20);
    return this.countSteps(steps, null)[output!.axis]!.steps;
  }

  /** The rows of the state; throws if the model looks ahead. */
  #rows(method: string): StateRow[] {
    refuseLookahead(this.data, method);
    return stateRows(this.data.nodes, this.states, this.batch);
  }

  /** Header of a saved state: magic, version, fingerprint and batch. */
  #header(): Int32Array {
    return Int32Array.of(MAGIC, STATE_VERSION, ...this.data.fingerprint, this.batch);
  }

  /**
   * The state as plain bytes: move them to another worker, or keep them and {@linkcode restore}
   * them later.
   *
   * @throws {TypeError} If the model looks ahead and so keeps no state.
   */
  state(): Bytes {
    const rows = this.#rows("state");
    const state = new Uint8Array(HEADER_BYTES + stateBytes(rows));
    new Int32Array(state.buffer, 0, HEADER_BYTES / 4).set(this.#header());
    writeState(rows, new DataView(state.buffer), HEADER_BYTES);
    return state;
  }

  /**
   * Restores a state that {@linkcode state} returned, in this process or another.
   *
   * @param bytes A saved state of the same model and batch.
   * @throws {TypeError} If `bytes` is neither a buffer nor a view of one, or the model looks ahead.
   * @throws {RangeError} If it is no state, of another version, model or batch, truncated, or
   * impossible: a value out of range, a row that has made a step in one layer of a module but not
   * in another, or one without steps that is not in its initial state. The session's own state is
   * then unchanged.
   */
  restore(bytes: BytesSource): void {
    const rows = this.#rows("restore");
    const size = HEADER_BYTES + stateBytes(rows);
    // A copy: shared memory could change between the check and the use.
    const given = new Uint8Array(bytesOf("state", bytes));
    const view = new DataView(given.buffer);
    const model = "a state of this model";
    const version = `version ${STATE_VERSION}`;
    const expected = ["a session's state", version, model, model, `a batch of ${this.batch}`];
    const words = new Int32Array(given.buffer, 0, Math.min(HEADER_BYTES, given.length) >> 2);
    this.#header().forEach((word, i) => {
      // The version and the batch, words 1 and 4, are worth naming in the message.
      const told = i % 3 === 1 ? words[i] : undefined;
      if (words[i] !== word) failRange("state", expected[i]!, told ?? "another");
    });
    if (given.length !== size) failRange("state", `${size} bytes`, given.length);
    readState(rows, view, HEADER_BYTES);
  }

  /** The rows of one slot, by its name. */
  #slotRows(name: string, rows: readonly StateRow[]): [StateRow, ...StateRow[]] {
    const values = rows.filter(({ slot }) => !slot.mark);
    const own = values.filter((row) => row.name === name);
    if (own.length === 0) {
      const names = [...new Set(values.map((row) => row.name))].join(", ");
      failRange("name", names ? `one of ${names}` : "no state", name);
    }
    return own as [StateRow, ...StateRow[]];
  }

  /** Shape of a slot as a tensor. */
  #shape({ groups, size }: Slot): number[] {
    return [groups.length, this.batch, size];
  }

  /**
   * Part of the state as real numbers.
   *
   * @param name The module's name, a dot, and the slot's: `lstm.h`.
   * @returns float32 [groups, batch, size]: of an LSTM [layers * directions, batch, hiddenSize or
   * projSize].
   * @throws {TypeError} If the model looks ahead and so keeps no state.
   * @throws {RangeError} If there is no such state: the message lists the existing ones.
   */
  getState(name: string): Tensor {
    const rows = this.#slotRows(name, this.#rows("getState"));
    const [{ slot, array }] = rows;
    const data = new Float32Array(array.length);
    for (const { q, from, to } of rows) {
      data.set(array.subarray(from, to), from);
      convertCentered(data, from, to - from, q, null);
    }
    return { data, shape: this.#shape(slot) };
  }

  /**
   * Sets part of the state from which the next step continues: for a decoder, for instance, the
   * final state of its encoder. Values are rounded to the state's own parameters.
   *
   * @param name The module's name, a dot, and the slot's: `lstm.h`.
   * @param value float32 [groups, batch, size], as {@linkcode getState} gives it.
   * @throws {TypeError} If `value` is no float32 tensor, or the model looks ahead.
   * @throws {RangeError} If there is no such state, or the shape or a value is wrong. The state is
   * unchanged then.
   */
  setState(name: string, value: Tensor): void {
    const all = this.#rows("setState");
    const rows = this.#slotRows(name, all);
    const [{ node, slot, array }] = rows;
    const expected = this.#shape(slot);
    const { data, shape } = Object(value) as Partial<Tensor>;
    if (!isFloat32Array(data)) failType("value.data", "a Float32Array", data);
    if (!Array.isArray(shape) || shape.join() !== expected.join()) {
      failRange("value.shape", `[${expected.join(", ")}]`, shape);
    }
    checkLength("value.data", data.length, array.length);
    checkFinite("value.data", data);
    for (const { q, from, to } of rows) {
      array.set(data.subarray(from, to), from);
      convertCentered(array as Float64Array, from, to - from, null, q);
    }
    for (const other of all) if (other.node === node && other.slot.mark) other.array.fill(0);
  }
}
