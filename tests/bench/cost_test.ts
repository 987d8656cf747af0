import { assert, assertAlmostEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { chart, type CostLine } from "../../bench/cost.ts";
import { fitLine } from "../../bench/fit.ts";

Deno.test("fitLine() finds the line that points lie on", () => {
  const coefficient = fc.double({ min: -100, max: 100, noNaN: true }).filter((x) =>
    Math.abs(x) > 0.01
  );
  fc.assert(
    fc.property(
      coefficient,
      coefficient,
      fc.uniqueArray(fc.integer({ min: -50, max: 50 }), { minLength: 2, maxLength: 20 }),
      (slope, intercept, xs) => {
        const line = fitLine(xs.map((x) => ({ x, y: intercept + slope * x })));
        assertAlmostEquals(line.slope, slope, 1e-8);
        assertAlmostEquals(line.intercept, intercept, 1e-8);
        assertAlmostEquals(line.rSquared, 1, 1e-8);
      },
    ),
  );
});

Deno.test("fitLine() gives what no other line betters, and how far a point lies from it", () => {
  // By hand: means 2 and 4, slope 3/2; residuals 1/2, -1, 1/2.
  const line = fitLine([{ x: 1, y: 3 }, { x: 2, y: 3 }, { x: 3, y: 6 }]);
  assertAlmostEquals(line.slope, 1.5);
  assertAlmostEquals(line.intercept, 1);
  assertAlmostEquals(line.rSquared, 1 - 1.5 / 6);
  assertAlmostEquals(line.largestDeviation, 1 / 3);
});

Deno.test("chart() draws a panel for each thing that varies, with its axes' units", async () => {
  const line = (panel: string, kernels: string): CostLine => ({
    panel,
    kernels,
    xTitle: `x of ${panel}`,
    yTitle: "microseconds",
    points: [1, 2].map((x) => ({ x, y: 2 * x, input: 1, hidden: 1 })),
    ...fitLine([{ x: 1, y: 2 }, { x: 2, y: 4 }]),
  });
  const svg = await chart([
    line("first", "portable"),
    line("first", "simd"),
    line("second", "portable"),
  ]);
  for (
    const text of [
      "first",
      "second",
      "x of first",
      "x of second",
      "microseconds",
      "portable",
      "simd",
    ]
  ) {
    assertStringIncludes(svg, `>${text}</text>`);
  }
  assert(svg.startsWith("<svg"));
});
