import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  activateFloat32,
  activateInt8,
  activationTable,
  lookup,
  quantizedActivation,
  reluInt8,
} from "../../../kernels/numeric/activation.ts";
import { type Activation, floatFunction } from "../../../kernels/numeric/float_functions.ts";
import {
  anyActivation,
  anyFloat32,
  anyParameters,
  anyScale,
  integersOf,
  ladderInteger,
  NARROW,
  RANGES,
} from "../../../src/testing/numbers.ts";
import * as oracle from "../../../src/testing/rules.ts";
import { type KernelProperty, property } from "../property.ts";

export const ACTIVATION: readonly KernelProperty[] = [
  property(
    "quantizedActivation() follows the plain rule when input and output parameters are any",
    4000,
    () =>
      fc.property(
        anyActivation,
        anyScale,
        ladderInteger(-(2 ** 31), 2 ** 31 - 1),
        anyParameters(NARROW),
        (activation, scale, input, to) => {
          const x = oracle.dequantize(input, { scale, zeroPoint: 0 });
          const want = oracle.activation(activation, x, to) - to.zeroPoint;
          assertEquals(quantizedActivation(activation, scale, to)(input) + 0, want + 0);
        },
      ),
  ),
  property(
    "activateInt8() applies a table of any activation to a whole tensor, in place too",
    1000,
    () =>
      fc.property(
        anyActivation,
        anyParameters(NARROW).chain((from) => fc.tuple(fc.constant(from), integersOf(from, 9))),
        anyParameters(NARROW),
        (activation: Activation, [from, values], to) => {
          const x = from.range.make(values);
          const out = to.range.make(new Uint8Array(9));
          activateInt8(activationTable(activation, from, to), x, from.zeroPoint, out, to.zeroPoint);
          const want = values.map((q) =>
            oracle.activation(activation, oracle.dequantize(q, from), to)
          );
          assertEquals([...out], want);
          if (from.range !== to.range) return;
          activateInt8(activationTable(activation, from, to), x, from.zeroPoint, x, to.zeroPoint);
          assertEquals([...x], want);
        },
      ),
  ),
  property(
    "activateFloat32() is the float32 function of every value",
    100,
    () =>
      fc.property(anyActivation, fc.array(anyFloat32), (activation, values) => {
        const x = Float32Array.from(values);
        const out = new Float32Array(x.length);
        activateFloat32(activation, x, out);
        assertEquals(out, x.map(floatFunction(activation)));
      }),
  ),
  property(
    "reluInt8() is the larger of integer and zero point, which dequantizing, relu and quantizing give too",
    100,
    () =>
      fc.property(
        anyParameters(NARROW).chain((from) => fc.tuple(fc.constant(from), integersOf(from, 9))),
        ([from, values]) => {
          const out = from.range.make(new Uint8Array(9));
          reluInt8(from.range.make(values), from.zeroPoint, out);
          assertEquals([...out], values.map((q) => Math.max(q, from.zeroPoint)));
          assertEquals(
            [...out],
            values.map((q) => oracle.activation("relu", oracle.dequantize(q, from), from)),
          );
        },
      ),
  ),
  property(
    "lookup() gives quantizedActivation()'s outputs in every range, of tables that are kept or not",
    500,
    (met) =>
      fc.property(
        anyActivation,
        anyParameters(RANGES).chain((from) => fc.tuple(fc.constant(from), integersOf(from, 9))),
        anyParameters(RANGES),
        (activation, [from, values], to) => {
          const table = activationTable(activation, from, to);
          const compute = quantizedActivation(activation, from.scale, to);
          for (const q of [...values, ...values]) {
            const input = q - from.zeroPoint;
            assertEquals(lookup(table, input), compute(input));
          }
          met(table.size > 0 ? "tables" : "none");
        },
      ),
    { tables: 50, none: 50 },
  ),
];
