/**
 * Converting weights of Keras' recurrent layers to PyTorch's layout, for Keras 1, 2 and 3 and CuDNN
 * layers.
 *
 * @module
 */
import { failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import type { Flow } from "./builder.ts";
import { checkWeight, forHalves, reordered, stacked, transposed } from "./tensors.ts";
import { type KerasWeight, weightsFor } from "./weights.ts";

/** A recurrent layer's gates. */
export interface Gates {
  /** PyTorch's order, by the indices of Keras' gates. */
  readonly order: readonly number[];
  /** Keras' order, by the indices of Keras 1's gates. */
  readonly keras1: readonly number[];
}

/** Keras i f c o, as PyTorch; Keras 1 i c f o. */
export const LSTM_GATES: Gates = { order: [0, 1, 2, 3], keras1: [0, 2, 1, 3] };

/** Keras z r h, PyTorch r z n; Keras 1 z r h. */
export const GRU_GATES: Gates = { order: [1, 0, 2], keras1: [0, 1, 2] };

/** Weights of a direction of a layer, by PyTorch's names without the layer's suffix. */
export interface CellTensors {
  readonly inputSize: number;
  readonly units: number;
  readonly weightIh: Tensor;
  readonly weightHh: Tensor;
  /** Biases of input and state, in order of the gates; null if the layer has none. */
  readonly biases: readonly [ih: Tensor, hh: Tensor] | null;
}

/** Layout of a layer's weights. */
export interface CellLayout {
  readonly gates: Gates;
  /** Whether the weights have CuDNN's layout: blocks of transposed matrices, two biases. */
  readonly cudnn: boolean;
  /** Whether the layer has a bias. */
  readonly bias: boolean;
}

/** Concatenates matrices by columns. */
function concatColumns(tensors: readonly Tensor[]): Tensor {
  return transposed(stacked(tensors.map(transposed)));
}

/** Converts weights of Keras 1, three a gate, to those of Keras 2. */
function joinGates(at: string, weights: readonly KerasWeight[], { keras1 }: Gates): Tensor[] {
  const part = (kind: number) =>
    keras1.map((gate) => {
      const weight = weights[3 * gate + kind]!;
      checkWeight(`${at}.${weight.name}`, weight, kind < 2 ? [undefined, undefined] : [undefined]);
      return weight;
    });
  const [kernels, recurrent, biases] = [part(0), part(1), part(2)];
  for (const each of [kernels, recurrent, biases]) {
    each.forEach((weight) => checkWeight(`${at}.${weight.name}`, weight, each[0]!.shape));
  }
  return [concatColumns(kernels), concatColumns(recurrent), stacked(biases)];
}

/**
 * A kernel of CuDNN: each gate's block of columns, [size, units], holds PyTorch's [units, size] row
 * by row.
 */
function fromCudnn(kernel: Tensor, gates: number): Tensor {
  const [size, columns] = kernel.shape as [number, number];
  const units = columns / gates;
  const byRows = transposed(kernel);
  const blocks = Array.from({ length: gates }, (_, gate) => {
    const data = byRows.data.subarray(gate * units * size, (gate + 1) * units * size);
    return { ...transposed({ data, shape: [units, size] }), shape: [units, size] };
  });
  return stacked(blocks);
}

/**
 * The weights of a layer or of one of its directions.
 *
 * @throws {RangeError} If they are missing, or their shapes do not fit each other.
 */
export function cellTensors(
  at: string,
  weights: readonly KerasWeight[],
  input: Flow,
  { gates, cudnn, bias }: CellLayout,
): CellTensors {
  const { length } = gates.order;
  const [kernel, recurrent, biases] = weights.length === 3 * length
    ? joinGates(at, weights, gates)
    : weightsFor(at, weights, ["kernel", "recurrent_kernel", ...bias ? ["bias"] : []]);
  checkWeight(`${at}.recurrent_kernel`, recurrent!, [undefined, undefined]);
  const units = recurrent!.shape[0]!;
  const columns = length * units;
  checkWeight(`${at}.recurrent_kernel`, recurrent!, [units, columns]);
  checkWeight(`${at}.kernel`, kernel!, [undefined, columns]);
  if (cudnn && input.halves !== undefined) {
    failRange(at, "an input that is no sum of two directions, since it is of CuDNN", "one");
  }
  const rows = (tensor: Tensor) =>
    reordered(cudnn ? fromCudnn(tensor, length) : transposed(tensor), gates.order);
  const weightIh = rows(forHalves(kernel!, input));
  const weightHh = rows(recurrent!);
  const inputSize = weightIh.shape[1]!;
  if (!bias) return { inputSize, units, weightIh, weightHh, biases: null };
  // Two biases, for the input and the state: as two rows, or concatenated as in CuDNN.
  const { data, shape } = biases!;
  const two = data.length === 2 * columns;
  const flat = two ? [2 * columns] : [columns];
  checkWeight(`${at}.bias`, biases!, shape.length === 2 ? [2, columns] : flat);
  const of = (from: Float32Array) => reordered({ data: from, shape: [columns] }, gates.order);
  const ih = of(data.subarray(0, columns));
  const hh = of(two ? data.subarray(columns) : new Float32Array(columns));
  return { inputSize, units, weightIh, weightHh, biases: [ih, hh] };
}
