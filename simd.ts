/**
 * LSTMs, GRUs and products in WebAssembly SIMD, opt-in: the same bytes as the portable kernels,
 * several times as fast.
 *
 * @module
 */
export { SimdKernels } from "./src/simd/backend.ts";
export { simdKernels, type SimdOptions, SimdUnavailableError } from "./src/simd/load.ts";
export type { WasmModule } from "./src/core/bytes.ts";
