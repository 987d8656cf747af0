/** LSTMs of random shape, parameters and weights, for comparing what runs them. */
import fc from "fast-check";
import type { Engine, LinearWeight } from "../../kernels/linear.ts";
import type { PerTensorQParams } from "../../src/qparams.ts";
import type { LstmModule } from "../../src/quantized/modules.ts";
import type { CellQParams } from "../../src/lstm_parts.ts";

/** A small generator of its own, so that a failing case is one seed. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export interface LstmCase {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly bidirectional: boolean;
  readonly engine: Engine;
  readonly perChannel: boolean;
  readonly split: boolean;
  readonly bias: "none" | "small" | "large";
  /** Bits of the input, of the hidden state, and of the parts between. */
  readonly inputBits: 7 | 8 | 16;
  readonly hiddenBits: 7 | 8 | 16;
  readonly partBits: 8 | 16;
  /** Whether the projections are left unquantized. */
  readonly floatProjections: boolean;
  readonly torchInitialState: boolean;
  readonly weightZeroPoints: boolean;
  readonly ties: boolean;
  readonly seed: number;
}

const SIZES = [1, 3, 7, 8, 13, 33, 64];

/** Cases over the sizes and kinds that a kernel could treat differently. */
export const lstmCase: fc.Arbitrary<LstmCase> = fc.record({
  inputSize: fc.constantFrom(...SIZES),
  hiddenSize: fc.constantFrom(...SIZES),
  numLayers: fc.constantFrom(1, 1, 2),
  bidirectional: fc.boolean(),
  engine: fc.constantFrom<Engine>("fbgemm", "qnnpack"),
  perChannel: fc.boolean(),
  split: fc.boolean(),
  bias: fc.constantFrom("none", "small", "large"),
  inputBits: fc.constantFrom(7, 8, 16),
  hiddenBits: fc.constantFrom(7, 8, 16),
  partBits: fc.constantFrom(8, 8, 8, 8, 16),
  floatProjections: fc.boolean(),
  torchInitialState: fc.boolean(),
  weightZeroPoints: fc.boolean(),
  ties: fc.boolean(),
  seed: fc.nat(),
});

function qparams(bits: number, size: number, r: () => number, ties: boolean): PerTensorQParams {
  const levels = 2 ** bits;
  const scale = ties ? 2 ** Math.round(Math.log2(size / levels)) : Math.fround(size / levels * (0.5 + r()));
  return bits <= 8
    ? { dtype: "quint8", scale, zeroPoint: Math.floor(r() * levels), quantMin: 0, quantMax: levels - 1 }
    : { dtype: "qint32", scale, zeroPoint: Math.floor(r() * 200) - 100, quantMin: -32768, quantMax: 32767 };
}

function weight(outFeatures: number, inFeatures: number, c: LstmCase, r: () => number): LinearWeight {
  const count = c.perChannel ? outFeatures : c.split ? 4 : 1;
  const data = new Int8Array(outFeatures * inFeatures);
  for (let i = 0; i < data.length; i++) {
    // The ends of the range come often: sums are then as large as they get.
    const pick = r();
    data[i] = pick < 0.1 ? -128 : pick < 0.2 ? 127 : Math.floor(r() * 256) - 128;
  }
  const scales = Float32Array.from(
    { length: count },
    () => c.ties ? 2 ** -Math.round(5 + 4 * r()) : (0.5 + r()) / (64 * Math.sqrt(inFeatures)),
  );
  const zeroPoints = Int32Array.from(
    { length: count },
    () => c.weightZeroPoints ? Math.floor(r() * 21) - 10 : 0,
  );
  return { data, outFeatures, inFeatures, perChannel: c.perChannel, scales, zeroPoints };
}

/** The LSTM of a case. */
export function lstmOf(c: LstmCase): LstmModule {
  const r = random(c.seed), directions = c.bidirectional ? 2 : 1;
  const bits = c.partBits,
    gatesOf = (make: () => PerTensorQParams | null): (PerTensorQParams | null)[] => {
      if (c.split) return [make(), make(), make(), make()];
      const one = make();
      return [one, one, one, one];
    };
  const cells = Array.from({ length: c.numLayers }, (_, layer) =>
    Array.from({ length: directions }, () => {
      const from = layer === 0 ? c.inputSize : c.hiddenSize * directions, rows = 4 * c.hiddenSize;
      const bias = (): Float32Array | null => {
        if (c.bias === "none") return null;
        const size = c.bias === "small" ? 0.5 : 40;
        return Float32Array.from({ length: rows }, () => r() < 0.1 ? 0 : (r() - 0.5) * size);
      };
      const part = (size: number): PerTensorQParams => qparams(bits, size, r, c.ties);
      const projection = (): PerTensorQParams | null => c.floatProjections ? null : part(8);
      const parts: CellQParams = {
        igates: gatesOf(projection),
        hgates: gatesOf(projection),
        gates: gatesOf(() => part(10)),
        input_gate: part(1.2),
        forget_gate: part(1.2),
        cell_gate: part(2),
        output_gate: part(1.2),
        fgate_cx: part(4),
        igate_cgate: part(2),
        fgate_cx_igate_cgate: part(4),
        tanh_cy: part(2),
        ogate_cy: qparams(c.hiddenBits, 2, r, c.ties),
      };
      return {
        weightIh: weight(rows, from, c, r),
        weightHh: weight(rows, c.hiddenSize, c, r),
        weightHr: null,
        biasIh: bias(),
        biasHh: bias(),
        parts,
      };
    }));
  return {
    kind: "LSTM",
    inputSize: c.inputSize,
    hiddenSize: c.hiddenSize,
    projSize: 0,
    numLayers: c.numLayers,
    bias: c.bias !== "none",
    batchFirst: false,
    bidirectional: c.bidirectional,
    engine: c.engine,
    splitGates: c.split,
    input: qparams(c.inputBits, 4, r, c.ties),
    torchInitialState: c.torchInitialState,
    cells,
  };
}

/** Inputs less the zero point, the ends of the range often among them. */
export function inputsOf(c: LstmCase, { input }: LstmModule, count: number): Float64Array {
  const r = random(c.seed ^ 0x5bd1e995), { quantMin, quantMax, zeroPoint } = input!;
  return Float64Array.from({ length: count }, () => {
    const pick = r();
    const q = pick < 0.1 ? quantMin : pick < 0.2 ? quantMax : quantMin + Math.floor(r() * (quantMax - quantMin + 1));
    return q - zeroPoint;
  });
}
