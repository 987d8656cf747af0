/**
 * What a report holds: plain data, which JSON can carry.
 *
 * @module
 */
import type { CalibrationWarning } from "../authoring/warnings.ts";
import type { DType } from "../core/dtype.ts";
import type { Histogram } from "../tune/histogram.ts";
import type { PartLoss } from "../tune/report.ts";

/** Signal to noise in dB; "exact" where there is no noise, "no signal" where all is noise. */
export type Decibels = number | "exact" | "no signal";

/** A module of the model that was quantized. */
export interface ReportModule {
  /** Its name in the model. */
  readonly name: string;
  /** Its kind, as PyTorch calls it. */
  readonly kind: string;
  /** Names of the modules that it reads; `input` is the model's input. */
  readonly reads: readonly string[];
  /** Values a row that it gives. */
  readonly width: number;
  /** Dtype of what it gives; float32 where that is not quantized. */
  readonly dtype: DType | "float32";
}

/** The results of both models beside labels. */
export interface LabelComparison {
  /**
   * "accuracy": the share of labels that are the largest value's index; "rmse": the root of the mean
   * squared difference, of an output of one value.
   */
  readonly metric: "accuracy" | "rmse";
  /** How many labels were compared. */
  readonly labels: number;
  /** The float model's. */
  readonly float: number;
  /** The int8 model's. */
  readonly int8: number;
}

/** The error of some successive steps. */
export interface StepError {
  /** The first of the steps, from 0 on. */
  readonly step: number;
  /** How many rows were compared. */
  readonly rows: number;
  /** Root of the mean squared difference between int8 and float. */
  readonly error: number;
  /** Root of the mean squared value of the float model's output. */
  readonly signal: number;
}

/** One output of the float model beside that of the int8 model. */
export interface OutputComparison {
  /** The output's name. */
  readonly name: string;
  /** Values a row. */
  readonly width: number;
  /** Whether it has a row a step; otherwise one a sequence. */
  readonly time: boolean;
  /** Rows that were compared. */
  readonly rows: number;
  /** Signal to noise, the float model's output being the signal. */
  readonly sqnr: Decibels;
  /** The largest difference of two values. */
  readonly maxError: number;
  /** The mean difference of two values. */
  readonly meanError: number;
  /** Rows in which both have the largest value at the same index; null where a row is one value. */
  readonly sameLargest: number | null;
  /** Beside labels; null where none were given, or they are another output's. */
  readonly labels: LabelComparison | null;
  /** Steps that each entry of `steps` stands for; the last may stand for fewer. */
  readonly stepsTogether: number;
  /** The error over time; empty where there is one row a sequence. */
  readonly steps: readonly StepError[];
}

/** A quantized value inside of the model, and what it loses. */
export interface ReportPart extends Omit<PartLoss, "sqnr" | "sqnrInModel"> {
  /** As that of `reportParts`. */
  readonly sqnr: Decibels;
  /** As that of `reportParts`. */
  readonly sqnrInModel: Decibels | null;
  /**
   * Whether all that reads it are functions such as sigmoid, which are flat beyond its range: what
   * is clamped, and counted as lost, changes no result.
   */
  readonly flatBeyond: boolean;
}

/** The values inside of the model. */
export interface ReportParts {
  /** Sequences and steps that they were measured on: the first of the test data. */
  readonly sequences: number;
  /** Steps of these sequences. */
  readonly steps: number;
  /** In the order in which they are computed. */
  readonly parts: readonly ReportPart[];
}

/** A node of the reference graph, without its weights. */
export interface ReportNode {
  /** Unique in the graph. */
  readonly name: string;
  /** What it computes. */
  readonly op: string;
  /** Names of the nodes that it reads. */
  readonly inputs: readonly string[];
  /** Of its value. */
  readonly dtype: DType | "float32" | "int32";
  /** Width of an integer step; absent where the value is not quantized. */
  readonly scale?: number;
  /** The integer that stands for 0; set with scale. */
  readonly zeroPoint?: number;
  /** Values a row. */
  readonly width: number;
  /** The module that it belongs to; null for the model's input and outputs. */
  readonly module: string | null;
  /** The layer and direction that it belongs to. */
  readonly cell?: string;
}

/** Bytes of files. */
export interface ReportSizes {
  /** The float model's safetensors file; where it was not given, as `saveFloatModel` writes it. */
  readonly float: number;
  /** The int8 model's file (`saveModel`). */
  readonly model: number;
  /** The program (`compileModel`), which `./runtime` loads. */
  readonly program: number;
}

/** One way of running the model. */
export interface SpeedRow {
  /** "float": the float model's forward; "int8": portable kernels; "simd": WebAssembly SIMD. */
  readonly way: "float" | "int8" | "simd";
  /** Microseconds a step of one sequence, the median of some runs. */
  readonly microsecondsPerStep: number;
}

/** Speed on the machine that made the report. */
export interface ReportSpeed {
  /** Steps of the sequence that was run. */
  readonly steps: number;
  /** The engine as it names itself, such as Deno/2.9.6; empty where it does not. */
  readonly engine: string;
  /** What was measured; without simd where the engine has none. */
  readonly rows: readonly SpeedRow[];
}

/** Something to do, or that all is well. */
export interface Advice {
  /** "fault": results suffer; "hint": something could be better; "good": nothing to do. */
  readonly level: "fault" | "hint" | "good";
  /** The value or module that it is about; null for the whole model. */
  readonly name: string | null;
  /** A sentence that says what was seen and what to do. */
  readonly text: string;
}

/** Data that a report was measured on: of its own, or what the model was calibrated on. */
export type MeasuredOn = "test" | "calibration";

/** A report: what `measureReport` gives and `reportHTML` draws. */
export interface ReportData {
  /** The version of this form. */
  readonly version: 1;
  /** What it is about, such as the file's name. */
  readonly title: string;
  /** Whether it was measured on data that calibration had not seen. */
  readonly measuredOn: MeasuredOn;
  /** Sequences of that data. */
  readonly sequences: number;
  /** Steps of all of them. */
  readonly steps: number;
  /** The model's modules, in order. */
  readonly modules: readonly ReportModule[];
  /** Each output, float beside int8. */
  readonly outputs: readonly OutputComparison[];
  /** What is lost inside; null where the model has no reference graph (a dynamic module). */
  readonly parts: ReportParts | null;
  /** The reference graph; null where the model has none. */
  readonly graph: readonly ReportNode[] | null;
  /** Bytes of files. */
  readonly sizes: ReportSizes;
  /** Speed; null where it was not measured. */
  readonly speed: ReportSpeed | null;
  /** What calibration data did to parameters. */
  readonly warnings: readonly CalibrationWarning[];
  /** In words, the most important first. */
  readonly advice: readonly Advice[];
}

export type { CalibrationWarning, Histogram };
