/**
 * The runtime with sessions that can save, restore, read and set their state: `loadProgram` is
 * otherwise that of `./runtime`. It has an entry of its own since this adds an eighth to the
 * runtime's size.
 *
 * @example
 * ```ts
 * import { loadProgram } from "@splitgate/splitgate/runtime/state";
 * import { compileModel, convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 *
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const file = compileModel(convert(observed));
 *
 * const session = loadProgram(file).createSession();
 * const output = new Float32Array(3);
 * session.step(Float32Array.of(0.1, -0.4), output);
 * const state = session.state(); // plain bytes
 * const elsewhere = loadProgram(file).createSession();
 * elsewhere.restore(state);
 * assertEquals(elsewhere.state(), state);
 * ```
 *
 * @module
 */
import type { BytesSource } from "../core/bytes.ts";
import type { Program } from "./program.ts";
import { type LoadOptions, readProgram } from "./program_file.ts";
import { Session } from "./session.ts";

export type { Bytes, BytesSource } from "../core/bytes.ts";
export type { LoadOptions, Program, Session };

/**
 * Reads a program, as `loadProgram` of `./runtime` does; its sessions can save and restore their
 * state.
 *
 * @param bytes A program made by `compileModel`.
 * @param options As for `loadProgram` of `./runtime`.
 * @throws {TypeError} If `bytes` is neither a buffer nor a view of one, an option is of the wrong
 * kind, or there is another option.
 * @throws {RangeError} If it is no program, of another version, cut off or changed, or needs a kind
 * that is not loaded: the message says what to import.
 *
 * @example
 * ```ts
 * import { compileModel, LSTM, quantize } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime/state";
 * import { assertEquals } from "@std/assert";
 * const x = Float32Array.of(0.1, -0.4, 0.9, 0.3);
 * const { model } = await quantize(new LSTM({ inputSize: 2, hiddenSize: 3 }), [x]);
 * const program = loadProgram(compileModel(model));
 * const first = program.createSession();
 * const [a, b] = [new Float32Array(3), new Float32Array(3)];
 * first.step(x.subarray(0, 2), a);
 * const second = program.createSession();
 * second.restore(first.state());
 * first.step(x.subarray(2), a);
 * second.step(x.subarray(2), b);
 * assertEquals(a, b);
 * ```
 */
export function loadProgram(bytes: BytesSource, options: LoadOptions = {}): Program<Session> {
  return readProgram(bytes, options, Session);
}
