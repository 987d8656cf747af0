/**
 * Recorded figures for the first screen of the page.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { PORTABLE, type Run } from "../bench/peers/report.ts";

/** A figure: its title, its value, and how it was measured. */
export interface Figure {
  readonly title: string;
  readonly value: string;
  readonly note: string;
}

function read(file: string): string {
  return Deno.readTextFileSync(
    fileURLToPath(new URL(`../bench/results/${file}`, import.meta.url)),
  );
}

/** The first match of a pattern in a recorded file. */
function found(file: string, pattern: RegExp): RegExpExecArray {
  const match = pattern.exec(read(file));
  if (match === null) throw new Error(`bench/results/${file}: nothing matches ${pattern}`);
  return match;
}

/** The figures recorded in `bench/results`. */
export function recordedFigures(): Figure[] {
  const { gzipped } = JSON.parse(read("size.json"))["./runtime"];
  const { rows } = JSON.parse(read("cold_start.json"));
  const { overBareMs } = rows.find((row: { program: string }) =>
    /SIMD, one file/.test(row.program)
  );
  const run: Run = JSON.parse(read("peers.json"));
  const step = run.rows.find(({ problem, peer, runtime, mode, size }) =>
    problem === "lstm" && peer === PORTABLE && runtime === "deno" &&
    mode === "stream" &&
    size === 64
  );
  if (step === undefined) {
    {
      throw new Error(`bench/results/peers.json: no result of ${PORTABLE} at 64`);
    }
  }
  const [, differ, ends] = found("accuracy.md", /^\| `accurate` \|[^(]*\((\d+) of (\d+)\)/m);
  return [
    {
      title: "The runtime",
      value: `${(gzipped / 1000).toFixed(1)} KB`,
      note: "gzipped, without dependencies",
    },
    {
      title: "From start to first answer",
      value: `${overBareMs} ms`,
      note: "beyond an empty program, in Deno",
    },
    {
      title: "A step of an LSTM of 64 units",
      value: `${step.microsPerStep.toFixed(1)} µs`,
      note: "in TypeScript, without SIMD",
    },
    {
      title: "Thai word ends that differ",
      value: `${differ} of ${ends}`,
      note: "int8 from float32, preset accurate",
    },
  ];
}
