/**
 * TensorFlow.js on its wasm (one thread) and cpu backends: an LSTM cell of its own operations,
 * float32.
 *
 * @module
 */
import { createRequire } from "node:module";
import { dirname, sep } from "node:path";
import { FLOAT_TOLERANCE, type Peer, type PeerSource, type Runner } from "./peer.ts";
import { type Problem, STEPS } from "./problem.ts";

interface TfTensor {
  dataSync(): Float32Array;
  dispose(): void;
}

interface Tf {
  enableProdMode(): void;
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  getBackend(): string;
  tensor1d(values: Float32Array): TfTensor;
  tensor2d(values: Float32Array, shape: [number, number]): TfTensor;
  zeros(shape: number[]): TfTensor;
  concat(tensors: TfTensor[], axis: number): TfTensor;
  slice(x: TfTensor, begin: number[], size: number[]): TfTensor;
  matMul(a: TfTensor, b: TfTensor): TfTensor;
  add(a: TfTensor, b: TfTensor): TfTensor;
  mul(a: TfTensor, b: TfTensor): TfTensor;
  sigmoid(x: TfTensor): TfTensor;
  tanh(x: TfTensor): TfTensor;
  tidy<T>(run: () => T): T;
  readonly fused: {
    matMul(options: { a: TfTensor; b: TfTensor; bias: TfTensor }): TfTensor;
  };
}

interface TfWasm {
  setWasmPaths(folder: string): void;
  setThreadsCount(count: number): void;
}

/**
 * Order of the gates here, as indices into PyTorch's: the three sigmoids side by side, then tanh.
 */
const GATE_ORDER = [0, 1, 3, 2];

/** [4 * size, columns] in PyTorch's order to [columns, 4 * size] in this one's. */
function reorderTransposed(weight: Float32Array, size: number, columns: number): Float32Array {
  const rows = 4 * size;
  const out = new Float32Array(weight.length);
  for (let to = 0; to < rows; to++) {
    const row = GATE_ORDER[Math.floor(to / size)]! * size + to % size;
    for (let k = 0; k < columns; k++) {
      out[k * rows + to] = weight[row * columns + k]!;
    }
  }
  return out;
}

function createRunners(tf: Tf, activate: () => Promise<void>, problem: Problem): readonly Runner[] {
  const { size, input } = problem;
  const rows = 4 * size;
  const weightIh = tf.tensor2d(reorderTransposed(problem.weightIh, size, size), [size, rows]);
  const weightHh = tf.tensor2d(reorderTransposed(problem.weightHh, size, size), [size, rows]);
  const weight = tf.concat([weightIh, weightHh], 0);
  const bias = tf.tensor1d(
    reorderTransposed(problem.biasIh.map((b, j) => b + problem.biasHh[j]!), size, 1),
  );
  const xs = Array.from({ length: STEPS }, (_, t) => input.slice(t * size, (t + 1) * size));
  type State = [h: TfTensor, c: TfTensor];
  const finish = (gates: TfTensor, c: TfTensor): State => {
    const s = tf.sigmoid(tf.slice(gates, [0, 0], [1, 3 * size]));
    const cell = tf.tanh(tf.slice(gates, [0, 3 * size], [1, size]));
    const inputGate = tf.slice(s, [0, 0], [1, size]);
    const forgetGate = tf.slice(s, [0, size], [1, size]);
    const next = tf.add(tf.mul(forgetGate, c), tf.mul(inputGate, cell));
    return [tf.mul(tf.slice(s, [0, 2 * size], [1, size]), tf.tanh(next)), next];
  };
  const plain = (x: TfTensor, [h, c]: State): State =>
    finish(tf.add(tf.matMul(tf.concat([x, h], 1), weight), bias), c);
  const fused = (x: TfTensor, [h, c]: State): State =>
    finish(tf.fused.matMul({ a: tf.concat([x, h], 1), b: weight, bias }), c);
  const zero = (): State => [tf.zeros([1, size]), tf.zeros([1, size])];
  const read = (run: () => TfTensor): Float32Array => {
    const y = tf.tidy(run);
    const values = y.dataSync();
    y.dispose();
    return values;
  };
  const runner = (cell: (x: TfTensor, state: State) => State, sequence: () => TfTensor): Runner => {
    let state = zero();
    const replace = (next: State) => {
      state.forEach((t) => t.dispose());
      state = next;
    };
    return {
      activate,
      reset: () => replace(zero()),
      step: (t) => {
        replace(tf.tidy(() => cell(tf.tensor2d(xs[t]!, [1, size]), state)));
        return state[0].dataSync();
      },
      sequence: () => read(sequence),
    };
  };
  const loop = (
    start: TfTensor,
    width: number,
    cell: (x: TfTensor, state: State) => State,
  ): TfTensor => {
    let state = zero();
    const ys: TfTensor[] = [];
    for (let t = 0; t < STEPS; t++) {
      state = cell(tf.slice(start, [t, 0], [1, width]), state);
      ys.push(state[0]);
    }
    return tf.concat(ys, 0);
  };
  return [
    // One matrix product a step, of the input and the state side by side.
    runner(plain, () => loop(tf.tensor2d(input, [STEPS, size]), size, plain)),
    // The same with the bias fused in; a sequence projects all its inputs at once.
    runner(fused, () =>
      loop(
        tf.fused.matMul({ a: tf.tensor2d(input, [STEPS, size]), b: weightIh, bias }),
        rows,
        (x, [h, c]) => finish(tf.add(x, tf.matMul(h, weightHh)), c),
      )),
  ];
}

/**
 * TensorFlow.js, both backends in one process: the backend is switched before each series of calls.
 */
export const tfjs: PeerSource = {
  names: ["tfjs wasm float32", "tfjs cpu float32"],
  // deno-lint-ignore require-await -- the packages are CommonJS
  async load() {
    const require = createRequire(import.meta.url);
    const tf = require("@tensorflow/tfjs") as Tf;
    const wasm = require("@tensorflow/tfjs-backend-wasm") as TfWasm;
    wasm.setWasmPaths(dirname(require.resolve("@tensorflow/tfjs-backend-wasm")) + sep);
    wasm.setThreadsCount(1);
    tf.enableProdMode();
    return ["wasm", "cpu"].map((backend): Peer => {
      const activate = async () => {
        if (tf.getBackend() === backend) return;
        await tf.setBackend(backend);
        await tf.ready();
        if (tf.getBackend() !== backend) {
          throw new Error(`tfjs runs on ${tf.getBackend()}, not on ${backend}`);
        }
      };
      return {
        name: `tfjs ${backend} float32`,
        tolerance: FLOAT_TOLERANCE,
        prepare: async (problem) => {
          await activate();
          return createRunners(tf, activate, problem);
        },
      };
    });
  },
};
