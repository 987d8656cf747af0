/**
 * What a program needs beside `./runtime`, and where a worker imports it from.
 *
 * @module
 */
import type { QuantizedModel } from "../authoring/model.ts";
import * as conv from "../runtime/conv.ts";
import { add } from "../runtime/kinds/add.ts";
import { batchNorm1d } from "../runtime/kinds/batch_norm.ts";
import { concat } from "../runtime/kinds/concat.ts";
import { dynamicGRU } from "../runtime/kinds/dynamic_gru.ts";
import { dynamicLinear } from "../runtime/kinds/dynamic_linear.ts";
import { dynamicLSTM } from "../runtime/kinds/dynamic_lstm.ts";
import { gru } from "../runtime/kinds/gru.ts";
import { layerNorm } from "../runtime/kinds/layer_norm.ts";
import { logSoftmax } from "../runtime/kinds/log_softmax.ts";
import { softmax } from "../runtime/kinds/softmax.ts";
import { unitNorm } from "../runtime/kinds/unit_norm.ts";

/** What each entry point of running halves exports, by its path in the package. */
export const RUNNING_HALVES: Readonly<
  Record<string, Readonly<Record<string, { readonly kind: string }>>>
> = {
  "runtime/conv": conv,
  "runtime/dynamic": { dynamicGRU, dynamicLSTM, dynamicLinear },
  "runtime/gru": { gru },
  "runtime/joins": { add, concat },
  "runtime/norm": { batchNorm1d, layerNorm, unitNorm },
  "runtime/softmax": { logSoftmax, softmax },
};

/** A running half that a worker imports and gives to `loadProgram`. */
export interface RunningHalf {
  readonly name: string;
  /** The entry point that exports it, as `runtime/gru`. */
  readonly entry: string;
}

/** The running halves that a model's program needs beside those of `./runtime`. */
export function runningHalvesOf(model: QuantizedModel): RunningHalf[] {
  const kinds = new Set(model.lower().data.nodes.map(({ program }) => program.kind));
  return Object.entries(RUNNING_HALVES).flatMap(([entry, exported]) =>
    Object.entries(exported).flatMap(([name, { kind }]) => kinds.has(kind) ? [{ name, entry }] : [])
  );
}

/** The imports of running halves, a line each. */
export function importLines(halves: readonly RunningHalf[]): string[] {
  const entries = [...new Set(halves.map(({ entry }) => entry))];
  return entries.map((entry) => {
    const names = halves.filter((half) => half.entry === entry).map(({ name }) => name);
    return `import { ${names.join(", ")} } from "@splitgate/splitgate/${entry}";`;
  });
}

/** The arguments of `loadProgram` after a program's bytes. */
export function loadOptions(halves: readonly RunningHalf[]): string {
  return halves.length === 0 ? "" : `, { kinds: [${halves.map(({ name }) => name).join(", ")}] }`;
}

/** What a worker's author has to know of a program: what to import, and how to load it. */
export function importsText(halves: readonly RunningHalf[]): string {
  if (halves.length === 0) return "";
  const lines = [...importLines(halves), `loadProgram(bytes${loadOptions(halves)})`];
  return `it runs with\n${lines.map((line) => `  ${line}\n`).join("")}`;
}
