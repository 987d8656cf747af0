/**
 * Running Flatten: the steps of a whole sequence side by side in one row.
 *
 * @module
 */
import { failRange } from "../../core/errors.ts";
import type { NodeProgram, RunningKind } from "../kind.ts";

/** The program of a Flatten. */
export interface FlattenProgram extends NodeProgram {
  /** Tells modules apart. */
  readonly kind: "Flatten";
  /** Steps of every sequence. */
  readonly steps: number;
  /** Whether values are ordered by step, then channel; otherwise by channel, then step. */
  readonly stepsFirst: boolean;
}

/**
 * How Flatten runs.
 *
 * @example
 * ```ts
 * import {
 *   compileModel,
 *   convert,
 *   getPreset,
 *   Flatten,
 *   Linear,
 *   prepare,
 *   Sequential,
 *   tensor,
 * } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { flatten } from "@splitgate/splitgate/runtime/conv";
 * import { assertEquals } from "@std/assert";
 * const linear = new Linear({ inFeatures: 2, outFeatures: 4 });
 * const observed = prepare(new Sequential({ linear, last: new Flatten({ steps: 4 }) }), getPreset("fbgemm"));
 * observed.forward(tensor([0.5, -1, 2, 0.25, 1, -0.5, 0.75, -2], [4, 1, 2]));
 * const program = loadProgram(compileModel(convert(observed)), { kinds: [flatten] });
 * assertEquals(program.inputSize, 2);
 * ```
 */
export const flatten: RunningKind<FlattenProgram> = {
  kind: "Flatten",
  instantiate: ({ steps, stepsFirst, inputs }) => ({
    process(_state, [x], out, call) {
      const { size } = inputs[0]!;
      const { batch, lengths } = call;
      for (let row = 0; row < batch; row++) {
        const own = lengths === null ? call.steps : lengths[row]!;
        if (own !== steps) {
          const at = lengths === null ? "steps that Flatten reads" : `steps of row ${row}`;
          failRange(at, `${steps}, as Flatten has`, own);
        }
        for (let t = 0; t < steps; t++) {
          for (let i = 0; i < size; i++) {
            const column = stepsFirst ? t * size + i : i * steps + t;
            out[row * steps * size + column] = x![(t * batch + row) * size + i]!;
          }
        }
      }
    },
  }),
};
