/**
 * A segmentation task: a float model, its dictionary, text to calibrate on and text to test on.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { type Sequential, tokens, type TokenTensor } from "@splitgate/splitgate";
import { parseSafetensors } from "@splitgate/splitgate/safetensors";
import { floatModel } from "./float_model.ts";
import { Dictionary, parseRuns, type Run } from "./segmenter.ts";

/** The languages whose data comes with the demo. */
export const LANGUAGES: readonly string[] = ["thai", "lao", "burmese"];

/** Paths of a task's files, in the form that demo/data/README.md describes. */
export interface TaskFiles {
  readonly model: string;
  readonly dictionary: string;
  readonly calibration: string;
  readonly test: string;
}

/** What a task's files hold. */
export interface Task {
  readonly model: Sequential;
  readonly modelBytes: Uint8Array;
  readonly dictionary: Dictionary;
  readonly calibration: readonly Run[];
  readonly test: readonly Run[];
}

/** The files of a language that comes with the demo. */
export function languageFiles(language: string): TaskFiles {
  const path = (ending: string) =>
    fileURLToPath(new URL(`data/${language}.${ending}`, import.meta.url));
  return {
    model: path("safetensors"),
    dictionary: path("json"),
    calibration: path("calibration.txt"),
    test: path("test.txt"),
  };
}

/** Reads a task's files. */
export function loadTask(files: TaskFiles): Task {
  const modelBytes = Deno.readFileSync(files.model);
  const { model, numEmbeddings } = floatModel(parseSafetensors(modelBytes).tensors);
  const dictionary = Dictionary.parse(Deno.readTextFileSync(files.dictionary), numEmbeddings);
  return {
    model,
    modelBytes,
    dictionary,
    calibration: parseRuns("calibration", Deno.readTextFileSync(files.calibration), dictionary),
    test: parseRuns("test", Deno.readTextFileSync(files.test), dictionary),
  };
}

/** A run as the model takes it: [characters, batch 1]. */
export function sequence(run: Run): TokenTensor {
  return tokens(run.tokens, [run.tokens.length, 1]);
}
