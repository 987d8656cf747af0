import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { Generator } from "@splitgate/splitgate";
import { floatExecutor } from "../../src/cells/float_executor.ts";
import {
  floatLSTMCell,
  lstmLinears,
  lstmStepFloat32,
  type LSTMWeights,
} from "../../kernels/float/lstm.ts";
import { runCell } from "../../src/cells/cell.ts";
import { lstmCell } from "../../src/cells/lstm_parts.ts";

const sizes = fc.constantFrom(1, 3, 7, 13, 33);

Deno.test("floatExecutor() has lstmStepFloat32()'s bits when run fused or split over steps and batch rows", () => {
  fc.assert(
    fc.property(
      fc.record({
        inputSize: sizes,
        hiddenSize: sizes,
        projected: fc.boolean(),
        bias: fc.boolean(),
        batch: fc.integer({ min: 1, max: 3 }),
        steps: fc.integer({ min: 1, max: 4 }),
        bound: fc.constantFrom(0.1, 1, 30),
        seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      }),
      ({ inputSize, hiddenSize, projected, bias, batch, steps, bound, seed }) => {
        const generator = new Generator(seed);
        const width = projected ? (hiddenSize + 1) >> 1 : hiddenSize;
        const make = (size: number) => {
          const data = new Float32Array(size);
          generator.uniform(data, -bound, bound);
          return data;
        };
        const weights: LSTMWeights = {
          weightIh: make(4 * hiddenSize * inputSize),
          weightHh: make(4 * hiddenSize * width),
          biasIh: bias ? make(4 * hiddenSize) : null,
          biasHh: bias ? make(4 * hiddenSize) : null,
          weightHr: projected ? make(width * hiddenSize) : null,
        };
        const h = make(batch * width);
        const c = make(batch * hiddenSize);
        const float = floatLSTMCell(hiddenSize);
        const cell = lstmCell(projected);
        const igates = new Float32Array(4 * hiddenSize);
        const linears = lstmLinears(weights, inputSize, hiddenSize);
        const executor = floatExecutor(cell, weights, hiddenSize);
        let fused: readonly Float32Array[] = [h.slice(), c.slice()];
        let split = fused;
        for (let t = 0; t < steps; t++) {
          const x = make(batch * inputSize);
          for (let b = 0; b < batch; b++) {
            const hRow = h.subarray(b * width, (b + 1) * width);
            const cRow = c.subarray(b * hiddenSize, (b + 1) * hiddenSize);
            linears.ih(x, b * inputSize, igates, 0);
            lstmStepFloat32(float, linears, igates, 0, [hRow, cRow]);
          }
          fused = runCell(executor, cell, false, x, fused);
          split = runCell(executor, cell, true, x, split);
          assertEquals(fused, [h, c]);
          assertEquals(split, [h, c]);
        }
      },
    ),
  );
});
