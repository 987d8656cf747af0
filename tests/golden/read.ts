/**
 * Reading golden files: every value is checked as it is taken out, and a failure says where it
 * stood.
 *
 * @module
 */
import { type DType, isOfDType, newQArray } from "../../src/core/dtype.ts";
import {
  perChannelAffine,
  perTensorAffine,
  type PerTensorQParams,
  type QParams,
} from "../../src/core/qparams.ts";
import { type QTensor, qtensor, type Tensor, tensor } from "../../src/core/tensor.ts";

/** A golden file, or a value in it, that is not of the form that it should have. */
export class Malformed extends Error {
  override readonly name = "Malformed";
}

/** One value of a golden file and where it stands. */
export class Field {
  constructor(readonly value: unknown, readonly path: string) {}

  /** Throws that something else was expected here. */
  fail(expected: string): never {
    const text = JSON.stringify(this.value) ?? "nothing";
    const got = text.length > 60 ? `${text.slice(0, 60)}...` : text;
    throw new Malformed(`${this.path}: expected ${expected}, got ${got}`);
  }

  #at(key: string): Field {
    const path = this.path === "" ? key : `${this.path}.${key}`;
    return new Field((this.#object() as Record<string, unknown>)[key], path);
  }

  #object(): object {
    const { value } = this;
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? value
      : this.fail("an object");
  }

  /** A member that must be there; it may be null. */
  get(key: string): Field {
    const field = this.#at(key);
    return field.value === undefined ? field.fail("a value") : field;
  }

  /** A member, or null where it is absent or null. */
  maybe(key: string): Field | null {
    const field = this.#at(key);
    return field.value === undefined || field.value === null ? null : field;
  }

  /** Whether there is such a member. */
  has(key: string): boolean {
    return key in this.#object();
  }

  keys(): string[] {
    return Object.keys(this.#object());
  }

  list(): Field[] {
    if (!Array.isArray(this.value)) this.fail("an array");
    return (this.value as unknown[]).map((value, i) => new Field(value, `${this.path}[${i}]`));
  }

  string(): string {
    return typeof this.value === "string" ? this.value : this.fail("a string");
  }

  boolean(): boolean {
    return typeof this.value === "boolean" ? this.value : this.fail("true or false");
  }

  oneOf<T extends string>(...words: readonly T[]): T {
    return words.includes(this.value as T) ? this.value as T : this.fail(words.join(" or "));
  }

  /** A number; the strings NaN, Infinity and -Infinity are numbers, too. */
  number(): number {
    const { value } = this;
    if (typeof value === "number") return value;
    return value === "NaN" || value === "Infinity" || value === "-Infinity"
      ? Number(value)
      : this.fail("a number");
  }

  integer(): number {
    return Number.isSafeInteger(this.value) ? this.value as number : this.fail("an integer");
  }

  /** Numbers rounded to float32. */
  floats(length?: number): Float32Array {
    const { value } = this;
    if (!Array.isArray(value)) return this.fail("an array of numbers");
    if (length !== undefined && value.length !== length) {
      this.fail(`${length} numbers, not ${value.length}`);
    }
    const out = new Float32Array(value.length);
    for (let i = 0; i < value.length; i++) {
      out[i] = typeof value[i] === "number"
        ? value[i]
        : new Field(value[i], `${this.path}[${i}]`).number();
    }
    return out;
  }

  /** Integers. */
  integers(length?: number): number[] {
    const { value } = this;
    if (!Array.isArray(value)) return this.fail("an array of integers");
    if (length !== undefined && value.length !== length) {
      this.fail(`${length} integers, not ${value.length}`);
    }
    const wrong = value.findIndex((v) => !Number.isSafeInteger(v));
    return wrong < 0 ? value : new Field(value[wrong], `${this.path}[${wrong}]`).fail("an integer");
  }

  /** The integers of a tensor of a dtype. */
  quantized(dtype: DType, length?: number): Uint8Array | Int8Array | Int32Array {
    const values = this.integers(length);
    const out = newQArray(dtype, values.length);
    out.set(values);
    const wrong = values.findIndex((v, i) => v !== out[i]);
    return wrong < 0 ? out : new Field(values[wrong], `${this.path}[${wrong}]`).fail(
      `an integer that ${dtype} can hold`,
    );
  }

  dtype(): DType {
    return this.oneOf("quint8", "qint8", "qint32");
  }

  #shape(): number[] {
    const shape = this.get("shape");
    const dims = shape.integers();
    return dims.every((d) => d >= 0) ? dims : shape.fail("dimensions");
  }

  /** `{ shape, f32 }` */
  tensor(): Tensor {
    const shape = this.#shape();
    const size = shape.reduce((a, b) => a * b, 1);
    return tensor(this.get("f32").floats(size), shape);
  }

  /** `{ shape, dtype, qscheme, ..., ints }`, per tensor or per channel. */
  qtensor(): QTensor {
    const shape = this.#shape();
    const size = shape.reduce((a, b) => a * b, 1);
    const dtype = this.get("dtype").dtype();
    let qparams: QParams;
    try {
      qparams = this.get("qscheme").oneOf("per_tensor", "per_channel") === "per_tensor"
        ? perTensorAffine({
          dtype,
          scale: this.get("scale").number(),
          zeroPoint: this.get("zero_point").integer(),
        })
        : perChannelAffine({
          dtype,
          scales: this.get("scales").floats(),
          zeroPoints: this.get("zero_points").integers(),
          axis: this.get("axis").integer(),
        });
    } catch (error) {
      if (error instanceof Malformed) throw error;
      throw new Malformed(`${this.path}: ${(error as Error).message}`);
    }
    const data = this.get("ints").quantized(dtype, size);
    try {
      return qtensor(data, shape, qparams);
    } catch (error) {
      throw new Malformed(`${this.path}: ${(error as Error).message}`);
    }
  }

  /** A quantized tensor with one scale. */
  perTensor(): QTensor<PerTensorQParams> {
    const q = this.qtensor();
    return "scale" in q.qparams
      ? q as QTensor<PerTensorQParams>
      : this.fail("a tensor quantized per tensor");
  }

  /** Per-tensor quint8 integers, as the LSTM's inputs and outputs are. */
  quint8(): QTensor<PerTensorQParams> & { readonly data: Uint8Array } {
    const q = this.perTensor();
    if (!isOfDType(q.data, "quint8")) this.fail("quint8");
    return q as QTensor<PerTensorQParams> & { readonly data: Uint8Array };
  }
}
