/**
 * Loading a program whose sessions cannot save or restore their state.
 *
 * @module
 */
import type { BytesSource } from "../core/bytes.ts";
import { BasicSession } from "./basic_session.ts";
import type { Program } from "./program.ts";
import { type LoadOptions, readProgram } from "./program_file.ts";

/**
 * Reads a program. `bytes` are copied, so that they may be reused. Format, length and checksum are
 * verified, but the contents are not: load only programs from a trusted source (`loadModel` of the
 * main entry point validates everything it reads). For sessions that save and restore their state,
 * use `loadProgram` of `./runtime/state`.
 *
 * @param bytes A program made by `compileModel`.
 * @param options.verify Whether the file's checksum is compared; true by default.
 * @throws {TypeError} If `bytes` is neither a buffer nor a view of one, an option is of the wrong
 * kind, or there is another option.
 * @throws {RangeError} If it is no program, of another version, cut off or changed, or needs a kind
 * that is not loaded: the message says what to import.
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
