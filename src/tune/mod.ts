/**
 * What each part loses, and choosing dtypes by it.
 *
 * @module
 */
export { type MeasuredInput, type PartLoss, PartReport, reportParts } from "./report.ts";
export { tune, type TunedPart, type TuneOptions, type TuneResult } from "./tune.ts";
