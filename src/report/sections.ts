/**
 * The sections of a report as pieces of HTML.
 *
 * @module
 */
import { bitsText, countText, decibelText, partWords, percent, usedRange } from "./advice.ts";
import { barChart, histogramChart, lineChart, type Range, short } from "./charts.ts";
import type { OutputComparison, ReportData, ReportNode, ReportPart, SpeedRow } from "./data.ts";
import { groupPicture, groupsOf, modelPicture } from "./graph_picture.ts";
import { figure, html, type Markup, table } from "./html.ts";

/**
 * A section of a report.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { measureReport, type ReportSection, reportSections } from "@splitgate/splitgate/report";
 * import { assert } from "@std/assert";
 * const model = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const data = [Float32Array.of(0.5, -1), Float32Array.of(1, 0.25)];
 * const report = await measureReport(model, await quantize(model, data), data, { speed: false });
 * const sections: readonly ReportSection[] = reportSections(report);
 * const contents = sections.map(({ id, title }) => `<a href="#report-${id}">${title}</a>`);
 * assert(contents.length > 3);
 * ```
 */
export interface ReportSection {
  /** Its name in links, such as `parts`. */
  readonly id: string;
  /** Its heading. */
  readonly title: string;
  /**
   * HTML of a `<section>` whose id is `report-` followed by {@linkcode ReportSection.id}, with all
   * values escaped. Style it with `REPORT_STYLE`, inside an element of the class
   * `splitgate-report`.
   */
  readonly html: string;
}

/** Number of parts whose histograms are shown first. */
const WORST = 6;

/** Max number of parts in the overview of losses. */
const MAX_BARS = 16;

/** Headings of the levels of advice. */
const LEVELS = { fault: "To fix", hint: "Worth a look", good: "Good" } as const;

const WAYS: Readonly<Record<SpeedRow["way"], string>> = {
  float: "float32",
  int8: "int8, portable",
  simd: "int8, SIMD",
};

/** Formats a number of bytes. */
function bytesText(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${short(bytes / 1000)} KB` : `${short(bytes / 1e6)} MB`;
}

const plural = (count: number, one: string) =>
  `${countText(count)} ${one}${count === 1 ? "" : "s"}`;

/** The range of real values that a part's integers cover. */
function rangeOf({ scale, zeroPoint, quantMin, quantMax }: ReportPart): Range {
  return { min: scale * (quantMin - zeroPoint), max: scale * (quantMax - zeroPoint) };
}

function adviceSection({ advice }: ReportData): Markup {
  return html`
    <ul class="advice">
    ${advice.map(({ level, text }) =>
      html`
        <li class="${Object.hasOwn(LEVELS, level) ? level : "hint"}"><b>${LEVELS[level] ??
          level}:</b> ${text}</li>
      `
    )}</ul>
  `;
}

function labelsText({ labels }: OutputComparison): string {
  if (labels === null) return "";
  const { metric, float, int8 } = labels;
  return metric === "accuracy"
    ? `correct: ${percent(float)} float, ${percent(int8)} int8`
    : `error ${short(float)} float, ${short(int8)} int8`;
}

function comparisonSection({ outputs, sequences, steps, measuredOn }: ReportData): Markup {
  const labelled = outputs.some(({ labels }) => labels !== null);
  return html`
    <p>Both models ran on ${plural(sequences, "sequence")} of ${measuredOn} data, ${plural(
      steps,
      "step",
    )} in all.</p>
    ${table<OutputComparison>("Results of int8 compared with float", [
      { title: "Output", value: ({ name }) => name },
      { title: "Rows", number: true, value: ({ rows }) => countText(rows) },
      ...labelled ? [{ title: "By labels", number: true, value: labelsText }] : [],
      {
        title: "Same largest value",
        number: true,
        value: ({ sameLargest }) => sameLargest === null ? "–" : percent(sameLargest),
      },
      { title: "Signal to noise", number: true, value: ({ sqnr }) => decibelText(sqnr) },
      { title: "Largest difference", number: true, value: ({ maxError }) => short(maxError) },
      { title: "Mean difference", number: true, value: ({ meanError }) => short(meanError) },
    ], outputs)}<p
      class="faint">The signal is the float model's output, and the noise is int8's
    difference from it: each 6 dB halve the error. From 30 dB on, differences rarely
    show in results.</p>
  `;
}

function timeFigure({ name, steps, stepsTogether }: OutputComparison): Markup {
  const signal = Math.sqrt(
    steps.reduce((sum, each) => sum + each.signal ** 2 * each.rows, 0) /
      Math.max(1, steps.reduce((sum, { rows }) => sum + rows, 0)),
  );
  const together = stepsTogether === 1 ? "" : `, averaged over ${stepsTogether} steps`;
  const highest = steps.reduce((a, b) => b.error > a.error ? b : a);
  const label = `Error of ${name} by step: at most ${
    short(highest.error)
  }, at step ${highest.step}`;
  return figure(
    lineChart(steps.map(({ step, error }) => ({ x: step, y: error })), "step", label),
    `${name}: root mean square of int8's difference from float by step${together}. The float ` +
      `model's values are ${short(signal)} by the same measure.`,
  );
}

function timeSection({ outputs }: ReportData): Markup {
  const own = outputs.filter(({ steps }) => steps.length > 1);
  return html`
    <div class="plots">${own.map(timeFigure)}</div>
  `;
}

/** The loss of a part alone, as a number to sort by. */
function lossOf({ sqnr }: ReportPart): number {
  return sqnr === "exact" ? Infinity : sqnr === "no signal" ? -Infinity : sqnr;
}

const saturatedShare = ({ rows, saturatedRows }: ReportPart) =>
  rows === 0 ? 0 : saturatedRows / rows;

function histogramFigure(part: ReportPart): Markup {
  const { name, min, max, values } = part;
  const range = rangeOf(part);
  const label = `Histogram of ${name}: values from ${short(min)} to ${
    short(max)
  }, integers stand for ${short(range.min)} to ${short(range.max)}`;
  const beyond = part.saturated === 0
    ? "none lies beyond its range"
    : `${countText(part.saturated)} lie beyond its range`;
  const saturated = part.flatBeyond
    ? `${beyond}, where the functions that read it are flat`
    : beyond;
  return figure(
    histogramChart(part.histogram, range, label),
    `${partWords(part)}, ${bitsText(part)}, ${decibelText(part.sqnr)}: ${
      countText(values)
    } values, ${saturated}.`,
  );
}

const PART_COLUMNS = [
  { title: "Value", value: ({ name }: ReportPart) => name },
  { title: "Integers", number: true, value: (part: ReportPart) => bitsText(part) },
  { title: "SQNR alone", number: true, value: ({ sqnr }: ReportPart) => decibelText(sqnr) },
  {
    title: "In the model",
    number: true,
    value: ({ sqnrInModel }: ReportPart) => sqnrInModel === null ? "–" : decibelText(sqnrInModel),
  },
  {
    title: "Steps saturated",
    number: true,
    value: (part: ReportPart) => part.saturatedRows === 0 ? "0" : percent(saturatedShare(part)),
  },
  {
    title: "Values",
    number: true,
    value: ({ min, max }: ReportPart) => `${short(min)} to ${short(max)}`,
  },
  {
    title: "Range",
    number: true,
    value: (part: ReportPart) => `${short(rangeOf(part).min)} to ${short(rangeOf(part).max)}`,
  },
  {
    title: "Range used",
    number: true,
    value: (part: ReportPart) => percent(Math.min(1, usedRange(part))),
  },
] as const;

function partsSection({ parts: measured }: ReportData): Markup {
  if (measured === null) {
    return html`
      <p>A dynamic module finds its parameters anew for each step: there are no ranges to
      draw, and nothing saturates.</p>
    `;
  }
  const { parts, sequences, steps } = measured;
  const sorted = parts.filter(({ values, flatBeyond }) => values > 0 && !flatBeyond).sort((a, b) =>
    lossOf(a) - lossOf(b)
  );
  const worst = [
    ...sorted.slice(0, WORST),
    ...sorted.slice(WORST).filter((part) => part.saturatedRows > 0)
      .sort((a, b) => saturatedShare(b) - saturatedShare(a)).slice(0, WORST >> 1),
  ];
  const bars = sorted.filter(({ sqnr }) => typeof sqnr === "number").slice(0, MAX_BARS);
  const modules = new Map<string, ReportPart[]>();
  for (const part of parts) {
    const key = part.module ?? "";
    modules.set(key, [...modules.get(key) ?? [], part]);
  }
  return html`<p>Measured on the first ${plural(sequences, "sequence")}, ${
    plural(steps, "step")
  }, in the
reference graph. SQNR alone is the loss from rounding only this value; in the model, it includes
the loss of all values before it. A step is saturated if a value lies outside of the range by more
than one integer.</p>
${
    bars.length > 0 && figure(
      barChart(
        bars.map((part) => ({
          name: part.name,
          value: part.sqnr as number,
          text: decibelText(part.sqnr),
          marked: part.saturatedRows > 0,
        })),
        `Signal to noise of the ${bars.length} values that lose most`,
      ),
      `Signal to noise of the ${bars.length} values that lose most, each alone: ` +
        "shorter bars lose more. Strong colours mark values that saturate.",
    )
  }
<h3>Ranges over values</h3>
<p>The green area between dashed lines is the range of the integers; values outside are clamped.
Heights are square roots of counts.</p>
<div class="plots">
${worst.map(histogramFigure)}</div>
<h3>All values by module</h3>
${
    [...modules].map(([name, own]) =>
      html`
        <details><summary>${name === "" ? "input and outputs" : name}: ${plural(
          own.length,
          "value",
        )}</summary>
        ${table(
          `What each value of ${name === "" ? "the model" : name} loses`,
          PART_COLUMNS,
          own,
        )}<div class="plots">
        ${own.filter((part) => part.values > 0 && !worst.includes(part)).map(
          histogramFigure,
        )}</div></details>
      `
    )
  }`;
}

function sizeSection({ sizes }: ReportData): Markup {
  const rows = [
    { name: "float model", bytes: sizes.float, what: "safetensors, float32" },
    {
      name: "int8 model",
      bytes: sizes.model,
      what: "safetensors, int8, for editing and reloading",
    },
    { name: "program", bytes: sizes.program, what: "loaded by ./runtime" },
  ];
  const share = (bytes: number) => percent(bytes / sizes.float);
  return html`${
    figure(
      barChart(
        rows.map(({ name, bytes }) => ({ name, value: bytes, text: bytesText(bytes) })),
        rows.map(({ name, bytes }) => `${name}: ${bytesText(bytes)}`).join(", "),
      ),
      "Bytes of each file, before a server compresses it.",
    )
  }${
    table("Files", [
      { title: "File", value: ({ name }) => name },
      { title: "Holds", value: ({ what }) => what },
      { title: "Bytes", number: true, value: ({ bytes }) => countText(bytes) },
      { title: "Of float", number: true, value: ({ bytes }) => share(bytes) },
    ], rows)
  }`;
}

function speedSection({ speed }: ReportData): Markup {
  if (speed === null) {
    return html`
      <p>Not measured.</p>
    `;
  }
  const { rows, steps, engine } = speed;
  const float = rows.find(({ way }) => way === "float")?.microsecondsPerStep;
  const name = ({ way }: SpeedRow) => WAYS[way] ?? way;
  const time = ({ microsecondsPerStep }: SpeedRow) => `${short(microsecondsPerStep)} µs`;
  return html`<p>One sequence of ${plural(steps, "step")}, where this report was made${
    engine === "" ? "" : ` (${engine})`
  }: the median of some runs, taken in turns.</p>
${
    figure(
      barChart(
        rows.map((row) => ({ name: name(row), value: row.microsecondsPerStep, text: time(row) })),
        rows.map((row) => `${name(row)}: ${time(row)} a step`).join(", "),
      ),
      "Microseconds a step: the shorter, the faster.",
    )
  }${
    table<SpeedRow>("Time a step", [
      { title: "Model", value: name },
      { title: "A step", number: true, value: time },
      {
        title: "Against float",
        number: true,
        value: ({ microsecondsPerStep }) =>
          float === undefined ? "–" : `${short(float / microsecondsPerStep)} times as fast`,
      },
    ], rows)
  }`;
}

function warningsSection({ warnings }: ReportData): Markup {
  if (warnings.length === 0) {
    return html`
      <p>None: no value was constant in the calibration data, and none has outliers that leave
      the other values too few integers.</p>
    `;
  }
  return table("Problems of calibration data", [
    { title: "Value", value: ({ name }) => name },
    { title: "Problem", value: ({ problem }) => problem },
    { title: "What to do", value: ({ message }) => message },
  ], warnings);
}

function nodeTable(name: string, nodes: readonly ReportNode[]): Markup {
  return table<ReportNode>(`Nodes of ${name}`, [
    { title: "Node", value: (node) => node.name },
    { title: "Computes", value: ({ op }) => op },
    { title: "Reads", value: ({ inputs }) => inputs.join(", ") },
    { title: "Gives", value: ({ dtype, width }) => `${dtype}, ${width} wide` },
    { title: "Scale", number: true, value: ({ scale }) => scale === undefined ? "" : short(scale) },
    { title: "Zero point", number: true, value: ({ zeroPoint }) => zeroPoint ?? "" },
  ], nodes);
}

function graphSection(data: ReportData): Markup {
  const { graph } = data;
  const whole = modelPicture(data);
  return html`${
    whole === null
      ? html`
        <p>Too many modules for a picture.</p>
      `
      : figure(whole, "The modules of the model. The output of green ones is quantized.")
  }${
    graph === null
      ? html`
        <p>A dynamic module has no reference graph.</p>
      `
      : html`<p>The reference graph computes in float32 between a dequantize
and a quantize, like PyTorch's reference modules; the int8 model returns the same results. Open a
module to see its nodes. Dashed arrows lead to the next step; dashed frames are nodes
of other modules.</p>
${
        groupsOf(graph).map((group) =>
          html`
            <details><summary>${group.name}: ${plural(group.nodes.length, "node")}</summary>
            ${groupPicture(group) ?? html`
              <p>Too many nodes for a picture.</p>
            `}${nodeTable(group.name, group.nodes)}</details>
          `
        )
      }`
  }`;
}

/** The most important figures of a report. */
export function summary(
  { outputs, sizes, speed, parts, warnings, measuredOn }: ReportData,
): Markup {
  const [first] = outputs;
  const time = (way: SpeedRow["way"]) =>
    speed?.rows.find((row) => row.way === way)?.microsecondsPerStep;
  const [float, fastest] = [time("float"), time("simd") ?? time("int8")];
  const saturated = parts?.parts.filter((part) => part.saturatedRows > 0 && !part.flatBeyond)
    .length;
  const figures: (readonly [string, string])[] = [];
  if (first !== undefined) {
    const { labels, sameLargest, sqnr } = first;
    if (labels !== null) {
      const { metric, float, int8 } = labels;
      figures.push(
        metric === "accuracy"
          ? [percent(int8), `correct in int8; float ${percent(float)}`]
          : [short(int8), `error in int8; float ${short(float)}`],
      );
    }
    if (sameLargest !== null) {
      figures.push([percent(sameLargest), "of rows with the same largest value"]);
    }
    figures.push([decibelText(sqnr), "signal to noise of the output"]);
  }
  figures.push([
    percent(sizes.model / sizes.float),
    `of the float file (${bytesText(sizes.model)})`,
  ]);
  if (float !== undefined && fastest !== undefined) {
    figures.push([`${short(float / fastest)} ×`, "the float model's speed here"]);
  }
  if (saturated !== undefined) {
    figures.push([countText(saturated), "inner values that saturate"]);
  }
  if (warnings.length > 0) figures.push([countText(warnings.length), "warnings of calibration"]);
  return html`
    <ul class="figures">
    ${figures.map(([value, what]) =>
      html`
        <li><strong>${value}</strong> ${what}</li>
      `
    )}</ul>
    ${measuredOn === "calibration" && html`
      <p>Measured on the calibration data, which gives results that are too
      good: separate test data tells more.</p>
    `}
  `;
}

const SECTIONS: readonly {
  readonly id: string;
  readonly title: string;
  readonly make: (data: ReportData) => Markup;
  /** Whether the section has anything to show; always by default. */
  readonly shown?: (data: ReportData) => boolean;
}[] = [
  {
    id: "advice",
    title: "What to do",
    make: adviceSection,
    shown: ({ advice }) => advice.length > 0,
  },
  { id: "comparison", title: "Float compared with int8", make: comparisonSection },
  {
    id: "time",
    title: "Error over time",
    make: timeSection,
    shown: ({ outputs }) => outputs.some(({ steps }) => steps.length > 1),
  },
  { id: "parts", title: "Where accuracy is lost", make: partsSection },
  { id: "sizes", title: "Sizes", make: sizeSection },
  { id: "speed", title: "Speed", make: speedSection },
  { id: "warnings", title: "Warnings of calibration", make: warningsSection },
  { id: "graph", title: "The reference graph", make: graphSection },
];

/**
 * The sections of a report as separate pieces, for a page of your own.
 *
 * @param data The result of `measureReport`, or the same from JSON.
 * @throws {TypeError} If `data` is not report data.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { measureReport, REPORT_STYLE, reportSections } from "@splitgate/splitgate/report";
 * import { assert } from "@std/assert";
 * const model = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const data = [Float32Array.of(0.5, -1), Float32Array.of(1, 0.25)];
 * const report = await measureReport(model, await quantize(model, data), data, { speed: false });
 * const sizes = reportSections(report).find(({ id }) => id === "sizes")!;
 * const page = `<style>${REPORT_STYLE}</style><div class="splitgate-report">${sizes.html}</div>`;
 * assert(page.includes("<h2>Sizes</h2>"));
 * ```
 */
export function reportSections(data: ReportData): ReportSection[] {
  return SECTIONS.filter(({ shown }) => shown === undefined || shown(data)).map((
    { id, title, make },
  ) => ({
    id,
    title,
    html: html`
      <section id="report-${id}"><h2>${title}</h2>
      ${make(data)}</section>
    `.text,
  }));
}
