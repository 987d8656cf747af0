/**
 * Creates kernels from WebAssembly modules, embedded or given.
 *
 * @module
 */
import type { Bytes, WasmModule } from "../core/bytes.ts";
import { failType } from "../core/errors.ts";
import { checkOptions } from "../core/check.ts";
import { SimdKernels } from "./backend.ts";
import { PLAIN, RELAXED } from "./embedded.ts";

/**
 * Thrown if the engine has no WebAssembly SIMD, or does not allow compiling modules.
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

/**
 * Options of {@linkcode simdKernels}.
 *
 * @example
 * ```ts
 * import { simdKernels, type SimdOptions } from "@splitgate/splitgate/simd";
 * const options: SimdOptions = {
 *   module: await WebAssembly.compile(await Deno.readFile("kernels/simd/plain.wasm")),
 * };
 * await simdKernels(options);
 * ```
 */
export interface SimdOptions {
  /**
   * kernels/simd/plain.wasm or relaxed.wasm, compiled, for platforms that import modules and cannot
   * compile them at run time. By default, the module is compiled from bytes in the package.
   */
  readonly module?: WasmModule;
}

function decode(base64: string): Bytes {
  // Uint8Array.fromBase64, if available, takes a hundredth of the time of the loop's first run. The
  // types of ES2022 do not include it.
  const { fromBase64 } = Uint8Array as { fromBase64?(text: string): Bytes };
  if (fromBase64 !== undefined) return fromBase64.call(Uint8Array, base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/**
 * Compiles synchronously, because that is faster than asking another thread; compiles
 * asynchronously if the engine refuses.
 *
 * @returns null if the engine does not know all instructions.
 */
async function compile(bytes: Bytes): Promise<WebAssembly.Module | null> {
  try {
    return new WebAssembly.Module(bytes);
  } catch {
    // Only after a failure, because validating takes as long as compiling.
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

/** Whether a value is a module of these kernels, from any realm. */
function isKernel(module: WebAssembly.Module): boolean {
  let names: string[];
  try {
    names = WebAssembly.Module.exports(module).map(({ name }) => name);
  } catch {
    return false; // Not a module.
  }
  return EXPORTS.every((name) => names.includes(name));
}

/**
 * WebAssembly SIMD kernels for sessions. They return the same bytes as the portable kernels.
 *
 * Relaxed SIMD is used if the engine has it. Its dot products are exact for activations of up to 7
 * bits. If activations rarely have an eighth bit (fbgemm's, whose range is reduced), a second
 * product adds it where it is set; others are multiplied as int16. Activations of 9 to 14 bits are
 * split into two halves of 7, if a dot product is one instruction of the processor. Weights stay
 * int8 in memory, because int16 weights were not faster anywhere; only activations of 16 bits,
 * weights that leave int8 after subtracting their zero point, and sums of more than 24 bits make
 * them int16.
 *
 * LSTMs and GRUs of all conventions run as a whole. For other modules, such as a Linear of any
 * width, the kernels compute the products. The inputs of a sequence are projected as one product,
 * several steps at a time. The rows of a batch step together: a row in a batch of eight takes .5 to
 * .95 of the time of a single row, and less in smaller layers. Modules that the kernels cannot run
 * (gates or states wider than 16 bits) run with the portable kernels.
 *
 * @throws {SimdUnavailableError} If the engine has no WebAssembly SIMD or does not allow compiling
 * modules: run sessions without kernels then.
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
