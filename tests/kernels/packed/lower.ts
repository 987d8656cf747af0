/** Weights as the packed cells and Linear take them. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { linearInt8 } from "../../../kernels/ops/linear.ts";
import { lowerProjection, rowOrder } from "../../../kernels/packed/lower.ts";
import { anyParameters, NARROW } from "../../../src/testing/numbers.ts";
import { type KernelProperty, property } from "../property.ts";

export const LOWER: readonly KernelProperty[] = [
  property(
    "lowerProjection() refuses scales that float32 cannot rescale, and names the channel",
    500,
    (met) =>
      fc.property(
        anyParameters(NARROW),
        anyParameters(NARROW),
        fc.integer({ min: -140, max: 100 }).map((k) => 2 ** k),
        fc.constantFrom("fbgemm" as const, "qnnpack" as const),
        (from, to, weightScale, engine) => {
          const weight = {
            data: Int8Array.of(1),
            outFeatures: 1,
            inFeatures: 1,
            perChannel: false,
            scales: Float32Array.of(weightScale),
            zeroPoints: Int32Array.of(0),
          };
          const lower = () =>
            lowerProjection({ engine, weight, bias: null, order: rowOrder(1) }, from, [to]);
          const scale = Math.fround(from.scale * weightScale);
          const multiplier = Math.fround(scale / Math.fround(to.scale));
          if (Math.fround(1 / scale) < Infinity && multiplier < Infinity) {
            assert(lower().multiplier[0]! >= 0);
            // What it is lowered to is what the plain kernel multiplies with.
            const out = to.range.make([0]);
            const x = { data: from.range.make([from.zeroPoint]), qparams: from };
            linearInt8(engine, x, { weight, bias: null }, { data: out, qparams: to });
            assertEquals(out[0], Math.min(Math.max(to.zeroPoint, to.quantMin), to.quantMax));
            met("lowered");
          } else {
            assertThrows(lower, RangeError, "weight.scales[0]: expected one that suits");
            met("refused");
          }
        },
      ),
    { lowered: 20, refused: 20 },
  ),
];
