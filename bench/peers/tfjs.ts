/**
 * TensorFlow.js on its wasm (one thread) and cpu backends: cells of its own operations, float32.
 *
 * @module
 */
import { createRequire } from "node:module";
import { dirname, sep } from "node:path";
import { FLOAT_TOLERANCE, type Peer, type PeerSource, type Runner } from "./peer.ts";
import { GATES, KINDS, type LayerWeights, type Problem, STEPS, stepsOf } from "./problem.ts";

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
  sub(a: TfTensor, b: TfTensor): TfTensor;
  transpose(x: TfTensor): TfTensor;
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
 * Order of the gates here, as indices into PyTorch's: an LSTM's three sigmoids side by side, then tanh;
 * a GRU's two, then tanh, as they are.
 */
const GATE_ORDER = { lstm: [0, 1, 3, 2], gru: [0, 1, 2] } as const;

/** [gates * size, columns] in PyTorch's order to [columns, gates * size] in this one's. */
function reorderTransposed(
  weight: Float32Array,
  { cell, size }: Problem,
  columns: number,
): Float32Array {
  const order = GATE_ORDER[cell];
  const rows = order.length * size;
  const out = new Float32Array(weight.length);
  for (let to = 0; to < rows; to++) {
    const row = order[Math.floor(to / size)]! * size + to % size;
    for (let k = 0; k < columns; k++) {
      out[k * rows + to] = weight[row * columns + k]!;
    }
  }
  return out;
}

/** An LSTM's h and c, or a GRU's h. */
type State = readonly TfTensor[];

/** A recurrent layer of tfjs's operations. */
interface Layer {
  /** One matrix product of x and h side by side, where the cell allows it. */
  plain(x: TfTensor, state: State): State;
  /** The same with the bias fused into the product. */
  fused(x: TfTensor, state: State): State;
  /** All inputs at once: [STEPS, rows], the biases that can be added then among them. */
  project(x: TfTensor): TfTensor;
  /** A step from projected inputs. */
  projected(gates: TfTensor, state: State): State;
}

function lstmLayer(tf: Tf, problem: Problem, weights: LayerWeights): Layer {
  const { size } = problem;
  const rows = 4 * size;
  const columns = weights.inputSize;
  const weightIh = tf.tensor2d(reorderTransposed(weights.weightIh, problem, columns), [
    columns,
    rows,
  ]);
  const weightHh = tf.tensor2d(reorderTransposed(weights.weightHh, problem, size), [size, rows]);
  const weight = tf.concat([weightIh, weightHh], 0);
  const bias = tf.tensor1d(
    reorderTransposed(weights.biasIh.map((b, j) => b + weights.biasHh[j]!), problem, 1),
  );
  const finish = (gates: TfTensor, c: TfTensor): State => {
    const s = tf.sigmoid(tf.slice(gates, [0, 0], [1, 3 * size]));
    const cell = tf.tanh(tf.slice(gates, [0, 3 * size], [1, size]));
    const inputGate = tf.slice(s, [0, 0], [1, size]);
    const forgetGate = tf.slice(s, [0, size], [1, size]);
    const next = tf.add(tf.mul(forgetGate, c), tf.mul(inputGate, cell));
    return [tf.mul(tf.slice(s, [0, 2 * size], [1, size]), tf.tanh(next)), next];
  };
  return {
    plain: (x, [h, c]) => finish(tf.add(tf.matMul(tf.concat([x, h!], 1), weight), bias), c!),
    fused: (x, [h, c]) =>
      finish(tf.fused.matMul({ a: tf.concat([x, h!], 1), b: weight, bias }), c!),
    project: (x) => tf.fused.matMul({ a: x, b: weightIh, bias }),
    projected: (gates, [h, c]) => finish(tf.add(gates, tf.matMul(h!, weightHh)), c!),
  };
}

function gruLayer(tf: Tf, problem: Problem, weights: LayerWeights): Layer {
  const { size } = problem;
  const rows = 3 * size;
  const columns = weights.inputSize;
  const weightIh = tf.tensor2d(reorderTransposed(weights.weightIh, problem, columns), [
    columns,
    rows,
  ]);
  const weightHh = tf.tensor2d(reorderTransposed(weights.weightHh, problem, size), [size, rows]);
  const biasIh = tf.tensor1d(weights.biasIh);
  const biasHh = tf.tensor1d(weights.biasHh);
  const finish = (gi: TfTensor, gh: TfTensor, h: TfTensor): State => {
    const s = tf.sigmoid(
      tf.add(tf.slice(gi, [0, 0], [1, 2 * size]), tf.slice(gh, [0, 0], [1, 2 * size])),
    );
    const r = tf.slice(s, [0, 0], [1, size]);
    const z = tf.slice(s, [0, size], [1, size]);
    const product = tf.mul(r, tf.slice(gh, [0, 2 * size], [1, size]));
    const n = tf.tanh(tf.add(tf.slice(gi, [0, 2 * size], [1, size]), product));
    return [tf.add(n, tf.mul(z, tf.sub(h, n)))];
  };
  const hidden = (h: TfTensor) => tf.fused.matMul({ a: h, b: weightHh, bias: biasHh });
  const project = (x: TfTensor) => tf.fused.matMul({ a: x, b: weightIh, bias: biasIh });
  return {
    plain: (x, [h]) =>
      finish(
        tf.add(tf.matMul(x, weightIh), biasIh),
        tf.add(tf.matMul(h!, weightHh), biasHh),
        h!,
      ),
    fused: (x, [h]) => finish(project(x), hidden(h!), h!),
    project,
    projected: (gi, [h]) => finish(gi, hidden(h!), h!),
  };
}

function createRunners(tf: Tf, activate: () => Promise<void>, problem: Problem): readonly Runner[] {
  const { cell, size, inputSize, outputSize, input } = problem;
  const layers = problem.layers.map((weights) =>
    (cell === "lstm" ? lstmLayer : gruLayer)(tf, problem, weights)
  );
  const head = problem.head && {
    b: tf.transpose(tf.tensor2d(problem.head.weight, [outputSize, size])),
    bias: tf.tensor1d(problem.head.bias),
  };
  const answer = (y: TfTensor): TfTensor =>
    head === undefined ? y : tf.sigmoid(tf.fused.matMul({ a: y, ...head }));
  const xs = stepsOf(problem);
  const zero = (): State => (cell === "lstm" ? ["h", "c"] : ["h"]).map(() => tf.zeros([1, size]));
  const read = (run: () => TfTensor): Float32Array => {
    const y = tf.tidy(run);
    const values = y.dataSync();
    y.dispose();
    return values;
  };
  /** One layer after the other over all steps; rows of `start` are its inputs. */
  const through = (layer: (x: TfTensor, state: State) => State, start: TfTensor, width: number) => {
    let state = zero();
    const ys: TfTensor[] = [];
    for (let t = 0; t < STEPS; t++) {
      state = layer(tf.slice(start, [t, 0], [1, width]), state);
      ys.push(state[0]!);
    }
    return tf.concat(ys, 0);
  };
  const runner = (form: "plain" | "fused", sequence: () => TfTensor): Runner => {
    let states = layers.map(zero);
    const replace = (next: State[]) => {
      for (const state of states) state.forEach((t) => t.dispose());
      states = next;
    };
    const step = (x: TfTensor): State[] => {
      const next: State[] = [];
      layers.forEach((layer, index) => {
        next.push(layer[form](index === 0 ? x : next[index - 1]![0]!, states[index]!));
      });
      return next;
    };
    return {
      activate,
      reset: () => replace(layers.map(zero)),
      step: (t) => {
        replace(tf.tidy(() => step(tf.tensor2d(xs[t]!, [1, inputSize]))));
        const y = states[states.length - 1]![0]!;
        return head === undefined ? y.dataSync() : read(() => answer(y));
      },
      sequence: () => read(() => answer(sequence())),
    };
  };
  const all = () => tf.tensor2d(input, [STEPS, inputSize]);
  const rows = GATES[cell] * size;
  return [
    runner("plain", () =>
      layers.reduce(
        (x, layer, index) => through(layer.plain, x, index === 0 ? inputSize : size),
        all(),
      )),
    // A sequence projects all its inputs at once.
    runner(
      "fused",
      () => layers.reduce((x, layer) => through(layer.projected, layer.project(x), rows), all()),
    ),
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
        problems: KINDS,
        tolerance: FLOAT_TOLERANCE,
        prepare: async (problem) => {
          await activate();
          return createRunners(tf, activate, problem);
        },
      };
    });
  },
};
