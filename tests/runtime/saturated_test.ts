import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { simdKernels } from "../../src/simd/load.ts";
import { type Bits, lstmCases } from "../../src/testing/quantized_lstms.ts";
import { generator } from "../../src/testing/random.ts";
import { modelOf } from "../../src/testing/quantized_models.ts";

const kernels = await simdKernels();

Deno.test("session.saturated counts the reals whose integer lies beyond the input's range, of rows that are run", () => {
  let counted = 0;
  fc.assert(
    fc.property(
      lstmCases(fc.constant<Bits>(8), fc.constantFrom<Bits>(7, 8, 14, 16)),
      fc.integer({ min: 1, max: 5 }),
      fc.boolean(),
      fc.boolean(),
      (c, steps, padded, simd) => {
        const model = modelOf({ ...c, engine: "fbgemm" }, "none", false);
        const { scale, zeroPoint, quantMin, quantMax } = model.input!;
        const random = generator(c.seed);
        const { batch, inputSize, batchFirst } = c;
        const x = Float32Array.from(
          { length: steps * batch * inputSize },
          () =>
            random(0, 1) < 0.5
              ? random(-4, 4)
              // Beside an end, half-way to the next integer among them.
              : (quantMax - zeroPoint + Math.round(random(-2, 4)) / 2) * scale,
        );
        const lengths = padded
          ? Array.from({ length: batch }, () => Math.floor(random(0, steps + 1)))
          : undefined;
        let expected = 0;
        for (let t = 0; t < steps; t++) {
          for (let b = 0; b < batch; b++) {
            for (let k = 0; k < inputSize; k++) {
              if (lengths !== undefined && t >= lengths[b]!) continue;
              const at = (batchFirst ? b * steps + t : t * batch + b) * inputSize + k;
              const product = Math.fround(x[at]! * Math.fround(1 / Math.fround(scale)));
              const floor = Math.floor(product);
              const part = product - floor;
              const up = part > 0.5 || (part === 0.5 && floor % 2 !== 0);
              const q = floor + (up ? 1 : 0) + zeroPoint;
              if (q < quantMin || q > quantMax) expected++;
            }
          }
        }
        const options = { batch, maxSteps: 8, ...simd && { kernels } };
        const [session, other] = [model.createSession(options), model.createSession(options)];
        const [out, same] = [0, 0].map(() => new Float32Array(steps * batch * model.outputSize));
        session.run(x, out!, lengths);
        assertEquals(session.saturated, 0);
        session.countSaturated();
        if (!model.looksAhead) session.reset();
        session.run(x, out!, lengths);
        other.run(x, same!, lengths);
        assertEquals(out, same);
        assertEquals(session.saturated, expected);
        assertThrows(() => session.run(x, out!, [steps + 1, ...Array(batch - 1).fill(0)]));
        assertEquals(session.saturated, expected);
        session.countSaturated();
        assertEquals(session.saturated, 0);
        counted += expected;
      },
    ),
    { numRuns: 150 },
  );
  assert(counted > 500, `${counted}`);
});

Deno.test("session.saturated counts a step's input also where its output takes that place, and no step that fails", () => {
  const [c] = fc.sample(lstmCases(fc.constant<Bits>(8), fc.constant<Bits>(8), false), 1);
  const sizes = { inputSize: 3, hiddenSize: 3, batch: 1, bidirectional: false };
  const model = modelOf({ ...c!, ...sizes, engine: "fbgemm" }, "none", false);
  const session = model.createSession();
  session.countSaturated();
  const x = Float32Array.of(1e6, -1e6, 0);
  session.step(x, x);
  assertEquals(session.saturated, 2);
  assertThrows(() => session.step(Float32Array.of(1e6, NaN, 0), x), RangeError);
  assertEquals(session.saturated, 2);
});
