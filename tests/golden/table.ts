/**
 * The exactness table, made from what a run compared.
 *
 * @module
 */
import type { Count, Family, Tally } from "./check.ts";
import type { Outcome } from "./runner.ts";

const count = (value: number): string => value.toLocaleString("en-US");

function families(counts: Map<Family, Count>): string {
  return counts.has("either")
    ? "fbgemm, qnnpack (no difference)"
    : [...counts.keys()].sort().join(", ");
}

function compared(counts: Map<Family, Count>): string {
  const each = [...counts].sort(([a], [b]) => a < b ? -1 : 1);
  return each.length === 1
    ? count(each[0]![1].compared)
    : each.map(([family, { compared }]) => `${family} ${count(compared)}`).join(", ");
}

function result(counts: Map<Family, Count>): string {
  let compared = 0;
  let differing = 0;
  for (const each of counts.values()) {
    compared += each.compared;
    differing += each.differing;
  }
  return differing === 0
    ? "all equal"
    : `${count(compared - differing)} equal, ${
      count(differing)
    } differ: [listed](../tests/golden/allowlist.ts)`;
}

/** Markdown: one row an operation. */
export function exactnessTable({ tally }: Outcome): string {
  const lines = [
    "| operation | torch function | families | values compared | result |",
    "|---|---|---|---|---|",
  ];
  for (const [{ operation, torch }, counts] of tally.rows) {
    lines.push(
      `| ${operation} | ${torch} | ${families(counts)} | ${compared(counts)} | ${result(counts)} |`,
    );
  }
  lines.push(`| **together** | | | **${count(tally.compared)}** | |`);
  return [...lines, ...notes(tally).map((note) => `\n${note}`)].join("\n");
}

/** What was measured where equality is not claimed, a sentence each. */
export function notes(tally: Tally): string[] {
  const equal = [...tally.notes].map(([subject, { count: all, unequal, largest }]) => {
    const share = (100 * unequal / all).toFixed(3);
    return `${subject}: ${count(unequal)} of ${count(all)} differ (${share} %), by at most ${
      Number(largest.toPrecision(3))
    }.`;
  });
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const closer = [...tally.closer].map(([subject, { torch, here }]) =>
    `${subject}: mean error against the float LSTM ${mean(torch).toPrecision(3)} in torch, ${
      mean(here).toPrecision(3)
    } here, closer in ${
      here.filter((error, i) => error < torch[i]!).length
    } of ${here.length} cases.`
  );
  return [...equal, ...closer];
}
