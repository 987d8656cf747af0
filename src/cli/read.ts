/**
 * Models and data from the file system.
 *
 * @module
 */
import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { type DataSet, type InputShape, parseData, parseLabels } from "./data.ts";
import { CommandError } from "./error.ts";
import { readBytes } from "./files.ts";
import { formatOf, type ModelFile } from "./models.ts";

/** The main file of a TensorFlow.js folder. */
const MODEL_JSON = "model.json";

/** Reads a file and recognizes its format. */
export async function readModelFile(given: string): Promise<ModelFile> {
  const isFolder = existsSync(given) && statSync(given).isDirectory();
  const path = isFolder ? join(given, MODEL_JSON) : given;
  if (isFolder && !existsSync(path)) {
    throw new CommandError(
      `${given}: is a folder, and the ${MODEL_JSON} of TensorFlow.js is not in it`,
    );
  }
  const bytes = await readBytes(path);
  return {
    path,
    bytes,
    format: formatOf(path, bytes),
    beside: (name) => readBytes(join(dirname(path), name)),
  };
}

/** Reads a data file, and labels from a separate file. */
export async function readData(
  path: string,
  input: InputShape,
  labels?: string,
): Promise<DataSet> {
  const data = parseData(path, await readBytes(path), input);
  if (labels === undefined) return data;
  return { ...data, labels: parseLabels(labels, await readBytes(labels)) };
}
