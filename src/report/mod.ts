/**
 * Reports of quantized models: a comparison of the result of `quantize` with the float model, as
 * plain data and as a single HTML file.
 *
 * @example
 * ```ts
 * import { LSTM, quantize } from "@splitgate/splitgate";
 * import { measureReport, reportHTML } from "@splitgate/splitgate/report";
 * import { assert } from "@std/assert";
 *
 * const model = new LSTM({ inputSize: 2, hiddenSize: 3 });
 * const calibration = [Float32Array.of(0.5, -1, 1, 0.25)];
 * const test = [Float32Array.of(0.25, 0, -1, 0.5, 1, 1)];
 * const result = await quantize(model, calibration);
 * const report = await measureReport(model, result, test, { title: "example", speed: false });
 * const page = reportHTML(report); // to be written to a file, or shown
 * assert(page.includes("Float compared with int8"));
 * ```
 *
 * @module
 */
export type {
  Advice,
  CalibrationWarning,
  Decibels,
  Histogram,
  LabelComparison,
  MeasuredOn,
  OutputComparison,
  ReportData,
  ReportModule,
  ReportNode,
  ReportPart,
  ReportParts,
  ReportSizes,
  ReportSpeed,
  SpeedRow,
  StepError,
} from "./data.ts";
export { type MeasureOptions, measureReport, type ReportProgress } from "./measure.ts";
export type { Labels } from "./sequences.ts";
export type { AbortSignalLike } from "../core/pacer.ts";
export { reportHTML } from "./page.ts";
export { type ReportSection, reportSections } from "./sections.ts";
export { REPORT_STYLE } from "./style.ts";
