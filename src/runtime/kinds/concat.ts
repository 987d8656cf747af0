/**
 * Running Concat: rows side by side, integers in the output's parameters.
 *
 * @module
 */
import { dequantizeValue } from "../../../kernels/numeric/requantize.ts";
import type { RunningKind } from "../kind.ts";
import { quantizeCentered } from "../centered.ts";

/**
 * How Concat runs.
 *
 * @example
 * ```ts
 * import {
 *   compileModel,
 *   Concat,
 *   convert,
 *   getPreset,
 *   Graph,
 *   Linear,
 *   prepare,
 *   tensor,
 * } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { concat } from "@splitgate/splitgate/runtime/joins";
 * import { assertEquals } from "@std/assert";
 * const graph = new Graph({
 *   a: { module: new Linear({ inFeatures: 2, outFeatures: 3 }), inputs: "input" },
 *   b: { module: new Linear({ inFeatures: 2, outFeatures: 3 }), inputs: "input" },
 *   both: { module: new Concat(), inputs: ["a", "b"] },
 * });
 * const observed = prepare(graph, getPreset("fbgemm"));
 * observed.forward(tensor([0.5, -1, 2, 0.25], [2, 1, 2]));
 * const program = loadProgram(compileModel(convert(observed)), { kinds: [concat] });
 * assertEquals(program.inputSize, 2);
 * ```
 */
export const concat: RunningKind = {
  kind: "Concat",
  instantiate: ({ inputs, output }) => ({
    infallible: true,
    process(_state, given, out, { steps, batch }) {
      for (let i = 0, column = 0; i < inputs.length; i++) {
        const { size, qparams } = inputs[i]!;
        const x = given[i]!;
        for (let row = 0; row < steps * batch; row++) {
          const at = row * output.size + column;
          for (let k = 0; k < size; k++) {
            const value = x[row * size + k]!;
            out[at + k] = qparams === null ? value : dequantizeValue(value, qparams.scale, 0);
          }
          if (output.qparams !== null) quantizeCentered(out, at, out, at, size, output.qparams);
        }
        column += size;
      }
    },
  }),
};
