/**
 * What became of a model, in figures.
 *
 * @module
 */
/// <reference lib="dom" />
import { bytesText, counted, h } from "./dom.ts";
import type { Made, ShownPart } from "./workers/workbench.ts";

const decibels = (sqnr: number | null) =>
  sqnr === null || sqnr === Infinity ? "exact" : `${sqnr.toFixed(1)} dB`;

const percent = (share: number) => `${(100 * share).toFixed(2)} %`;

const micros = (value: number | null) => value === null ? "not here" : `${value.toFixed(2)} µs`;

function figure(title: string, value: string, note: string): HTMLElement {
  return h("div", {}, h("dt", {}, title), h("dd", {}, value, h("small", {}, note)));
}

function partRow(part: ShownPart): HTMLElement {
  const short = (value: number) => Number(value.toPrecision(3)).toString();
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, part.name),
    h("td", {}, part.dtype),
    h("td", {}, `${short(part.rangeMin)} … ${short(part.rangeMax)}`),
    h("td", {}, `${short(part.min)} … ${short(part.max)}`),
    h("td", {}, percent(part.saturated / Math.max(1, part.values))),
    h("td", {}, decibels(part.sqnr)),
  );
}

/** Figures of what was made. */
export function showReport(made: Made): HTMLElement {
  const { bytes, speed, outputs, accuracy, parts, warnings, measuredOn, sequences, steps } = made;
  const [first] = outputs;
  const headers = [
    "Part",
    "Integers",
    "Their range",
    "Values seen",
    "Saturated",
    "Signal to noise",
  ];
  return h(
    "div",
    {},
    h(
      "p",
      {},
      `Float beside int8 on ${measuredOn} data: ${counted(sequences, "sequence")}, ${
        counted(steps, "step")
      }.`,
    ),
    h(
      "dl",
      { class: "figures" },
      ...outputs.map((output) =>
        figure(
          `Signal to noise, ${output.name}`,
          decibels(output.sqnr),
          `largest difference ${output.maxDifference.toPrecision(2)}`,
        )
      ),
      first!.sameLargest === null ? null : figure(
        "Same answer",
        percent(first!.sameLargest),
        "rows whose largest value is the same one",
      ),
      accuracy === null
        ? null
        : figure("Right", percent(accuracy.int8), `float ${percent(accuracy.float)}`),
      figure("Program", bytesText(bytes.program), `float model ${bytesText(bytes.float)}`),
      figure("A step, portable", micros(speed.portable), `float ${micros(speed.float)}, here`),
      figure("A step, SIMD", micros(speed.simd), "the same bytes"),
    ),
    warnings.length === 0
      ? null
      : h("ul", { class: "notes" }, ...warnings.map((each) => h("li", {}, each))),
    parts.length === 0 ? null : h(
      "details",
      {},
      h("summary", {}, "What each part loses"),
      h(
        "div",
        { class: "scroll", tabindex: 0, role: "region", "aria-label": "Parts" },
        h(
          "table",
          {},
          h("caption", { class: "hidden" }, "Parts"),
          h("thead", {}, h("tr", {}, ...headers.map((text) => h("th", { scope: "col" }, text)))),
          h("tbody", {}, ...[...parts].sort((a, b) => a.sqnr - b.sqnr).map(partRow)),
        ),
      ),
    ),
  );
}
