/**
 * Quantization errors of each part of a quantized model.
 *
 * @module
 */
import { reciprocal, roundHalfEven } from "../../kernels/numeric/requantize.ts";
import { failType } from "../core/errors.ts";
import { finish, type Work } from "../core/work.ts";
import type { DType } from "../core/dtype.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { convert } from "../authoring/convert.ts";
import { type ModelInput, readInputs } from "../authoring/inputs.ts";
import { ObservedModel } from "../authoring/observed_model.ts";
import { QuantizedModel } from "../authoring/model.ts";
import { type CalibrationWarning, calibrationWarnings } from "../authoring/warnings.ts";
import { kindOf } from "../modules/kinds.ts";
import type { GraphNode } from "../modules/reference.ts";
import { nodeQParams } from "../reference/graph.ts";
import { ReferenceModel } from "../reference/reference.ts";
import type { FloatWeights } from "../reference/run.ts";
import { type Histogram, HistogramCounter } from "./histogram.ts";

/**
 * Quantization error of one quantize node.
 *
 * @example
 * ```ts
 * import { getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { type PartLoss, reportParts } from "@splitgate/splitgate/tune";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"));
 * const x = tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]);
 * observed.forward(x);
 * const parts: readonly PartLoss[] = reportParts(observed, [x]).parts;
 * const worst = parts.reduce((a, b) => a.sqnr < b.sqnr ? a : b);
 * console.log(`${worst.name} loses most: ${worst.sqnr} dB, ${worst.saturated} values clamped`);
 * ```
 */
export interface PartLoss {
  /** The part, and the gate where it has one each: `lstm.l0.gates.forget`. */
  readonly name: string;
  /** The module that the node belongs to; null for the model's input and outputs. */
  readonly module: string | null;
  /** The part of a recurrent cell, such as `fgate_cx_igate_cgate`; null elsewhere. */
  readonly part: string | null;
  /** Storage dtype of the node's integers. */
  readonly dtype: DType;
  /** Width of one integer step, a float32 value. */
  readonly scale: number;
  /** The integer that stands for 0. */
  readonly zeroPoint: number;
  /** Smallest integer. */
  readonly quantMin: number;
  /** Largest integer. */
  readonly quantMax: number;
  /** How many values were quantized. */
  readonly values: number;
  /** How many of them lay outside of the range and were clamped to its ends. */
  readonly saturated: number;
  /**
   * Number of rows of these values: the steps of all sequences for values computed at each step.
   */
  readonly rows: number;
  /**
   * Number of rows with a value beyond the range by more than one integer step, so that clamping it
   * cost more than rounding.
   */
  readonly saturatedRows: number;
  /** The values, in bins. */
  readonly histogram: Histogram;
  /** The smallest value that was quantized. */
  readonly min: number;
  /** The largest value that was quantized. */
  readonly max: number;
  /**
   * Signal to quantization noise in dB of this part alone: its exact values, rounded to its
   * parameters. Exact values are the float model's where it is known. Infinity where nothing is
   * lost.
   */
  readonly sqnr: number;
  /**
   * The same for the part's values in the quantized model, which include the errors of everything
   * before it.
   */
  readonly sqnrInModel: number | null;
}

/** Sums of squares of a signal and of its noise. */
export class Noise {
  signal = 0;
  noise = 0;

  add(exact: number, got: number): void {
    this.signal += exact * exact;
    this.noise += (exact - got) ** 2;
  }

  /** In dB. */
  get sqnr(): number {
    return this.noise === 0 ? Infinity : 10 * Math.log10(this.signal / this.noise);
  }
}

/** A value rounded to parameters, and whether it lay outside of their range. */
export function roundTo(
  value: number,
  { scale, zeroPoint, quantMin, quantMax }: PerTensorQParams,
): readonly [rounded: number, saturated: boolean] {
  const q = roundHalfEven(Math.fround(value * reciprocal(scale))) + zeroPoint;
  const kept = q < quantMin ? quantMin : q > quantMax ? quantMax : q;
  return [Math.fround(scale * (kept - zeroPoint)), q !== kept];
}

/**
 * Quantization errors of a model, part by part.
 *
 * @example
 * ```ts
 * import { LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { reportParts } from "@splitgate/splitgate/tune";
 * import { PartReport } from "./report.ts";
 * import { qnnpackQConfig } from "../qconfig/qconfig.ts";
 * import { assert, assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), qnnpackQConfig),
 *   x = tensor([1, 2], [1, 1, 2]);
 * observed.forward(x);
 * const report = reportParts(observed, [x]);
 * assert(report instanceof PartReport && report.outputSqnr! > 10);
 * const [worst] = [...report.parts].sort((a, b) => a.sqnr - b.sqnr);
 * assertEquals(worst!.name, "lstm.l0.tanh_cy");
 * ```
 */
export class PartReport {
  /** One entry a quantize node, in the graph's order. */
  readonly parts: readonly PartLoss[];
  /**
   * Signal to noise of the model's output against the float model's in dB; null where that is not
   * known.
   */
  readonly outputSqnr: number | null;
  /**
   * Warnings about the calibration data; empty if there are none, or the observed model is not
   * known.
   */
  readonly warnings: readonly CalibrationWarning[];

  /** Called by {@linkcode reportParts}. */
  constructor(
    parts: readonly PartLoss[],
    outputSqnr: number | null,
    warnings: readonly CalibrationWarning[] = [],
  ) {
    this.parts = parts;
    this.outputSqnr = outputSqnr;
    this.warnings = warnings;
  }

  /** A text table, one part a line; below it the warnings, one a line. */
  toTable(): string {
    const columns = [
      "part",
      "dtype",
      "range",
      "scale",
      "zero point",
      "values",
      "saturated",
      "SQNR dB",
      "in the model",
    ];
    const decibels = (value: number | null) =>
      value === null ? "" : value === Infinity ? "exact" : value.toFixed(1);
    return textTable([
      columns,
      ...this.parts.map((part) => [
        part.name,
        part.dtype,
        `${part.quantMin}..${part.quantMax}`,
        String(part.scale),
        String(part.zeroPoint),
        String(part.values),
        String(part.saturated),
        decibels(part.sqnr),
        decibels(part.sqnrInModel),
      ]),
    ]) + this.warnings.map(({ message }) => `warning: ${message}\n`).join("");
  }
}

/** Rows of text in columns. */
export function textTable(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows.map((row) => row.map((text, i) => text.padEnd(widths[i]!)).join("  ").trimEnd()).join(
    "\n",
  ) + "\n";
}

/** The float weights of the model that was observed, by the nodes of its graph. */
export function floatWeights(observed: ObservedModel): FloatWeights {
  return (node: GraphNode) => {
    const name = node.module!;
    const module = observed.modules.get(name)!;
    return kindOf(name, module).floatWeight!(module, node);
  };
}

/** Name of the value that a quantize node quantizes. */
export function partName(node: string): string {
  return node.replace(/\.quantize$/, "");
}

interface Sums {
  values: number;
  saturated: number;
  rows: number;
  saturatedRows: number;
  readonly histogram: HistogramCounter;
  min: number;
  max: number;
  readonly own: Noise;
  readonly inModel: Noise;
}

/**
 * Measures the quantization error of each part of a model on some data: signal to quantization
 * noise, and how many values were clamped. The model runs as its reference graph; for an observed
 * model, the float model runs beside it.
 *
 * @param model An observed and calibrated model, or a quantized one.
 * @param data Inputs as the model takes them.
 * @throws {TypeError} If an argument is of the wrong kind.
 * @throws {RangeError} If there is no data, an input does not fit, or an observer has seen no data.
 *
 * @example
 * ```ts
 * import { LSTM, tensor } from "@splitgate/splitgate";
 * import { observeLSTMParts } from "@splitgate/splitgate/qconfig";
 * import { reportParts } from "@splitgate/splitgate/tune";
 * import { assert } from "@std/assert";
 * const observed = observeLSTMParts(new LSTM({ inputSize: 2, hiddenSize: 3 }), {});
 * const x = tensor([1, 2, 3, 4], [2, 1, 2]);
 * observed.forward(x);
 * const report = reportParts(observed, [x]);
 * assert(report.parts.every(({ sqnr }) => sqnr > 10));
 * assert(report.toTable().includes("lstm.l0.ogate_cy"));
 * ```
 */
export function reportParts(
  model: ObservedModel | QuantizedModel,
  data: Iterable<ModelInput>,
): PartReport {
  return finish(partsWork(model, data));
}

/** {@linkcode reportParts} as work: its units are the inputs. */
export function* partsWork(
  model: ObservedModel | QuantizedModel,
  data: Iterable<ModelInput>,
): Work<PartReport> {
  const observed = model instanceof ObservedModel ? model : null;
  if (observed === null && !(model instanceof QuantizedModel)) {
    failType("model", "an ObservedModel or a QuantizedModel", model);
  }
  const quantized = observed === null ? model as QuantizedModel : convert(observed);
  const inputSize = quantized.vocabulary > 0 ? null : quantized.inputSize;
  const graph = new ReferenceModel(quantized);
  const twin = observed === null ? null : new ReferenceModel(quantized, floatWeights(observed));
  const sums = new Map<string, Sums>();
  const output = new Noise();
  const quantizes = graph.nodes.filter(({ op }) => op === "quantize");
  for (const { name } of quantizes) {
    sums.set(name, {
      values: 0,
      saturated: 0,
      rows: 0,
      saturatedRows: 0,
      histogram: new HistogramCounter(),
      min: Infinity,
      max: -Infinity,
      own: new Noise(),
      inModel: new Noise(),
    });
  }
  for (const { x, lengths } of readInputs("data", data, inputSize)) {
    const options = lengths === undefined ? {} : { lengths };
    // Inputs of each quantize node in the float model, in the order of the steps.
    const exact = new Map<string, Float32Array[]>();
    const expected = twin?.run(x, {
      ...options,
      watch({ name, op }, { data }) {
        if (op !== "quantize") return;
        const known = exact.get(name);
        if (known === undefined) exact.set(name, [data as Float32Array]);
        else known.push(data as Float32Array);
      },
    });
    yield 0; // Half of an input's work.
    const read = new Map<string, Float32Array>();
    // Index of the next value of each node: a cell's nodes run once a step.
    const indices = new Map<string, number>();
    const { output: y } = graph.run(x, {
      ...options,
      watch(node, { data, qparams }) {
        if (node.op !== "quantize") {
          read.set(node.name, data as Float32Array);
          return;
        }
        const given = read.get(node.inputs[0]!)!;
        const sum = sums.get(node.name)!;
        const q = nodeQParams(node)!;
        const index = indices.get(node.name) ?? 0;
        const float = exact.get(node.name)?.[index];
        indices.set(node.name, index + 1);
        sum.histogram.add(given);
        sum.rows += given.length / node.width;
        // The last row that was counted in saturatedRows.
        let last = -1;
        given.forEach((value, i) => {
          const exactly = float === undefined ? value : float[i]!;
          sum.values++;
          const [rounded, saturated] = roundTo(value, q);
          if (saturated) sum.saturated++;
          if (saturated && Math.abs(value - rounded) > q.scale) {
            const row = Math.floor(i / node.width);
            if (row !== last) sum.saturatedRows++;
            last = row;
          }
          sum.min = Math.min(sum.min, value);
          sum.max = Math.max(sum.max, value);
          sum.own.add(exactly, roundTo(exactly, q)[0]);
          sum.inModel.add(exactly, qparams!.scale * (data[i]! - qparams!.zeroPoint));
        });
      },
    });
    if (expected !== undefined) {
      y.data.forEach((value, i) => output.add(expected.output.data[i]!, value));
    }
    yield 1;
  }
  const parts = quantizes.map((node): PartLoss => {
    const { own, inModel, histogram, ...counts } = sums.get(node.name)!;
    const q = nodeQParams(node)!;
    return {
      name: partName(node.name),
      module: node.module,
      part: node.part ?? null,
      ...q,
      ...counts,
      histogram: histogram.histogram,
      sqnr: own.sqnr,
      sqnrInModel: twin === null ? null : inModel.sqnr,
    };
  });
  const warnings = observed === null ? [] : calibrationWarnings(observed);
  return new PartReport(parts, twin === null ? null : output.sqnr, warnings);
}
