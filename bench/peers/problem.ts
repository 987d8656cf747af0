/**
 * What every peer computes: one LSTM layer, its weights, an input sequence, and the outputs a
 * float64 LSTM gives.
 *
 * @module
 */
import { generator } from "../../src/testing/random.ts";

/** Steps of the input sequence. */
export const STEPS = 100;

/** Input and hidden sizes that are measured. */
export const SIZES: readonly number[] = [32, 64, 128, 256];

/**
 * One LSTM layer whose input and hidden size are the same; rows in PyTorch's order: input, forget,
 * cell, output.
 */
export interface Problem {
  readonly size: number;
  /** [4 * size, size] */
  readonly weightIh: Float32Array;
  /** [4 * size, size] */
  readonly weightHh: Float32Array;
  /** [4 * size] */
  readonly biasIh: Float32Array;
  readonly biasHh: Float32Array;
  /** [STEPS, size] */
  readonly input: Float32Array;
  /** [STEPS, size], computed in float64 from a zero state. */
  readonly expected: Float32Array;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** The outputs of the layer from a zero state, in float64: what results are checked against. */
export function referenceLSTM(p: Omit<Problem, "expected">): Float32Array {
  const { size, weightIh, weightHh, biasIh, biasHh, input } = p;
  const steps = input.length / size;
  const c = new Float64Array(size);
  const gates = new Float64Array(4 * size);
  const out = new Float32Array(steps * size);
  let h = new Float64Array(size);
  for (let t = 0; t < steps; t++) {
    for (let row = 0; row < 4 * size; row++) {
      let sum = biasIh[row]! + biasHh[row]!;
      for (let k = 0; k < size; k++) {
        sum += weightIh[row * size + k]! * input[t * size + k]! + weightHh[row * size + k]! * h[k]!;
      }
      gates[row] = sum;
    }
    h = new Float64Array(size);
    for (let j = 0; j < size; j++) {
      const i = sigmoid(gates[j]!);
      const f = sigmoid(gates[size + j]!);
      const o = sigmoid(gates[3 * size + j]!);
      c[j] = f * c[j]! + i * Math.tanh(gates[2 * size + j]!);
      h[j] = o * Math.tanh(c[j]!);
    }
    out.set(h, t * size);
  }
  return out;
}

/**
 * The problem of a size. Weights are wider than PyTorch's default initialization, so that the gates
 * move and the check of the results means something; the input is a set of slow waves with noise.
 */
export function createProblem(size: number): Problem {
  const draw = generator(1234 + size);
  const random = () => draw(0, 1);
  const wide = 1.7 / Math.sqrt(size);
  const fill = (length: number, width: number): Float32Array =>
    Float32Array.from({ length }, () => (2 * random() - 1) * width);
  const weights = {
    size,
    weightIh: fill(4 * size * size, wide),
    weightHh: fill(4 * size * size, wide),
    biasIh: fill(4 * size, 0.2),
    biasHh: fill(4 * size, 0.2),
    input: Float32Array.from({ length: STEPS * size }, (_, at) => {
      const k = at % size;
      const t = (at - k) / size;
      return Math.max(
        -2,
        Math.min(2, Math.sin(t * 0.11 * (1 + k * 0.07) + k) + 0.6 * (random() + random() - 1)),
      );
    }),
  };
  return { ...weights, expected: referenceLSTM(weights) };
}

/**
 * The problem as float32 bytes, little endian, its arrays one after the other: what Python peers
 * read.
 */
export function problemBytes(p: Problem): Uint8Array {
  const arrays = [p.weightIh, p.weightHh, p.biasIh, p.biasHh, p.input, p.expected];
  const bytes = new Uint8Array(
    arrays.reduce((sum, a) => sum + a.byteLength, 0),
  );
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const array of arrays) {
    for (const value of array) {
      view.setFloat32(at, value, true);
      at += 4;
    }
  }
  return bytes;
}
