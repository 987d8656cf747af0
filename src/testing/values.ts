/**
 * Input and output arrays of sessions.
 *
 * @module
 */
import { newQArray, type QArray } from "../core/dtype.ts";
import type { QuantizedModel } from "../authoring/model.ts";
import type { Program } from "../runtime/program.ts";
import type { Session } from "../runtime/session.ts";
import type { OutputArray, SessionInput } from "../runtime/basic_session.ts";
import { floatsOf, generator } from "./random.ts";

/** Input of a model with `rows` rows: tokens, floats in ±range, or integers of its input dtype. */
export function inputFor(
  model: QuantizedModel | Program<Session>,
  seed: number,
  rows: number,
  { integers = false, range = 2 }: { integers?: boolean; range?: number } = {},
): SessionInput {
  const random = generator(seed);
  const length = rows * model.inputSize;
  if (model.vocabulary > 0) {
    return Int32Array.from({ length }, () => Math.floor(random(0, model.vocabulary)));
  }
  if (!integers || model.input === null) return floatsOf(seed, [length], range).data;
  const { dtype, quantMin, quantMax } = model.input;
  const out = newQArray(dtype, length);
  for (let i = 0; i < length; i++) out[i] = Math.floor(random(quantMin, quantMax + 1));
  return out;
}

/** An output array for `rows` rows. */
export function outputFor(
  model: QuantizedModel | Program<Session>,
  rows: number,
  integers: boolean = false,
): Float32Array | QArray {
  const length = rows * model.outputSize;
  return !integers || model.output === null
    ? new Float32Array(length)
    : newQArray(model.output.dtype, length);
}

/** The bytes of an array; they distinguish 0 from -0. */
export function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** A copy of rows [a, b, width] transposed to [b, a, width]. */
export function swapped<T extends SessionInput | OutputArray>(x: T, a: number, b: number): T {
  const out = x.slice() as T;
  const width = x.length / (a * b);
  for (let i = 0; i < a * b; i++) {
    const to = (i % b) * a + Math.floor(i / b);
    for (let k = 0; k < width; k++) out[to * width + k] = x[i * width + k]!;
  }
  return out;
}
