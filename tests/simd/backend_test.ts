import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { portable } from "../../src/quantized/portable.ts";
import type { LstmBackend, PreparedLstm } from "../../src/quantized/backend.ts";
import { SimdKernels } from "../../src/simd/backend.ts";
import { inputsOf, type LstmCase, lstmCase, lstmOf } from "./arbitraries.ts";

const kernels: SimdKernels[] = [];
for (const name of ["plain", "relaxed"]) {
  const bytes = await Deno.readFile(new URL(`../../kernels/simd/${name}.wasm`, import.meta.url));
  kernels.push(new SimdKernels(await WebAssembly.compile(bytes)));
}

/** What a case gives, run in pieces of `chunks` steps: outputs, h and c. null where the backend does not run it. */
function run(backend: LstmBackend, c: LstmCase, batch: number, chunks: number[]): number[][] | null {
  const lstm = lstmOf(c), steps = chunks.reduce((a, b) => a + b, 0);
  let prepared: PreparedLstm | null;
  try {
    prepared = backend.prepare(lstm, { input: lstm.input, tokens: null });
  } catch (error) {
    // qnnpack's addition refuses some scales.
    assert(error instanceof RangeError && error.message.includes("qnnpack"), String(error));
    return null;
  }
  if (prepared === null) return null;
  const width = lstm.hiddenSize * (lstm.bidirectional ? 2 : 1), x = inputsOf(c, lstm, steps * batch * lstm.inputSize);
  const state = prepared.createState(batch), results: number[][] = [];
  prepared.reserve(batch, Math.max(...chunks), lstm.splitGates);
  let done = 0;
  for (const count of chunks) {
    const out = new Float64Array(count * batch * width);
    const from = done * batch * lstm.inputSize, to = (done + count) * batch * lstm.inputSize;
    prepared.process(state, x.slice(from, to), out, count, batch, null, lstm.splitGates);
    results.push([...out]);
    done += count;
  }
  // -0 is no other integer than 0.
  return [...results, [...state.h], [...state.c], [...state.fresh]].map((values) => values.map((v) => v + 0));
}

for (const kernel of kernels) {
  const name = kernel.relaxed ? "relaxed" : "plain";
  Deno.test(`SimdKernels (${name}) gives the portable kernels' bytes at every step`, () => {
    let compared = 0, all = 0;
    fc.assert(
      fc.property(lstmCase, fc.integer({ min: 1, max: 3 }), (c, batch) => {
        all++;
        const expected = run(portable, c, batch, [1, 1, 3]);
        const actual = run(kernel, c, batch, [1, 1, 3]);
        if (expected === null || actual === null) return;
        compared++;
        assertEquals(actual, expected);
      }),
      { numRuns: 120 },
    );
    assert(compared > all / 2, `${compared} of ${all}`);
  });
}
