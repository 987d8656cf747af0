/**
 * From a float model and data to a quantized model, in one call.
 *
 * @module
 */
import { checkOptions } from "../core/check.ts";
import { failRange, failType } from "../core/errors.ts";
import { type AbortSignalLike, checkSignal, pacer } from "../core/pacer.ts";
import type { Module } from "../modules/module.ts";
import type { QConfigMapping } from "../qconfig/mapping.ts";
import { getPreset, type PresetName, RECOMMENDED_PRESET } from "../qconfig/presets.ts";
import type { QConfig } from "../qconfig/qconfig.ts";
import { conversion, conversionSize } from "./convert.ts";
import { checkEntries, countOf, type ModelInput, readInput, withEntry } from "./inputs.ts";
import type { QuantizedModel } from "./model.ts";
import type { ObservedModel } from "./observed_model.ts";
import { prepare, PREPARE_OPTIONS, type PrepareOptions } from "./prepare.ts";
import { type CalibrationWarning, calibrationWarnings } from "./warnings.ts";

/**
 * How far {@linkcode quantize} is.
 *
 * @example
 * ```ts
 * import { Linear, quantize, type QuantizeProgress } from "@splitgate/splitgate";
 * const shown: string[] = [];
 * const onProgress = ({ stage, done, total }: QuantizeProgress) => {
 *   shown.push(total === undefined ? `${stage} ${done}` : `${stage} ${done} of ${total}`);
 * };
 * await quantize(new Linear({ inFeatures: 2, outFeatures: 3 }), [new Float32Array(8).fill(0.5)], {
 *   onProgress,
 * });
 * ```
 */
export interface QuantizeProgress {
  /** "calibrate": data runs through the model; "convert": weights become integers. */
  readonly stage: "calibrate" | "convert";
  /** Entries of data, or units of work: mostly rows of weights. */
  readonly done: number;
  /** Of how many; undefined where the data does not say it: an iterable that is no array. */
  readonly total: number | undefined;
}

/**
 * Options of {@linkcode quantize}.
 *
 * @example
 * ```ts
 * import { Linear, quantize, type QuantizeOptions } from "@splitgate/splitgate";
 * const model = new Linear({ inFeatures: 2, outFeatures: 3 });
 * const options: QuantizeOptions = {
 *   preset: "int8x16",
 *   signal: new AbortController().signal, // of a "Stop" button, say
 * };
 * await quantize(model, [new Float32Array(8).fill(0.5)], options);
 * ```
 */
export interface QuantizeOptions extends PrepareOptions {
  /** A preset's name, one of PRESET_NAMES; `accurate` by default. */
  readonly preset?: PresetName;
  /** A QConfig for every module, or a mapping, in place of a preset. */
  readonly qconfig?: QConfig | QConfigMapping;
  /**
   * Called before the first entry of data, after each entry, and after each unit of the conversion;
   * an error thrown by it ends the call. A page or a terminal can draw meanwhile.
   */
  readonly onProgress?: (progress: QuantizeProgress) => void;
  /** An `AbortSignal`: ends the call when it is aborted, with the signal's reason. */
  readonly signal?: AbortSignalLike;
}

/**
 * What {@linkcode quantize} gives.
 *
 * @example
 * ```ts
 * import { Linear, quantize, type QuantizeResult, saveModel } from "@splitgate/splitgate";
 * const result: QuantizeResult = await quantize(
 *   new Linear({ inFeatures: 2, outFeatures: 3 }),
 *   [Float32Array.of(0.1, -0.4, 0.9, 0.3)],
 * );
 * for (const { name, message } of result.warnings) console.warn(name, message);
 * const file = saveModel(result.model);
 * ```
 */
export interface QuantizeResult {
  /** The quantized model, ready for sessions, `saveModel` and `compileModel`. */
  readonly model: QuantizedModel;
  /**
   * The calibrated model that it was converted from: `reportParts(observed, data)` measures what
   * each part loses, and more data may run through it.
   */
  readonly observed: ObservedModel;
  /** Problems that the calibration data causes; empty if there are none. */
  readonly warnings: readonly CalibrationWarning[];
}

/**
 * Quantizes a model: prepares it, runs calibration data through it and converts it. The result is
 * that of {@linkcode prepare}, a `forward` of each entry and {@linkcode convert}, to the last bit.
 *
 * It works in pieces of about 50 ms, between which timers and events run.
 *
 * @param model A module, a Sequential or a Graph; it stays as it is.
 * @param data Calibration data like that the model is to run on, each entry by itself: tensors as
 * the model takes them (with `lengths` of batch rows where they differ), or sequences of any
 * length: an Int32Array of token ids, or a Float32Array of steps * inputSize values. It may come
 * from an async iterable. A QConfig that is dynamic needs none.
 * @param options.preset Or `qconfig`; the recommended preset, `accurate`, by default.
 * @returns The quantized model, the observed one, and warnings about the data.
 * @throws {TypeError} If an argument is of the wrong kind, or both a preset and a qconfig are
 * given.
 * @throws {RangeError} If there is no data, an entry does not fit (the message names it), or
 * {@linkcode prepare} refuses the model or QConfig. The promise is rejected with each of these.
 *
 * @example
 * ```ts
 * import { Linear, LSTM, quantize, Sequential } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const model = new Sequential({
 *   lstm: new LSTM({ inputSize: 2, hiddenSize: 3 }),
 *   out: new Linear({ inFeatures: 3, outFeatures: 2 }),
 * });
 * // Two sequences, of three steps and of two.
 * const data = [Float32Array.of(0.1, -0.4, 0.9, 0.3, 0, 1), Float32Array.of(1, 0.2, -1, 0.5)];
 * let last = "";
 * const { model: quantized, warnings } = await quantize(model, data, {
 *   onProgress: ({ stage, done, total }) => last = `${stage} ${done} of ${total}`,
 * });
 * assertEquals([quantized.outputSize, warnings], [2, []]);
 * assertEquals(last, "convert 28 of 28");
 * ```
 */
export async function quantize(
  model: Module,
  data: Iterable<ModelInput> | AsyncIterable<ModelInput>,
  options: QuantizeOptions = {},
): Promise<QuantizeResult> {
  checkOptions("options", options, [
    ...PREPARE_OPTIONS,
    "preset",
    "qconfig",
    "onProgress",
    "signal",
  ]);
  const { preset, qconfig, onProgress = () => {}, signal, ...rest } = options;
  if (preset !== undefined && qconfig !== undefined) {
    failType("options", "a preset or a qconfig", "both");
  }
  if (typeof onProgress !== "function") failType("options.onProgress", "a function", onProgress);
  checkSignal(signal);
  checkEntries(data);
  const observed = prepare(model, qconfig ?? getPreset(preset ?? RECOMMENDED_PRESET), rest);
  const pause = pacer(signal);
  const entries = countOf(data);
  let done = 0;
  const report = (stage: QuantizeProgress["stage"], total: number | undefined) =>
    onProgress({ stage, done, total });
  signal?.throwIfAborted();
  report("calibrate", entries);
  for await (const given of data) {
    try {
      const { x, lengths } = readInput("x", given, observed.inputSize);
      observed.run(x, lengths === undefined ? {} : { lengths });
    } catch (error) {
      throw withEntry(done, error);
    }
    done++;
    report("calibrate", entries);
    await pause();
  }
  const observes = [...observed.modules.values()].some(({ qconfig }) =>
    qconfig !== null && !qconfig.dynamic
  );
  if (done === 0 && observes) failRange("data", "one input or more", "none");
  const total = conversionSize(observed);
  done = 0;
  report("convert", total);
  const work = conversion(observed);
  for (;;) {
    const next = work.next();
    if (next.done) {
      return { model: next.value, observed, warnings: calibrationWarnings(observed) };
    }
    done += next.value;
    report("convert", total);
    await pause();
  }
}
