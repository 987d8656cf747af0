/**
 * Data files: reads sequences, writes results. The format follows from the contents and the name.
 * This file needs no file system, so that the page can use it as well.
 *
 * @module
 */
import { parse as parseCsv } from "csv-parse/sync";
import { failRange } from "../core/errors.ts";
import type { SafetensorsArray } from "../io/dtypes.ts";
import { parseSafetensors } from "../io/safetensors.ts";
import { writeSafetensors } from "../io/safetensors_write.ts";
import { unzip } from "../io/torch/zip.ts";
import { CommandError, withPath } from "./error.ts";
import { readNpy, writeNpy } from "./npy.ts";

/** A sequence: token ids, or the values of all steps in order. */
export type Sequence = Int32Array | Float32Array;

/** The input of a model: a number of values per step, or token ids below a number. */
export interface InputShape {
  /** Width of a step; 1 for token ids. */
  readonly size: number;
  /** Number of token ids; 0 if the input is values. */
  readonly vocabulary: number;
}

/** The sequences of a file, and its labels if it has any. */
export interface DataSet {
  readonly sequences: readonly Sequence[];
  /** `y` of the file: class indices or values, batch first. */
  readonly labels: { readonly data: ArrayLike<number>; readonly shape: readonly number[] } | null;
}

interface AnyArray {
  readonly data: SafetensorsArray;
  readonly shape: readonly number[];
}

/** Names of the tensor with the data, in order of preference. */
const X = ["x", "x_calibration", "cut"];

function sequenceOf(name: string, values: ArrayLike<number>, { size, vocabulary }: InputShape) {
  const { length } = values;
  const fits = length > 0 && length % size === 0;
  if (!fits) failRange(name, `a multiple of ${size} values, ${size} a step`, length);
  if (vocabulary === 0) {
    const floats = Float32Array.from(values);
    const at = floats.findIndex((value) => !Number.isFinite(value));
    const step = `${name}[${Math.floor(at / size)}]`;
    if (at >= 0) failRange(`${step}[${at % size}]`, "a finite number", values[at]);
    return floats;
  }
  for (let i = 0; i < length; i++) {
    const value = values[i]!;
    if (!Number.isInteger(value) || value < 0 || value >= vocabulary) {
      failRange(`${name}[${i}]`, `a token id in 0..${vocabulary - 1}`, value);
    }
  }
  return Int32Array.from(values);
}

/**
 * The sequences of an array, batch first; an array with one dimension less is a single sequence.
 */
function sequencesOf(
  name: string,
  { data, shape }: AnyArray,
  input: InputShape,
  lengths?: AnyArray,
): Sequence[] {
  const { size, vocabulary } = input;
  const values: ArrayLike<number> = /^Big/.test(data[Symbol.toStringTag])
    ? Array.from(data as BigInt64Array, Number)
    : data as Float32Array;
  const width = vocabulary > 0 ? [] : [size];
  const rank = shape.length - width.length;
  const wanted = `[batch, steps${vocabulary > 0 ? "] of token ids" : `, ${size}]`}`;
  if (rank < 1 || rank > 2 || (vocabulary === 0 && shape.at(-1) !== size)) {
    failRange(`${name}'s shape`, wanted, [...shape]);
  }
  const [batch, steps] = rank === 2 ? shape as [number, number] : [1, shape[0]!];
  if (batch * steps === 0) failRange(`${name}'s shape`, `${wanted}, none of them 0`, [...shape]);
  const row = steps * size;
  const valid = lengths === undefined ? null : Array.from(lengths.data as Int32Array, Number);
  if (valid !== null && valid.length !== batch) {
    failRange("lengths", `${batch}, one a sequence`, valid.length);
  }
  return Array.from({ length: batch }, (_, b) => {
    const count = valid?.[b] ?? steps;
    if (!(count >= 1 && count <= steps)) failRange(`lengths[${b}]`, `1..${steps}`, count);
    const own = Array.prototype.slice.call(values, b * row, b * row + count * size);
    return sequenceOf(`${name}[${b}]`, own, input);
  });
}

/**
 * Reads a sequence from JSON: an array of numbers, an array of steps, or an object with either as
 * `x`.
 */
export function jsonSequence(name: string, text: string, input: InputShape): Sequence {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return failRange(name, "JSON: an array of numbers or of steps", text);
  }
  const x = Array.isArray(value) ? value : (value as { x?: unknown } | null)?.x;
  if (!Array.isArray(x)) return failRange(name, "an array of numbers or of steps", text);
  const steps = x.map((step, i): readonly unknown[] => {
    if (!Array.isArray(step)) return [step];
    if (step.length !== input.size) failRange(`${name}[${i}]`, `${input.size} values`, step.length);
    return step;
  });
  const values = steps.flat();
  const wrong = values.find((each) => typeof each !== "number");
  if (wrong !== undefined) failRange(name, "numbers", wrong);
  return sequenceOf(name, values as number[], input);
}

/**
 * Reads the sequences of a table. A row is a step. Rows with the same value in a column `sequence`
 * form one sequence; without that column, all rows do. For token ids, each row is a sequence.
 */
function csvSequences(name: string, text: string, input: InputShape): Sequence[] {
  let rows: string[][];
  try {
    rows = parseCsv(text, {
      bom: true,
      trim: true,
      relax_column_count: true,
      skip_empty_lines: true,
    });
  } catch (error) {
    return failRange(name, "a table of comma-separated values", (error as Error).message);
  }
  const isHeader = rows[0]?.some((cell) => cell !== "" && Number.isNaN(Number(cell))) ?? false;
  const header = isHeader ? rows.shift()! : [];
  const key = header.indexOf("sequence");
  const groups = new Map<string, number[]>();
  rows.forEach((row, i) => {
    const id = key >= 0 ? row[key]! : input.vocabulary > 0 ? `${i}` : "";
    const cells = row.filter((cell, c) => c !== key && cell !== "");
    const line = `${name} line ${i + 1 + Number(isHeader)}`;
    const numbers = cells.map((cell) =>
      Number.isNaN(Number(cell)) ? failRange(line, "numbers", cell) : Number(cell)
    );
    if (input.vocabulary === 0 && numbers.length !== input.size) {
      failRange(line, `${input.size} numbers, as the model takes a step`, numbers.length);
    }
    const group = groups.get(id);
    if (group === undefined) groups.set(id, numbers);
    else for (const each of numbers) group.push(each);
  });
  return [...groups].map(([id, values]) => sequenceOf(id ? `${name} ${id}` : name, values, input));
}

/** The labels of an array. */
function labelsFrom({ data, shape }: AnyArray): NonNullable<DataSet["labels"]> {
  return { data: Array.from<number | bigint, number>(data as never, Number), shape };
}

/** The arrays of a file by name; the name is "" in a file with a single array. */
function arraysOf(path: string, bytes: Uint8Array): Map<string, AnyArray> | null {
  const start = String.fromCharCode(...bytes.subarray(0, 4));
  if (start === "\x93NUM") return new Map([["", readNpy(path, bytes)]]);
  if (start === "PK\x03\x04") {
    const entries = [...unzip(bytes, (name) => name.endsWith(".npy"))];
    return new Map(entries.map(([name, own]) => [
      name.slice(0, -".npy".length),
      readNpy(`${path}: ${name}`, own),
    ]));
  }
  return /\.safetensors$/i.test(path) ? parseSafetensors(bytes).tensors as never : null;
}

/** Reads labels: .npy, or `y` of .npz and .safetensors. */
export function parseLabels(path: string, bytes: Uint8Array): NonNullable<DataSet["labels"]> {
  const arrays = withPath(path, () => arraysOf(path, bytes));
  const found = arrays?.get("y") ?? (arrays?.size === 1 ? [...arrays.values()][0] : undefined);
  if (found === undefined) {
    throw new CommandError(`${path}: labels are .npy, or y of .npz and .safetensors`);
  }
  return labelsFrom(found);
}

function fromTensors(
  name: string,
  tensors: ReadonlyMap<string, AnyArray>,
  input: InputShape,
): DataSet {
  const key = X.find((each) => tensors.has(each)) ??
    (tensors.size === 1 ? [...tensors.keys()][0]! : undefined);
  if (key === undefined) {
    return failRange(
      name,
      "a tensor x, batch first",
      [...tensors.keys()].slice(0, 10).join(", ") || "no array",
    );
  }
  const y = tensors.get("y");
  return {
    sequences: sequencesOf(key, tensors.get(key)!, input, tensors.get("lengths")),
    labels: y === undefined ? null : labelsFrom(y),
  };
}

/** Reads data: .npy, .npz, .safetensors, .csv, or JSON lines. */
export function parseData(path: string, bytes: Uint8Array, input: InputShape): DataSet {
  const named = (text: string) => {
    const sequences = /\.csv$/i.test(path)
      ? csvSequences(path, text, input)
      : text.split("\n").flatMap((line, i) =>
        line.trim() === "" ? [] : [jsonSequence(`${path} line ${i + 1}`, line, input)]
      );
    return { sequences, labels: null };
  };
  const read = (): DataSet => {
    const arrays = arraysOf(path, bytes);
    const alone = arrays?.get("");
    if (alone !== undefined) return { sequences: sequencesOf(path, alone, input), labels: null };
    if (arrays !== null) return fromTensors(path, arrays, input);
    if (/\.(csv|jsonl?|ndjson)$/i.test(path)) return named(new TextDecoder().decode(bytes));
    throw new CommandError(`${path}: expected data: .npy, .npz, .safetensors, .csv or .jsonl`);
  };
  const data = withPath(path, read);
  if (data.sequences.length === 0) throw new CommandError(`${path}: holds no data`);
  return data;
}

/** Max rows, values and characters of {@linkcode firstRows}. */
const SHOWN_ROWS = 3;
const SHOWN_VALUES = 8;
const SHOWN_CHARACTERS = 60;

/**
 * The first rows of a data file as text, for messages about a wrong shape; empty if it cannot be
 * read.
 */
export function firstRows(path: string, bytes: Uint8Array): string[] {
  try {
    const arrays = arraysOf(path, bytes);
    if (arrays === null) {
      const lines = new TextDecoder().decode(bytes.subarray(0, 4096)).split("\n");
      return lines.filter((line) => line.trim() !== "").slice(0, SHOWN_ROWS)
        .map((line) => line.trim().slice(0, SHOWN_CHARACTERS));
    }
    const key = X.find((each) => arrays.has(each)) ?? [...arrays.keys()][0]!;
    const { data, shape } = arrays.get(key)!;
    const width = shape.at(-1) ?? 1;
    const rows = Math.min(SHOWN_ROWS, Math.floor(data.length / width));
    return Array.from({ length: rows }, (_, row) => {
      const values = Array.prototype.slice.call(data, row * width, (row + 1) * width);
      return `${values.slice(0, SHOWN_VALUES)}${width > SHOWN_VALUES ? ",…" : ""}`;
    });
  } catch {
    return [];
  }
}

/**
 * Splits labels by sequence to match the rows of an output; null if they do not match: their number
 * differs, or they are not classes of rows with several values.
 *
 * @param counts Number of rows of each sequence.
 */
export function labelsBySequence(
  labels: ArrayLike<number>,
  { time, size }: Omit<Results, "rows">,
  counts: readonly number[],
): number[][] | null {
  // Batch first: shorter sequences have labels for their padding.
  const each = labels.length / counts.length;
  const fits = Number.isInteger(each) && (time || each === 1);
  if (!fits || counts.some((count) => count > each)) return null;
  const own = counts.map((count, b): number[] =>
    Array.prototype.slice.call(labels, b * each, b * each + count)
  );
  const isClass = (label: number) => Number.isInteger(label) && label >= 0 && label < size;
  return size === 1 || own.flat().every(isClass) ? own : null;
}

/** The results of one output for all sequences: rows of `size` values. */
export interface Results {
  readonly size: number;
  /** Whether there is one row per step. */
  readonly time: boolean;
  readonly rows: readonly Float32Array[];
}

/** A sequence's result as JSON: a row, or an array of rows. */
export function jsonResult({ size, time }: Omit<Results, "rows">, row: Float32Array): unknown {
  if (!time) return [...row];
  return Array.from({ length: row.length / size }, (_, t) => [
    ...row.subarray(t * size, (t + 1) * size),
  ]);
}

/** The results of all sequences as one tensor, batch first; shorter ones are padded with 0. */
function padded({ size, time, rows }: Results): { data: Float32Array; shape: number[] } {
  const longest = Math.max(...rows.map(({ length }) => length));
  const data = new Float32Array(rows.length * longest);
  rows.forEach((row, b) => data.set(row, b * longest));
  return { data, shape: time ? [rows.length, longest / size, size] : [rows.length, size] };
}

/** Writes results in the format of the file's extension; `y` is the first output. */
export function resultsFile(
  path: string,
  results: ReadonlyMap<string, Results>,
): string | Uint8Array {
  const [first] = results.values();
  if (/\.npy$/i.test(path)) {
    const { data, shape } = padded(first!);
    return writeNpy(data, shape);
  }
  if (/\.csv$/i.test(path)) {
    const lines = first!.rows.flatMap((row, b) =>
      (first!.time ? jsonResult(first!, row) as number[][] : [[...row]]).map((cells) =>
        [b, ...cells].join(",")
      )
    );
    const names = Array.from({ length: first!.size }, (_, i) => `y${i}`);
    return `${["sequence", ...names].join(",")}\n${lines.join("\n")}\n`;
  }
  if (/\.(jsonl|ndjson)$/i.test(path)) return `${jsonLines(results).join("\n")}\n`;
  if (/\.safetensors$/i.test(path)) {
    const tensors = [...results].map(([name, each], i) =>
      [i === 0 ? "y" : name, padded(each)] as [string, { data: Float32Array; shape: number[] }]
    );
    const { size, time, rows } = first!;
    const lengths = Int32Array.from(rows, ({ length }) => length / size);
    const differ = time && lengths.some((length) => length !== lengths[0]);
    return writeSafetensors(
      differ ? [...tensors, ["lengths", { data: lengths, shape: [lengths.length] }]] : tensors,
    );
  }
  throw new CommandError(`${path}: results are .safetensors, .npy, .csv or .jsonl`);
}

/** One line of JSON per sequence: its result, or an object with the result of each output. */
export function jsonLines(results: ReadonlyMap<string, Results>): string[] {
  const all = [...results];
  return all[0]![1].rows.map((_, b) => {
    if (all.length === 1) return JSON.stringify(jsonResult(all[0]![1], all[0]![1].rows[b]!));
    const each = all.map(([name, own]) => [name, jsonResult(own, own.rows[b]!)]);
    return JSON.stringify(Object.fromEntries(each));
  });
}
