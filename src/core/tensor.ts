/**
 * The dense tensors that modules take and give: a typed array and a shape, row-major.
 *
 * @module
 */
import { isFloat32Array, isInt32Array } from "../../kernels/numeric/typed_array.ts";
import { isOfDType, type QArray } from "./dtype.ts";
import { checkInteger, failRange, failType } from "./errors.ts";
import { isPerChannel, type QParams } from "./qparams.ts";

/**
 * A float32 tensor.
 *
 * @example
 * ```ts
 * import { LSTM, type Tensor, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const x: Tensor = tensor(new Float32Array(20), [5, 2, 2]); // [steps, batch, features]
 * const [y] = new LSTM({ inputSize: 2, hiddenSize: 3 }).forward(x);
 * assertEquals(y.shape, [5, 2, 3]);
 * ```
 */
export interface Tensor {
  /** Row-major, as long as the product of `shape`. */
  readonly data: Float32Array;
  /** The dimensions, outermost first; empty for a single value. */
  readonly shape: readonly number[];
}

/**
 * A tensor of int32 token ids.
 *
 * @example
 * ```ts
 * import { Embedding, type TokenTensor, tokens } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const ids: TokenTensor = tokens([4, 0, 2], [3, 1]); // [steps, batch]
 * const words = new Embedding({ numEmbeddings: 5, embeddingDim: 8 });
 * assertEquals(words.forward(ids).shape, [3, 1, 8]);
 * ```
 */
export interface TokenTensor {
  /** Row-major, as long as the product of `shape`; ids count from 0. */
  readonly data: Int32Array;
  /** The dimensions, outermost first. */
  readonly shape: readonly number[];
}

/**
 * A quantized tensor: integers and the parameters that give them meaning.
 *
 * @example
 * ```ts
 * import { perTensorAffine, type QTensor, qtensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const qparams = perTensorAffine({ dtype: "quint8", scale: 0.5, zeroPoint: 10 });
 * const x: QTensor = qtensor(Uint8Array.of(11, 8), [2], qparams);
 * assertEquals([...x.data], [11, 8]); // x.int_repr() in PyTorch
 * ```
 */
export interface QTensor<Q extends QParams = QParams> {
  /** Row-major integers; quint8 in a Uint8Array, qint8 in an Int8Array, qint32 in an Int32Array. */
  readonly data: QArray;
  /** The dimensions, outermost first. */
  readonly shape: readonly number[];
  /** One scale for the whole tensor, or one for each index of an axis. */
  readonly qparams: Q;
}

/**
 * Number of elements of a shape: the product of its dimensions, 1 for none.
 *
 * @throws {TypeError | RangeError} If a dimension is no integer in 0..2^31 - 1.
 *
 * @example
 * ```ts
 * import { shapeSize } from "./tensor.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(shapeSize([2, 3, 4]), 24);
 * ```
 */
export function shapeSize(shape: readonly number[]): number {
  let size = 1;
  for (let i = 0; i < shape.length; i++) {
    size *= checkInteger(`shape[${i}]`, shape[i], 0, 2 ** 31 - 1);
  }
  return size;
}

function checkSize(data: ArrayLike<unknown>, shape: readonly number[]): void {
  if (!Array.isArray(shape)) failType("shape", "an array of integers", shape);
  const size = shapeSize(shape);
  if (data.length !== size) {
    failRange(
      "data",
      `${size} elements for shape [${shape.join(", ")}]`,
      data.length,
    );
  }
}

/**
 * A float32 tensor over `data` (kept if it is a Float32Array, copied otherwise).
 *
 * @throws {TypeError} If `data` is no array of numbers or `shape` no array.
 * @throws {RangeError} If the number of elements differs from the shape's.
 *
 * @example
 * ```ts
 * import { tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * assertEquals(tensor([1, 2, 3, 4], [2, 2]).shape, [2, 2]);
 * ```
 */
export function tensor(
  data: Float32Array | readonly number[],
  shape: readonly number[],
): Tensor {
  if (!isFloat32Array(data) && !Array.isArray(data)) {
    failType("data", "a Float32Array or an array of numbers", data);
  }
  checkSize(data, shape);
  if (Array.isArray(data)) {
    data.forEach((value, i) => {
      if (typeof value !== "number") failType(`data[${i}]`, "a number", value);
    });
  }
  return {
    data: isFloat32Array(data) ? data : Float32Array.from(data),
    shape: [...shape],
  };
}

/**
 * A tensor of token ids over `data` (kept if it is an Int32Array, copied otherwise).
 *
 * @throws {TypeError} If `data` is no array of integers or `shape` no array.
 * @throws {RangeError} If the number of elements differs from the shape's.
 *
 * @example
 * ```ts
 * import { tokens } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * assertEquals(tokens([7, 8, 9], [3, 1]).data.length, 3);
 * ```
 */
export function tokens(
  data: Int32Array | readonly number[],
  shape: readonly number[],
): TokenTensor {
  if (!isInt32Array(data) && !Array.isArray(data)) {
    failType("data", "an Int32Array or an array of integers", data);
  }
  checkSize(data, shape);
  if (Array.isArray(data)) {
    data.forEach((id, i) => checkInteger(`data[${i}]`, id, 0, 2 ** 31 - 1));
  }
  return {
    data: isInt32Array(data) ? data : Int32Array.from(data as readonly number[]),
    shape: [...shape],
  };
}

/**
 * A quantized tensor; the array's kind must be the dtype's, and per-channel parameters must fit the
 * axis.
 *
 * @param data Kept, not copied.
 * @throws {TypeError} If the array does not hold the dtype, or there are no parameters.
 * @throws {RangeError} If the number of elements or channels differs from the shape's.
 *
 * @example
 * ```ts
 * import { perTensorAffine, qtensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const q = qtensor(
 *   new Uint8Array([1, 2]),
 *   [2],
 *   perTensorAffine({ dtype: "quint8", scale: 0.5, zeroPoint: 0 }),
 * );
 * assertEquals(q.qparams.scale, 0.5);
 * ```
 */
export function qtensor<Q extends QParams>(
  data: QArray,
  shape: readonly number[],
  qparams: Q,
): QTensor<Q> {
  if (typeof qparams !== "object" || qparams === null) {
    failType("qparams", "quantization parameters", qparams);
  }
  if (!isOfDType(data, qparams.dtype)) {
    failType("data", `an array of ${qparams.dtype}`, data);
  }
  checkSize(data, shape);
  if (isPerChannel(qparams) && shape[qparams.axis] !== qparams.scales.length) {
    failRange(
      "qparams.scales",
      `${shape[qparams.axis]} channels along axis ${qparams.axis}`,
      qparams.scales.length,
    );
  }
  return { data, shape: [...shape], qparams };
}
