/**
 * Running Softmax: in float32 between dequantize and quantize, or in qnnpack's fixed point.
 *
 * @module
 */
import {
  softmaxFloat32,
  softmaxQuint8FixedPoint,
  softmaxTable,
} from "../../../kernels/ops/softmax.ts";
import type { NodeProgram, RunningKind } from "../kind.ts";
import { rowsModule } from "../rows.ts";

/** A softmax's numbers. */
export interface SoftmaxProgram extends NodeProgram {
  /** Tells modules apart. */
  readonly kind: "Softmax";
  /**
   * Whether it runs in qnnpack's fixed point, from quint8 to quint8 of scale 1/256 and zero point
   * 0.
   */
  readonly fixedPoint: boolean;
}

/**
 * How Softmax runs.
 *
 * @example
 * ```ts
 * import {
 *   compileModel,
 *   convert,
 *   getPreset,
 *   Linear,
 *   prepare,
 *   Sequential,
 *   Softmax,
 *   tensor,
 * } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { softmax } from "@splitgate/splitgate/runtime/softmax";
 * import { assertEquals } from "@std/assert";
 * const linear = new Linear({ inFeatures: 2, outFeatures: 4 });
 * const observed = prepare(new Sequential({ linear, last: new Softmax() }), getPreset("fbgemm"));
 * observed.forward(tensor([0.5, -1, 2, 0.25, 1, -0.5, 0.75, -2], [4, 1, 2]));
 * const program = loadProgram(compileModel(convert(observed)), { kinds: [softmax] });
 * assertEquals(program.inputSize, 2);
 * ```
 */
export const softmax: RunningKind<SoftmaxProgram> = {
  kind: "Softmax",
  instantiate(program) {
    const { fixedPoint, inputs, output: { size } } = program;
    if (!fixedPoint) return rowsModule(softmaxFloat32, program, true);
    const { scale, zeroPoint } = inputs[0]!.qparams!;
    const table = softmaxTable(scale, size);
    const row = new Uint8Array(size);
    return {
      infallible: true,
      process(_state, [x], out, { steps, batch }) {
        for (let at = 0; at < steps * batch * size; at += size) {
          for (let k = 0; k < size; k++) row[k] = x![at + k]! + zeroPoint;
          softmaxQuint8FixedPoint(table, row, row, size);
          for (let k = 0; k < size; k++) out[at + k] = row[k]!;
        }
      },
    };
  },
};
