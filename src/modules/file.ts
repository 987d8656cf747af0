/**
 * The interface through which a kind writes and reads its part of a model file. The file format
 * itself belongs to `io/`.
 *
 * @module
 */
import type { LinearWeight } from "../../kernels/ops/linear.ts";
import type { Engine } from "../../kernels/ops/linear.ts";
import type { PerTensorQParams } from "../core/qparams.ts";

/** Arrays that a model file holds. */
export type FileArray = Float32Array | Int8Array | Uint8Array | Uint16Array | Int32Array;

/** A tensor of a model file. */
export interface FileTensor<T extends FileArray = FileArray> {
  readonly data: T;
  readonly shape: readonly number[];
}

/** Writes one module. */
export interface ModuleWriter {
  /** Adds a tensor under the module's name, a dot, and `key`. */
  tensor(key: string, data: FileArray, ...shape: number[]): void;
  /** Adds an int8 weight with its scales, and zero points where they are not all 0. */
  weight(key: string, weight: LinearWeight): void;
  /** The index of parameters in the file's list. */
  qparams(qparams: PerTensorQParams | null): number;
}

/** Reads one module. Whatever is read is removed, so that leftovers are unexpected. */
export interface ModuleReader {
  /** The module's name. */
  readonly name: string;
  /** A field of its JSON; undefined where there is none. */
  field(key: string): unknown;
  /** A field of its JSON that must be a boolean. */
  flag(key: string): boolean;
  /** A field of its JSON that must be a boolean, if present; false by default. */
  option(key: string): boolean;
  /** A field of its JSON that must be a rounding family. */
  engine(key: string): Engine;
  /** The shape of one of its tensors, which is not removed; undefined where there is none. */
  shapeOf(key: string): readonly number[] | undefined;
  /**
   * One of its tensors.
   *
   * @param dtypes The dtypes that it may have: "F32, U16 or U8".
   * @param shape Its sizes; undefined ones may be any.
   */
  tensor<T extends FileArray>(
    key: string,
    dtypes: string,
    ...shape: (number | undefined)[]
  ): FileTensor<T>;
  /** A float32 vector, finite. */
  floats(key: string, size?: number): Float32Array;
  /** An int8 weight with its scales and zero points. */
  weight(key: string, rows?: number, columns?: number, perChannel?: boolean): LinearWeight;
  /** Parameters whose index in the file's list is a field of its JSON. */
  qparams(name: string, index: unknown): PerTensorQParams | null;
  /** A list, of `length` elements if that is given. */
  list(name: string, value: unknown, length?: number): unknown[];
}
