/**
 * Models for the benches: random weights, quantized by torch's 8-bit preset.
 *
 * @module
 */
import {
  convert,
  Embedding,
  getPreset,
  Graph,
  GRU,
  Linear,
  LSTM,
  prepare,
  type QuantizedModel,
  Sequential,
  tensor,
  tokens,
} from "../mod.ts";

/** Steps of a sequence. */
export const STEPS = 100;

/** Reals for `steps` steps of `width`. */
export function realsOf(steps: number, width: number): Float32Array {
  return Float32Array.from({ length: steps * width }, (_, i) => Math.sin(i * 12.9898) * 1.5);
}

/** What an LSTM of the benches is, beside its hidden size. */
export interface LSTMModelOptions {
  /** As wide as the hidden state unless given. */
  readonly inputSize?: number;
  readonly layers?: number;
  readonly bidirectional?: boolean;
  readonly preset?: "fbgemm" | "qnnpack" | "int8x16";
}

/** An LSTM by one of torch's 8-bit presets, fbgemm unless given. */
export function lstmModel(hiddenSize: number, options: LSTMModelOptions = {}): QuantizedModel {
  const {
    inputSize = hiddenSize,
    layers: numLayers = 1,
    bidirectional = false,
    preset = "fbgemm",
  } = options;
  const lstm = new LSTM({ inputSize, hiddenSize, numLayers, bidirectional });
  const observed = prepare(lstm, getPreset(preset), { splitGates: true });
  observed.forward(tensor(realsOf(STEPS, inputSize), [STEPS, 1, inputSize]));
  return convert(observed);
}

/** A GRU by the preset that is recommended. */
export function gruModel(size: number): QuantizedModel {
  const observed = prepare(new GRU({ inputSize: size, hiddenSize: size }), getPreset("accurate"));
  observed.forward(tensor(realsOf(STEPS, size), [STEPS, 1, size]));
  return convert(observed);
}

/** Embedding, LSTM, Linear, as the demo's models are built. */
export function taggerModel(size: number): QuantizedModel {
  const model = new Sequential({
    embedding: new Embedding({ numEmbeddings: 100, embeddingDim: size }),
    lstm: new LSTM({ inputSize: size, hiddenSize: size }),
    out: new Linear({ inFeatures: size, outFeatures: 4 }),
  });
  const observed = prepare(model, getPreset("int8x16"), { splitGates: true });
  observed.forward(tokens(Int32Array.from({ length: STEPS }, (_, t) => t * 7 % 100), [STEPS, 1]));
  return convert(observed);
}

/** Embedding, LSTM, and two Linears that read it: its outputs are `tags` and `score`. */
export function branchedModel(size: number): QuantizedModel {
  const model = new Graph({
    embedding: { module: new Embedding({ numEmbeddings: 100, embeddingDim: size }) },
    lstm: { module: new LSTM({ inputSize: size, hiddenSize: size }) },
    tags: { module: new Linear({ inFeatures: size, outFeatures: 4 }), inputs: "lstm" },
    score: { module: new Linear({ inFeatures: size, outFeatures: 1 }), inputs: "lstm" },
  }, { outputs: ["tags", "score"] });
  const observed = prepare(model, getPreset("fbgemm"));
  observed.run(tokens(Int32Array.from({ length: STEPS }, (_, t) => t * 7 % 100), [STEPS, 1]));
  return convert(observed);
}
