/**
 * QConfigs: which observer stands where, and which module gets which.
 *
 * @module
 */
export * from "./qconfig.ts";
export { accurateQConfig, getPreset, PRESET_NAMES } from "./presets.ts";
export { type ModuleType, type NamedModule, QConfigMapping } from "./mapping.ts";
