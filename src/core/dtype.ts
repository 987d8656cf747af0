/**
 * The quantized dtypes and the arrays that hold them.
 *
 * @module
 */
import { isForeign } from "../../kernels/numeric/typed_array.ts";
import { failType } from "./errors.ts";

/**
 * PyTorch's quantized dtypes. A 16-bit range is `qint32` with its own quantMin and quantMax.
 *
 * @example
 * ```ts
 * import { type DType, perTensorAffine } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const dtype: DType = "quint8"; // torch.quint8
 * const { quantMin, quantMax } = perTensorAffine({ dtype, scale: 0.1, zeroPoint: 3 });
 * assertEquals([quantMin, quantMax], [0, 255]);
 * ```
 */
export type DType = "quint8" | "qint8" | "qint32";

const RANGES: Readonly<Record<DType, readonly [min: number, max: number]>> = {
  quint8: [0, 255],
  qint8: [-128, 127],
  qint32: [-2147483648, 2147483647],
};

/**
 * The dtypes; model files refer to them by index.
 *
 * @example
 * ```ts
 * import { dtypeRange } from "@splitgate/splitgate/qconfig";
 * import { DTYPES } from "./dtype.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(DTYPES.map((dtype) => dtypeRange(dtype)[1]), [255, 127, 2147483647]);
 * ```
 */
export const DTYPES = /* @__PURE__ */ Object.keys(RANGES) as readonly DType[];

/** The kind of array that holds each dtype. */
const ARRAYS = { quint8: Uint8Array, qint8: Int8Array, qint32: Int32Array } as const;

/**
 * An array of quantized integers: quint8, qint8, qint32 in this order.
 *
 * @example
 * ```ts
 * import { perTensorAffine, type QArray, qtensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const qparams = perTensorAffine({ dtype: "qint8", scale: 0.5, zeroPoint: 0 });
 * const integers: QArray = qtensor(Int8Array.of(1, -2), [2], qparams).data;
 * assertEquals(integers, Int8Array.of(1, -2));
 * ```
 */
export type QArray = Uint8Array | Int8Array | Int32Array;

/**
 * Smallest and largest integer of a dtype.
 *
 * @throws {TypeError} If the dtype is none of quint8, qint8, qint32 (for 16 bits, use qint32 with
 * quantMin and quantMax).
 *
 * @example
 * ```ts
 * import { dtypeRange } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * assertEquals(dtypeRange("qint8"), [-128, 127]);
 * ```
 */
export function dtypeRange(dtype: DType): readonly [min: number, max: number] {
  return DTYPES.includes(dtype)
    ? RANGES[dtype]
    : failType("dtype", `${DTYPES} (for 16 bits: qint32 with quantMin and quantMax)`, dtype);
}

/**
 * A zeroed array for `length` integers of a dtype.
 *
 * @example
 * ```ts
 * import { newQArray } from "./dtype.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(newQArray("qint8", 2), new Int8Array(2));
 * ```
 */
export function newQArray(dtype: DType, length: number): QArray {
  dtypeRange(dtype);
  return new ARRAYS[dtype](length);
}

/**
 * Whether a value is an array, of any realm, that holds integers of a dtype. It allocates nothing:
 * sessions ask it at each step.
 *
 * @example
 * ```ts
 * import { isOfDType } from "./dtype.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals([isOfDType(new Uint8Array(1), "quint8"), isOfDType([1], "quint8")], [true, false]);
 * ```
 */
export function isOfDType(data: unknown, dtype: DType): data is QArray {
  const Kind = ARRAYS[dtype];
  return data instanceof Kind || isForeign(data, Kind.name);
}
