/**
 * Whole models in sessions: streams and sequences, fused against split, layers, tokens. `deno task bench`.
 *
 * @module
 */
import { bench, group, run } from "mitata";
import { newQArray } from "../src/dtype.ts";
import { lstmModel, realsOf, STEPS, taggerModel } from "./models.ts";

for (const size of [32, 64, 128, 256]) {
  const model = lstmModel(size), row = realsOf(1, size), real = new Float32Array(size);
  const q = Uint8Array.from(row, (x) => x * 40 + 127), integer = newQArray("quint8", size);
  group(`LSTM ${size}, one step`, () => {
    for (const splitGates of [false, true]) {
      const form = splitGates ? "split" : "fused", session = model.createSession({ splitGates });
      bench(`integers, ${form}`, () => session.step(q, integer));
      bench(`reals, ${form}`, () => session.step(row, real));
    }
  });
  group(`LSTM ${size}, ${STEPS} steps`, () => {
    const x = realsOf(STEPS, size), y = new Float32Array(STEPS * size);
    for (const splitGates of [false, true]) {
      const session = model.createSession({ splitGates, maxSteps: STEPS });
      bench(splitGates ? "split" : "fused", () => session.run(x, y));
    }
    const batch = model.createSession({ batch: 4, maxSteps: STEPS / 4 });
    bench("split, 4 rows of 25 steps", () => batch.run(x, y));
  });
}

group("layers of 64, one step", () => {
  const row = realsOf(1, 64), y = new Float32Array(64);
  for (const layers of [1, 2, 4]) {
    const session = lstmModel(64, layers).createSession();
    bench(`${layers}`, () => session.step(row, y));
  }
});

group("Embedding, LSTM, Linear of 64 with 16-bit gates, one token", () => {
  const model = taggerModel(64), token = Int32Array.of(7), y = new Float32Array(4);
  for (const foldEmbedding of [false, true]) {
    const session = model.createSession({ foldEmbedding });
    bench(foldEmbedding ? "folded" : "not folded", () => session.step(token, y));
  }
});

await run();
