/**
 * Cuts a file of references down to what tests need: the first rows of each tensor.
 *
 *     deno run --allow-read --allow-write scripts/cut_references.ts IN OUT [--rows 16]
 *         [--calibration 64]
 *
 * @module
 */
import { parseSafetensors, writeSafetensors } from "@splitgate/splitgate/safetensors";
import { readArguments } from "./arguments.ts";

const { values, positionals } = readArguments(
  "deno run --allow-read --allow-write scripts/cut_references.ts IN OUT [--rows N] [--calibration N]",
  {
    rows: { type: "string", default: "16" },
    calibration: { type: "string", default: "64" },
  },
  2,
);
const [from, to] = positionals as [string, string];
const { tensors, metadata } = parseSafetensors(await Deno.readFile(from));
const cut = [...tensors].map(([name, { data, shape }]) => {
  const rows = Math.min(
    Number(name === "x_calibration" ? values.calibration : values.rows),
    shape[0]!,
  );
  const length = data.length / shape[0]! * rows;
  return [name, { data: data.slice(0, length), shape: [rows, ...shape.slice(1)] }] as const;
});
await Deno.writeFile(to, writeSafetensors(cut, metadata));
