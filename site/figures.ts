/**
 * Recorded figures for the page's first screen.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { PORTABLE, type Run } from "../bench/peers/report.ts";

/** A figure: what it is of, its value, and what it was measured by. */
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
  if (match === null) throw new Error(`bench/results/${file}: has nothing of ${pattern}`);
  return match;
}

/** The figures, as `bench/results` has them. */
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
  if (step === undefined) throw new Error(`bench/results/peers.json: has no ${PORTABLE} at 64`);
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
