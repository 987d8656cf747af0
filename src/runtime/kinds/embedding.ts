/**
 * Running Embedding: a row of the table for each token.
 *
 * @module
 */
import { embeddingRow, type EmbeddingTable } from "../../../kernels/ops/embedding.ts";
import type { NodeProgram, RunningKind } from "../kind.ts";

/** An embedding's numbers: `fma(weight, scale, bias)`. */
export interface EmbeddingProgram extends NodeProgram, EmbeddingTable {
  /** Tells modules apart. */
  readonly kind: "Embedding";
}

/** How Embedding runs. */
export const embedding: RunningKind<EmbeddingProgram> = {
  kind: "Embedding",
  instantiate: (table) => ({
    infallible: true,
    process(_state, [x], out, { steps, batch }) {
      for (let r = 0; r < steps * batch; r++) {
        embeddingRow(table, x![r]!, out, r * table.embeddingDim);
      }
    },
  }),
};
