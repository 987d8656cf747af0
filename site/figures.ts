/**
 * Recorded figures for the page's first screen.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

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
  const { microsPerStep } = JSON.parse(read("peers.json")).find((row: Record<string, unknown>) =>
    row.peer === "splitgate portable" && row.mode === "stream" && row.size === 64
  );
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
      value: `${microsPerStep.toFixed(1)} µs`,
      note: "in TypeScript, without SIMD",
    },
    {
      title: "Thai word ends that differ",
      value: `${differ} of ${ends}`,
      note: "int8 from float32, preset accurate",
    },
  ];
}
