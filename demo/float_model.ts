/**
 * A segmenter's float model, from its tensors.
 *
 * @module
 */
import { Embedding, Linear, LSTM, Sequential } from "@splitgate/splitgate";
import type { SafetensorsEntry } from "@splitgate/splitgate/safetensors";

/** The float model, its sizes read off its tensors. */
export function floatModel(
  tensors: ReadonlyMap<string, SafetensorsEntry>,
): { model: Sequential; numEmbeddings: number } {
  const shape = (name: string): readonly [number, number] => {
    const entry = tensors.get(name);
    if (entry?.shape.length !== 2) {
      throw new RangeError(`the model: expected a matrix ${name}, got ${entry?.shape}`);
    }
    return entry.shape as [number, number];
  };
  const [numEmbeddings, embeddingDim] = shape("embedding.weight");
  const [outFeatures, inFeatures] = shape("out.weight");
  const model = new Sequential({
    embedding: new Embedding({ numEmbeddings: numEmbeddings, embeddingDim: embeddingDim }),
    lstm: new LSTM({
      inputSize: embeddingDim,
      hiddenSize: shape("lstm.weight_hh_l0")[1],
      bidirectional: tensors.has("lstm.weight_ih_l0_reverse"),
      bias: tensors.has("lstm.bias_ih_l0"),
    }),
    out: new Linear({
      inFeatures: inFeatures,
      outFeatures: outFeatures,
      bias: tensors.has("out.bias"),
    }),
  });
  model.loadStateDict(tensors);
  return { model, numEmbeddings: numEmbeddings };
}
