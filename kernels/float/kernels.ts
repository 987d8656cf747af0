/**
 * Float operators for many rows: in WebAssembly SIMD if available, otherwise in loops with the same
 * bits.
 *
 * @module
 */
import { type Activation, floatFunction } from "../numeric/float_functions.ts";
import { type FloatLayer, linearFloat32 } from "./linear.ts";
import { sharedVectorMemory, type VectorMemory, vectorOrPlain } from "./vector.ts";

/**
 * `out = weight x + bias` for consecutive rows, as {@linkcode linearFloat32}: x [rows, inFeatures]
 * at `offset`, out [rows, outFeatures] at `outOffset`; one row by default.
 */
export type FloatLinear = (
  x: Float32Array,
  offset: number,
  out: Float32Array,
  outOffset: number,
  rows?: number,
) => void;

/** Applies a function in place to the values in [from, to). */
export type FloatFunction = (values: Float32Array, from: number, to: number) => void;

/** Creates operators. */
export interface FloatKernels {
  /** Creates a linear operator. */
  linear(layer: FloatLayer): FloatLinear;
  /** Creates an activation, as `floatFunction`. */
  activation(name: Activation): FloatFunction;
}

/** Makes a scalar function a function of ranges. */
export function eachValue(f: (x: number) => number): FloatFunction {
  return (values, from, to) => {
    for (let i = from; i < to; i++) values[i] = f(values[i]!);
  };
}

/**
 * Operators in loops; they read their weights in each call.
 *
 * @example
 * ```ts
 * import { plainKernels } from "./kernels.ts";
 * import { assertEquals } from "@std/assert";
 * const weight = Float32Array.of(3, 4), bias = Float32Array.of(0.5);
 * const linear = plainKernels.linear({ weight, bias, inFeatures: 2, outFeatures: 1 });
 * const out = new Float32Array(1);
 * linear(Float32Array.of(1, 2), 0, out, 0);
 * assertEquals(out[0], 11.5);
 * ```
 */
export const plainKernels: FloatKernels = {
  linear: (layer) => (x, offset, out, outOffset, rows = 1) => {
    for (let r = 0; r < rows; r++) {
      const to = outOffset + r * layer.outFeatures;
      linearFloat32(layer, x, offset + r * layer.inFeatures, out, to);
    }
  },
  activation: (name) => eachValue(floatFunction(name)),
};

/** Number of rows from which repacking a weight saves time. */
const MIN_ROWS = 4;

/** Number of rows in a block of a weight, as in vector.as. */
const BLOCK = 16;

/** Number of rows of x that vector.as multiplies at once. */
const FOUR = 4;

/** Number of rows of x that are copied at once. */
const CHUNK = 32;

/** Size of the description of a layer for vector.as: five addresses and sizes. */
const LAYER_BYTES = 20;

/** A linear operator whose weight stays in WebAssembly memory while that memory is in use. */
function vectorLinear(memory: VectorMemory, given: FloatLayer): FloatLinear {
  const { weight, bias, inFeatures, outFeatures } = given;
  const { exports } = memory;
  const blocks = Math.ceil(outFeatures / BLOCK);
  const width = blocks * BLOCK;
  const packed = memory.take(8 * width * inFeatures);
  const biases = memory.take(8 * width);
  const room = memory.take(8 * FOUR * inFeatures);
  const input = memory.take(4 * CHUNK * inFeatures);
  const results = memory.take(4 * CHUNK * width);
  const layer = memory.take(LAYER_BYTES);
  memory.integers.set([packed, biases, room, inFeatures, blocks], layer / 4);
  memory.doubles.fill(0, biases / 8, biases / 8 + width);
  if (bias !== null) memory.doubles.set(bias, biases / 8);
  memory.use(() => {
    const size = BLOCK * inFeatures;
    const staged = memory.take(4 * size);
    for (let block = 0; block < blocks; block++) {
      const rows = weight.subarray(block * size, (block + 1) * size);
      memory.floats.set(rows, staged / 4);
      if (rows.length < size) memory.floats.fill(0, staged / 4 + rows.length, staged / 4 + size);
      exports.pack(staged, packed + 8 * block * size, inFeatures);
    }
  });
  return (x, offset, out, outOffset, rows = 1) => {
    const { floats } = memory;
    for (let done = 0; done < rows; done += CHUNK) {
      const count = Math.min(CHUNK, rows - done);
      const from = offset + done * inFeatures;
      copy(x, from, floats, input / 4, count * inFeatures);
      exports.multiply(layer, input, results, count);
      const to = outOffset + done * outFeatures;
      if (width === outFeatures) copy(floats, results / 4, out, to, count * width);
      else {
        for (let r = 0; r < count; r++) {
          copy(floats, results / 4 + r * width, out, to + r * outFeatures, outFeatures);
        }
      }
    }
  };
}

/** Number of values from which creating a view is faster than copying in a loop. */
const MIN_VIEW = 128;

function copy(
  from: Float32Array,
  offset: number,
  to: Float32Array,
  toOffset: number,
  count: number,
): void {
  if (count >= MIN_VIEW) to.set(from.subarray(offset, offset + count), toOffset);
  else for (let i = 0; i < count; i++) to[toOffset + i] = from[offset + i]!;
}

/** Number of values of an activation that are computed at once. */
const VALUES = 4096;

/** Number of values below which an activation is computed one by one. */
const MIN_VALUES = 8;

function vectorActivation(memory: VectorMemory, name: Activation): FloatFunction {
  const plain = plainKernels.activation(name);
  if (name !== "sigmoid" && name !== "tanh") return plain;
  const { sigmoid, hyperbolicTangent } = memory.exports;
  const apply = name === "sigmoid" ? sigmoid : hyperbolicTangent;
  const room = memory.take(4 * VALUES);
  return (values, from, to) => {
    if (to - from < MIN_VALUES) return plain(values, from, to);
    for (let at = from; at < to; at += VALUES) {
      const count = Math.min(VALUES, to - at);
      copy(values, at, memory.floats, room / 4, count);
      apply(room, count);
      copy(memory.floats, room / 4, values, at, count);
    }
  };
}

/**
 * Calls `work` with operators that are each applied to about `rows` rows. An operator reads its
 * weight when it is created, and can be used until `work` returns.
 *
 * @example
 * ```ts
 * import { withFloatKernels } from "./kernels.ts";
 * import { assertEquals } from "@std/assert";
 * const out = new Float32Array(2), weight = Float32Array.of(3, 4, 1, 1);
 * withFloatKernels(100, (kernels) => {
 *   const linear = kernels.linear({ weight, bias: null, inFeatures: 2, outFeatures: 2 });
 *   linear(Float32Array.of(1, 2), 0, out, 0);
 * });
 * assertEquals([...out], [11, 3]);
 * ```
 */
export function withFloatKernels<T>(rows: number, work: (kernels: FloatKernels) => T): T {
  const memory = rows < MIN_ROWS ? null : sharedVectorMemory();
  if (memory === null) return work(plainKernels);
  return memory.use(() =>
    work({
      linear: (layer) =>
        vectorOrPlain(() => vectorLinear(memory, layer), () => plainKernels.linear(layer)),
      activation: (name) =>
        vectorOrPlain(() => vectorActivation(memory, name), () => plainKernels.activation(name)),
    })
  );
}
