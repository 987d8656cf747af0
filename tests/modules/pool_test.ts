import { assert } from "@std/assert";
import fc from "fast-check";
import type { QuantizedModule } from "../../src/authoring/model.ts";
import type { PerTensorQParams } from "../../src/core/qparams.ts";
import type { Window } from "../../kernels/ops/window.ts";
import { qparamsOf } from "../../src/testing/quantized_lstms.ts";
import { generator } from "../../src/testing/random.ts";
import {
  assertWindow,
  positionsOf,
  type RowOracle,
  runCases,
  windowCases,
  windowOfCase,
} from "./windows.ts";

const f = Math.fround;

const sizes = fc.constantFrom(1, 2, 4, 5, 9);

/** The values of a window by channel, those of padding left out, and how many steps it covers. */
function covered(x: readonly (readonly number[])[], window: Window, start: number) {
  const steps: (readonly number[])[] = [];
  for (let tap = 0; tap < window.kernelSize; tap++) {
    const row = x[start + tap * window.dilation];
    if (row !== undefined) steps.push(row);
  }
  const end = Math.min(start + window.kernelSize, x.length + window.right);
  return { steps, padded: end - start };
}

function poolData(
  kind: string,
  size: number,
  qparams: PerTensorQParams | null,
  window: Window,
  batchFirst: boolean,
  details: Record<string, unknown> = {},
): QuantizedModule {
  return { kind, size, qparams, window, batchFirst, details } as QuantizedModule;
}

Deno.test("MaxPool1d gives the largest of each window, each row alone: in every form, whole and in chunks", () => {
  let streams = 0;
  fc.assert(
    fc.property(runCases, windowCases, sizes, (run, given, size) => {
      const window = windowOfCase(given, generator(run.seed));
      const { left, right, dilation, stride } = window;
      // What a window could find nothing but padding in is refused when it is made.
      fc.pre(dilation === 1 || left + right === 0 || given.padding === "causal" && stride === 1);
      fc.pre(window.kernelSize > 1 || left + right === 0);
      const qparams = qparamsOf(run.input, 3, generator(run.seed));
      const oracle: RowOracle = (x) =>
        positionsOf(window, x.length).map((start) => {
          const { steps } = covered(x, window, start);
          return Array.from({ length: size }, (_, i) => Math.max(...steps.map((row) => row[i]!)));
        });
      if (given.padding === "causal" && stride === 1 && !window.ceilMode) streams++;
      const data = poolData("MaxPool1d", size, qparams, window, run.batchFirst);
      assertWindow(run, data, window, oracle);
    }),
    { numRuns: 200 },
  );
  // About 20 are drawn.
  assert(streams > 4);
});

Deno.test("AvgPool1d gives the mean of each window as torch rounds it, each row alone: in every form, whole and in chunks", () => {
  const seen = { streams: 0, qnnpack: 0, uncounted: 0 };
  fc.assert(
    fc.property(
      runCases,
      windowCases,
      sizes,
      fc.constantFrom<"fbgemm" | "qnnpack">("fbgemm", "qnnpack"),
      fc.boolean(),
      (run, given, size, engine, countIncludePad) => {
        const window = windowOfCase({ ...given, dilation: 1 }, generator(run.seed));
        const { kernelSize, stride } = window;
        const q = qparamsOf(run.input, 3, generator(run.seed));
        const oracle: RowOracle = (x) =>
          positionsOf(window, x.length).map((start) => {
            const { steps, padded } = covered(x, window, start);
            const count = countIncludePad ? padded : steps.length;
            return Array.from({ length: size }, (_, i) => {
              const sum = steps.reduce((all, row) => all + row[i]! - (q?.zeroPoint ?? 0), 0);
              if (q === null) return f(sum / count);
              const own = engine === "qnnpack" && q.dtype === "quint8" && count === kernelSize &&
                kernelSize > 1;
              if (own) seen.qnnpack++;
              const scale = f(q.scale);
              const factor = f(own ? scale / f(scale * kernelSize) : 1 / count);
              const value = f(f(sum) * factor);
              const rounded = Math.round(value);
              const even = Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
              return Math.min(Math.max(even + q.zeroPoint, q.quantMin), q.quantMax);
            });
          });
        if (given.padding === "causal" && stride === 1 && countIncludePad) seen.streams++;
        if (!countIncludePad) seen.uncounted++;
        const details = { countIncludePad, engine };
        const data = poolData("AvgPool1d", size, q, window, run.batchFirst, details);
        assertWindow(run, data, window, oracle);
      },
    ),
    { numRuns: 300 },
  );
  // About 30 are drawn of the rarest.
  assert(Math.min(...Object.values(seen)) > 10, JSON.stringify(seen));
});

Deno.test("ZeroPad1d puts real zeros before and behind each row, in every form", () => {
  fc.assert(
    fc.property(runCases, sizes, fc.nat(3), fc.nat(3), (run, size, left, right) => {
      const window = { kernelSize: 1, stride: 1, dilation: 1, left, right, ceilMode: false };
      const qparams = qparamsOf(run.input, 3, generator(run.seed));
      const zeros = () => new Array<number>(size).fill(qparams?.zeroPoint ?? 0);
      const oracle: RowOracle = (x) => [
        ...Array.from({ length: left }, zeros),
        ...x,
        ...Array.from({ length: right }, zeros),
      ];
      const data = poolData("ZeroPad1d", size, qparams, window, run.batchFirst);
      assertWindow(run, data, window, oracle);
    }),
    { numRuns: 60 },
  );
});
