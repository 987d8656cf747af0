/**
 * A segmentation task: a float model, its dictionary, text to calibrate on and text to test on.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import {
  Embedding,
  Linear,
  LSTM,
  parseSafetensors,
  type SafetensorsEntry,
  Sequential,
  tokens,
  type TokenTensor,
} from "@splitgate/splitgate";
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
  const path = (ending: string) => fileURLToPath(new URL(`data/${language}.${ending}`, import.meta.url));
  return {
    model: path("safetensors"),
    dictionary: path("json"),
    calibration: path("calibration.txt"),
    test: path("test.txt"),
  };
}

/** The float model, its sizes read off its tensors. */
export function floatModel(
  tensors: ReadonlyMap<string, SafetensorsEntry>,
): { model: Sequential; numEmbeddings: number } {
  const shape = (name: string): number[] => {
    const entry = tensors.get(name);
    if (entry?.shape.length !== 2) throw new RangeError(`the model: expected a matrix ${name}, got ${entry?.shape}`);
    return entry.shape;
  };
  const [numEmbeddings, embeddingDim] = shape("embedding.weight");
  const [outFeatures, inFeatures] = shape("out.weight");
  const model = new Sequential({
    embedding: new Embedding({ numEmbeddings, embeddingDim }),
    lstm: new LSTM({
      inputSize: embeddingDim,
      hiddenSize: shape("lstm.weight_hh_l0")[1],
      bidirectional: tensors.has("lstm.weight_ih_l0_reverse"),
      bias: tensors.has("lstm.bias_ih_l0"),
    }),
    out: new Linear({ inFeatures, outFeatures, bias: tensors.has("out.bias") }),
  });
  model.loadStateDict(tensors);
  return { model, numEmbeddings };
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
