/**
 * Comparison of the float and int8 models, summed up row by row over the test data.
 *
 * @module
 */
import { failRange } from "../core/errors.ts";
import type { OutputPort } from "../runtime/data.ts";
import { Noise } from "../tune/report.ts";
import type { Decibels, LabelComparison, OutputComparison, StepError } from "./data.ts";
import type { Sequence } from "./sequences.ts";

/** Max number of points of the error over time. */
const MAX_POINTS = 128;

/** Threshold from which a probability counts as yes. */
const YES = 0.5;

/** Signal-to-noise ratio in a form for JSON, which has no infinity. */
export function decibelsOf({ signal, noise }: Pick<Noise, "signal" | "noise">): Decibels {
  if (noise === 0) return "exact";
  return signal === 0 ? "no signal" : 10 * Math.log10(signal / noise);
}

/** Index of the first largest value of a row. */
export function largestOf(values: Float32Array, at: number, width: number): number {
  let largest = 0;
  for (let i = 1; i < width; i++) if (values[at + i]! > values[at + largest]!) largest = i;
  return largest;
}

/** Sums over a group of successive steps. */
interface StepSums {
  rows: number;
  noise: number;
  signal: number;
}

/** Sums the error by step; when there are many steps, several share one sum. */
class ErrorOverTime {
  together = 1;
  #sums: StepSums[] = [];

  add(step: number, signal: number, noise: number): void {
    while (step >= this.together * MAX_POINTS) this.#halve();
    const index = Math.floor(step / this.together);
    while (this.#sums.length <= index) this.#sums.push({ rows: 0, noise: 0, signal: 0 });
    const sums = this.#sums[index]!;
    sums.rows++;
    sums.signal += signal;
    sums.noise += noise;
  }

  #halve(): void {
    const before = this.#sums;
    this.together *= 2;
    this.#sums = [];
    for (let i = 0; i < before.length; i += 2) {
      const a = before[i]!;
      const b = before[i + 1] ?? { rows: 0, noise: 0, signal: 0 };
      this.#sums.push({
        rows: a.rows + b.rows,
        noise: a.noise + b.noise,
        signal: a.signal + b.signal,
      });
    }
  }

  points(width: number): StepError[] {
    return this.#sums.map(({ rows, noise, signal }, i) => ({
      step: i * this.together,
      rows,
      error: Math.sqrt(noise / Math.max(1, rows * width)),
      signal: Math.sqrt(signal / Math.max(1, rows * width)),
    }));
  }
}

/** Hits or squared differences of both models against labels. */
class LabelSums {
  labels = 0;
  float = 0;
  int8 = 0;
  /** Whether all labels so far are 0 or 1. */
  #yesNo = true;
  /** Hits for an output of one value, used if its labels turn out to be 0 and 1. */
  #floatHits = 0;
  #int8Hits = 0;

  /**
   * @param probability Whether the output's single value is a probability.
   */
  constructor(readonly width: number, readonly probability: boolean) {}

  add(label: number, float: Float32Array, int8: Float32Array, at: number): void {
    const { width } = this;
    if (width > 1) {
      if (label < 0) return;
      this.labels++;
      if (largestOf(float, at, width) === label) this.float++;
      if (largestOf(int8, at, width) === label) this.int8++;
      return;
    }
    this.labels++;
    if (label !== 0 && label !== 1) this.#yesNo = false;
    this.float += (float[at]! - label) ** 2;
    this.int8 += (int8[at]! - label) ** 2;
    if ((float[at]! >= YES) === (label === 1)) this.#floatHits++;
    if ((int8[at]! >= YES) === (label === 1)) this.#int8Hits++;
  }

  get comparison(): LabelComparison | null {
    const { labels, float, int8 } = this;
    if (labels === 0) return null;
    const share = (float: number, int8: number): LabelComparison => ({
      metric: "accuracy",
      labels,
      float: float / labels,
      int8: int8 / labels,
    });
    if (this.width > 1) return share(float, int8);
    if (this.#yesNo && this.probability) return share(this.#floatHits, this.#int8Hits);
    return {
      metric: "rmse",
      labels,
      float: Math.sqrt(float / labels),
      int8: Math.sqrt(int8 / labels),
    };
  }
}

/** Sums over one output of both models. */
export class OutputSums {
  readonly #port: OutputPort;
  readonly #noise = new Noise();
  readonly #overTime = new ErrorOverTime();
  readonly #labels: LabelSums;
  #rows = 0;
  #same = 0;
  #sum = 0;
  #max = 0;

  /**
   * @param probability Whether its single value is a probability.
   */
  constructor(port: OutputPort, probability: boolean) {
    this.#port = port;
    this.#labels = new LabelSums(port.size, probability);
  }

  /**
   * Adds a sequence.
   *
   * @param name The name of the labels in errors.
   */
  add(
    float: Float32Array,
    int8: Float32Array,
    { labels, padded }: Pick<Sequence, "labels" | "padded">,
    name: string,
  ): void {
    const { size: width, time } = this.#port;
    const rows = float.length / width;
    if (labels !== null) this.#checkLabels(labels, padded, rows, name);
    for (let row = 0; row < rows; row++) {
      const at = row * width;
      let signal = 0;
      let noise = 0;
      for (let i = at; i < at + width; i++) {
        const error = Math.abs(float[i]! - int8[i]!);
        signal += float[i]! ** 2;
        noise += error ** 2;
        this.#sum += error;
        this.#max = Math.max(this.#max, error);
      }
      this.#noise.signal += signal;
      this.#noise.noise += noise;
      if (largestOf(float, at, width) === largestOf(int8, at, width)) this.#same++;
      if (time) this.#overTime.add(row, signal, noise);
      if (labels !== null) this.#labels.add(labels[row]!, float, int8, at);
    }
    this.#rows += rows;
  }

  #checkLabels(labels: ArrayLike<number>, padded: boolean, rows: number, name: string): void {
    const { size: width } = this.#port;
    const enough = padded ? labels.length >= rows : labels.length === rows;
    if (!enough) failRange(name, `${rows} labels, one a row of the output`, labels.length);
    for (let i = 0; width > 1 && i < rows; i++) {
      const label = labels[i]!;
      if (!Number.isInteger(label) || label >= width) {
        failRange(name, `classes in 0..${width - 1}, or negative for none`, label);
      }
    }
  }

  /** The comparison so far. */
  get comparison(): OutputComparison {
    const { name, size: width, time } = this.#port;
    const rows = this.#rows;
    return {
      name,
      width,
      time,
      rows,
      sqnr: decibelsOf(this.#noise),
      maxError: this.#max,
      meanError: this.#sum / Math.max(1, rows * width),
      sameLargest: width > 1 ? this.#same / Math.max(1, rows) : null,
      labels: this.#labels.comparison,
      stepsTogether: this.#overTime.together,
      steps: this.#overTime.points(width),
    };
  }
}
