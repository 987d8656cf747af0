/**
 * The runtime: load a compiled model and run it. No dependencies, nothing but the language, so that
 * it works in edge workers, browsers, Deno, Bun and Node alike.
 *
 * @example
 * ```ts
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { compileModel, convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 *
 * // Somewhere else, once: a compiled model.
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const file = compileModel(convert(observed));
 *
 * // In the worker.
 * const session = loadProgram(file).createSession();
 * const output = new Float32Array(3);
 * session.step(Float32Array.of(0.1, -0.4), output);
 * assertEquals(output.length, 3);
 * ```
 *
 * Where states move, by `session.state()` and `restore`, import `loadProgram` from
 * `./runtime/state`.
 *
 * @module
 */
export { loadProgram } from "./src/runtime/load.ts";
export type { LoadOptions } from "./src/runtime/program_file.ts";
export type { Program } from "./src/runtime/program.ts";
export type {
  BasicSession,
  OutputArray,
  SessionInput,
  SessionOptions,
  SessionOutput,
} from "./src/runtime/basic_session.ts";
export type { DType, QArray } from "./src/core/dtype.ts";
export type { PerTensorQParams } from "./src/core/qparams.ts";
export type { OutputPort, ProgramData, ProgramNode, ProgramOutput } from "./src/runtime/data.ts";
export type {
  Backend,
  ModuleInstance,
  NodeProgram,
  Port,
  RunningKind,
} from "./src/runtime/kind.ts";
export type { Tensor } from "./src/core/tensor.ts";
