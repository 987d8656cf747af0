import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { convert } from "../../src/authoring/convert.ts";
import { prepare } from "../../src/authoring/prepare.ts";
import { reportParts } from "../../src/tune/report.ts";
import { tune } from "../../src/tune/tune.ts";
import { tensor } from "../../src/core/tensor.ts";
import { Linear } from "../../src/modules/linear/float.ts";
import { LSTM } from "../../src/modules/lstm/float.ts";
import { Sequential } from "../../src/modules/graph.ts";
import { getPreset } from "../../src/qconfig/presets.ts";
import { convertToReference } from "../../src/reference/reference.ts";
import { floatsOf } from "../../src/testing/random.ts";

const BATCH = 3;
const STEPS = 6;

/** Lengths that are others at every read but the first. */
function changing(lengths: readonly number[]): number[] {
  const reads = lengths.map(() => 0);
  return lengths.reduce(
    (out, n, b) =>
      Object.defineProperty(out, b, {
        enumerable: true,
        get: () => (n + 2 * reads[b]!++) % STEPS + 1,
      }),
    [] as number[],
  );
}

Deno.test("lengths are read once wherever they are taken: observers, references, integers, reports, tune", () => {
  const lengths = fc.array(fc.integer({ min: 0, max: STEPS - 1 }), {
    minLength: BATCH,
    maxLength: BATCH,
  });
  let differ = 0;
  fc.assert(
    fc.property(lengths, fc.nat(), fc.boolean(), (given, seed, batchFirst) => {
      const model = new Sequential({
        lstm: new LSTM({ inputSize: 2, hiddenSize: 3, batchFirst, seed }),
        out: new Linear({ inFeatures: 3, outFeatures: 2, seed }),
      });
      const shape = batchFirst ? [BATCH, STEPS, 2] : [STEPS, BATCH, 2];
      // Steps are of rising size, so that each length has a range of its own.
      const data = floatsOf(seed, shape, 1).data.map((v, i) => {
        const row = Math.floor(i / 2);
        return v * 2 ** (batchFirst ? row % STEPS : Math.floor(row / BATCH));
      });
      const x = tensor(data, shape);
      const run = (lengthsOf: () => ArrayLike<number>): unknown => {
        const observed = prepare(model, getPreset("fbgemm"));
        const y = observed.forward(x, { lengths: lengthsOf() });
        const converted = convert(observed);
        const lstm = converted.modules.get("lstm") as unknown as {
          forward(x: unknown, state: undefined, options: object): unknown;
        };
        return [
          y,
          converted.fingerprint,
          lstm.forward(x, undefined, { lengths: lengthsOf() }),
          convertToReference(observed).run(x, { lengths: lengthsOf() }).output,
          reportParts(observed, [{ x, lengths: lengthsOf() }]),
          tune(model, [{ x, lengths: lengthsOf() }], { budget: 5 }),
        ].map((value) => JSON.stringify(value, (_, v) => typeof v === "function" ? null : v));
      };
      const fixed = given.map((n) => n % STEPS + 1);
      const want = run(() => fixed);
      assertEquals(run(() => changing(given)), want);
      if (JSON.stringify(run(() => fixed.map((n) => n % STEPS + 1))) !== JSON.stringify(want)) {
        differ++;
      }
    }),
    { numRuns: 15 },
  );
  assert(differ > 10, `${differ}`);
});

Deno.test("tune() takes inputs that come one after the other in the same array", () => {
  const lstm = new LSTM({ inputSize: 2, hiddenSize: 3, seed: 4 });
  const inputs = [1, 2, 3].map((seed) => floatsOf(seed, [7, 1, 2], seed).data);
  const apart = tune(lstm, inputs.map((data) => tensor(data, [7, 1, 2])), { budget: 20 });
  const again = tune(
    lstm,
    function* () {
      const data = new Float32Array(14);
      for (const input of inputs) {
        data.set(input);
        yield tensor(data, [7, 1, 2]);
      }
    }(),
    { budget: 20 },
  );
  assertEquals(again.outputSqnr, apart.outputSqnr);
  assertEquals(again.parts, apart.parts);
});
