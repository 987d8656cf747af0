/** Random quantized LSTMs, GRUs and inputs, for property tests. */
import fc from "fast-check";
import type { Arbitrary } from "./arbitrary.ts";
import type { LinearWeight } from "../../kernels/ops/linear.ts";
import type { CellFunctions } from "../../kernels/float/lstm.ts";
import type { GRUConventions } from "../../kernels/float/gru.ts";
import type { GRUQParams } from "../cells/gru_parts.ts";
import type { LSTMQParams } from "../cells/lstm_parts.ts";
import { perTensorAffine, type PerTensorQParams } from "../core/qparams.ts";
import { cellFunctions } from "./float_lstms.ts";
import { generator } from "./random.ts";
import { QuantizedGRU, type QuantizedGRUOptions } from "../modules/gru/quantized.ts";
import { QuantizedLSTM, type QuantizedLSTMOptions } from "../modules/lstm/quantized.ts";

/**
 * Bits of a part: 8 (quint8), 7 (qint8 with a reduced range), 14, 16 or 32 (qint32); 0 for not
 * quantized.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { type Bits, quantizedLSTMCases } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const bits = fc.constantFrom<Bits[]>(8, 16);
 * const [drawn] = fc.sample(quantizedLSTMCases(bits, fc.constant(0)), { numRuns: 1, seed: 1 });
 * assertEquals(drawn!.input, 0); // its input is float32
 * ```
 */
export type Bits = 0 | 7 | 8 | 14 | 16 | 32;

/** Qparams of the given bits for about ±range, with a zero point away from the middle. */
export function qparamsOf(
  bits: Bits,
  range: number,
  random: (lo: number, hi: number) => number,
): PerTensorQParams | null {
  if (bits === 0) return null;
  const spread = random(0.5, 1.5) * range;
  if (bits === 8) {
    const dtype = "quint8";
    const scale = spread * 2 / 255;
    return perTensorAffine({ dtype, scale, zeroPoint: Math.floor(random(60, 200)) });
  }
  if (bits === 7) {
    const quantMin = -70;
    const quantMax = 57;
    const zeroPoint = Math.floor(random(-30, 30));
    return perTensorAffine({
      dtype: "qint8",
      scale: spread * 2 / 127,
      zeroPoint,
      quantMin,
      quantMax,
    });
  }
  if (bits === 14 || bits === 16) {
    const quantMax = 2 ** bits - 1;
    const zeroPoint = Math.floor(random(0.3, 0.6) * quantMax);
    return perTensorAffine({
      dtype: "qint32",
      scale: spread * 2 / quantMax,
      zeroPoint,
      quantMin: 0,
      quantMax,
    });
  }
  return perTensorAffine({ dtype: "qint32", scale: spread * 2 ** -24, zeroPoint: 0 });
}

/**
 * The description of a random LSTM or GRU.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { type QuantizedLSTMCase, quantizedLSTMCases } from "@splitgate/splitgate/testing";
 * import { assert } from "@std/assert";
 * const bits = fc.constant(8 as const);
 * const isProjected = ({ projSize }: QuantizedLSTMCase) => projSize > 0;
 * const projected = quantizedLSTMCases(bits, bits).filter(isProjected);
 * const [drawn] = fc.sample(projected, { numRuns: 1, seed: 1 });
 * assert(drawn!.projSize < drawn!.hiddenSize);
 * ```
 */
export interface LSTMCase {
  /** Seed of the weights and qparams. */
  readonly seed: number;
  /** The engine whose rounding it uses. */
  readonly engine: "fbgemm" | "qnnpack";
  /** Width of the input. */
  readonly inputSize: number;
  /** Number of units of each gate. */
  readonly hiddenSize: number;
  /** Width of the projected hidden state; 0 for no projection. */
  readonly projSize: number;
  /** Number of stacked layers. */
  readonly numLayers: number;
  /** Whether it has a backward direction. */
  readonly bidirectional: boolean;
  /** Whether it has biases. */
  readonly bias: boolean;
  /** Whether sequences are [batch, steps, ...]. */
  readonly batchFirst: boolean;
  /** The part of a weight that shares one scale. */
  readonly granularity: "tensor" | "block" | "channel";
  /** Whether each gate has its own qparams. */
  readonly perGate: boolean;
  /** Whether each gate also has its own number of bits. */
  readonly mixedGates: boolean;
  /** Whether scales are powers of two, so that half-way cases are frequent. */
  readonly ties: boolean;
  /** Whether the initial state uses torch's qparams. */
  readonly torchInitialState: boolean;
  /** Bits of the input; 0 is float32. */
  readonly input: Bits;
  /** Bits of each part, in the order of LSTM_PARTS, then of the projection. */
  readonly bits: readonly Bits[];
  /** Batch size. */
  readonly batch: number;
  /** Number of steps of a sequence. */
  readonly steps: number;
  /** Its activation functions. */
  readonly functions: Partial<CellFunctions>;
  /** The conventions of a GRU; if given, the case is a GRU of the same sizes. */
  readonly gru?: Pick<GRUConventions, "resetAfter" | "complementedUpdate">;
}

const size = fc.constantFrom(1, 3, 7, 13, 33);

/**
 * Cases whose parts have the given numbers of bits.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { quantizedLSTMCases } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const eight = fc.constant(8 as const);
 * const [drawn] = fc.sample(quantizedLSTMCases(eight, eight), { numRuns: 1, seed: 1 });
 * assertEquals(drawn!.bits.every((bits) => bits === 8), true);
 * ```
 */
export function lstmCases(
  bits: Arbitrary<Bits>,
  input: Arbitrary<Bits>,
  projected: boolean = true,
): Arbitrary<LSTMCase> {
  return fc.record({
    seed: fc.nat(),
    engine: fc.constantFrom("fbgemm", "qnnpack"),
    inputSize: size,
    hiddenSize: size,
    projSize: projected ? fc.constantFrom(0, 0, 0, 1, 2) : fc.constant(0),
    numLayers: fc.constantFrom(1, 1, 2),
    bidirectional: fc.boolean(),
    bias: fc.boolean(),
    batchFirst: fc.boolean(),
    granularity: fc.constantFrom("tensor", "block", "channel"),
    perGate: fc.boolean(),
    mixedGates: fc.boolean(),
    ties: fc.boolean(),
    torchInitialState: fc.boolean(),
    input,
    bits: fc.oneof(
      bits.map((b) => Array<Bits>(13).fill(b)),
      fc.array(bits, { minLength: 13, maxLength: 13 }),
    ),
    batch: fc.constantFrom(1, 2, 3),
    steps: fc.constantFrom(1, 2, 5, 9),
    functions: cellFunctions,
  }).map((c) => ({ ...c, projSize: c.projSize < c.hiddenSize ? c.projSize : 0 }));
}

function randomWeight(
  c: LSTMCase,
  outFeatures: number,
  inFeatures: number,
  random: (lo: number, hi: number) => number,
) {
  const gates = c.gru === undefined ? 4 : 3;
  const blocks = outFeatures % gates === 0 ? gates : 1;
  const channels = c.granularity === "tensor"
    ? 1
    : c.granularity === "block"
    ? blocks
    : outFeatures;
  const weight: LinearWeight = {
    data: Int8Array.from({ length: outFeatures * inFeatures }, () => Math.floor(random(-128, 128))),
    outFeatures,
    inFeatures,
    perChannel: c.granularity === "channel",
    scales: Float32Array.from({ length: channels }, () => {
      const scale = random(0.5, 2) / 127 / Math.sqrt(inFeatures);
      return c.ties ? 2 ** Math.round(Math.log2(scale)) : scale;
    }),
    zeroPoints: Int32Array.from({ length: channels }, () => Math.floor(random(-3, 4))),
  };
  return weight;
}

/** The LSTM of a case. */
export function lstmOf(c: LSTMCase, options: Partial<QuantizedLSTMOptions> = {}): QuantizedLSTM {
  const random = generator(c.seed);
  const { inputSize, hiddenSize, projSize, numLayers, bidirectional } = c;
  const size = projSize || hiddenSize;
  const directions = bidirectional ? 2 : 1;
  const round = <Q extends PerTensorQParams | null>(q: Q): Q =>
    q !== null && c.ties ? { ...q, scale: 2 ** Math.round(Math.log2(q.scale)) } : q;
  const cells = Array.from(
    { length: numLayers },
    (_, l) =>
      Array.from({ length: directions }, () => {
        const q = (part: number, range: number) => round(qparamsOf(c.bits[part]!, range, random));
        const four = (part: number, range: number) => {
          const first = q(part, range);
          if (!c.perGate) return [first, first, first, first];
          const other = (gate: number) =>
            c.mixedGates
              ? round(qparamsOf(c.bits[(part + 3 * gate) % 13]!, range, random))
              : q(part, range);
          return [first, other(1), other(2), other(3)];
        };
        const bias = () =>
          c.bias
            ? Float32Array.from(
              { length: 4 * hiddenSize },
              () => random(-1, 1) * (random(0, 1) < 0.3 ? 0 : 1),
            )
            : null;
        const parts: LSTMQParams = {
          igates: four(0, 3),
          hgates: four(1, 2),
          gates: four(2, 4),
          input_gate: q(3, 0.8),
          forget_gate: q(4, 0.8),
          cell_gate: q(5, 1),
          output_gate: q(6, 0.8),
          fgate_cx: q(7, 2),
          igate_cgate: q(8, 1),
          fgate_cx_igate_cgate: q(9, 2),
          tanh_cy: q(10, 1),
          ogate_cy: q(11, 1),
          ...(projSize > 0 ? { proj: q(12, 1) } : {}),
        };
        return {
          weightIh: randomWeight(
            c,
            4 * hiddenSize,
            l === 0 ? inputSize : size * directions,
            random,
          ),
          weightHh: randomWeight(c, 4 * hiddenSize, size, random),
          weightHr: projSize > 0 ? randomWeight(c, projSize, hiddenSize, random) : null,
          biasIh: bias(),
          biasHh: bias(),
          parts,
        };
      }),
  );
  const { engine, bias, batchFirst, torchInitialState } = c;
  const input = round(qparamsOf(c.input, 2, random));
  const all = {
    engine,
    inputSize,
    hiddenSize,
    projSize,
    numLayers,
    bias,
    batchFirst,
    bidirectional,
  };
  return new QuantizedLSTM({
    ...all,
    splitGates: false,
    input,
    torchInitialState,
    cells,
    ...c.functions,
    ...options,
  });
}

/** Cases of GRUs whose parts have the given numbers of bits. */
export function gruCases(
  bits: Arbitrary<Bits>,
  input: Arbitrary<Bits>,
): Arbitrary<LSTMCase> {
  const conventions = fc.record({ resetAfter: fc.boolean(), complementedUpdate: fc.boolean() });
  return fc.tuple(lstmCases(bits, input, false), conventions).map(([c, gru]) => ({ ...c, gru }));
}

/** The GRU of a case. */
export function gruOf(c: LSTMCase, options: Partial<QuantizedGRUOptions> = {}): QuantizedGRU {
  const random = generator(c.seed);
  const { inputSize, hiddenSize, numLayers, bidirectional } = c;
  const { resetAfter = true, complementedUpdate = false } = c.gru ?? {};
  const directions = bidirectional ? 2 : 1;
  const rows = 3 * hiddenSize;
  const round = <Q extends PerTensorQParams | null>(q: Q): Q =>
    q !== null && c.ties ? { ...q, scale: 2 ** Math.round(Math.log2(q.scale)) } : q;
  const cells = Array.from(
    { length: numLayers },
    (_, l) =>
      Array.from({ length: directions }, () => {
        const q = (part: number, range: number) => round(qparamsOf(c.bits[part]!, range, random));
        const each = (part: number, range: number, count: number) => {
          const first = q(part, range);
          if (!c.perGate) return Array.from({ length: count }, () => first);
          const other = (gate: number) =>
            c.mixedGates
              ? round(qparamsOf(c.bits[(part + 3 * gate) % 13]!, range, random))
              : q(part, range);
          return Array.from({ length: count }, (_, gate) => gate === 0 ? first : other(gate));
        };
        const bias = () =>
          c.bias
            ? Float32Array.from(
              { length: rows },
              () => random(-1, 1) * (random(0, 1) < 0.3 ? 0 : 1),
            )
            : null;
        const parts: GRUQParams = {
          igates: each(0, 3, 3),
          hgates: each(1, 2, resetAfter ? 3 : 2),
          rgates: q(2, 4),
          zgates: q(3, 4),
          reset_gate: q(4, 0.8),
          update_gate: q(5, 0.8),
          ...(resetAfter ? {} : { rgate_hx: q(6, 1) }),
          rgate_hgates: resetAfter ? q(6, 2) : q(1, 2),
          ngates: q(7, 4),
          new_gate: q(8, 1),
          hx_ngate: q(9, 2),
          zgate_hx_ngate: q(10, 1.5),
          hy: q(11, 1),
        };
        return {
          weightIh: randomWeight(c, rows, l === 0 ? inputSize : hiddenSize * directions, random),
          weightHh: randomWeight(c, rows, hiddenSize, random),
          weightHr: null,
          biasIh: bias(),
          biasHh: bias(),
          parts,
        };
      }),
  );
  const { gateActivation, activation } = c.functions;
  return new QuantizedGRU({
    engine: c.engine,
    inputSize,
    hiddenSize,
    numLayers,
    bias: c.bias,
    batchFirst: c.batchFirst,
    bidirectional,
    splitGates: false,
    input: round(qparamsOf(c.input, 2, random)),
    torchInitialState: c.torchInitialState,
    cells,
    resetAfter,
    complementedUpdate,
    ...gateActivation !== undefined && { gateActivation },
    ...activation !== undefined && { activation },
    ...options,
  });
}
