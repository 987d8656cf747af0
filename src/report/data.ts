/**
 * The data of a report: plain values that fit in JSON.
 *
 * @module
 */
import type { CalibrationWarning } from "../authoring/warnings.ts";
import type { DType } from "../core/dtype.ts";
import type { Histogram } from "../tune/histogram.ts";
import type { PartLoss } from "../tune/report.ts";

/**
 * Signal-to-noise ratio in dB; "exact" without any noise, "no signal" if everything is noise.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { type Decibels, measureReport } from "@splitgate/splitgate/report";
 * import { assert } from "@std/assert";
 * const model = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const data = [Float32Array.of(0.5, -1), Float32Array.of(1, 0.25)];
 * const report = await measureReport(model, await quantize(model, data), data, { speed: false });
 * const words = (value: Decibels) => typeof value === "number" ? `${value.toFixed(1)} dB` : value;
 * assert(/dB$|exact/.test(words(report.outputs[0]!.sqnr)));
 * ```
 */
export type Decibels = number | "exact" | "no signal";

/**
 * A module of the quantized model.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { measureReport, type ReportModule } from "@splitgate/splitgate/report";
 * import { assertEquals } from "@std/assert";
 * const model = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const data = [Float32Array.of(0.5, -1), Float32Array.of(1, 0.25)];
 * const report = await measureReport(model, await quantize(model, data), data, { speed: false });
 * const [first]: readonly ReportModule[] = report.modules;
 * assertEquals([first!.kind, first!.width], ["Linear", 2]);
 * ```
 */
export interface ReportModule {
  /** Its name in the model. */
  readonly name: string;
  /** Its kind, as named in PyTorch. */
  readonly kind: string;
  /** Names of the modules that it reads; `input` is the model's input. */
  readonly reads: readonly string[];
  /** Width of its output. */
  readonly width: number;
  /** Dtype of its output; float32 if it is not quantized. */
  readonly dtype: DType | "float32";
}

/**
 * The results of both models against labels.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { type LabelComparison, measureReport } from "@splitgate/splitgate/report";
 * import { assert } from "@std/assert";
 * const model = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const data = [Float32Array.of(0.5, -1), Float32Array.of(1, 0.25)];
 * const report = await measureReport(model, await quantize(model, data), data, {
 *   labels: [0, 1], // the class of each sequence
 *   speed: false,
 * });
 * const { metric, float, int8 }: LabelComparison = report.outputs[0]!.labels!;
 * assert(metric === "accuracy" && float <= 1 && int8 <= 1);
 * ```
 */
export interface LabelComparison {
  /**
   * "accuracy": the share of labels that equal the index of the largest value; "rmse": the root
   * mean squared error, for an output of one value.
   */
  readonly metric: "accuracy" | "rmse";
  /** Number of labels that were compared. */
  readonly labels: number;
  /** The metric of the float model. */
  readonly float: number;
  /** The metric of the int8 model. */
  readonly int8: number;
}

/**
 * The error over a group of successive steps.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { measureReport, type StepError } from "@splitgate/splitgate/report";
 * import { assert } from "@std/assert";
 * const model = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const data = [Float32Array.of(0.5, -1), Float32Array.of(1, 0.25)];
 * const report = await measureReport(model, await quantize(model, data), data, { speed: false });
 * const steps: readonly StepError[] = report.outputs[0]!.steps;
 * assert(steps.every(({ error, signal }) => error < signal));
 * ```
 */
export interface StepError {
  /** The first step of the group, counted from 0. */
  readonly step: number;
  /** Number of rows that were compared. */
  readonly rows: number;
  /** Root mean square of the difference between int8 and float. */
  readonly error: number;
  /** Root mean square of the float model's output. */
  readonly signal: number;
}

/**
 * Comparison of one output of the float and int8 models.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { measureReport, type OutputComparison } from "@splitgate/splitgate/report";
 * import { assert } from "@std/assert";
 * const model = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const data = [Float32Array.of(0.5, -1), Float32Array.of(1, 0.25)];
 * const report = await measureReport(model, await quantize(model, data), data, { speed: false });
 * const [output]: readonly OutputComparison[] = report.outputs;
 * assert(output!.maxError < 0.1 && output!.width === 2);
 * ```
 */
export interface OutputComparison {
  /** The output's name. */
  readonly name: string;
  /** Width of a row. */
  readonly width: number;
  /** Whether it has one row per step; otherwise one per sequence. */
  readonly time: boolean;
  /** Number of rows that were compared. */
  readonly rows: number;
  /** Signal-to-noise ratio; the signal is the float model's output. */
  readonly sqnr: Decibels;
  /** The max absolute difference. */
  readonly maxError: number;
  /** The mean absolute difference. */
  readonly meanError: number;
  /**
   * Number of rows whose largest value has the same index in both models; null if a row has one
   * value.
   */
  readonly sameLargest: number | null;
  /** The comparison with labels; null without labels, or if they belong to another output. */
  readonly labels: LabelComparison | null;
  /** Number of steps per entry of `steps`; the last entry may cover fewer. */
  readonly stepsTogether: number;
  /** The error over time; empty if there is one row per sequence. */
  readonly steps: readonly StepError[];
}

/**
 * A quantized value inside the model, and its loss.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { measureReport, type ReportPart } from "@splitgate/splitgate/report";
 * import { assert } from "@std/assert";
 * const model = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const data = [Float32Array.of(0.5, -1), Float32Array.of(1, 0.25)];
 * const report = await measureReport(model, await quantize(model, data), data, { speed: false });
 * const parts: readonly ReportPart[] = report.parts!.parts;
 * assert(parts.length > 0 && parts.every(({ saturated, values }) => saturated <= values));
 * ```
 */
export interface ReportPart extends Omit<PartLoss, "sqnr" | "sqnrInModel"> {
  /** As in `reportParts`. */
  readonly sqnr: Decibels;
  /** As in `reportParts`. */
  readonly sqnrInModel: Decibels | null;
  /**
   * Whether only functions like sigmoid read it, which are flat outside its range: values that are
   * clamped, and counted as loss, then change no result.
   */
  readonly flatBeyond: boolean;
}

/**
 * The quantized values inside the model.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { measureReport, type ReportParts } from "@splitgate/splitgate/report";
 * import { assertEquals } from "@std/assert";
 * const model = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const data = [Float32Array.of(0.5, -1), Float32Array.of(1, 0.25)];
 * const report = await measureReport(model, await quantize(model, data), data, { speed: false });
 * const { sequences, steps }: ReportParts = report.parts!; // what was measured inside
 * assertEquals([sequences, steps], [2, 2]);
 * ```
 */
export interface ReportParts {
  /** Number of sequences that they were measured on: the first ones of the test data. */
  readonly sequences: number;
  /** Number of steps of these sequences. */
  readonly steps: number;
  /** In the order of computation. */
  readonly parts: readonly ReportPart[];
}

/**
 * A node of the reference graph, without its weights.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { measureReport, type ReportNode } from "@splitgate/splitgate/report";
 * import { assert } from "@std/assert";
 * const model = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const data = [Float32Array.of(0.5, -1), Float32Array.of(1, 0.25)];
 * const report = await measureReport(model, await quantize(model, data), data, { speed: false });
 * const nodes: readonly ReportNode[] = report.graph!;
 * assert(nodes.some(({ op }) => op === "linear"));
 * ```
 */
export interface ReportNode {
  /** Unique in the graph. */
  readonly name: string;
  /** Its operation. */
  readonly op: string;
  /** Names of the nodes that it reads. */
  readonly inputs: readonly string[];
  /** Dtype of its value. */
  readonly dtype: DType | "float32" | "int32";
  /** Scale of its integers; absent if the value is not quantized. */
  readonly scale?: number;
  /** The integer that represents 0; set together with scale. */
  readonly zeroPoint?: number;
  /** Width of its value. */
  readonly width: number;
  /** The module that it belongs to; null for the model's input and outputs. */
  readonly module: string | null;
  /** The layer and direction of a recurrent module that it belongs to. */
  readonly cell?: string;
}

/**
 * File sizes in bytes.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { measureReport, type ReportSizes } from "@splitgate/splitgate/report";
 * import { assert } from "@std/assert";
 * const model = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const data = [Float32Array.of(0.5, -1), Float32Array.of(1, 0.25)];
 * const report = await measureReport(model, await quantize(model, data), data, { speed: false });
 * const { float, model: file, program }: ReportSizes = report.sizes; // bytes of the files
 * assert(float > 0 && file > 0 && program > 0);
 * ```
 */
export interface ReportSizes {
  /** The float model's file, or what `saveFloatModel` would write if no size was given. */
  readonly float: number;
  /** The int8 model's file (`saveModel`). */
  readonly model: number;
  /** The program (`compileModel`) that `./runtime` loads. */
  readonly program: number;
}

/**
 * One way of running the model.
 *
 * @example
 * ```ts
 * import type { SpeedRow } from "@splitgate/splitgate/report";
 * import { assertEquals } from "@std/assert";
 * const rows: SpeedRow[] = [
 *   { way: "float", microsecondsPerStep: 12 },
 *   { way: "simd", microsecondsPerStep: 3 },
 * ];
 * assertEquals(rows.map((row) => rows[0]!.microsecondsPerStep / row.microsecondsPerStep), [1, 4]);
 * ```
 */
export interface SpeedRow {
  /** "float": the float model's forward; "int8": portable kernels; "simd": WebAssembly SIMD. */
  readonly way: "float" | "int8" | "simd";
  /** Microseconds per step of one sequence; the median of several runs. */
  readonly microsecondsPerStep: number;
}

/**
 * The speed on the machine that made the report.
 *
 * @example
 * ```ts
 * import type { ReportSpeed } from "@splitgate/splitgate/report";
 * const speed: ReportSpeed = {
 *   steps: 2000,
 *   engine: "Deno 2.9.6",
 *   rows: [{ way: "int8", microsecondsPerStep: 5 }],
 * };
 * console.log(speed.rows.map((row) => `${row.way}: ${row.microsecondsPerStep} µs a step`));
 * ```
 */
export interface ReportSpeed {
  /** Number of steps of the sequence. */
  readonly steps: number;
  /** The engine's own name, such as Deno/2.9.6; empty if it has none. */
  readonly engine: string;
  /** The measurements; no simd row if the engine has no SIMD. */
  readonly rows: readonly SpeedRow[];
}

/**
 * A recommendation, or a statement that all is well.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { type Advice, measureReport } from "@splitgate/splitgate/report";
 * import { assert } from "@std/assert";
 * const model = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const data = [Float32Array.of(0.5, -1), Float32Array.of(1, 0.25)];
 * const report = await measureReport(model, await quantize(model, data), data, { speed: false });
 * const advice: readonly Advice[] = report.advice; // the most important first
 * assert(advice.every(({ text }) => text.length > 0));
 * ```
 */
export interface Advice {
  /** "fault": results suffer; "hint": something could be better; "good": nothing to do. */
  readonly level: "fault" | "hint" | "good";
  /** The value or module that it is about; null for the whole model. */
  readonly name: string | null;
  /** A sentence with the finding and the recommendation. */
  readonly text: string;
}

/**
 * The data that a report was measured on: test data, or the calibration data.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { type MeasuredOn, measureReport } from "@splitgate/splitgate/report";
 * import { assertEquals } from "@std/assert";
 * const model = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const data = [Float32Array.of(0.5, -1), Float32Array.of(1, 0.25)];
 * const report = await measureReport(model, await quantize(model, data), data, {
 *   measuredOn: "calibration", // no other data is at hand: the report says so
 *   speed: false,
 * });
 * const on: MeasuredOn = report.measuredOn;
 * assertEquals(on, "calibration");
 * ```
 */
export type MeasuredOn = "test" | "calibration";

/**
 * A report: returned by `measureReport`, drawn by `reportHTML`.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { measureReport, type ReportData, reportHTML } from "@splitgate/splitgate/report";
 * import { assert } from "@std/assert";
 * const model = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const data = [Float32Array.of(0.5, -1), Float32Array.of(1, 0.25)];
 * const report = await measureReport(model, await quantize(model, data), data, {
 *   title: "a head",
 *   speed: false,
 * });
 * const plain: ReportData = JSON.parse(JSON.stringify(report)); // to keep, or for figures
 * assert(reportHTML(plain).includes("a head"));
 * ```
 */
export interface ReportData {
  /** Version of this data format. */
  readonly version: 1;
  /** The subject, such as a file name. */
  readonly title: string;
  /** Whether it was measured on test data or on the calibration data. */
  readonly measuredOn: MeasuredOn;
  /** Number of sequences of that data. */
  readonly sequences: number;
  /** Total number of steps. */
  readonly steps: number;
  /** The model's modules, in topological order. */
  readonly modules: readonly ReportModule[];
  /** Comparison of each output. */
  readonly outputs: readonly OutputComparison[];
  /**
   * Loss inside the model; null if the model has no reference graph (because of a dynamic module).
   */
  readonly parts: ReportParts | null;
  /** The reference graph; null if the model has none. */
  readonly graph: readonly ReportNode[] | null;
  /** File sizes. */
  readonly sizes: ReportSizes;
  /** Speed; null if it was not measured. */
  readonly speed: ReportSpeed | null;
  /** Problems of qparams that calibration data caused. */
  readonly warnings: readonly CalibrationWarning[];
  /** Advice in words, most important first. */
  readonly advice: readonly Advice[];
}

export type { CalibrationWarning, Histogram };
