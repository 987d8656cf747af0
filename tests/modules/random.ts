// What the tests of the float modules draw from.
import fc from "fast-check";
import {
  type CellActivation,
  type CellFunctions,
  type GateActivation,
  type Generator,
  type LSTMOptions,
  type Tensor,
  tensor,
} from "@splitgate/splitgate";

/** Sizes around the kernels' unrolling. */
export const sizes: fc.Arbitrary<number> = fc.constantFrom(1, 3, 7, 13, 33);

/** A generator's seed. */
export const seeds: fc.Arbitrary<number> = fc.integer({ min: 0, max: 2 ** 32 - 1 });

/** A tensor of values in ±bound. */
export function random(generator: Generator, shape: readonly number[], bound = 2): Tensor {
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
  generator.uniform(data, -bound, bound);
  return tensor(data, shape);
}

/**
 * Functions that gates can have: slopes and offsets of Keras 2, and ones whose product with x is
 * rounded.
 */
export const gateActivations: readonly GateActivation[] = [
  "sigmoid",
  "hardSigmoid",
  { name: "hardSigmoid", slope: Math.fround(0.2), offset: 0.5 },
  { name: "hardSigmoid", slope: Math.fround(0.31), offset: Math.fround(0.4) },
];

/** Functions that the cell gate and the cell state can have. */
export const cellActivations: readonly CellActivation[] = ["tanh", "relu", "sigmoid", "linear"];

/** Functions of a cell: torch's, or any others, the cell state's left out at times. */
export const cellFunctions: fc.Arbitrary<Partial<CellFunctions>> = fc.oneof(
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

/** Options of an LSTM, every kind of it. */
export const lstmOptions: fc.Arbitrary<LSTMOptions> = fc.record({
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

/** A tensor with its first two dimensions exchanged. */
export function transposed({ data, shape: [rows, columns, width] }: Tensor): Tensor {
  const out = new Float32Array(data.length);
  for (let r = 0; r < rows!; r++) {
    for (let k = 0; k < columns!; k++) {
      out.set(
        data.subarray((r * columns! + k) * width!, (r * columns! + k + 1) * width!),
        (k * rows! + r) * width!,
      );
    }
  }
  return tensor(out, [columns!, rows!, width!]);
}

/** Entry `index` of a dimension of a 3-dimensional tensor, which stays as a dimension of 1. */
export function pick({ data, shape }: Tensor, axis: 0 | 1, index: number): Tensor {
  const [rows, columns, width] = shape;
  const out: number[] = [];
  for (let r = 0; r < rows!; r++) {
    for (let k = 0; k < columns!; k++) {
      if ((axis === 0 ? r : k) !== index) continue;
      for (let j = 0; j < width!; j++) out.push(data[(r * columns! + k) * width! + j]!);
    }
  }
  return tensor(out, axis === 0 ? [1, columns!, width!] : [rows!, 1, width!]);
}

/** The first `count` entries of the first dimension. */
export function head({ data, shape }: Tensor, count: number): Tensor {
  return tensor(data.slice(0, data.length / shape[0]! * count), [count, ...shape.slice(1)]);
}
