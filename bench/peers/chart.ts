/**
 * The results as an SVG chart.
 *
 * @module
 */
import { svgOf } from "../svg.ts";
import { OWN, type Row } from "./report.ts";

const RUNTIMES = [
  { name: "deno", color: "#2a6fbb", shape: "circle" },
  { name: "node", color: "#3a9440", shape: "square" },
  { name: "bun", color: "#d9720f", shape: "triangle-up" },
  { name: "python", color: "#7a5195", shape: "diamond" },
];

/** Fastest first, splitgate's own rows before all others. */
function order(rows: readonly Row[]): string[] {
  const fastest = new Map<string, number>();
  for (const { peer, mode, microsPerStep } of rows) {
    if (mode === "stream") {
      fastest.set(peer, Math.min(fastest.get(peer) ?? Infinity, microsPerStep));
    }
  }
  const own = (peer: string) => peer.startsWith(OWN) ? 0 : 1;
  return [...fastest.keys()].sort((a, b) => own(a) - own(b) || fastest.get(a)! - fastest.get(b)!);
}

/**
 * A dot for each peer and runtime: microseconds a step on a log axis, a panel for each mode and
 * size.
 */
export async function chart(rows: readonly Row[]): Promise<string> {
  const titles = { stream: "one step a call", sequence: "100 steps a call" };
  const present = RUNTIMES.filter(({ name }) => rows.some((row) => row.runtime === name));
  const domain = present.map(({ name }) => name);
  return await svgOf({
    title: {
      text: "Microseconds a step of one LSTM layer, batch 1, one thread (log scale)",
      anchor: "start",
    },
    data: { values: rows.map((row) => ({ ...row, mode: titles[row.mode] })) },
    facet: {
      row: { field: "mode", title: null, sort: Object.values(titles) },
      column: { field: "size", title: "input and hidden size" },
    },
    spec: {
      width: 170,
      height: { step: 17 },
      mark: { type: "point", filled: true, size: 45, opacity: 0.85 },
      encoding: {
        x: {
          field: "microsPerStep",
          type: "quantitative",
          title: null,
          scale: { type: "log" },
          axis: { format: "~g", values: [0.1, 1, 10, 100, 1000, 10000] },
        },
        y: {
          field: "peer",
          type: "nominal",
          title: null,
          sort: order(rows),
          axis: {
            labelFontWeight: {
              condition: { test: `indexof(datum.label, '${OWN}') === 0`, value: 700 },
              value: 400,
            },
          },
        },
        color: {
          field: "runtime",
          type: "nominal",
          scale: { domain, range: present.map((r) => r.color) },
        },
        shape: {
          field: "runtime",
          type: "nominal",
          scale: { domain, range: present.map((r) => r.shape) },
        },
      },
    },
    config: {
      axis: { labelLimit: 220, gridColor: "#e4e4e4" },
      legend: { title: null, orient: "top" },
    },
  });
}
