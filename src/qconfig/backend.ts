/**
 * The capabilities of a target: the dtypes and ranges that each operation takes and gives.
 *
 * @module
 */
import { type DType, dtypeRange } from "../core/dtype.ts";
import { checkInteger, failRange, failType } from "../core/errors.ts";
import { FUNCTION_OPS, type FunctionOp } from "../cells/functions.ts";
import { checkOptions } from "../core/check.ts";
import { FakeQuantize } from "../observer/fake_quantize.ts";
import { FixedQParamsObserver } from "../observer/fixed.ts";
import type { Observer } from "../observer/observer.ts";

/**
 * The operations that a backend is asked about.
 *
 * @example
 * ```ts
 * import { BackendConfig, type BackendOp } from "@splitgate/splitgate/qconfig";
 * const int8 = { input: { dtype: "quint8" }, output: { dtype: "quint8" } } as const;
 * const ops: BackendOp[] = ["add", "mul", "tanh"]; // what a device of yours computes in integers
 * new BackendConfig("device", Object.fromEntries(ops.map((op) => [op, [int8]])));
 * ```
 */
export type BackendOp =
  | "embedding"
  | "linear"
  | "conv1d"
  | "add"
  | "sub"
  | "mul"
  | FunctionOp
  | "leaky_relu"
  | "softmax"
  | "concat"
  | "batch_norm"
  | "layer_norm";

const OPS: readonly BackendOp[] = [
  "embedding",
  "linear",
  "conv1d",
  "add",
  "sub",
  "mul",
  ...FUNCTION_OPS,
  "leaky_relu",
  "softmax",
  "concat",
  "batch_norm",
  "layer_norm",
];

/**
 * Constraints on a value; torch's DTypeWithConstraints.
 *
 * @example
 * ```ts
 * import { BackendConfig, type DTypeConstraints } from "@splitgate/splitgate/qconfig";
 * const sevenBits: DTypeConstraints = { dtype: "quint8", quantMin: 0, quantMax: 127 };
 * new BackendConfig("device", { tanh: [{ input: sevenBits, output: sevenBits }] });
 * ```
 */
export interface DTypeConstraints {
  /** The storage dtype; `"float32"` for what is not quantized, which takes no other constraint. */
  readonly dtype: DType | "float32";
  /** The smallest integer that quantMin may be. */
  readonly quantMin?: number;
  /** The largest integer that quantMax may be. */
  readonly quantMax?: number;
  /** The smallest scale. An observer of ranges meets it through its `eps`. */
  readonly scaleMin?: number;
  /** The exact scale, which only a FixedQParamsObserver can meet. */
  readonly scaleExact?: number;
  /** The exact zero point, likewise. */
  readonly zeroPointExact?: number;
}

/**
 * One combination of dtypes in which a target runs an operation; torch's DTypeConfig. Where several
 * constraints are given for a value, any one of them suffices.
 *
 * @example
 * ```ts
 * import { BackendConfig, type DTypePattern } from "@splitgate/splitgate/qconfig";
 * const int8: DTypePattern = {
 *   input: { dtype: "quint8" },
 *   weight: { dtype: "qint8", quantMin: -127 },
 *   output: [{ dtype: "quint8" }, { dtype: "qint32" }], // either
 * };
 * new BackendConfig("device", { linear: [int8] });
 * ```
 */
export interface DTypePattern {
  /** For every input. */
  readonly input?: DTypeConstraints | readonly DTypeConstraints[];
  /** Of a linear, or the rows of an embedding; unconstrained by default. */
  readonly weight?: DTypeConstraints | readonly DTypeConstraints[];
  /** The dtype that a bias is given in; biases are float32 here. */
  readonly bias?: "float32" | "qint32";
  /** Unconstrained by default. */
  readonly output?: DTypeConstraints | readonly DTypeConstraints[];
}

/** A value as far as it is known before calibration: its observer, or null for float32. */
export type ObservedValue = Observer | null;

/** The values of one operation. */
export interface OpValues {
  /**
   * Inputs in the operation's order: two for add, sub and mul, two or more for concat, else one.
   */
  readonly inputs: readonly ObservedValue[];
  /** The output. */
  readonly output: ObservedValue;
  /** Of a linear or an embedding. */
  readonly weight?: ObservedValue;
  /** Whether a linear adds a float32 bias. */
  readonly bias?: boolean;
}

function list<T>(value: T | readonly T[] | undefined): readonly T[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value as T];
}

const PATTERN_KEYS: readonly (keyof DTypePattern)[] = ["input", "weight", "bias", "output"];
const CONSTRAINT_KEYS: readonly (keyof DTypeConstraints)[] = [
  "dtype",
  "quantMin",
  "quantMax",
  "scaleMin",
  "scaleExact",
  "zeroPointExact",
];

/** Requires constraints that can be satisfied. */
function checkConstraints(name: string, constraints: DTypeConstraints): void {
  checkOptions(name, constraints, CONSTRAINT_KEYS);
  const { dtype, quantMin, quantMax, scaleMin, scaleExact, zeroPointExact } = constraints;
  if (dtype === "float32") {
    for (
      const [key, value] of Object.entries({
        quantMin,
        quantMax,
        scaleMin,
        scaleExact,
        zeroPointExact,
      })
    ) {
      if (value !== undefined) failRange(`${name}.${key}`, "no such constraint on float32", value);
    }
    return;
  }
  let range: readonly [number, number];
  try {
    range = dtypeRange(dtype);
  } catch (error) {
    return failType(`${name}.dtype`, (error as Error).message, dtype);
  }
  const lo = checkInteger(`${name}.quantMin`, quantMin ?? range[0], ...range);
  const hi = checkInteger(`${name}.quantMax`, quantMax ?? range[1], ...range);
  if (lo >= hi) {
    failRange(`${name}.quantMax`, `an integer above quantMin ${lo}: no range satisfies both`, hi);
  }
  for (const [key, scale] of [["scaleMin", scaleMin], ["scaleExact", scaleExact]] as const) {
    if (scale === undefined) continue;
    if (typeof scale !== "number") failType(`${name}.${key}`, "a positive number", scale);
    if (!(scale > 0 && scale < Infinity)) failRange(`${name}.${key}`, "a positive number", scale);
  }
  if (scaleMin !== undefined && scaleExact !== undefined && scaleExact < scaleMin) {
    failRange(
      `${name}.scaleExact`,
      `at least scaleMin ${scaleMin}: no scale satisfies both`,
      scaleExact,
    );
  }
  if (zeroPointExact !== undefined) {
    checkInteger(`${name}.zeroPointExact`, zeroPointExact, -2147483648, 2147483647);
    if (zeroPointExact < lo || zeroPointExact > hi) {
      failRange(
        `${name}.zeroPointExact`,
        `within quantMin ${lo} and quantMax ${hi}: no value satisfies all`,
        zeroPointExact,
      );
    }
  }
}

/** What is known of an observer's parameters. */
function knownOf(
  observer: Observer,
): { quantMin?: number; quantMax?: number; eps?: number; fixed?: FixedQParamsObserver } {
  const own = observer instanceof FakeQuantize ? observer.observer : observer;
  if (own instanceof FixedQParamsObserver) {
    return { quantMin: own.quantMin, quantMax: own.quantMax, fixed: own };
  }
  return own as { quantMin?: number; quantMax?: number; eps?: number };
}

/** Says which constraint a value fails, or null. */
function failure(name: string, value: ObservedValue, constraints: DTypeConstraints): string | null {
  const dtype = value?.dtype ?? "float32";
  if (dtype !== constraints.dtype) {
    return `${name} dtype: expected ${constraints.dtype}, got ${dtype}`;
  }
  if (value === null || dtype === "float32") return null;
  const { quantMin, quantMax, eps, fixed } = knownOf(value);
  const { scaleMin, scaleExact, zeroPointExact } = constraints;
  if (constraints.quantMin !== undefined && !(quantMin! >= constraints.quantMin)) {
    return `${name} quantMin: expected at least ${constraints.quantMin}, got ${quantMin}`;
  }
  if (constraints.quantMax !== undefined && !(quantMax! <= constraints.quantMax)) {
    return `${name} quantMax: expected at most ${constraints.quantMax}, got ${quantMax}`;
  }
  const scale = fixed?.scale ?? eps ?? 0;
  if (scaleMin !== undefined && scale < scaleMin) {
    return `${name} scale: expected at least ${scaleMin}, got ${
      fixed === undefined ? "an observer with eps " : ""
    }${scale}`;
  }
  const exact = [["scale", scaleExact, fixed?.scale], [
    "zero point",
    zeroPointExact,
    fixed?.zeroPoint,
  ]] as const;
  for (const [key, expected, got] of exact) {
    if (expected === undefined || got === Math.fround(expected)) continue;
    return `${name} ${key}: expected exactly ${expected}, got ${
      got ?? `${value.kind} (use a FixedQParamsObserver)`
    }`;
  }
  return null;
}

/** Says which constraint of a pattern fails first, and how many held before it. */
function patternFailure(
  pattern: DTypePattern,
  values: OpValues,
): { held: number; reason: string } | null {
  let held = 0;
  const named: [string, ObservedValue, readonly DTypeConstraints[]][] = values.inputs.map((
    value,
    i,
  ) => [
    values.inputs.length === 1 ? "input" : `input ${i}`,
    value,
    list(pattern.input),
  ]);
  if (values.weight !== undefined) named.push(["weight", values.weight, list(pattern.weight)]);
  named.push(["output", values.output, list(pattern.output)]);
  for (const [name, value, allowed] of named) {
    if (allowed.length === 0) continue;
    const reasons = allowed.map((constraints) => failure(name, value, constraints));
    if (!reasons.includes(null)) {
      // A failure other than the dtype is more informative.
      const reason = reasons.find((text) => !text!.startsWith(`${name} dtype`)) ??
        (allowed.length === 1
          ? reasons[0]!
          : `${name} dtype: expected ${
            [...new Set(allowed.map(({ dtype }) => dtype))].join(" or ")
          }, got ${value?.dtype ?? "float32"}`);
      return { held, reason };
    }
    held++;
  }
  if (values.bias === true && pattern.bias === "qint32") {
    return { held, reason: "bias dtype: expected qint32, got float32" };
  }
  return null;
}

/**
 * The operations that a target runs, and in which dtypes; torch's BackendConfig. `prepare` and
 * `observeLSTMParts` hold every module and part to it.
 *
 * @example
 * ```ts
 * import { getPreset, Linear, prepare } from "@splitgate/splitgate";
 * import { BackendConfig } from "@splitgate/splitgate/qconfig";
 * import { assertThrows } from "@std/assert";
 * const backendConfig = new BackendConfig("narrow", {
 *   linear: [{
 *     input: { dtype: "quint8" },
 *     weight: { dtype: "qint8", quantMin: -127 },
 *     output: { dtype: "quint8" },
 *   }],
 * });
 * assertThrows(
 *   () =>
 *     prepare(new Linear({ inFeatures: 2, outFeatures: 3 }), getPreset("fbgemm"), {
 *       backendConfig,
 *     }),
 *   RangeError,
 *   "weight quantMin: expected at least -127, got -128",
 * );
 * ```
 */
export class BackendConfig {
  /** What messages call the target. */
  readonly name: string;
  /**
   * By operation, the combinations in which it is run. An operation that is not listed is not run
   * at all.
   */
  readonly patterns: { readonly [op in BackendOp]?: readonly DTypePattern[] };

  /**
   * Checks the patterns; they are kept, not copied.
   *
   * @throws {TypeError} If an argument is of the wrong kind.
   * @throws {RangeError} If there is no such operation, or constraints contradict each other: it
   * names them.
   */
  constructor(name: string, patterns: { readonly [op in BackendOp]?: readonly DTypePattern[] }) {
    if (typeof name !== "string") failType("name", "a string", name);
    if (typeof patterns !== "object" || patterns === null) {
      failType("patterns", "an object of patterns", patterns);
    }
    for (const [op, each] of Object.entries(patterns)) {
      if (!OPS.includes(op as BackendOp)) failRange(`${name}: operation`, OPS.join(", "), op);
      if (!Array.isArray(each)) failType(`${name}.${op}`, "an array of patterns", each);
      each.forEach((pattern, i) => {
        checkOptions(`${name}.${op}[${i}]`, pattern, PATTERN_KEYS);
        for (const part of ["input", "weight", "output"] as const) {
          const all = list(pattern[part]);
          all.forEach((one, k) => {
            checkConstraints(`${name}.${op}[${i}].${part}${all.length === 1 ? "" : `[${k}]`}`, one);
          });
        }
        if (pattern.bias !== undefined && pattern.bias !== "float32" && pattern.bias !== "qint32") {
          failRange(`${name}.${op}[${i}].bias`, "float32 or qint32", pattern.bias);
        }
      });
    }
    this.name = name;
    this.patterns = patterns;
  }

  /**
   * Why the target does not run an operation on such values: the constraint that failed, of the
   * pattern that came closest; null if it does.
   *
   * @internal
   */
  reasonAgainst(op: BackendOp, values: OpValues): string | null {
    const patterns = this.patterns[op] ?? [];
    if (patterns.length === 0) return `${op}: not an operation of this target`;
    let best: { held: number; reason: string } | null = null;
    for (const pattern of patterns) {
      const failed = patternFailure(pattern, values);
      if (failed === null) return null;
      if (best === null || failed.held > best.held) best = failed;
    }
    return best!.reason;
  }
}

const quint8: DTypeConstraints = { dtype: "quint8" };
const qint8: DTypeConstraints = { dtype: "qint8" };
const float32: DTypeConstraints = { dtype: "float32" };
const bounded: DTypeConstraints = { dtype: "quint8", scaleExact: 1 / 256, zeroPointExact: 0 };
const pointwise: DTypePattern = { input: quint8, output: quint8 };
const linear: DTypePattern = { input: quint8, weight: qint8, bias: "float32", output: quint8 };
const embedding: DTypePattern = { weight: quint8, output: float32 };

/**
 * torch's fbgemm kernels: quint8 everywhere, qint8 weights; sigmoid and tanh at any parameters.
 *
 * @example
 * ```ts
 * import { getPreset, LSTM, prepare } from "@splitgate/splitgate";
 * import { fbgemmBackendConfig } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
 * assertEquals(
 *   prepare(lstm, getPreset("fbgemm"), { backendConfig: fbgemmBackendConfig }).unsupported,
 *   [],
 * );
 * ```
 */
export const fbgemmBackendConfig: BackendConfig = new BackendConfig("fbgemm", {
  embedding: [embedding],
  linear: [linear],
  conv1d: [linear],
  add: [pointwise],
  mul: [pointwise],
  sigmoid: [pointwise],
  tanh: [pointwise],
  relu: [pointwise],
  leaky_relu: [pointwise],
  hardsigmoid: [{ input: quint8, output: bounded }],
  softmax: [pointwise],
  concat: [pointwise],
  batch_norm: [pointwise],
  layer_norm: [pointwise],
});

/**
 * torch's qnnpack kernels: as fbgemm's, but sigmoid and tanh at their fixed parameters only.
 *
 * @example
 * ```ts
 * import { LSTM } from "@splitgate/splitgate";
 * import {
 *   MinMaxObserver,
 *   observeLSTMParts,
 *   qnnpackBackendConfig as backendConfig,
 * } from "@splitgate/splitgate/qconfig";
 * import { assertThrows } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
 * assertThrows(
 *   () => observeLSTMParts(lstm, { sigmoid: MinMaxObserver.withArgs({}) }, { backendConfig }),
 *   RangeError,
 *   "scale: expected exactly 0.00390625, got MinMaxObserver (use a FixedQParamsObserver)",
 * );
 * ```
 */
export const qnnpackBackendConfig: BackendConfig = new BackendConfig("qnnpack", {
  embedding: [embedding],
  linear: [linear],
  conv1d: [linear],
  add: [pointwise],
  mul: [pointwise],
  sigmoid: [{ input: quint8, output: bounded }],
  tanh: [{ input: quint8, output: { dtype: "quint8", scaleExact: 2 / 256, zeroPointExact: 128 } }],
  relu: [pointwise],
  leaky_relu: [pointwise],
  hardsigmoid: [{ input: quint8, output: bounded }],
  softmax: [pointwise],
  concat: [pointwise],
  batch_norm: [pointwise],
  layer_norm: [pointwise],
});

const int16: readonly DTypeConstraints[] = [
  { dtype: "qint32", quantMin: -32768, quantMax: 32767 },
  { dtype: "qint32", quantMin: 0, quantMax: 65535 },
];

const wideLinear: DTypePattern = {
  input: [quint8, qint8, ...int16],
  weight: qint8,
  output: [quint8, qint8, ...int16, float32],
};

/**
 * A DSP that works in 8 and 16 bits (qint32 within 16 bits): qint8 weights, activations of either
 * width, and a Linear whose accumulators go to an add unrounded (float32).
 *
 * @example
 * ```ts
 * import { dsp16BackendConfig, fbgemmBackendConfig } from "@splitgate/splitgate/qconfig";
 * import { LSTM } from "@splitgate/splitgate";
 * import { MinMaxObserver, observeLSTMParts } from "@splitgate/splitgate/qconfig";
 * import { assertEquals, assertThrows } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
 * const cellState = MinMaxObserver.withArgs({
 *   dtype: "qint32",
 *   quantMin: -32768,
 *   quantMax: 32767,
 * });
 * const { unsupported } = observeLSTMParts(lstm, { cellState }, {
 *   backendConfig: dsp16BackendConfig,
 * });
 * assertEquals(unsupported, []);
 * assertThrows(
 *   () => observeLSTMParts(lstm, { cellState }, { backendConfig: fbgemmBackendConfig }),
 *   RangeError,
 *   "lstm.l0.fgate_cx: expected what fbgemm runs",
 * );
 * ```
 */
export const dsp16BackendConfig: BackendConfig = new BackendConfig("dsp16", {
  embedding: [{ weight: [quint8, ...int16], output: float32 }],
  linear: [wideLinear],
  conv1d: [wideLinear],
  add: [{ input: [quint8, qint8, ...int16, float32], output: [quint8, qint8, ...int16] }],
  mul: [{ input: [quint8, qint8, ...int16], output: [quint8, qint8, ...int16] }],
  sigmoid: [{ input: [quint8, qint8, ...int16], output: [quint8, qint8, ...int16] }],
  tanh: [{ input: [quint8, qint8, ...int16], output: [quint8, qint8, ...int16] }],
  relu: [{ input: [quint8, qint8, ...int16], output: [quint8, qint8, ...int16] }],
  concat: [{ input: [quint8, qint8, ...int16], output: [quint8, qint8, ...int16] }],
  batch_norm: [{ input: [quint8, qint8, ...int16], output: [quint8, qint8, ...int16] }],
  layer_norm: [{ input: [quint8, qint8, ...int16], output: [quint8, qint8, ...int16] }],
});
