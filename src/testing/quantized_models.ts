/** Random quantized models: an LSTM or a GRU, sometimes after an Embedding and before a Linear. */
import { perTensorAffine } from "../core/qparams.ts";
import { QuantizedEmbedding } from "../modules/embedding/quantized.ts";
import { QuantizedLinear } from "../modules/linear/quantized.ts";
import { QuantizedModel, type QuantizedModule } from "../authoring/model.ts";
import { type Bits, gruOf, type LSTMCase, lstmOf } from "./quantized_lstms.ts";
import { generator } from "./random.ts";

/** The model of a case. */
export function modelOf(
  c: LSTMCase,
  embedding: "none" | "8" | "16" | "float",
  linear: boolean,
  outFeatures: number = 3,
): QuantizedModel {
  const recurrent = c.gru === undefined ? lstmOf(c) : gruOf(c);
  const random = generator(c.seed + 9);
  const modules = new Map<string, QuantizedModule>();
  const numEmbeddings = 5;
  const embeddingDim = c.inputSize;
  const cells = numEmbeddings * embeddingDim;
  if (embedding === "8" || embedding === "16") {
    const levels = embedding === "8" ? 255 : 65535;
    const weight = embedding === "8" ? new Uint8Array(cells) : new Uint16Array(cells);
    for (let i = 0; i < cells; i++) weight[i] = random(0, levels + 1);
    const scales = Float32Array.from({ length: numEmbeddings }, () => random(1, 4) / levels);
    const biases = Float32Array.from({ length: numEmbeddings }, () => random(-2, 0));
    modules.set(
      "embedding",
      new QuantizedEmbedding({ weight, numEmbeddings, embeddingDim, scales, biases }),
    );
  } else if (embedding === "float") {
    const weight = Float32Array.from({ length: cells }, () => random(-2, 2));
    const none = new Float32Array(0);
    modules.set(
      "embedding",
      new QuantizedEmbedding({ weight, numEmbeddings, embeddingDim, scales: none, biases: none }),
    );
  }
  modules.set(c.gru === undefined ? "lstm" : "gru", recurrent);
  if (linear) {
    const inFeatures = (c.projSize || c.hiddenSize) * (c.bidirectional ? 2 : 1);
    const data = Int8Array.from({ length: inFeatures * outFeatures }, () => random(-128, 128));
    const scales = Float32Array.from(
      { length: outFeatures },
      (_, i) => [0.01, 0.02, 0.015][i % 3]!,
    );
    const zeroPoints = new Int32Array(outFeatures);
    const weight = { data, outFeatures, inFeatures, perChannel: true, scales, zeroPoints };
    // Qparams that differ from the cell's output: a conversion lies between the two.
    const input = random(0, 1) < 0.5
      ? recurrent.output
      : perTensorAffine({ dtype: "quint8", scale: 0.011, zeroPoint: 120 });
    const output = random(0, 1) < 0.5
      ? null
      : perTensorAffine({ dtype: "qint8", scale: 0.05, zeroPoint: 4 });
    modules.set(
      "out",
      new QuantizedLinear({
        engine: c.engine,
        weight,
        bias: Float32Array.from({ length: outFeatures }, (_, i) => [0.5, -1, 0][i % 3]!),
        input,
        output,
      }),
    );
  }
  return new QuantizedModel(modules);
}

/** A case with 4 inputs, 5 units and 8 bits everywhere. */
export const plainCase: LSTMCase = {
  seed: 3,
  engine: "fbgemm",
  inputSize: 4,
  hiddenSize: 5,
  projSize: 0,
  numLayers: 1,
  bidirectional: false,
  bias: true,
  batchFirst: false,
  granularity: "tensor",
  perGate: false,
  mixedGates: false,
  ties: false,
  torchInitialState: true,
  input: 8,
  bits: Array<Bits>(13).fill(8),
  batch: 1,
  steps: 3,
  functions: {},
};
