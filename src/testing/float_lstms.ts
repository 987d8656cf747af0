// Arbitraries for the tests of the float modules.
import fc from "fast-check";
import type { Arbitrary } from "./arbitrary.ts";
import type { CellActivation, CellFunctions, GateActivation } from "../../kernels/float/lstm.ts";
import type { Generator } from "../core/generator.ts";
import type { LSTMOptions } from "../modules/lstm/float.ts";
import { type Tensor, tensor } from "../core/tensor.ts";

/** Sizes around the kernels' unrolling. */
export const sizes: Arbitrary<number> = fc.constantFrom(1, 3, 7, 13, 33);

/** A generator's seed. */
export const seeds: Arbitrary<number> = fc.integer({ min: 0, max: 2 ** 32 - 1 });

/** A tensor of values in ±bound. */
export function random(generator: Generator, shape: readonly number[], bound = 2): Tensor {
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
  generator.uniform(data, -bound, bound);
  return tensor(data, shape);
}

/**
 * Gate activations, among them hard sigmoids with Keras 2's slope and offset and with slopes whose
 * products are rounded.
 */
export const gateActivations: readonly GateActivation[] = [
  "sigmoid",
  "hardSigmoid",
  { name: "hardSigmoid", slope: Math.fround(0.2), offset: 0.5 },
  { name: "hardSigmoid", slope: Math.fround(0.31), offset: Math.fround(0.4) },
];

/** Activations of the cell gate and the cell state. */
export const cellActivations: readonly CellActivation[] = ["tanh", "relu", "sigmoid", "linear"];

/** Activations of a cell: torch's defaults or any others, sometimes without the cell state's. */
export const cellFunctions: Arbitrary<Partial<CellFunctions>> = fc.oneof(
  fc.constant({}),
  fc.record(
    {
      gateActivation: fc.constantFrom(...gateActivations),
      activation: fc.constantFrom(...cellActivations),
      cellActivation: fc.constantFrom(...cellActivations),
    },
    { requiredKeys: ["gateActivation", "activation"] },
  ),
);

/** Options of LSTMs of every kind. */
export const lstmOptions: Arbitrary<LSTMOptions> = fc.record({
  inputSize: fc.constantFrom(1, 3, 7),
  hiddenSize: fc.constantFrom(1, 3, 7, 13),
  numLayers: fc.integer({ min: 1, max: 3 }),
  bias: fc.boolean(),
  batchFirst: fc.boolean(),
  bidirectional: fc.boolean(),
  projected: fc.boolean(),
  functions: cellFunctions,
  seed: seeds,
}).map(({ projected, functions, ...options }) => ({
  ...options,
  ...functions,
  projSize: projected ? options.hiddenSize >> 1 : 0,
}));
