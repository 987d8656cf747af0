/**
 * Plots as SVG, with scales and shapes of d3. They take colours from the page's style, light or
 * dark, by classes.
 *
 * @module
 */
// @ts-types="npm:@types/d3-scale@4.0.9"
import { scaleBand, scaleLinear, scaleSqrt } from "d3-scale";
// @ts-types="npm:@types/d3-shape@3.2.0"
import { area, curveStepAfter, line } from "d3-shape";
import type { Histogram } from "../tune/histogram.ts";
import { html, type Markup, pathData } from "./html.ts";

/** Units of the picture; a page draws one wider or narrower than a pixel. */
const WIDTH = 400;
const HEIGHT = 170;
const MARGIN = { top: 10, right: 14, bottom: 34, left: 46 };

/** Height of a bar with the space below it, and the width that its name takes. */
const BAR = 24;
const NAME = 120;

/** Characters of a bar's name that fit beside it. */
const NAME_CHARACTERS = 18;

/** Ticks of an axis, about so many. */
const TICKS = 4;

/** A number as short as a reader needs it. */
export function short(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

function svg(height: number, label: string, inside: readonly Markup[], width = WIDTH): Markup {
  return html`<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}">${[
    ...inside,
  ]}</svg>`;
}

/** Coordinates with a tenth of a unit: more would not be seen. */
function at(value: number): string {
  return String(Math.round(10 * value) / 10);
}

function path(name: string, d: string | null): Markup {
  return html`
    <path class="${name}" d="${pathData(d)}" />
  `;
}

/** An axis along the bottom, with the name of what it measures. */
function xAxis(
  scale: { (value: number): number; ticks(count: number): number[] },
  bottom: number,
  name: string,
): Markup[] {
  return [
    ...scale.ticks(TICKS).map((tick) =>
      html`
        <g class="tick">
          <line x1="${at(scale(tick))}" x2="${at(scale(tick))}" y1="${at(bottom)}" y2="${at(
            bottom + 4,
          )}" />
          <text x="${at(scale(tick))}" y="${at(bottom + 15)}" text-anchor="middle">${short(
            tick,
          )}</text>
        </g>
      `
    ),
    html`<text class="axis" x="${at((MARGIN.left + WIDTH - MARGIN.right) / 2)}" y="${
      at(bottom + 30)
    }" text-anchor="middle">${name}</text>`,
  ];
}

/** Lines across, with the numbers to the left. */
function yAxis(scale: { (value: number): number; ticks(count: number): number[] }): Markup[] {
  return scale.ticks(TICKS).map((tick) =>
    html`
      <g class="tick">
        <line class="grid" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${at(
          scale(tick),
        )}" y2="${at(scale(tick))}" />
        <text x="${MARGIN.left - 6}" y="${at(scale(tick) + 4)}" text-anchor="end">${short(
          tick,
        )}</text>
      </g>
    `
  );
}

/** A range of values that integers stand for. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/**
 * A histogram over the range that integers stand for: heights are square roots, so that a few
 * values beyond the range can be seen.
 */
export function histogramChart(
  { start, width, counts }: Histogram,
  range: Range,
  label: string,
): Markup {
  const bottom = HEIGHT - MARGIN.bottom;
  const end = start + width * counts.length;
  const x = scaleLinear()
    .domain([Math.min(start, range.min), Math.max(end, range.max)])
    .range([MARGIN.left, WIDTH - MARGIN.right]);
  const y = scaleSqrt().domain([0, Math.max(1, ...counts)]).range([bottom, MARGIN.top]);
  const bars = area<number>().x((_, i) => x(start + i * width)).y0(bottom).y1((count) => y(count))
    .curve(curveStepAfter).digits(1);
  const ends = [range.min, range.max].map((value) =>
    html`
      <line class="limit" x1="${at(x(value))}" x2="${at(x(value))}" y1="${MARGIN.top}" y2="${at(
        bottom,
      )}" />
    `
  );
  return svg(HEIGHT, label, [
    html`
      <rect class="range" x="${at(x(range.min))}" y="${MARGIN.top}" width="${at(
        x(range.max) - x(range.min),
      )}" height="${at(bottom - MARGIN.top)}" />
    `,
    ...yAxis(y),
    // The last bin ends where another would begin.
    path("bars", bars([...counts, 0])),
    ...ends,
    ...xAxis(x, bottom, "value"),
  ]);
}

/** A point of a line. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A line with the area below it. */
export function lineChart(points: readonly Point[], xName: string, label: string): Markup {
  const bottom = HEIGHT - MARGIN.bottom;
  const last = points[points.length - 1]?.x ?? 0;
  const x = scaleLinear().domain([points[0]?.x ?? 0, Math.max(1, last)])
    .range([MARGIN.left, WIDTH - MARGIN.right]);
  const highest = Math.max(0, ...points.map(({ y }) => y));
  const y = scaleLinear().domain([0, highest === 0 ? 1 : highest]).nice(TICKS)
    .range([bottom, MARGIN.top]);
  const below = area<Point>().x((point) => x(point.x)).y0(bottom).y1((point) => y(point.y))
    .digits(1);
  const along = line<Point>().x((point) => x(point.x)).y((point) => y(point.y)).digits(1);
  return svg(HEIGHT, label, [
    ...yAxis(y),
    path("below", below([...points])),
    path("line", along([...points])),
    ...xAxis(x, bottom, xName),
  ]);
}

/** A bar. */
export interface Bar {
  readonly name: string;
  readonly value: number;
  /** The value in words, behind the bar. */
  readonly text: string;
  /** Whether it is to be seen first. */
  readonly marked?: boolean;
}

/** Bars along the page, each with its name and its value. */
export function barChart(bars: readonly Bar[], label: string): Markup {
  const height = bars.length * BAR + 4;
  const highest = Math.max(0, ...bars.map(({ value }) => value));
  // Room for the text behind the longest bar.
  const x = scaleLinear().domain([0, highest === 0 ? 1 : highest]).range([NAME, WIDTH - 96]);
  const y = scaleBand<number>().domain(bars.map((_, i) => i)).range([2, height - 2]).padding(0.25);
  return svg(
    height,
    label,
    bars.map(({ name, value, text, marked }, i) => {
      const top = y(i)!;
      const middle = at(top + y.bandwidth() / 2 + 4);
      const kept = name.length > NAME_CHARACTERS ? `…${name.slice(1 - NAME_CHARACTERS)}` : name;
      return html`
        <g class="bar${marked === true && " marked"}">
          <title>${name}: ${text}</title>
          <text x="${NAME - 6}" y="${middle}" text-anchor="end">${kept}</text>
          <rect x="${NAME}" y="${at(top)}" width="${at(
            Math.max(1, x(Math.max(0, value)) - NAME),
          )}" height="${at(y.bandwidth())}" />
          <text x="${at(x(Math.max(0, value)) + 5)}" y="${middle}">${text}</text>
        </g>
      `;
    }),
  );
}
