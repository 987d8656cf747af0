/**
 * What can be segmented: the tasks that come with the page, and the person's own.
 *
 * @module
 */
import { loadModel, type QuantizedModel } from "@splitgate/splitgate";
import { Dictionary } from "../demo/segmenter.ts";
import { decodeBase64 } from "./base64.ts";

/** A task as the build puts it into the page. */
export interface BuiltInTask {
  readonly id: string;
  readonly title: string;
  readonly lang: string;
  /** The int8 model's file in base64. */
  readonly model: string;
  readonly dictionary: string;
  /** Bytes of the float model it was made from. */
  readonly floatBytes: number;
  readonly example: string;
}

/** A task ready to run. */
export interface Task {
  readonly model: QuantizedModel;
  readonly dictionary: Dictionary;
  readonly modelBytes: number;
  readonly floatBytes: number | null;
  readonly lang: string;
}

/** Classes of a segmenter's output: word begins, goes on, ends, stands alone. */
const CLASSES = 4;

/**
 * A task from a model file and a dictionary's JSON.
 *
 * @throws {Error} If one is malformed, they do not fit each other, or the model is no segmenter:
 * the message says so to a person.
 */
export function createTask(
  file: Uint8Array,
  dictionaryJson: string,
  lang: string,
  floatBytes: number | null = null,
): Task {
  const model = loadModel(file);
  if (model.vocabulary === 0) {
    throw new RangeError("model: expected an Embedding first, got a model that takes numbers");
  }
  if (model.outputSize !== CLASSES) {
    throw new RangeError(
      `model: expected ${CLASSES} outputs a character (b, i, e, s), got ${model.outputSize}`,
    );
  }
  const dictionary = Dictionary.parse(dictionaryJson, model.vocabulary);
  return { model, dictionary, modelBytes: file.length, floatBytes, lang };
}

/** A task that came with the page. */
export function openBuiltIn({ model, dictionary, lang, floatBytes }: BuiltInTask): Task {
  return createTask(decodeBase64(model), dictionary, lang, floatBytes);
}
