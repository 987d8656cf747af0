/**
 * The advice of a report: its figures explained in words.
 *
 * @module
 */
import type { Advice, Decibels, OutputComparison, ReportData, ReportPart } from "./data.ts";

/** Shares of saturated steps from which saturation is mentioned, and from which it is a fault. */
const SOME_SATURATED = 0.001;
const MANY_SATURATED = 0.01;

/**
 * Signal-to-noise ratios of an output below which results differ visibly, and above which all is
 * well.
 */
const POOR_DB = 15;
const GOOD_DB = 30;

/** Share of rows with the same largest value that counts as equal. */
const SAME_ENOUGH = 0.98;

/** Tolerated loss of the metric in int8. */
const METRIC_TOLERANCE = 0.005;

/** Signal-to-noise ratio, measured in the model, below which a part is named. */
const PART_DB = 20;

/** Max number of parts named for saturation, parts named for loss, and warnings; each. */
const MAX_NAMED = 4;

/** Tolerated ratio of the error in the last steps to that in the first steps. */
const GROWTH = 4;

/** The first and the last steps are one in `EDGE` of all steps each. */
const EDGE = 4;

/** Share of a range in use below which most integers are wasted. */
const USED_RANGE = 1 / 8;

/** Max range, quantMax - quantMin, of a part for which more bits are advised. */
const WIDE_RANGE = 255;

/** Names of parts in words. */
const WORDS: Readonly<Record<string, string>> = {
  fgate_cx_igate_cgate: "the cell state",
  ogate_cy: "the hidden state",
  proj: "the projected hidden state",
  igates: "the product of the input",
  hgates: "the product of the hidden state",
  gates: "the sum before the gates",
  input_gate: "the input gate",
  forget_gate: "the forget gate",
  cell_gate: "the cell gate",
  output_gate: "the output gate",
  tanh_cy: "the tanh of the cell state",
  fgate_cx: "the part of the cell state that is kept",
  igate_cgate: "the part of the cell state that is added",
  rgates: "the sum before the reset gate",
  zgates: "the sum before the update gate",
  ngates: "the sum before the new gate",
  reset_gate: "the reset gate",
  update_gate: "the update gate",
  new_gate: "the new gate",
  rgate_hx: "the hidden state after the reset gate",
  rgate_hgates: "the product of the hidden state after the reset gate",
  hx_ngate: "the change of the hidden state",
  zgate_hx_ngate: "the change of the hidden state after the update gate",
  hy: "the hidden state",
};

/** Formats a share in percent with as many digits as needed. */
export function percent(share: number): string {
  const value = 100 * share;
  if (value === 0 || value === 100) return `${value} %`;
  // Never shows 100 % for a share below 1.
  const digits = value < 1 ? 2 : value > 99 ? 2 : 1;
  const shown = Math.min(Number(value.toFixed(digits)), 99.99);
  return shown === 0 ? "< 0.01 %" : `${shown} %`;
}

/** Formats a count with thousands separators. */
export function countText(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Formats decibels. */
export function decibelText(value: Decibels): string {
  return typeof value === "number" ? `${value.toFixed(1)} dB` : value;
}

/** Describes a part: its name in words, and its module. */
export function partWords({ part, name, module }: Pick<ReportPart, "part" | "name" | "module">) {
  if (module === null || name === "input") return "the model's input";
  const words = part === null ? undefined : WORDS[part];
  return words === undefined ? `the value ${name}` : `${words} (${name})`;
}

function isNarrow({ quantMin, quantMax }: ReportPart): boolean {
  return quantMax - quantMin <= WIDE_RANGE;
}

/** What to do about a part that saturates. */
function saturationRemedy(part: ReportPart): string {
  return part.part !== null && isNarrow(part)
    ? "give it 16 bits (preset int8x16, or tune), or calibrate with data that covers its range"
    : "calibrate with data that covers the range of the data that the model will run on";
}

function saturationAdvice(parts: readonly ReportPart[]): Advice[] {
  const share = ({ saturatedRows, rows }: ReportPart) => rows === 0 ? 0 : saturatedRows / rows;
  return parts.filter((part) => share(part) >= SOME_SATURATED)
    .sort((a, b) => share(b) - share(a)).slice(0, MAX_NAMED)
    .map((part): Advice => ({
      level: share(part) >= MANY_SATURATED ? "fault" : "hint",
      name: part.name,
      text: `${partWords(part)} saturates in ${percent(share(part))} of steps: ${
        saturationRemedy(part)
      }`,
    }));
}

/** Names the parts with the largest loss, if an output loses too much. */
function lossAdvice(parts: readonly ReportPart[]): Advice[] {
  const loss = ({ sqnr }: ReportPart) => typeof sqnr === "number" ? sqnr : Infinity;
  return parts.filter((part) => loss(part) < PART_DB)
    .sort((a, b) => loss(a) - loss(b)).slice(0, MAX_NAMED)
    .map((part): Advice => ({
      level: "hint",
      name: part.name,
      text: `${partWords(part)} alone loses much (${decibelText(part.sqnr)} in ${
        bitsText(part)
      }): ${
        isNarrow(part)
          ? "give it 16 bits (preset int8x16, or tune)"
          : "look at its range in the histogram below"
      }`,
    }));
}

/** The share of a part's range that its values use. */
export function usedRange({ min, max, scale, quantMin, quantMax }: ReportPart): number {
  return (max - min) / (scale * (quantMax - quantMin));
}

/** Advice for 8-bit values that use a small share of their range. */
function rangeAdvice(parts: readonly ReportPart[]): Advice[] {
  return parts.filter((part) =>
    isNarrow(part) && part.values > 0 && usedRange(part) < USED_RANGE &&
    typeof part.sqnr === "number" && part.sqnr < GOOD_DB
  ).slice(0, MAX_NAMED).map((part): Advice => ({
    level: "hint",
    name: part.name,
    text:
      `${partWords(part)} takes ${percent(usedRange(part))} of its range in this data, so that ` +
      "most of its integers are never used: calibrate with data like that the model will run on, " +
      "or give it a HistogramObserver, which clips rare large values",
  }));
}

/** The root mean square of the error over several points. */
function meanError(steps: OutputComparison["steps"]): number {
  const rows = steps.reduce((sum, each) => sum + each.rows, 0);
  return Math.sqrt(steps.reduce((sum, { error, rows }) => sum + error ** 2 * rows, 0) / rows);
}

function growthAdvice({ name, steps, stepsTogether }: OutputComparison): Advice[] {
  const count = Math.floor(steps.length / EDGE);
  if (count < 2) return [];
  const first = meanError(steps.slice(0, count));
  const last = meanError(steps.slice(-count));
  if (!(first > 0 && last > GROWTH * first)) return [];
  const times = (last / first).toPrecision(2);
  return [{
    level: "hint",
    name,
    text: `the error of ${name} grows over time, to ${times} times that of the first ${
      count * stepsTogether
    } steps: give the cell state 16 bits (presets accurate and int8x16 do)`,
  }];
}

function outputAdvice(output: OutputComparison): Advice[] {
  const { name, sqnr, sameLargest, labels } = output;
  if (labels !== null) {
    const { metric, float, int8 } = labels;
    const worse = metric === "accuracy"
      ? float - int8 > METRIC_TOLERANCE
      : int8 > float * (1 + METRIC_TOLERANCE);
    const text = metric === "accuracy"
      ? `int8 is right in ${percent(int8)} of ${countText(labels.labels)} labels, float in ${
        percent(float)
      }`
      : `int8 is off by ${int8.toPrecision(4)} (root mean square), float by ${
        float.toPrecision(4)
      }`;
    return [{
      level: worse ? "fault" : "good",
      name,
      text: worse ? `${text}: see below which parts lose most, or take preset int8x16` : text,
    }];
  }
  if (sqnr === "exact") {
    return [{ level: "good", name, text: `${name}: int8 gives what float does` }];
  }
  const noisy = typeof sqnr !== "number" || sqnr < POOR_DB;
  if (sameLargest !== null) {
    const fault = sameLargest < SAME_ENOUGH;
    const text = `${name}: the largest value is the same in ${
      percent(sameLargest)
    } of ${output.rows} rows (${decibelText(sqnr)})`;
    return [{
      level: fault ? "fault" : "good",
      name,
      text: fault ? `${text}: see below which parts lose most, or take preset int8x16` : text,
    }];
  }
  return [{
    level: noisy ? "fault" : "good",
    name,
    text: `${name}: signal to noise ${decibelText(sqnr)}${
      noisy ? ": see below which parts lose most, or take preset int8x16" : ""
    }`,
  }];
}

/** The order of advice: most important first. */
const LEVELS = ["fault", "hint", "good"];

/**
 * Advice about a model, most important first.
 *
 * @example
 * ```ts
 * import { adviceOf } from "./advice.ts";
 * import { assertEquals } from "@std/assert";
 * const advice = adviceOf({ outputs: [], parts: null, speed: null, warnings: [] });
 * assertEquals(advice, []);
 * ```
 */
export function adviceOf(
  { outputs, parts, speed, warnings }: Pick<
    ReportData,
    "outputs" | "parts" | "speed" | "warnings"
  >,
): Advice[] {
  const own = outputs.map(outputAdvice);
  const found = own.flat();
  const poor = found.some(({ level }) => level === "fault") ||
    outputs.some(({ sqnr }) => typeof sqnr !== "number" ? sqnr !== "exact" : sqnr < GOOD_DB);
  if (parts !== null) {
    const own = parts.parts.filter(({ flatBeyond }) => !flatBeyond);
    found.push(...saturationAdvice(own));
    if (poor) {
      const lost = lossAdvice(own);
      found.push(...lost);
      const named = new Set(found.map(({ name }) => name));
      found.push(...rangeAdvice(own).filter(({ name }) => !named.has(name)));
    }
  }
  found.push(...outputs.flatMap(growthAdvice));
  found.push(
    ...warnings.slice(0, MAX_NAMED).map(({ name, message }): Advice => ({
      level: "hint",
      name,
      text: message,
    })),
  );
  const time = (way: string) => speed?.rows.find((row) => row.way === way)?.microsecondsPerStep;
  const [float, fastest] = [time("float"), time("simd") ?? time("int8")];
  if (float !== undefined && fastest !== undefined && fastest > float) {
    found.push({
      level: "hint",
      name: null,
      text: "int8 is not faster than float here: the model is small, or spends most of its time " +
        "outside of sessions; int8 saves memory and file size",
    });
  }
  return found.sort((a, b) => LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level));
}

/** Formats the number of bits of a part's integers. */
export function bitsText(
  { quantMin, quantMax }: Pick<ReportPart, "quantMin" | "quantMax">,
): string {
  return `${Math.ceil(Math.log2(quantMax - quantMin + 1))} bits`;
}
