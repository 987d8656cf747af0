/**
 * Measures everything that a report shows.
 *
 * @module
 */
import { checkEntries, countOf, type ModelInput, withEntry } from "../authoring/inputs.ts";
import { QuantizedModel } from "../authoring/model.ts";
import { ObservedModel } from "../authoring/observed_model.ts";
import type { QuantizeResult } from "../authoring/quantize.ts";
import { checkOptions } from "../core/check.ts";
import { checkBoolean, checkInteger, failRange, failType, isObject } from "../core/errors.ts";
import { type AbortSignalLike, checkSignal, pacer } from "../core/pacer.ts";
import { saveFloatModel } from "../io/float_model.ts";
import { saveModel } from "../io/model_write.ts";
import { compileModel } from "../io/program_write.ts";
import { flatten, type FloatModel, runFloat } from "../modules/graph.ts";
import { kindOf } from "../modules/kinds.ts";
import type { Module } from "../modules/module.ts";
import type { GraphNode } from "../modules/reference.ts";
import { nodeQParams } from "../reference/graph.ts";
import { convertToReference } from "../reference/reference.ts";
import type { Backend } from "../runtime/kind.ts";
import { type PartLoss, partName, partsWork } from "../tune/report.ts";
import { adviceOf } from "./advice.ts";
import { OutputSums } from "./compare.ts";
import type {
  MeasuredOn,
  ReportData,
  ReportModule,
  ReportNode,
  ReportPart,
  ReportParts,
} from "./data.ts";
import { type Labels, type Sequence, type SequenceLayout, sequencesOf } from "./sequences.ts";
import { kernelsHere, measureSpeed, outputsFor, runSession, tensorOf } from "./speed.ts";

/**
 * Progress of {@linkcode measureReport}.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { measureReport, type ReportProgress } from "@splitgate/splitgate/report";
 * import { assert } from "@std/assert";
 * const model = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const data = [Float32Array.of(0.5, -1), Float32Array.of(1, 0.25)];
 * const stages = new Set<string>();
 * await measureReport(model, await quantize(model, data), data, {
 *   speed: false,
 *   onProgress: ({ stage }: ReportProgress) => stages.add(stage),
 * });
 * assert(stages.has("compare"));
 * ```
 */
export interface ReportProgress {
  /**
   * "compare": both models run the test data; "parts": the reference graph runs the first part of
   * it; "speed": speed is sampled.
   */
  readonly stage: "compare" | "parts" | "speed";
  /** Number of finished entries of data, sequences, or samples. */
  readonly done: number;
  /** Their total number; undefined for an iterable that is not an array. */
  readonly total: number | undefined;
}

/**
 * Options of {@linkcode measureReport}.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { type MeasureOptions, measureReport } from "@splitgate/splitgate/report";
 * const model = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const data = [Float32Array.of(0.5, -1), Float32Array.of(1, 0.25)];
 * const options: MeasureOptions = {
 *   title: "My model",
 *   labels: [0, 1], // the class of each sequence
 *   partSteps: 500, // steps that are measured inside
 *   speed: false,
 * };
 * await measureReport(model, await quantize(model, data), data, options);
 * ```
 */
export interface MeasureOptions {
  /** The subject, such as a file name; "Model" by default. */
  readonly title?: string;
  /**
   * Labels of the first output, one entry per entry of the data: a single number, or an array with
   * one label per row of the output (one per sequence, or one per step). A label is the index of a
   * class, negative for none; for an output of one value it is a real number.
   */
  readonly labels?: Iterable<Labels>;
  /**
   * Whether `data` is test data or the calibration data; shown in the report. "test" by default.
   */
  readonly measuredOn?: MeasuredOn;
  /** Size of the float model's file in bytes, if it was loaded from one. */
  readonly floatBytes?: number;
  /**
   * Number of steps, from the first sequences of the test data, on which the values inside the
   * model are measured; 2,000 by default. This is much slower than running the model. The sequence
   * that reaches the number is the last one.
   */
  readonly partSteps?: number;
  /** Whether to measure speed, which takes at least half a second; true by default. */
  readonly speed?: boolean;
  /** Called after each entry, sequence and sample. If it throws, so does the call. */
  readonly onProgress?: (progress: ReportProgress) => void;
  /** An `AbortSignal`: aborting it ends the call with the signal's reason. */
  readonly signal?: AbortSignalLike;
}

const OPTIONS = [
  "title",
  "labels",
  "measuredOn",
  "floatBytes",
  "partSteps",
  "speed",
  "onProgress",
  "signal",
];

const MEASURED_ON: readonly MeasuredOn[] = ["test", "calibration"];

const PART_STEPS = 2000;

/** Max value of options in bytes or steps. */
const MAX_COUNT = 2 ** 40;

/** Kinds whose outputs are probabilities. */
const PROBABILITIES: readonly string[] = ["Sigmoid", "HardSigmoid"];

/** Runs both models over sequences, and collects sequences for the other measurements. */
class Comparison {
  readonly sums: readonly OutputSums[];
  sequences = 0;
  steps = 0;
  /** The first sequences. */
  readonly first: Sequence["x"][] = [];
  firstSteps = 0;
  longest: Sequence | undefined;
  #session: ReturnType<QuantizedModel["createSession"]> | undefined;

  constructor(
    readonly float: FloatModel,
    readonly model: QuantizedModel,
    readonly partSteps: number,
    readonly kernels: Backend | undefined,
  ) {
    const { topology, modules } = float;
    this.sums = model.outputs.map((port) => {
      const { kind } = modules.get(topology.outputs.get(port.name)!)!;
      return new OutputSums(port, PROBABILITIES.includes(kind));
    });
  }

  /**
   * @param name The name of the labels in errors.
   */
  add(sequence: Sequence, name: string): void {
    const { x, steps } = sequence;
    const inputSize = this.model.vocabulary > 0 ? null : this.model.inputSize;
    const exact = runFloat(this.float, tensorOf(x, inputSize), {});
    if (this.#session === undefined || steps > this.#session.maxSteps) {
      this.#session = this.model.createSession({ maxSteps: steps, kernels: this.kernels });
    }
    const outputs = outputsFor(this.model, this.#session, steps);
    runSession(this.#session, x, outputs);
    this.model.outputs.forEach(({ name: output }, i) => {
      const own = i === 0 ? sequence : { ...sequence, labels: null };
      this.sums[i]!.add(exact.get(output)!.data, outputs.get(output)!, own, name);
    });
    this.sequences++;
    this.steps += steps;
    if (this.firstSteps < this.partSteps) {
      this.first.push(x);
      this.firstSteps += steps;
    }
    if (steps > (this.longest?.steps ?? 0)) this.longest = sequence;
  }
}

function modulesOf(model: QuantizedModel): ReportModule[] {
  return [...model.modules].map(([name, module]) => {
    const { output } = kindOf(name, module).ends(module);
    return {
      name,
      kind: module.kind,
      reads: [...model.topology.inputs.get(name)!],
      width: output.size,
      dtype: output.qparams?.dtype ?? "float32",
    };
  });
}

function reportNode(
  { name, op, inputs, dtype, scale, zeroPoint, width, module, cell }: GraphNode,
): ReportNode {
  return {
    name,
    op,
    inputs: [...inputs],
    dtype,
    ...scale !== undefined && { scale, zeroPoint: zeroPoint! },
    width,
    module,
    ...cell !== undefined && { cell },
  };
}

/** Decibels in a form for JSON, which has no infinity. */
function plainDecibels(value: number): ReportPart["sqnr"] {
  return value === Infinity ? "exact" : value === -Infinity ? "no signal" : value;
}

/** Operations that are flat for large values, and operations that pass values on unchanged. */
const FLAT: readonly string[] = ["sigmoid", "tanh", "hardsigmoid"];
const HANDS_ON: readonly string[] = ["dequantize", "chunk"];

/** Magnitude from which these are flat: within half a step of 8 bits from their bounds. */
const FLAT_FROM = 6;

/** Parts that are read only by functions that are flat outside the part's range. */
function flatParts(nodes: readonly GraphNode[]): ReadonlySet<string> {
  const readers = new Map<string, GraphNode[]>();
  for (const node of nodes) {
    for (const read of node.inputs) readers.set(read, [...readers.get(read) ?? [], node]);
  }
  const onlyFlat = (name: string): boolean => {
    const own = readers.get(name) ?? [];
    return own.length > 0 &&
      own.every((node) =>
        FLAT.includes(node.op) || (HANDS_ON.includes(node.op) && onlyFlat(node.name))
      );
  };
  const found = nodes.filter((node) => {
    if (node.op !== "quantize" || !onlyFlat(node.name)) return false;
    const { scale, zeroPoint, quantMin, quantMax } = nodeQParams(node)!;
    return scale * (zeroPoint - quantMin) >= FLAT_FROM &&
      scale * (quantMax - zeroPoint) >= FLAT_FROM;
  });
  return new Set(found.map(({ name }) => partName(name)));
}

function reportPart(
  { sqnr, sqnrInModel, ...rest }: PartLoss,
  flat: ReadonlySet<string>,
): ReportPart {
  return {
    ...rest,
    flatBeyond: flat.has(rest.name),
    sqnr: plainDecibels(sqnr),
    sqnrInModel: sqnrInModel === null ? null : plainDecibels(sqnrInModel),
  };
}

/** The reference graph; null if a module has none, because its qparams are computed at run time. */
function graphOf(model: QuantizedModel): readonly GraphNode[] | null {
  const dynamic = [...model.modules.values()].some((module) =>
    (module as { readonly dynamic?: boolean }).dynamic === true
  );
  return dynamic ? null : convertToReference(model).nodes;
}

function* none(): Generator<undefined> {
  for (;;) yield undefined;
}

/** Requires a result of `quantize`. */
function checkResult(result: unknown): asserts result is QuantizeResult {
  const { model, observed, warnings } = Object(result) as QuantizeResult;
  if (
    !(model instanceof QuantizedModel) || !(observed instanceof ObservedModel) ||
    !Array.isArray(warnings)
  ) {
    failType("result", "what quantize gave", result);
  }
}

/**
 * Compares a quantized model with its float model: results, loss of each value inside, sizes and
 * speed. It returns plain data for `reportHTML`, for JSON, or for figures of your own.
 *
 * The work is done one sequence at a time; timers and events run in between.
 *
 * @param model The float model that was quantized.
 * @param result The result of `quantize` for this model.
 * @param data Test data, as for `quantize`. Calibration data gives results that are too good: set
 * `measuredOn` so that the report says so.
 * @throws {RangeError} If there is no data, if an entry or its labels do not fit (the message names
 * it), or if the result belongs to another model. In each of these cases the promise is rejected.
 * @throws {RangeError} If there is no data, an entry or its labels do not fit (it is named), or the
 * result is another model's. The promise is rejected with each of these.
 *
 * @example
 * ```ts
 * import { Linear, LSTM, quantize, Sequential } from "@splitgate/splitgate";
 * import { measureReport, reportHTML } from "@splitgate/splitgate/report";
 * import { assert, assertEquals } from "@std/assert";
 * const model = new Sequential({
 *   lstm: new LSTM({ inputSize: 2, hiddenSize: 3 }),
 *   out: new Linear({ inFeatures: 3, outFeatures: 2 }),
 * });
 * const data = [Float32Array.of(0.1, -0.4, 0.9, 0.3, 0, 1), Float32Array.of(1, 0.2, -1, 0.5)];
 * const result = await quantize(model, data);
 * const report = await measureReport(model, result, data, {
 *   labels: [[0, 1, 1], [1, 0]], // one a step
 *   speed: false,
 * });
 * assertEquals(report.outputs[0]!.labels!.metric, "accuracy");
 * assert(reportHTML(report).startsWith("<!DOCTYPE html>"));
 * ```
 */
export async function measureReport(
  model: Module,
  result: QuantizeResult,
  data: Iterable<ModelInput> | AsyncIterable<ModelInput>,
  options: MeasureOptions = {},
): Promise<ReportData> {
  checkOptions("options", options, OPTIONS);
  const {
    title = "Model",
    labels,
    measuredOn = "test",
    floatBytes,
    partSteps = PART_STEPS,
    speed = true,
    onProgress = () => {},
    signal,
  } = options;
  if (typeof title !== "string") failType("options.title", "a text", title);
  if (labels !== undefined && !(isObject(labels) && Symbol.iterator in labels)) {
    failType("options.labels", "an array of labels", labels);
  }
  if (!MEASURED_ON.includes(measuredOn)) {
    failRange("options.measuredOn", MEASURED_ON.join(" or "), measuredOn);
  }
  if (floatBytes !== undefined) checkInteger("options.floatBytes", floatBytes, 1, MAX_COUNT);
  checkInteger("options.partSteps", partSteps, 1, MAX_COUNT);
  checkBoolean("options.speed", speed);
  if (typeof onProgress !== "function") failType("options.onProgress", "a function", onProgress);
  checkSignal(signal);
  checkEntries(data);
  const flat = flatten(model);
  checkResult(result);
  const { model: quantized, observed, warnings } = result;
  const outputs = [...flat.topology.outputs.keys()].join(", ");
  const given = quantized.outputs.map(({ name }) => name).join(", ");
  if (outputs !== given) failRange("result", `a model with the outputs ${outputs}`, given);
  const pause = pacer(signal);
  const progress = (stage: ReportProgress["stage"], done: number, total: number | undefined) =>
    onProgress({ stage, done, total });

  const layout: SequenceLayout = {
    inputSize: observed.inputSize,
    batchFirst: observed.batchFirst,
    time: [...flat.modules].some(([name, module]) => kindOf(name, module).time !== "row"),
  };
  // SIMD kernels return the same bytes as the portable ones, in less time.
  const kernels = await kernelsHere();
  const comparison = new Comparison(flat, quantized, partSteps, kernels);
  const ownLabels = labels === undefined ? none() : labels[Symbol.iterator]();
  const entries = countOf(data);
  let done = 0;
  signal?.throwIfAborted();
  progress("compare", done, entries);
  for await (const given of data) {
    const next = ownLabels.next();
    if (next.done) failRange("options.labels", "an entry for each entry of data", `${done}`);
    const name = `options.labels[${done}]`;
    try {
      for (const sequence of sequencesOf(given, layout, next.value, name)) {
        comparison.add(sequence, name);
        await pause();
      }
    } catch (error) {
      throw withEntry(done, error);
    }
    progress("compare", ++done, entries);
  }
  if (done === 0) failRange("data", "one input or more", "none");
  if (labels !== undefined && !ownLabels.next().done) {
    failRange("options.labels", `${done} entries, one an entry of data`, "more");
  }

  const nodes = graphOf(quantized);
  let parts: ReportParts | null = null;
  if (nodes !== null) {
    const { first, firstSteps } = comparison;
    const flatNames = flatParts(nodes);
    const work = partsWork(observed, first);
    let measured = 0;
    progress("parts", measured, first.length);
    let next = work.next();
    while (!next.done) {
      progress("parts", measured += next.value, first.length);
      await pause();
      next = work.next();
    }
    parts = {
      sequences: first.length,
      steps: firstSteps,
      parts: next.value.parts.map((part) => reportPart(part, flatNames)),
    };
  }
  const ran = !speed ? null : await measureSpeed(
    flat,
    quantized,
    comparison.longest!,
    kernels,
    (done, total) => {
      progress("speed", done, total);
      return pause();
    },
  );
  const measured = {
    outputs: comparison.sums.map((sums) => sums.comparison),
    parts,
    speed: ran,
    warnings: warnings.map((warning) => ({ ...warning })),
  };
  return {
    version: 1,
    title,
    measuredOn,
    sequences: comparison.sequences,
    steps: comparison.steps,
    modules: modulesOf(quantized),
    graph: nodes === null ? null : nodes.map(reportNode),
    sizes: {
      float: floatBytes ?? saveFloatModel(model).length,
      model: saveModel(quantized).length,
      program: compileModel(quantized).length,
    },
    ...measured,
    advice: adviceOf(measured),
  };
}
