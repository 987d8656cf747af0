/**
 * Running halves of normalizations, for `loadProgram` of the runtime:
 * `loadProgram(bytes, { kinds: [batchNorm1d, layerNorm, unitNorm] })`. A BatchNorm1d that was
 * folded into a Linear needs none.
 *
 * @module
 */
export { batchNorm1d, type BatchNorm1dProgram } from "./src/runtime/kinds/batch_norm.ts";
export { layerNorm, type LayerNormProgram } from "./src/runtime/kinds/layer_norm.ts";
export { unitNorm, type UnitNormProgram } from "./src/runtime/kinds/unit_norm.ts";
