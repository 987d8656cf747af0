/**
 * From WebAssembly modules, embedded or given, to kernels.
 *
 * @module
 */
import type { Bytes, WasmModule } from "../core/bytes.ts";
import { failType } from "../core/errors.ts";
import { checkOptions } from "../core/check.ts";
import { SimdKernels } from "./backend.ts";
import { PLAIN, RELAXED } from "./embedded.ts";

/**
 * Thrown where the engine has no WebAssembly SIMD, or does not let modules be compiled.
 *
 * @example
 * ```ts
 * import { simdKernels, SimdUnavailableError } from "@splitgate/splitgate/simd";
 * import type { Backend } from "@splitgate/splitgate/backend";
 * import { assertEquals } from "@std/assert";
 * let kernels: Backend | undefined; // without them a session runs the portable ones
 * try {
 *   kernels = await simdKernels();
 * } catch (error) {
 *   if (!(error instanceof SimdUnavailableError)) throw error;
 * }
 * assertEquals(kernels?.name ?? "simd", "simd");
 * ```
 */
export class SimdUnavailableError extends Error {
  /** `"SimdUnavailableError"`. */
  override readonly name: string = "SimdUnavailableError";
}

/** Options of {@linkcode simdKernels}. */
export interface SimdOptions {
  /**
   * kernels/simd/plain.wasm or relaxed.wasm, compiled: for platforms that import modules and
   * compile none at run time. Otherwise the module is compiled from bytes that the package carries.
   */
  readonly module?: WasmModule;
}

function decode(base64: string): Bytes {
  // Where engines have it, it takes a hundredth of the time of a first run through the loop. ES2022,
  // whose library this is checked with, does not know it.
  const { fromBase64 } = Uint8Array as { fromBase64?(text: string): Bytes };
  if (fromBase64 !== undefined) return fromBase64.call(Uint8Array, base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/**
 * Compiles here and now, for a thread of its own takes longer to ask than this to do; asks where
 * that is refused.
 *
 * @returns null where the engine does not know all instructions.
 */
async function compile(bytes: Bytes): Promise<WebAssembly.Module | null> {
  try {
    return new WebAssembly.Module(bytes);
  } catch {
    // Not before: to validate takes as long as to compile.
    if (!WebAssembly.validate(bytes)) return null;
  }
  try {
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    throw new SimdUnavailableError(
      "simdKernels: expected leave to compile WebAssembly, got a refusal; import the .wasm as a module instead",
      { cause },
    );
  }
}

const EXPORTS: readonly string[] = [
  "chosen",
  "memory",
  "projectFloats",
  "projectInput",
  "relaxed",
  "runGRUSteps",
  "runSteps",
];

/** Whether a value is a module, of any realm, of these kernels. */
function isKernel(module: WebAssembly.Module): boolean {
  let names: string[];
  try {
    names = WebAssembly.Module.exports(module).map(({ name }) => name);
  } catch {
    return false; // No module.
  }
  return EXPORTS.every((name) => names.includes(name));
}

/**
 * WebAssembly SIMD kernels for sessions. They give the same bytes as the portable kernels.
 *
 * Relaxed SIMD is used where the engine has it: its dot products are exact for activations of up to
 * 7 bits. An eighth bit takes a second product, only where it is set, for activations that seldom
 * have one (fbgemm's, whose range is reduced); others are multiplied as int16. Activations of 9 to 14
 * bits are two halves of 7 where a dot product is one instruction of the processor. Weights stay
 * int8 in memory, for int16 ones were nowhere faster: only what does not fit (activations of 16
 * bits, weights beyond int8 once their zero point is taken off, sums of more than 24 bits) makes
 * them int16.
 *
 * LSTMs and GRUs run as a whole, GRUs of every convention; of other modules the kernels make the
 * products: a Linear's, of any width.
 *
 * A sequence's inputs are projected as one product, several steps at a time, and the rows of a
 * batch step together: a row of eight takes .5 to .95 of the time of a row alone, the less the
 * smaller the layer.
 *
 * One that the kernels do not run (gates or states wider than 16 bits) is
 * run by the portable kernels all the same.
 *
 * @throws {TypeError} If there is another option, or `module` is no WebAssembly.Module of these
 * kernels.
 * @throws {SimdUnavailableError} If the engine has no WebAssembly SIMD or does not let modules be
 * compiled: run sessions without kernels then.
 *
 * @example
 * ```ts
 * import { simdKernels } from "@splitgate/splitgate/simd";
 * import { assertEquals } from "@std/assert";
 * const kernels = await simdKernels();
 * assertEquals(kernels.name, "simd");
 * ```
 */
export async function simdKernels(options: SimdOptions = {}): Promise<SimdKernels> {
  checkOptions("options", options, ["module"]);
  if (typeof WebAssembly !== "object") {
    throw new SimdUnavailableError(
      "simdKernels: expected an engine with WebAssembly, got one without",
    );
  }
  const { module } = options;
  if (module !== undefined) {
    if (!isKernel(module)) {
      failType("module", "a WebAssembly.Module of plain.wasm or relaxed.wasm", module);
    }
    return new SimdKernels(module);
  }
  const compiled = await compile(decode(RELAXED)) ?? await compile(decode(PLAIN));
  if (compiled === null) {
    throw new SimdUnavailableError(
      "simdKernels: expected an engine with WebAssembly SIMD, got one without",
    );
  }
  return new SimdKernels(compiled);
}
