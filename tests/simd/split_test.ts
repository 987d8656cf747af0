/** Split gates in WebAssembly: the same results, in scratch that holds the gates of some units. */
import { assert, assertEquals } from "@std/assert";
import { QuantizedModel, type QuantizedModule } from "../../src/authoring/model.ts";
import { BLOCK_UNITS } from "../../kernels/simd/layout.ts";
import { ScratchSizes, type SimdProgram } from "../../src/simd/backend.ts";
import { gruOf, type LSTMCase, lstmOf } from "../../src/testing/quantized_lstms.ts";
import { plainCase } from "../../src/testing/quantized_models.ts";
import { floatsOf } from "../../src/testing/random.ts";
import { backends, Counted } from "./backends.ts";

/** A cell of no GRU, and GRUs whose state is reset after its product and before it. */
const CELLS = [
  undefined,
  { resetAfter: true, complementedUpdate: false },
  { resetAfter: false, complementedUpdate: true },
] as const;

function modelOf(c: LSTMCase): QuantizedModel {
  const module: QuantizedModule = c.gru ? gruOf(c) : lstmOf(c);
  return new QuantizedModel(new Map([["cell", module]]));
}

Deno.test("Split gates with SIMD kernels give what fused ones give at every size around blocks of units, however steps and rows are cut", () => {
  let compared = 0;
  const sizes = [1, 7, 8, 9, 31, 32, 33, 40, 63, 64, 65, 72, 96, 127, 128, 129, 160, 193];
  sizes.forEach((hiddenSize, seed) => {
    for (const gru of CELLS) {
      const numLayers = 1 + seed % 2;
      const c = { ...plainCase, seed, hiddenSize, inputSize: 5, numLayers, gru };
      const model = modelOf(c);
      for (const [name, kernels] of backends) {
        for (const [batch, maxSteps] of [[1, 1], [1, 30], [2, 4], [5, 30]] as const) {
          const steps = 30;
          const x = floatsOf(seed, [steps * batch * 5], 2).data;
          const lengths = Array.from({ length: batch }, (_, b) => steps - 7 * b);
          const run = (splitGates: boolean): unknown => {
            const session = model.createSession({ batch, maxSteps, splitGates, kernels });
            const y = new Float32Array(steps * batch * hiddenSize);
            session.run(x, y, lengths);
            return [y, session.state()];
          };
          assertEquals(run(true), run(false), `${name}: ${hiddenSize}, ${batch}, ${maxSteps}`);
          compared++;
        }
      }
    }
  });
  assertEquals(compared, sizes.length * CELLS.length * backends.length * 4);
});

Deno.test("LSTMs with projected states give with SIMD kernels what they give without, at every size around blocks, fused and split", () => {
  const sizes = [
    [2, 1],
    [7, 6],
    [8, 7],
    [9, 8],
    [33, 4],
    [40, 9],
    [64, 31],
    [65, 33],
    [72, 64],
    [130, 129],
    [520, 500],
  ] as const;
  let ran = 0;
  sizes.forEach(([hiddenSize, projSize], seed) => {
    for (const bidirectional of [false, true]) {
      const numLayers = 1 + seed % 2;
      const c = {
        ...plainCase,
        seed,
        hiddenSize,
        projSize,
        inputSize: 5,
        numLayers,
        bidirectional,
      };
      const model = modelOf(c);
      const steps = 9;
      const width = projSize * (bidirectional ? 2 : 1);
      for (const batch of [1, 3]) {
        const x = floatsOf(seed, [steps * batch * 5], 2).data;
        const lengths = Array.from({ length: batch }, (_, b) => steps - 3 * b);
        const run = (kernels: Counted | undefined, splitGates: boolean): unknown => {
          const maxSteps = bidirectional ? steps : 4;
          const session = model.createSession({ batch, maxSteps, splitGates, kernels });
          const y = new Float32Array(steps * batch * width);
          session.run(x, y, lengths);
          // Once more, from the state; a backward direction has none.
          if (!bidirectional) session.run(x, y);
          return [y, bidirectional ? null : session.state()];
        };
        const expected = run(undefined, false);
        for (const [name, backend] of backends) {
          const kernels = new Counted(backend);
          for (const splitGates of [false, true]) {
            const what = `${name}: ${hiddenSize} to ${projSize}, ${batch}, ${splitGates}`;
            assertEquals(run(kernels, splitGates), expected, what);
          }
          assertEquals(kernels.refused, 0);
          ran += kernels.ran;
        }
      }
    }
  });
  assertEquals(ran, sizes.length * 2 * 2 * backends.length);
});

Deno.test("Fused and split sessions of a model take turns with the same SIMD kernels, step by step", () => {
  for (const gru of CELLS) {
    const c = { ...plainCase, hiddenSize: 72, gru };
    const model = modelOf(c);
    for (const [, kernels] of backends) {
      // Kept small first, so that memory grows while the other form runs.
      const split = model.createSession({ kernels, splitGates: true });
      const fused = model.createSession({ kernels, splitGates: false });
      const rows = model.createSession({ kernels, splitGates: true, batch: 3, maxSteps: 2 });
      const [a, b, all] = [1, 1, 3].map((n) => new Float32Array(72 * n));
      for (let t = 0; t < 5; t++) {
        const x = floatsOf(t, [c.inputSize], 2).data;
        const each = new Float32Array(3 * x.length);
        for (let row = 0; row < 3; row++) each.set(x, row * x.length);
        split.step(x, a!);
        fused.step(x, b!);
        rows.step(each, all!);
        assertEquals(a, b);
        assertEquals(all!.slice(144), a);
      }
      assertEquals(split.state(), fused.state());
    }
  }
});

Deno.test("ScratchSizes of split gates have no block for the gates of all units, as fused ones do", () => {
  for (const gru of CELLS) {
    for (const hiddenSize of [40, 64, 72, 100, 128, 129, 256, 600]) {
      for (const batch of [1, 3]) {
        const c = { ...plainCase, hiddenSize, inputSize: hiddenSize, gru };
        const program = modelOf(c).lower().data.nodes[0]!.program as SimdProgram;
        // Kernels are asked what they made of it: the sizes of operands.
        const { cells } = backends[1]![1].image(program) as unknown as {
          readonly cells: ConstructorParameters<typeof ScratchSizes>[1];
        };
        const sizes = new ScratchSizes(program, cells);
        const blocksOf = (split: boolean) => {
          const chunk = sizes.chunkOf(batch, 1000, split, true);
          return { ...sizes.blocks(batch, chunk, split), rows: 0, steps: chunk.chunk / batch };
        };
        const split = blocksOf(true);
        const fused = blocksOf(false);
        const units = Math.ceil(hiddenSize / BLOCK_UNITS) * BLOCK_UNITS;
        const all = (gru ? 3 : 4) * units * 4;
        const taken = hiddenSize <= 64 ? 32 : 64;
        // For what the input gives and what the hidden state gives, and the gap between rows.
        assert(split.gates <= batch * (2 * (all / units) * taken + 64), `${split.gates}`);
        assert(split.aside <= 16 * taken);
        assertEquals(split.projected, 0);
        assert(split.x + split.out + split.staged < 8192 + batch * 4 * all + 64);
        assert(fused.gates >= batch * all);
        assert(fused.projected >= fused.steps * batch * all);
        // What a GRU keeps until all states are reset: two values of a unit, and the operand.
        const kept = gru && !gru.resetAfter ? 2 * units * 4 + 2 * units + 64 : 0;
        assert(split.second <= batch * kept, `${split.second}`);
      }
    }
  }
});
