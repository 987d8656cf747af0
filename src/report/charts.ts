/**
 * Plots as SVG, with scales and shapes of d3. Their colours come from classes in the page's style,
 * light or dark.
 *
 * @module
 */
// @ts-types="npm:@types/d3-scale@4.0.9"
import { scaleBand, scaleLinear, scaleSqrt } from "d3-scale";
// @ts-types="npm:@types/d3-shape@3.2.0"
import { area, curveStepAfter, line } from "d3-shape";
import type { Histogram } from "../tune/histogram.ts";
import { html, type Markup, pathData } from "./html.ts";

/** Size in SVG units; a page scales the picture to its width. */
const WIDTH = 400;
const HEIGHT = 170;
const MARGIN = { top: 10, right: 14, bottom: 34, left: 46 };

/** Height of a bar including the space below it, and width of its label. */
const BAR = 24;
const NAME = 120;

/** Max characters of a bar's label. */
const NAME_CHARACTERS = 18;

/** Approximate number of ticks of an axis. */
const TICKS = 4;

/** Formats a number briefly. */
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

/** Formats a coordinate with one decimal; more would be invisible. */
function at(value: number): string {
  return String(Math.round(10 * value) / 10);
}

function path(name: string, d: string | null): Markup {
  return html`
    <path class="${name}" d="${pathData(d)}" />
  `;
}

/** A horizontal axis at the bottom, with its title. */
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

/** Horizontal grid lines, with their values on the left. */
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

/** The range of real values that the integers cover. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/**
 * A histogram with the range that the integers cover. Bars show square roots, so that a few values
 * outside the range are visible.
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
    // The last bin ends where the next one would begin.
    path("bars", bars([...counts, 0])),
    ...ends,
    ...xAxis(x, bottom, "value"),
  ]);
}

/** A data point. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A line chart with the area below the line filled. */
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
  /** The value in words, shown after the bar. */
  readonly text: string;
  /** Whether to highlight the bar. */
  readonly marked?: boolean;
}

/** Horizontal bars, each with its label and value. */
export function barChart(bars: readonly Bar[], label: string): Markup {
  const height = bars.length * BAR + 4;
  const highest = Math.max(0, ...bars.map(({ value }) => value));
  // Space for the text after the longest bar.
  const x = scaleLinear().domain([0, highest === 0 ? 1 : highest]).range([NAME, WIDTH - 96]);
  const y = scaleBand<number>().domain(bars.map((_, i) => i)).range([2, height - 2]).padding(0.25);
  return svg(
    height,
    label,
    bars.map(({ name, value, text, marked }, i) => {
      const top = y(i)!;
      const middle = at(top + y.bandwidth() / 2 + 4);
      const label = name.length > NAME_CHARACTERS ? `…${name.slice(1 - NAME_CHARACTERS)}` : name;
      return html`
        <g class="bar${marked === true && " marked"}">
          <title>${name}: ${text}</title>
          <text x="${NAME - 6}" y="${middle}" text-anchor="end">${label}</text>
          <rect x="${NAME}" y="${at(top)}" width="${at(
            Math.max(1, x(Math.max(0, value)) - NAME),
          )}" height="${at(y.bandwidth())}" />
          <text x="${at(x(Math.max(0, value)) + 5)}" y="${middle}">${text}</text>
        </g>
      `;
    }),
  );
}
