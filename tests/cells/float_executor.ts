/** Steps of float cells, fused and by parts. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { Generator } from "@splitgate/splitgate";
import { floatExecutor } from "../../src/cells/float_executor.ts";
import { floatGRUCell, gruLinears, gruStepFloat32 } from "../../kernels/float/gru.ts";
import {
  floatLSTMCell,
  lstmLinears,
  lstmStepFloat32,
  type LSTMWeights,
} from "../../kernels/float/lstm.ts";
import { type Cell, runCell } from "../../src/cells/cell.ts";
import { gruCell } from "../../src/cells/gru_parts.ts";
import { lstmCell } from "../../src/cells/lstm_parts.ts";
import { type KernelProperty, property } from "../kernels/property.ts";

const sizes = fc.constantFrom(1, 3, 7, 13, 33);

const cases = fc.record({
  inputSize: sizes,
  hiddenSize: sizes,
  bias: fc.boolean(),
  batch: fc.integer({ min: 1, max: 3 }),
  steps: fc.integer({ min: 1, max: 4 }),
  bound: fc.constantFrom(0.1, 1, 30),
  seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
});

type Case = typeof cases extends fc.Arbitrary<infer C> ? C : never;

/** Tensors of a case, uniform within its bound. */
function tensorsOf({ bound, seed }: Case): (size: number) => Float32Array {
  const generator = new Generator(seed);
  return (size) => {
    const data = new Float32Array(size);
    generator.uniform(data, -bound, bound);
    return data;
  };
}

/** Requires what a step does to a batch's states of a cell that runs by parts, fused and split. */
function requireSameSteps(
  c: Case,
  cell: Cell,
  executor: Parameters<typeof runCell<Float32Array>>[0],
  states: readonly Float32Array[],
  draw: (size: number) => Float32Array,
  step: (x: Float32Array, row: number, own: readonly Float32Array[]) => void,
): void {
  let fused: readonly Float32Array[] = states.map((each) => each.slice());
  let split = fused;
  for (let t = 0; t < c.steps; t++) {
    const x = draw(c.batch * c.inputSize);
    for (let row = 0; row < c.batch; row++) {
      step(
        x,
        row,
        states.map((each) => {
          const width = each.length / c.batch;
          return each.subarray(row * width, (row + 1) * width);
        }),
      );
    }
    fused = runCell(executor, cell, false, x, fused);
    split = runCell(executor, cell, true, x, split);
    assertEquals(fused, states);
    assertEquals(split, states);
  }
}

export const FLOAT_STEPS: readonly KernelProperty[] = [
  property(
    "floatExecutor() has lstmStepFloat32()'s bits when run fused or split over steps and batch rows",
    100,
    () =>
      fc.property(cases, fc.boolean(), (c, projected) => {
        const { inputSize, hiddenSize, bias, batch } = c;
        const draw = tensorsOf(c);
        const width = projected ? (hiddenSize + 1) >> 1 : hiddenSize;
        const weights: LSTMWeights = {
          weightIh: draw(4 * hiddenSize * inputSize),
          weightHh: draw(4 * hiddenSize * width),
          biasIh: bias ? draw(4 * hiddenSize) : null,
          biasHh: bias ? draw(4 * hiddenSize) : null,
          weightHr: projected ? draw(width * hiddenSize) : null,
        };
        const states = [draw(batch * width), draw(batch * hiddenSize)];
        const float = floatLSTMCell(hiddenSize);
        const cell = lstmCell(projected);
        const igates = new Float32Array(4 * hiddenSize);
        const linears = lstmLinears(weights, inputSize, hiddenSize);
        const executor = floatExecutor(cell, weights, hiddenSize);
        requireSameSteps(c, cell, executor, states, draw, (x, row, own) => {
          linears.ih(x, row * inputSize, igates, 0);
          lstmStepFloat32(float, linears, igates, 0, own as [Float32Array, Float32Array]);
        });
      }),
  ),
  property(
    "floatExecutor() has gruStepFloat32()'s bits by every convention, fused and split",
    100,
    () => {
      const conventions = fc.record({
        gateActivation: fc.constantFrom("sigmoid", "hardSigmoid"),
        activation: fc.constantFrom("tanh", "relu", "sigmoid", "linear"),
        resetAfter: fc.boolean(),
        complementedUpdate: fc.boolean(),
      });
      return fc.property(cases, conventions, (c, conventions) => {
        const { inputSize, hiddenSize, bias, batch } = c;
        const draw = tensorsOf(c);
        const weights = {
          weightIh: draw(3 * hiddenSize * inputSize),
          weightHh: draw(3 * hiddenSize * hiddenSize),
          biasIh: bias ? draw(3 * hiddenSize) : null,
          biasHh: bias ? draw(3 * hiddenSize) : null,
        };
        const states = [draw(batch * hiddenSize)];
        const float = floatGRUCell(hiddenSize, conventions);
        const cell = gruCell(conventions);
        const igates = new Float32Array(3 * hiddenSize);
        const linears = gruLinears(float, weights, inputSize);
        const executor = floatExecutor(cell, weights, hiddenSize);
        requireSameSteps(c, cell, executor, states, draw, (x, row, [h]) => {
          linears.ih(x, row * inputSize, igates, 0);
          gruStepFloat32(float, linears, igates, 0, h!);
        });
      });
    },
  ),
];
