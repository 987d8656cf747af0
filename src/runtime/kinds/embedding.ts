/**
 * Running Embedding: a row of the table for each token.
 *
 * @module
 */
import { embeddingRow } from "../../../kernels/ops/embedding.ts";
import type { NodeProgram, RunningKind } from "../kind.ts";

/** An embedding's numbers: `fma(weight, scale, bias)`. */
export interface EmbeddingProgram extends NodeProgram {
  /** Tells modules apart. */
  readonly kind: "Embedding";
  /** [vocabulary, width] */
  readonly weight: Uint8Array | Uint16Array | Float32Array;
  /** One a row; 1 for float32 weights. */
  readonly scales: Float32Array;
  /** What 0 stands for, one a row; -0 for float32 weights, which adding it does not change. */
  readonly biases: Float32Array;
}

/** How Embedding runs. */
export const embedding: RunningKind<EmbeddingProgram> = {
  kind: "Embedding",
  instantiate({ weight, scales, biases, output: { size } }) {
    const table = { weight, scales, biases, embeddingDim: size };
    return {
      infallible: true,
      process(_state, [x], out, { steps, batch }) {
        for (let r = 0; r < steps * batch; r++) {
          embeddingRow(table, x![r]!, out, r * size);
        }
      },
    };
  },
};
