import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  embeddingBiases,
  embeddingRow,
  quantizeEmbeddingRow,
} from "../../../kernels/ops/embedding.ts";
import { quantizePerChannel } from "../../../kernels/numeric/quantize.ts";
import { anyFloat32, nudge, uniformFloat32 } from "../../../src/testing/numbers.ts";
import { exact, nearestEven } from "../../../src/testing/exact.ts";
import { add32, div32, fma32, mul32 } from "../../../src/testing/rules.ts";
import { type KernelProperty, property } from "../property.ts";

const f = Math.fround;

/**
 * Rows of 1, 3, 7, 13 or 33 values: close together, apart, equal, tiny, or on a grid that makes
 * ties.
 */
const rows = fc.constantFrom(1, 3, 7, 13, 33).chain((dim) => {
  const list = <T>(value: fc.Arbitrary<T>) => fc.array(value, { minLength: dim, maxLength: dim });
  const float = uniformFloat32;
  const row = fc.oneof(
    list(float(-1, 1)),
    list(float(-1e-9, 1e-9)),
    list(anyFloat32.map((x) => x / 4).map(f)),
    float(-9, 9).map((x) => new Array<number>(dim).fill(x)),
    fc.tuple(list(fc.integer({ min: 0, max: 510 })), fc.integer({ min: -6, max: 6 }))
      .map(([ints, k]) => ints.map((n, i) => (i === 0 ? 0 : i === 1 ? 510 : n) * 2 ** k)),
    // Each value but the ends next to half-way between two integers, at a range that is no round
    // number.
    fc.tuple(
      float(-2, 2),
      float(0, 4),
      list(fc.tuple(fc.integer({ min: 0, max: 254 }), fc.integer({ min: -3, max: 3 }))),
    )
      .map(([min, span, picks]) => {
        const max = f(min + span);
        const inverse = f(255 / f(f(max - min) + f(1e-8)));
        return picks.map(([n, k], i) =>
          i === 0 ? min : i === 1 ? max : nudge(f(min + (n + 0.5) / inverse) || 1, k)
        )
          .map((x) => Math.min(Math.max(x, min), max));
      }),
    fc.tuple(float(-2, 2), list(fc.integer({ min: -2, max: 2 }))).map(([x, steps]) =>
      steps.map((s) => nudge(x, s))
    ),
  );
  return fc.array(row, { minLength: 1, maxLength: 3 }).map((r) => ({ dim, rows: r }));
});

export const EMBEDDING: readonly KernelProperty[] = [
  property(
    "quantizeEmbeddingRow() follows torch's embedding_bag_byte_prepack step by step, in 8 and 16 bits",
    2000,
    (met) =>
      fc.property(rows, fc.boolean(), ({ dim, rows }, wide) => {
        const x = Float32Array.from(rows.flat());
        const count = rows.length;
        const weight = new (wide ? Uint16Array : Uint8Array)(x.length);
        const quantMax = wide ? 65535 : 255;
        const scales = new Float32Array(count);
        const biases = new Float32Array(count);
        const table = { weight, scales, biases, embeddingDim: dim };
        for (let row = 0; row < count; row++) {
          quantizeEmbeddingRow(x, row, table);
          const own = x.slice(row * dim, (row + 1) * dim);
          const min = Math.min(...own);
          const max = Math.max(...own);
          const range = add32(max, -min);
          const inverse = div32(quantMax, add32(range, f(1e-8)));
          assertEquals([scales[row]! + 0, biases[row]! + 0], [div32(range, quantMax), min + 0]);
          own.forEach((v, k) => {
            const steps = mul32(add32(v, -min), inverse);
            if (steps % 1 === 0.5) met("ties");
            assertEquals(weight[row * dim + k], Number(nearestEven(exact(steps))));
          });
          if (range > (wide ? 2e-3 : 1e-5)) {
            assertEquals(Math.max(...weight.slice(row * dim, (row + 1) * dim)), quantMax);
          }
        }
      }),
    { ties: 100 },
  ),
  property("embeddingRow() rounds each value once", 500, (met) => {
    const any = uniformFloat32(-8, 8);
    const positive = uniformFloat32(0, 1);
    return fc.property(
      fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 26, maxLength: 26 }),
      positive,
      any,
      (q, scale, bias) => {
        const out = new Float32Array(13);
        const table = {
          weight: Uint8Array.from(q),
          scales: Float32Array.of(1, scale),
          biases: Float32Array.of(0, bias),
          embeddingDim: 13,
        };
        embeddingRow(table, 1, out, 0);
        q.slice(13).forEach((n, k) => {
          assertEquals(out[k]! + 0, fma32(n, scale, bias));
          if (out[k]! + 0 !== add32(mul32(n, scale), bias)) met("fused");
        });
      },
    );
  }, { fused: 100 }),
  property(
    "embeddingRow() gives back every value of a quantized row to within half a step and rounding",
    500,
    () =>
      fc.property(rows, ({ dim, rows }) => {
        const x = Float32Array.from(rows[0]!);
        const weight = new Uint8Array(dim);
        const y = new Float32Array(dim);
        const scales = new Float32Array(1);
        const table = { weight, scales, biases: new Float32Array(1), embeddingDim: dim };
        quantizeEmbeddingRow(x, 0, table);
        embeddingRow(table, 0, y, 0);
        const largest = Math.max(...x.map(Math.abs));
        const range = scales[0]! * 255;
        // 1e-8 in the denominator costs up to 1e-8 of the row's range; float32 rounds a few times.
        x.forEach((v, k) => {
          assert(
            Math.abs(y[k]! - v) <= 0.501 * scales[0]! + 1.01e-8 + (largest + range) * 2 ** -22,
          );
        });
      }),
  ),
  property("embeddingBiases() is minus the zero point times the scale, rounded once", 100, () => {
    const any = uniformFloat32(-1000, 1000);
    return fc.property(fc.array(fc.tuple(any, any), { maxLength: 13 }), (pairs) => {
      const scales = Float32Array.from(pairs, ([s]) => s);
      const points = Float32Array.from(pairs, ([, z]) => z);
      assertEquals(
        [...embeddingBiases(scales, points)].map((b) => b + 0),
        pairs.map(([s, z]) => mul32(-z, s)),
      );
    });
  }),
  property(
    "embeddingBiases() with float zero points gives back quantized rows as embeddingRow() reads them",
    500,
    () =>
      fc.property(rows.filter(({ dim }) => dim > 1), ({ dim, rows }) => {
        const x = Float32Array.from(rows[0]!);
        const min = Math.min(...x);
        const range = f(Math.max(...x) - min);
        if (!(range > 1e-3 && range < 1e30 && Math.abs(min) < 1e3 * range)) return;
        const scales = Float32Array.of(range / 255);
        const points = Float32Array.of(-min / scales[0]!);
        const weight = new Uint8Array(dim);
        const y = new Float32Array(dim);
        const to = { scales, zeroPoints: points, quantMin: 0, quantMax: 255 };
        quantizePerChannel(x, weight, to, dim);
        const biases = embeddingBiases(scales, points);
        embeddingRow({ weight, scales, biases, embeddingDim: dim }, 0, y, 0);
        const error = 0.502 * scales[0]! + (Math.abs(min) + range) * 2 ** -21;
        x.forEach((v, k) => assert(Math.abs(y[k]! - v) <= error, `${v} ${y[k]}`));
      }),
  ),
];
