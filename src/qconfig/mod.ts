/**
 * QConfigs: which observer stands where, and which module gets which.
 *
 * @module
 */
export * from "./qconfig.ts";
export { accurateQConfig, getPreset, int8x16QConfig, PRESET_NAMES } from "./presets.ts";
export { type NamedModule, QConfigMapping } from "./mapping.ts";
export {
  BackendConfig,
  type BackendOp,
  dsp16BackendConfig,
  type DTypeConstraints,
  type DTypePattern,
  fbgemmBackendConfig,
  type ObservedValue,
  type OpValues,
  qnnpackBackendConfig,
} from "./backend.ts";
