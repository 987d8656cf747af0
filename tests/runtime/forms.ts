/** Random models of every kind that sessions run, and every form in which they do. */
import fc from "fast-check";
import { loadProgram } from "../../src/runtime/with_state.ts";
import { compileModel } from "../../src/io/program_write.ts";
import { Embedding } from "../../src/modules/embedding/float.ts";
import { Linear } from "../../src/modules/linear/float.ts";
import { RUNNING_KINDS } from "../../src/modules/kinds.ts";
import { LSTM } from "../../src/modules/lstm/float.ts";
import { Sequential } from "../../src/modules/graph.ts";
import { quantizeDynamic } from "../../src/authoring/quantize_dynamic.ts";
import { byParts } from "../../src/modules/recurrent/by_parts.ts";
import type { QuantizedModel } from "../../src/authoring/model.ts";
import type { Program } from "../../src/runtime/program.ts";
import type { Session } from "../../src/runtime/session.ts";
import type { SessionOptions } from "../../src/runtime/basic_session.ts";
import { backends } from "../simd/backends.ts";
import { type Bits, type LSTMCase, lstmCases } from "../../src/testing/quantized_lstms.ts";
import { modelOf } from "../../src/testing/quantized_models.ts";

/** What a random model is described by. */
export interface ModelCase {
  readonly lstm: LSTMCase;
  readonly embedding: "none" | "8" | "16" | "float";
  readonly linear: boolean;
  /** Whether it is quantized dynamically: the LSTM's bits mean nothing then. */
  readonly dynamic: boolean;
}

const inputs = fc.constantFrom<Bits>(0, 7, 8);

/**
 * Models of all kinds: 8-bit ones, which SIMD runs, mixed ones, ones with float32 parts, dynamic
 * ones.
 */
export const modelCases: fc.Arbitrary<ModelCase> = fc.record({
  lstm: fc.oneof(
    lstmCases(fc.constantFrom<Bits>(7, 8), inputs, false).map((c) => ({
      ...c,
      engine: "fbgemm" as const,
    })),
    lstmCases(fc.constantFrom<Bits>(7, 8, 16), inputs),
    lstmCases(fc.constantFrom<Bits>(0, 8), inputs),
  ),
  embedding: fc.constantFrom("none", "none", "8", "16", "float"),
  linear: fc.boolean(),
  dynamic: fc.constantFrom(false, false, true),
});

/** The model of a case, or null where qnnpack cannot add with its scales. */
export function anyModel({ lstm, embedding, linear, dynamic }: ModelCase): QuantizedModel | null {
  if (dynamic) {
    const { inputSize, hiddenSize, numLayers, bidirectional, bias, batchFirst, seed } = lstm;
    const options = { inputSize, hiddenSize, numLayers, bidirectional, bias, batchFirst, seed };
    const width = hiddenSize * (bidirectional ? 2 : 1);
    return quantizeDynamic(
      new Sequential({
        ...embedding === "none"
          ? {}
          : { embedding: new Embedding({ numEmbeddings: 5, embeddingDim: inputSize, seed }) },
        lstm: new LSTM({ ...options, ...lstm.functions }),
        ...linear ? { out: new Linear({ inFeatures: width, outFeatures: 3, seed }) } : {},
      }),
    );
  }
  const model = modelOf(lstm, embedding, linear);
  try {
    model.createSession();
  } catch (error) {
    if (error instanceof RangeError && error.message.includes("qnnpack's addition")) return null;
    throw error;
  }
  return model;
}

/**
 * What sessions are made of, by name: a model and its program, in every form and with all kernels.
 */
export function formsOf(
  model: QuantizedModel,
): (readonly [name: string, model: QuantizedModel | Program<Session>, options: SessionOptions])[] {
  const forms: [string, SessionOptions][] = [
    ["portable, fused", { splitGates: false }],
    ["portable, split", { splitGates: true }],
    ["by parts", { kernels: byParts() }],
    ...backends.map(([name, kernels]): [string, SessionOptions] => [`simd, ${name}`, { kernels }]),
  ];
  const all = forms.map(([name, options]) => [name, model, options] as const);
  let program: Program<Session>;
  try {
    program = loadProgram(compileModel(model), { kinds: RUNNING_KINDS });
  } catch (error) {
    // It names the module that no program can hold.
    if (error instanceof RangeError && error.message.startsWith("modules.")) return all;
    throw error;
  }
  const compiled = forms.filter(([name]) => name !== "by parts").map(([name, options]) =>
    [`program, ${name}`, program, options] as const
  );
  return [...all, ...compiled];
}

const HEADER = 20;

/**
 * A state's bytes for some of its rows. The model has one LSTM, of `cells` layers and directions.
 */
export function pickRows(
  state: Uint8Array,
  cells: number,
  batch: number,
  rows: readonly number[],
): Uint8Array {
  const size = (state.length - HEADER) / (cells * batch);
  const header = state.slice(0, HEADER);
  new DataView(header.buffer).setInt32(16, rows.length, true);
  const parts = Array.from({ length: cells }, (_, cell) =>
    rows.map((row) => {
      const at = HEADER + (cell * batch + row) * size;
      return [...state.subarray(at, at + size)];
    }));
  return Uint8Array.of(...header, ...parts.flat(2));
}
