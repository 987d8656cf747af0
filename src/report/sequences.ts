/**
 * Splits test data into single sequences, each with its labels.
 *
 * @module
 */
import { isInt32Array } from "../../kernels/numeric/typed_array.ts";
import { type ModelInput, readInput } from "../authoring/inputs.ts";
import { checkLengths } from "../core/check.ts";
import { failRange, failType } from "../core/errors.ts";
import type { Tensor, TokenTensor } from "../core/tensor.ts";

/**
 * Labels of one entry of data: a number if it has only one, or an array with one label per sequence
 * (batch row), or one per step and sequence in the order of the output's rows. A label is the index
 * of a class, negative for none; for an output of one value it is a real number.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { type Labels, measureReport } from "@splitgate/splitgate/report";
 * import { assert } from "@std/assert";
 * const model = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const data = [Float32Array.of(0.5, -1), Float32Array.of(1, 0.25)];
 * const report = await measureReport(model, await quantize(model, data), data, {
 *   labels: [0, 1] satisfies Labels[], // the class of each sequence
 *   speed: false,
 * });
 * assert(report.outputs[0]!.labels !== null);
 * ```
 */
export type Labels = number | ArrayLike<number>;

/** The layout of the data. */
export interface SequenceLayout {
  /** Width of a step; null for token ids. */
  readonly inputSize: number | null;
  /** Whether tensors are [batch, steps, ...]. */
  readonly batchFirst: boolean;
  /** Whether the model has a time axis; otherwise the rows of an entry count as one sequence. */
  readonly time: boolean;
}

/** One sequence. */
export interface Sequence {
  /** Token ids, or the values of all steps in order. */
  readonly x: Float32Array | Int32Array;
  readonly steps: number;
  /** Labels of the rows of the first output; null without labels. */
  readonly labels: ArrayLike<number> | null;
  /** Whether padding followed it, which may have labels too. */
  readonly padded: boolean;
}

/**
 * Rows of one sequence in a batch: `count` rows of `data`, from row `first` on, `stride` rows
 * apart.
 */
interface Cut {
  readonly first: number;
  readonly stride: number;
  readonly count: number;
  readonly width: number;
}

function cut<T extends Float32Array | Int32Array>(data: T, { first, stride, count, width }: Cut) {
  const Kind = data.constructor as new (length: number) => T;
  const out = new Kind(count * width);
  for (let i = 0; i < count; i++) {
    const at = (first + i * stride) * width;
    out.set(data.subarray(at, at + width), i * width);
  }
  return out;
}

function labelsOf(name: string, given: Labels | undefined): ArrayLike<number> | null {
  if (given === undefined) return null;
  if (typeof given === "number") return [given];
  if (!Array.isArray(given) && !ArrayBuffer.isView(given)) {
    failType(name, "a number or an array of numbers", given);
  }
  const read = Array.from(given as ArrayLike<number>);
  const wrong = read.findIndex((label) => !Number.isFinite(label));
  if (wrong >= 0) failRange(`${name}[${wrong}]`, "a finite number", read[wrong]);
  return read;
}

/**
 * The sequences of an entry of data: the rows of the batch without padding.
 *
 * @param name The name of the labels in errors.
 */
export function* sequencesOf(
  given: ModelInput,
  { inputSize, batchFirst, time }: SequenceLayout,
  labels: Labels | undefined,
  name: string,
): Generator<Sequence> {
  const own = labelsOf(name, labels);
  const { x, lengths } = readInput("x", given, inputSize);
  const { data, shape } = x as Tensor | TokenTensor;
  const outer = isInt32Array(data) ? shape : shape.slice(0, -1);
  const width = inputSize ?? 1;
  const rows = outer.reduce((a, b) => a * b, 1);
  if (rows * width !== data.length) failRange("x.data", `${rows * width} values`, data.length);
  if (!time || outer.length === 1) {
    const steps = lengths === undefined || !time ? rows : checkLengths(lengths, 1, rows)[0]!;
    yield { x: data.slice(0, steps * width), steps, labels: own, padded: steps < rows };
    return;
  }
  if (outer.length !== 2) failRange("x.shape", "steps and batch, or steps", shape);
  const [steps, batch] = batchFirst ? [outer[1]!, outer[0]!] : [outer[0]!, outer[1]!];
  const valid = lengths === undefined ? null : checkLengths(lengths, batch, steps);
  if (own !== null && own.length % batch !== 0) {
    failRange(name, `labels of ${batch} sequences`, `${own.length} labels`);
  }
  for (let b = 0; b < batch; b++) {
    const from = (count: number, all: number, width: number): Cut => ({
      first: batchFirst ? b * all : b,
      stride: batchFirst ? 1 : batch,
      count,
      width,
    });
    const count = valid === null ? steps : valid[b]!;
    let ownLabels: Float64Array | null = null;
    if (own !== null) {
      const each = own.length / batch;
      const { first, stride } = from(each, each, 1);
      ownLabels = Float64Array.from({ length: each }, (_, i) => own[first + i * stride]!);
    }
    const x = cut(data, from(count, steps, width));
    yield { x, steps: count, labels: ownLabels, padded: count < steps };
  }
}
