/**
 * Conversion of tensors of any dtype to float32.
 *
 * @module
 */
import { isFloat32Array, typedArrayKind } from "../../kernels/numeric/typed_array.ts";
import { checkBuiltIn, show } from "../core/errors.ts";
import type { Tensor } from "../core/tensor.ts";
import type { SafetensorsArray } from "./dtypes.ts";

/**
 * A tensor of a file, of any dtype.
 *
 * @example
 * ```ts
 * import { type AnyTensor, floatTensors } from "@splitgate/splitgate/safetensors";
 * import { assertEquals } from "@std/assert";
 * const a: AnyTensor = { dtype: "I8", shape: [2], data: Int8Array.of(1, -2) };
 * assertEquals(floatTensors(new Map([["a", a]])).tensors.get("a")!.data, Float32Array.of(1, -2));
 * ```
 */
export interface AnyTensor {
  /** Its name in the file, for messages. */
  readonly dtype: string;
  /** Dimensions, outermost first. */
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: SafetensorsArray;
}

/**
 * float32 tensors, and notes about lost precision.
 *
 * @example
 * ```ts
 * import { type FloatTensors, floatTensors } from "@splitgate/splitgate/safetensors";
 * import { assertEquals } from "@std/assert";
 * const a = { dtype: "F64", shape: [1], data: Float64Array.of(0.1) };
 * const { tensors, notes }: FloatTensors = floatTensors(new Map([["a", a]]));
 * assertEquals([tensors.size, notes.length], [1, 1]); // a note of what was rounded
 * ```
 */
export interface FloatTensors {
  /** The tensors by the given names. */
  readonly tensors: Map<string, Tensor>;
  /** A sentence for each tensor whose values float32 does not hold exactly. */
  readonly notes: string[];
}

/** The values in float32, and the number of those that changed. */
function rounded(data: SafetensorsArray): { values: Float32Array; changed: number } {
  if (isFloat32Array(data)) return { values: data, changed: 0 };
  const values = new Float32Array(data.length);
  let changed = 0;
  const big = /^Big/.test(typedArrayKind(data)!);
  for (let i = 0; i < data.length; i++) {
    const value = data[i]!;
    values[i] = Number(value);
    if (!Object.is(big ? BigInt(values[i]!) : values[i], value)) changed++;
  }
  return { values, changed };
}

/**
 * Converts tensors of any dtype to float32, rounding to nearest. float32 tensors are not copied.
 *
 * @param tensors `tensors` of a safetensors file, for instance.
 * @returns The tensors, and a note for each one with changed values.
 * @throws {TypeError} If `tensors` is no Map.
 * @throws {RangeError} If a dtype is not known.
 *
 * @example
 * ```ts
 * import {
 *   floatTensors,
 *   parseSafetensors,
 *   writeSafetensors,
 * } from "@splitgate/splitgate/safetensors";
 * import { assertEquals } from "@std/assert";
 * const file = writeSafetensors([["a", { data: Float64Array.of(0.5, 0.1), shape: [2] }]]);
 * const { tensors, notes } = floatTensors(parseSafetensors(file).tensors);
 * assertEquals(tensors.get("a")!.data, Float32Array.of(0.5, 0.1));
 * assertEquals(notes, ['"a": 1 of 2 values of F64 rounded to float32']);
 * ```
 */
export function floatTensors(tensors: ReadonlyMap<string, AnyTensor>): FloatTensors {
  checkBuiltIn("tensors", tensors, "Map", "a Map of tensors");
  const out = new Map<string, Tensor>();
  const notes: string[] = [];
  for (const [name, { dtype, shape, data }] of tensors) {
    const { values, changed } = rounded(data);
    out.set(name, { data: values, shape });
    if (changed > 0) {
      notes.push(
        `${show(name)}: ${changed} of ${values.length} values of ${dtype} rounded to float32`,
      );
    }
  }
  return { tensors: out, notes };
}
