/**
 * Loading a program whose sessions run and keep their state to themselves.
 *
 * @module
 */
import type { BytesSource } from "../core/bytes.ts";
import { BasicSession } from "./basic_session.ts";
import type { Program } from "./program.ts";
import { type LoadOptions, readProgram } from "./program_file.ts";

/**
 * Reads a program. `bytes` are copied, so that they may be used for something else. It is seen
 * whether the file is one, whole and as it was written; what it says is not doubted then, so that
 * it must come from somebody trusted (`loadModel` of the full entry point doubts all that it
 * reads). Its sessions run; those of `loadProgram` of `./runtime/state` can save and restore their
 * state too.
 *
 * @param bytes What `compileModel` gave.
 * @param options.verify Whether the file's checksum is compared; true by default.
 * @throws {TypeError} If `bytes` is neither a buffer nor a view of one, an option is of the wrong
 * kind, or there is another option.
 * @throws {RangeError} If it is no program, of another version, cut off or changed, or needs a kind
 * that is not there: the message says what to import.
 *
 * @example
 * ```ts
 * import { compileModel, convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { assertEquals, assertThrows } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const file = compileModel(convert(observed)), output = new Float32Array(3);
 * loadProgram(file).createSession().step(Float32Array.of(0.1, -0.4), output);
 * assertThrows(() => loadProgram(file.subarray(0, 1000)), RangeError);
 * ```
 */
export function loadProgram(
  bytes: BytesSource,
  options: LoadOptions = {},
): Program<BasicSession> {
  return readProgram(bytes, options, BasicSession);
}
