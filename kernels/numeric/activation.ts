/**
 * Activations of quantized tensors: tables of a float32 function over quantized inputs.
 *
 * @module
 */
import { type Activation, floatFunction } from "./float_functions.ts";
import type { Affine, Integers } from "./quantize.ts";
import { clamp, reciprocal, roundHalfEven } from "./requantize.ts";

/**
 * A function over quantized inputs, tabulated entry by entry on first use. Inputs and outputs are
 * integers less their zero points. A large table is allocated only after many lookups: for a few
 * steps, filling it would cost more than computing the outputs.
 */
export interface ActivationTable {
  /** Outputs by `input - first`, NaN where not computed yet; empty while not allocated. */
  data: Float32Array;
  /** Whether `data` is allocated. */
  allocated: boolean;
  /**
   * Length of `data` once allocated, {@linkcode tableLength}; 0 for a function that is never
   * tabulated.
   */
  readonly size: number;
  /** Lookups still computed directly before `data` is allocated. */
  patience: number;
  /** Smallest input. */
  readonly first: number;
  /**
   * What {@linkcode lookup} falls back on: the output for an input, both less their zero points.
   */
  readonly compute: (input: number) => number;
}

/**
 * Tables up to this length are allocated at once, larger ones after many lookups.
 *
 * @example
 * ```ts
 * import { activationTable, SMALL_TABLE } from "./activation.ts";
 * import { assertEquals } from "@std/assert";
 * const to = { scale: 1 / 256, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * const from = { scale: 0.01, zeroPoint: 0, quantMin: 0, quantMax: SMALL_TABLE - 1 };
 * const small = activationTable("sigmoid", from, to);
 * const large = activationTable("sigmoid", { ...from, quantMax: SMALL_TABLE }, to);
 * assertEquals([small.allocated, large.allocated], [true, false]);
 * ```
 */
export const SMALL_TABLE = 4096;

/** Lookups computed directly before a large table is allocated. */
const PATIENCE = 2048;

const NONE = /* @__PURE__ */ new Float32Array(0);

/**
 * An activation of quantized inputs, both sides less their zero points: the float function of
 * `f(scale * f(input))`, quantized as {@linkcode quantizeValue} does; inputs are int32. It is
 * monotonic: it never falls as its input grows, except for functions with a negative slope.
 *
 * torch.sigmoid, torch.tanh, torch.nn.functional.hardsigmoid, quantized::sigmoid and
 * quantized::leaky_relu compute this, each with the output parameters that torch gives it; the
 * other functions follow the same rule. fbgemm and qnnpack agree here: qnnpack skips one rounding
 * to float32 for outputs of scale 1/256 and 1/128, where that product is exact anyway.
 *
 * @param scale Scale of the input, a float32 value.
 * @param to Parameters of the output.
 *
 * @example
 * ```ts
 * import { quantizedActivation } from "./activation.ts";
 * import { assertEquals } from "@std/assert";
 * const to = { scale: 1 / 256, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * const sigmoid = quantizedActivation("sigmoid", 0.1, to);
 * assertEquals([-20, 0, 1000].map(sigmoid), [31, 128, 255]);
 * ```
 */
export function quantizedActivation(
  activation: Activation,
  scale: number,
  to: Affine,
): (input: number) => number {
  const float = floatFunction(activation);
  const inverse = reciprocal(to.scale);
  const lo = to.quantMin - to.zeroPoint;
  const hi = to.quantMax - to.zeroPoint;
  return (input) =>
    clamp(
      roundHalfEven(Math.fround(float(Math.fround(scale * Math.fround(input))) * inverse)),
      lo,
      hi,
    );
}

/**
 * Length of a table: one output for each input that `from` allows. 0, that is no table, for more
 * than 65,536 inputs or for outputs that a float32 cannot hold exactly.
 *
 * @example
 * ```ts
 * import { tableLength } from "./activation.ts";
 * import { assertEquals } from "@std/assert";
 * const q = { scale: 0.1, zeroPoint: 128, quantMin: 0, quantMax: 255 };
 * assertEquals([tableLength(q, q), tableLength({ ...q, quantMax: 65536 }, q)], [256, 0]);
 * ```
 */
export function tableLength(from: Affine, to: Affine): number {
  const size = from.quantMax - from.quantMin + 1;
  return size <= 65536 && to.quantMax - to.zeroPoint <= 16777216 &&
      to.zeroPoint - to.quantMin <= 16777216
    ? size
    : 0;
}

/**
 * A table of {@linkcode quantizedActivation} over the inputs `from` can have.
 *
 * @param outputs All outputs where they are known; else each is computed on first use.
 *
 * @example
 * ```ts
 * import { activationTable, lookup } from "./activation.ts";
 * import { assertEquals } from "@std/assert";
 * const from = { scale: 0.1, zeroPoint: 128, quantMin: 0, quantMax: 255 };
 * const to = { scale: 1 / 256, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * const table = activationTable("sigmoid", from, to);
 * assertEquals(lookup(table, 0), 128);
 * ```
 */
export function activationTable(
  activation: Activation,
  from: Affine,
  to: Affine,
  outputs: Float32Array | null = null,
): ActivationTable {
  const size = tableLength(from, to);
  const allocated = outputs !== null || (size > 0 && size <= SMALL_TABLE);
  return {
    data: outputs ?? (allocated ? new Float32Array(size).fill(NaN) : NONE),
    allocated,
    size,
    patience: PATIENCE,
    first: from.quantMin - from.zeroPoint,
    compute: quantizedActivation(activation, from.scale, to),
  };
}

/**
 * Allocates a table. Returns false if there is not enough memory; the table then tries again after
 * more lookups.
 */
function keep(table: ActivationTable): boolean {
  try {
    table.data = new Float32Array(table.size).fill(NaN);
    return table.allocated = true;
  } catch {
    table.patience = PATIENCE;
    return false;
  }
}

/**
 * Looks up the output for an input, both less their zero points; computes it on first use.
 *
 * @param input An integer that the table's input parameters allow.
 *
 * @example
 * ```ts
 * import { activationTable, lookup } from "./activation.ts";
 * import { assertEquals } from "@std/assert";
 * const from = { scale: 0.1, zeroPoint: 128, quantMin: 0, quantMax: 255 };
 * const to = { scale: 1 / 128, zeroPoint: 128, quantMin: 0, quantMax: 255 };
 * assertEquals(lookup(activationTable("tanh", from, to), 127), 127);
 * ```
 */
export function lookup(table: ActivationTable, input: number): number {
  if (!table.allocated && (table.size === 0 || table.patience-- > 0 || !keep(table))) {
    return table.compute(input);
  }
  const { data } = table;
  const index = input - table.first;
  const known = data[index]!;
  return known === known ? known : data[index] = table.compute(input);
}

/**
 * Key of a table: everything its outputs depend on. Tables with the same key can be shared.
 *
 * @example
 * ```ts
 * import { activationKey } from "./activation.ts";
 * import { assert, assertEquals } from "@std/assert";
 * const q = { scale: 1 / 128, zeroPoint: 128, quantMin: 0, quantMax: 255 };
 * assertEquals(activationKey("tanh", q, { ...q }), activationKey("tanh", q, q));
 * assert(activationKey("tanh", q, q) !== activationKey("sigmoid", q, q));
 * ```
 */
export function activationKey(activation: Activation, from: Affine, to: Affine): string {
  const name = typeof activation === "string" ? activation : Object.values(activation).join();
  return [name, ...[from, to].flatMap((q) => [q.scale, q.zeroPoint, q.quantMin, q.quantMax])]
    .join();
}

/**
 * Applies a table to a whole tensor.
 *
 * @param table Of {@linkcode activationTable}.
 * @param x Integers that the table's input parameters allow.
 * @param zeroPoint Of `x`.
 * @param out As long as `x`, of the dtype of the table's outputs; may be `x`.
 * @param outZeroPoint Of `out`.
 *
 * @example
 * ```ts
 * import { activateInt8 } from "@splitgate/splitgate/kernels";
 * import { activationTable } from "./activation.ts";
 * import { assertEquals } from "@std/assert";
 * const q = { scale: 0.5, zeroPoint: 10, quantMin: 0, quantMax: 255 };
 * const table = activationTable({ name: "leakyRelu", negativeSlope: 0.5 }, q, q);
 * const x = Uint8Array.of(6, 14);
 * activateInt8(table, x, 10, x, 10);
 * assertEquals([...x], [8, 14]);
 * ```
 */
export function activateInt8(
  table: ActivationTable,
  x: Integers,
  zeroPoint: number,
  out: Integers,
  outZeroPoint: number,
): void {
  for (let i = 0; i < x.length; i++) out[i] = lookup(table, x[i]! - zeroPoint) + outZeroPoint;
}

/**
 * Applies an activation to a whole float32 tensor.
 *
 * @param out As long as `x`; may be `x`.
 *
 * @example
 * ```ts
 * import { activateFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const x = Float32Array.of(-1, 2);
 * activateFloat32("relu", x, x);
 * assertEquals([...x], [0, 2]);
 * ```
 */
export function activateFloat32(
  activation: Activation,
  x: Float32Array,
  out: Float32Array,
): void {
  const float = floatFunction(activation);
  for (let i = 0; i < x.length; i++) out[i] = float(x[i]!);
}

/**
 * ReLU of integers: `max(q, zeroPoint)`, the parameters stay. torch.relu of quint8, qint8 and
 * qint32 tensors.
 *
 * @param out As long as `x`; may be `x`.
 *
 * @example
 * ```ts
 * import { reluInt8 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Uint8Array(2);
 * reluInt8(Uint8Array.of(3, 12), 10, out);
 * assertEquals([...out], [10, 12]);
 * ```
 */
export function reluInt8(x: Integers, zeroPoint: number, out: Integers): void {
  for (let i = 0; i < x.length; i++) out[i] = x[i]! < zeroPoint ? zeroPoint : x[i]!;
}
