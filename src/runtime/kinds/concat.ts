/**
 * Running Concat: rows side by side, integers in the output's parameters.
 *
 * @module
 */
import { dequantizeValue } from "../../../kernels/numeric/requantize.ts";
import type { RunningKind } from "../kind.ts";
import { quantizeCentered } from "../centered.ts";

/** How Concat runs. */
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
