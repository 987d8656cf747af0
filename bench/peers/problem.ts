/**
 * What every peer computes: a small recurrent model, its weights, an input sequence, and the outputs
 * that the same model gives in float64.
 *
 * @module
 */
import { generator } from "../../src/testing/random.ts";

/** Steps of the input sequence. */
export const STEPS = 100;

/** What is measured: one LSTM layer, a whole model, one GRU layer. */
export type ProblemKind = "lstm" | "model" | "gru";

/** What a kind of problem is. */
interface ProblemShape {
  /** What it is, for a heading. */
  readonly title: string;
  readonly cell: "lstm" | "gru";
  readonly layers: number;
  /** Width of the input; as wide as the hidden state where it is not given. */
  readonly inputSize?: number;
  /** Outputs of a Linear with a Sigmoid at the end, where there is one. */
  readonly outputs?: number;
  /** Hidden sizes that are measured. */
  readonly sizes: readonly number[];
}

/** Every kind of problem, in the order of the report. */
export const PROBLEMS: Readonly<Record<ProblemKind, ProblemShape>> = {
  lstm: { title: "One LSTM layer", cell: "lstm", layers: 1, sizes: [32, 64, 128, 256] },
  model: {
    title: "A whole model: 40 real inputs, two layers of LSTM, Linear to 4, Sigmoid",
    cell: "lstm",
    layers: 2,
    inputSize: 40,
    outputs: 4,
    sizes: [64, 128],
  },
  gru: { title: "One GRU layer", cell: "gru", layers: 1, sizes: [32, 64, 128, 256] },
};

/** The kinds of problems. */
export const KINDS = Object.keys(PROBLEMS) as readonly ProblemKind[];

/** Gates of a cell; PyTorch's order is i, f, g, o for an LSTM and r, z, n for a GRU. */
export const GATES = { lstm: 4, gru: 3 } as const;

/** The weights of a recurrent layer; rows in PyTorch's order of the gates. */
export interface LayerWeights {
  readonly inputSize: number;
  /** [gates * size, inputSize] */
  readonly weightIh: Float32Array;
  /** [gates * size, size] */
  readonly weightHh: Float32Array;
  /** [gates * size] */
  readonly biasIh: Float32Array;
  readonly biasHh: Float32Array;
}

/** The Linear at a model's end; a Sigmoid follows it. */
export interface HeadWeights {
  /** [outputs, size] */
  readonly weight: Float32Array;
  /** [outputs] */
  readonly bias: Float32Array;
}

/** A problem of a kind and a hidden size. */
export interface Problem {
  readonly kind: ProblemKind;
  readonly cell: "lstm" | "gru";
  /** The hidden size. */
  readonly size: number;
  readonly inputSize: number;
  readonly outputSize: number;
  readonly layers: readonly LayerWeights[];
  readonly head: HeadWeights | undefined;
  /** [STEPS, inputSize] */
  readonly input: Float32Array;
  /** [STEPS, outputSize], computed in float64 from a zero state. */
  readonly expected: Float32Array;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Rows of [rows, columns] times x, plus a bias. */
function affine(weight: Float32Array, bias: Float32Array, x: Float64Array) {
  return Float64Array.from(bias, (sum, row) => {
    for (let k = 0; k < x.length; k++) sum += weight[row * x.length + k]! * x[k]!;
    return sum;
  });
}

/** One step of an LSTM layer: gives the next h and changes c. */
function lstmStep(gi: Float64Array, gh: Float64Array, c: Float64Array<ArrayBuffer>) {
  const size = c.length;
  const gate = (index: number, j: number) => gi[index * size + j]! + gh[index * size + j]!;
  return c.map((_, j) => {
    c[j] = sigmoid(gate(1, j)) * c[j]! + sigmoid(gate(0, j)) * Math.tanh(gate(2, j));
    return sigmoid(gate(3, j)) * Math.tanh(c[j]!);
  });
}

/** One step of a GRU layer, the reset gate after the product: gives the next h. */
function gruStep(gi: Float64Array, gh: Float64Array, h: Float64Array<ArrayBuffer>) {
  const size = h.length;
  return h.map((old, j) => {
    const r = sigmoid(gi[j]! + gh[j]!);
    const z = sigmoid(gi[size + j]! + gh[size + j]!);
    const n = Math.tanh(gi[2 * size + j]! + r * gh[2 * size + j]!);
    return (1 - z) * n + z * old;
  });
}

/** The outputs of a problem from a zero state, in float64: what results are checked against. */
export function reference(problem: Omit<Problem, "expected">): Float32Array {
  const { cell, size, inputSize, outputSize, layers, head, input } = problem;
  const states = layers.map(() => ({ h: new Float64Array(size), c: new Float64Array(size) }));
  const steps = input.length / inputSize;
  const out = new Float32Array(steps * outputSize);
  for (let t = 0; t < steps; t++) {
    let x = Float64Array.from(input.subarray(t * inputSize, (t + 1) * inputSize));
    layers.forEach((layer, index) => {
      const state = states[index]!;
      const gi = affine(layer.weightIh, layer.biasIh, x);
      const gh = affine(layer.weightHh, layer.biasHh, state.h);
      state.h = cell === "lstm" ? lstmStep(gi, gh, state.c) : gruStep(gi, gh, state.h);
      x = state.h;
    });
    out.set(
      head === undefined ? x : affine(head.weight, head.bias, x).map(sigmoid),
      t * outputSize,
    );
  }
  return out;
}

/**
 * The problem of a kind and hidden size. Weights are wider than PyTorch's default initialization, so
 * that the gates move and the check of the results means something; the input is a set of slow waves
 * with noise.
 */
export function createProblem(kind: ProblemKind, size: number): Problem {
  const { cell, layers, inputSize = size, outputs } = PROBLEMS[kind];
  const draw = generator(1234 + size);
  const random = () => draw(0, 1);
  const wide = 1.7 / Math.sqrt(size);
  const fill = (length: number, width: number): Float32Array =>
    Float32Array.from({ length }, () => (2 * random() - 1) * width);
  const rows = GATES[cell] * size;
  const weights = {
    kind,
    cell,
    size,
    inputSize,
    outputSize: outputs ?? size,
    layers: Array.from({ length: layers }, (_, index): LayerWeights => {
      const columns = index === 0 ? inputSize : size;
      return {
        inputSize: columns,
        weightIh: fill(rows * columns, wide),
        weightHh: fill(rows * size, wide),
        biasIh: fill(rows, 0.2),
        biasHh: fill(rows, 0.2),
      };
    }),
    head: outputs === undefined
      ? undefined
      : { weight: fill(outputs * size, 2 * wide), bias: fill(outputs, 0.2) },
    input: Float32Array.from({ length: STEPS * inputSize }, (_, at) => {
      const k = at % inputSize;
      const t = (at - k) / inputSize;
      return Math.max(
        -2,
        Math.min(2, Math.sin(t * 0.11 * (1 + k * 0.07) + k) + 0.6 * (random() + random() - 1)),
      );
    }),
  };
  return { ...weights, expected: reference(weights) };
}

/** Input step by step, a copy each. */
export function stepsOf({ input, inputSize }: Problem): Float32Array[] {
  return Array.from(
    { length: STEPS },
    (_, t) => input.slice(t * inputSize, (t + 1) * inputSize),
  );
}

/** The name of a problem's files, for the peers that read it from a folder. */
export const fileName = (kind: ProblemKind, size: number): string => `${kind}-${size}`;

/** A problem for the peers in Python. */
export interface ProblemFile {
  /** JSON: the cell, the size, and the name and shape of each array, in order. */
  readonly description: string;
  /** The arrays one after the other: float32, little endian. */
  readonly bytes: Uint8Array;
}

/** What is written of a problem. */
export function problemFile(p: Problem): ProblemFile {
  const rows = GATES[p.cell] * p.size;
  type Entry = [name: string, shape: readonly number[], values: Float32Array];
  const entries: Entry[] = p.layers.flatMap((layer, index): Entry[] => [
    [`weight_ih_l${index}`, [rows, layer.inputSize], layer.weightIh],
    [`weight_hh_l${index}`, [rows, p.size], layer.weightHh],
    [`bias_ih_l${index}`, [rows], layer.biasIh],
    [`bias_hh_l${index}`, [rows], layer.biasHh],
  ]);
  if (p.head !== undefined) {
    entries.push(["head_weight", [p.outputSize, p.size], p.head.weight]);
    entries.push(["head_bias", [p.outputSize], p.head.bias]);
  }
  entries.push(["input", [STEPS, p.inputSize], p.input]);
  entries.push(["expected", [STEPS, p.outputSize], p.expected]);
  const bytes = new Uint8Array(entries.reduce((sum, [, , values]) => sum + values.byteLength, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [, , values] of entries) {
    for (const value of values) {
      view.setFloat32(at, value, true);
      at += Float32Array.BYTES_PER_ELEMENT;
    }
  }
  const arrays = entries.map(([name, shape]) => ({ name, shape }));
  const { cell, size, layers } = p;
  return { description: JSON.stringify({ cell, size, layers: layers.length, arrays }), bytes };
}
