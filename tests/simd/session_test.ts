import { QuantizedEmbedding } from "../../src/modules/embedding/quantized.ts";
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Backend } from "../../src/runtime/kind.ts";
import type { QArray } from "../../src/core/dtype.ts";
import { newQArray } from "../../src/core/dtype.ts";
import { QuantizedModel, type QuantizedModule } from "../../src/authoring/model.ts";
import type { Session } from "../../src/runtime/session.ts";
import { simdKernels } from "../../src/simd/load.ts";
import { type Bits, type LSTMCase, lstmCases, lstmOf } from "../../src/testing/quantized_lstms.ts";
import { floatsOf, generator } from "../../src/testing/random.ts";
import { inputFor } from "../../src/testing/values.ts";
import { backends, symmetric } from "./backends.ts";

const kernels = await simdKernels();
const bits = fc.constantFrom<Bits>(7, 8, 14);
const cases = lstmCases(bits, bits, false).map((c): LSTMCase => ({
  ...c,
  bidirectional: false,
  batchFirst: false,
  engine: "fbgemm",
}));

function modelOf(c: LSTMCase): QuantizedModel {
  return new QuantizedModel(new Map<string, QuantizedModule>([["lstm", lstmOf(c)]]));
}

/** `steps` steps of random input, in integers. */
function inputOf(c: LSTMCase, model: QuantizedModel, steps: number): QArray {
  return inputFor(model, c.seed + 5, steps * c.batch, { integers: true }) as QArray;
}

function outputOf(c: LSTMCase, { output, outputSize }: QuantizedModel, steps: number): QArray {
  return newQArray(output!.dtype, steps * c.batch * outputSize);
}

Deno.test("A session's state moves between SIMD and portable kernels at any step, and its bytes are the same", () => {
  fc.assert(
    fc.property(cases, fc.nat(8), (c, change) => {
      const model = modelOf(c);
      const steps = 9;
      const x = inputOf(c, model, steps);
      const width = c.batch * model.inputSize;
      const portable = model.createSession({ batch: c.batch });
      let simd: Session = model.createSession({ batch: c.batch, kernels });
      for (let t = 0; t < steps; t++) {
        if (t === change) {
          const state = simd.state();
          assertEquals(state, portable.state());
          // SIMD goes on in new memory from the portable kernels' state, and they from its.
          simd = model.createSession({ batch: c.batch, kernels });
          simd.restore(portable.state());
          portable.restore(state);
        }
        const row = x.slice(t * width, (t + 1) * width);
        const y = outputOf(c, model, 1);
        const expected = outputOf(c, model, 1);
        simd.step(row, y);
        portable.step(row, expected);
        assertEquals(y, expected);
      }
      assertEquals(simd.state(), portable.state());
    }),
    { numRuns: 100 },
  );
});

Deno.test("Session.run() with SIMD kernels gives the same however a sequence is cut", () => {
  fc.assert(
    fc.property(
      cases,
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 4 }),
      (c, cuts) => {
        const model = modelOf(c);
        const steps = cuts.reduce((a, b) => a + b, 0);
        const x = inputOf(c, model, steps);
        const whole = outputOf(c, model, steps);
        const reals = new Float32Array(whole.length);
        model.createSession({ batch: c.batch, maxSteps: 7 }).run(x, whole);
        model.createSession({ batch: c.batch }).run(x, reals);
        const simdReals = new Float32Array(whole.length);
        model.createSession({ batch: c.batch, kernels }).run(x, simdReals);
        // As bytes: 0 is not -0.
        assertEquals(new Uint8Array(simdReals.buffer), new Uint8Array(reals.buffer));
        const session = model.createSession({ batch: c.batch, maxSteps: 64, kernels });
        const width = c.batch * model.inputSize;
        const outWidth = c.batch * model.outputSize;
        let done = 0;
        for (const count of cuts) {
          const y = outputOf(c, model, count);
          session.run(x.slice(done * width, (done + count) * width), y);
          assertEquals(y, whole.slice(done * outWidth, (done + count) * outWidth));
          done += count;
        }
      },
    ),
    { numRuns: 60 },
  );
});

for (const [name, backend] of backends) {
  Deno.test(`Batches of any size and lengths give with SIMD kernels (${name}) what they give without`, () => {
    const wide = fc.constantFrom<Bits>(7, 8, 8, 14);
    const batches = fc.record({
      c: lstmCases(wide, fc.constantFrom<Bits>(0, 7, 8, 8, 14), false),
      batch: fc.constantFrom(1, 2, 3, 5, 8),
      steps: fc.integer({ min: 1, max: 45 }),
      zero: fc.boolean(),
      whole: fc.boolean(),
      reals: fc.boolean(),
    });
    fc.assert(
      fc.property(batches, ({ c, batch, steps, zero, whole, reals }) => {
        const sized: LSTMCase = {
          ...c,
          batch,
          engine: "fbgemm",
          hiddenSize: whole ? 16 : c.hiddenSize,
        };
        const lstm = zero ? symmetric(lstmOf(sized)) : lstmOf(sized);
        const model = new QuantizedModel(
          new Map<string, QuantizedModule>([["lstm", lstm]]),
        );
        const random = generator(c.seed + 8);
        const size = steps * batch;
        const x = reals || model.input === null
          ? floatsOf(c.seed + 5, [size, c.inputSize], 2).data
          : inputOf(sized, model, steps);
        const lengths = Array.from({ length: batch }, () => Math.floor(random(1, steps + 1)));
        const run = (kernels?: Backend): unknown => {
          const session = model.createSession({
            batch,
            kernels,
            maxSteps: c.bidirectional ? steps : 20,
          });
          const results = [undefined, lengths, undefined].flatMap((l) => {
            const y = outputOf(sized, model, steps);
            const real = new Float32Array(y.length);
            session.run(x, y, l);
            session.run(x, real, l);
            return [y, new Uint8Array(real.buffer)];
          });
          return [...results, c.bidirectional ? null : session.state()];
        };
        assertEquals(run(backend), run());
      }),
      { numRuns: 60 },
    );
  });
}

Deno.test("Layers whose weights are many tiles give with SIMD kernels what they give without", () => {
  const [sampled] = fc.sample(lstmCases(fc.constant<Bits>(8), fc.constant<Bits>(8), false), {
    numRuns: 1,
    seed: 7,
  });
  for (const engine of ["fbgemm", "qnnpack"] as const) {
    const c: LSTMCase = {
      ...sampled!,
      engine,
      inputSize: 300,
      hiddenSize: 104,
      numLayers: 2,
      bidirectional: true,
      ties: false,
      batch: 3,
    };
    for (const lstm of [lstmOf(c), symmetric(lstmOf(c))]) {
      const model = new QuantizedModel(
        new Map<string, QuantizedModule>([["lstm", lstm]]),
      );
      const steps = 20;
      const x = floatsOf(5, [steps * 3, 300], 2).data;
      const lengths = [20, 13, 1];
      const [expected, ...all] = [undefined, ...backends.map(([, backend]) => backend)].map(
        (kernels) => {
          const out = new Float32Array(steps * 3 * 208);
          model.createSession({ batch: 3, maxSteps: steps, kernels }).run(x, out, lengths);
          return out;
        },
      );
      for (const out of all) assertEquals(out, expected);
      assert(expected!.some((value) => value !== 0));
    }
  }
});

Deno.test("Sessions with SIMD kernels take token ids, folded and not, of an LSTM with integer or float32 input", () => {
  const inputs = fc.constantFrom<Bits>(0, 7, 8);
  fc.assert(
    fc.property(lstmCases(bits, inputs, false), (c) => {
      const { data: weight } = floatsOf(c.seed + 6, [11, c.inputSize], 2);
      const none = new Float32Array(0);
      const embedding = new QuantizedEmbedding({
        weight,
        numEmbeddings: 11,
        embeddingDim: c.inputSize,
        scales: none,
        biases: none,
      });
      const lstm = lstmOf({ ...c, engine: "fbgemm" });
      const model = new QuantizedModel(
        new Map<string, QuantizedModule>([["e", embedding], ["lstm", lstm]]),
      );
      const random = generator(c.seed + 7);
      const steps = 20;
      const size = steps * c.batch;
      const tokens = Int32Array.from({ length: size }, () => Math.floor(random(0, 11)));
      const [expected, ...all] = [undefined, kernels].flatMap((kernels) =>
        ([false, true, "float32"] as const).map((foldEmbedding) => {
          if (foldEmbedding === "float32" && lstm.input === null) return null;
          const out = new Float32Array(size * model.outputSize);
          model.createSession({ batch: c.batch, kernels, foldEmbedding, maxSteps: steps }).run(
            tokens,
            out,
          );
          return new Uint8Array(out.buffer);
        })
      );
      const [folded, float, simd, simdFolded, simdFloat] = all;
      for (const out of [folded, simd, simdFolded]) assertEquals(out, expected);
      assertEquals(simdFloat, float);
    }),
    { numRuns: 50 },
  );
});

Deno.test("Sessions with SIMD kernels keep apart when they take turns", () => {
  const c: LSTMCase = { ...fc.sample(cases, 1)[0]!, batch: 1, inputSize: 7, hiddenSize: 13 };
  const model = modelOf(c);
  const sessions = [0, 1, 2].map(() => model.createSession({ kernels }));
  const inputs = sessions.map((_, i) => inputOf({ ...c, seed: c.seed + i }, model, 6));
  const expected = inputs.map((x) => {
    const y = outputOf(c, model, 6);
    model.createSession().run(x, y);
    return y;
  });
  for (let t = 0; t < 6; t++) {
    sessions.forEach((session, i) => {
      const y = outputOf(c, model, 1);
      session.step(inputs[i]!.slice(t * model.inputSize, (t + 1) * model.inputSize), y);
      assertEquals(y, expected[i]!.slice(t * model.outputSize, (t + 1) * model.outputSize));
    });
  }
});

Deno.test("10,000 sessions with SIMD kernels work at once", () => {
  const c: LSTMCase = {
    ...fc.sample(cases, 1)[0]!,
    batch: 1,
    numLayers: 1,
    inputSize: 3,
    hiddenSize: 33,
  };
  const model = modelOf(c);
  const sessions = Array.from({ length: 10000 }, () => model.createSession({ kernels }));
  const x = inputOf(c, model, 1);
  const first = outputOf(c, model, 1);
  const y = outputOf(c, model, 1);
  model.createSession().step(x, first);
  for (const session of sessions) session.step(x, y);
  assertEquals(y, first);
  assertEquals(sessions[0]!.state(), sessions[9999]!.state());
  assert(sessions[0]!.workingBytes > 0);
});
