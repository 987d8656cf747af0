/**
 * Models in files of Keras and TensorFlow.js, and what these compute.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { type Graph, type Tensor, tensor, tokens, type TokenTensor } from "@splitgate/splitgate";
import { parseSafetensors, type SafetensorsEntry } from "@splitgate/splitgate/safetensors";

/** The folder of model files. */
export const MODELS = new URL("../../models/", import.meta.url);

/** Bytes of a model file. */
export function read(path: string): Uint8Array<ArrayBuffer> {
  return Deno.readFileSync(new URL(path, MODELS));
}

/** Tensors of a file of references. */
export function references(path: string): Map<string, SafetensorsEntry> {
  return parseSafetensors(read(path)).tensors;
}

/** A reference as a model takes it. */
export function inputOf({ data, shape }: SafetensorsEntry): Tensor | TokenTensor {
  return data instanceof Float32Array
    ? tensor(data, shape)
    : tokens(Int32Array.from(data as Int32Array, Number), shape);
}

/** Requires values within so much of the largest magnitude that is expected. */
export function assertClose(
  name: string,
  got: Tensor,
  expected: SafetensorsEntry,
  tolerance: number,
): void {
  assertEquals(got.shape, expected.shape, name);
  const values = expected.data as Float32Array;
  const largest = values.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  values.forEach((value, i) => {
    const off = Math.abs(got.data[i]! - value);
    assert(off <= tolerance * largest, `${name}: ${got.data[i]} at ${i}, expected ${value}`);
  });
}

/** Requires each output of a model to be what the references hold as `NAME.y0` and on. */
export function assertOutputs(
  name: string,
  model: Graph,
  tensors: ReadonlyMap<string, SafetensorsEntry>,
  lengths?: ArrayLike<number>,
): void {
  const x = inputOf(tensors.get(`${name}.x`)!);
  const outputs = [...model.run(x, lengths === undefined ? {} : { lengths }).values()];
  outputs.forEach((y, i) => assertClose(name, y, tensors.get(`${name}.y${i}`)!, 1e-5));
  assert(!tensors.has(`${name}.y${outputs.length}`), name);
}
