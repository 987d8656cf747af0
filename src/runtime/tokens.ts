/**
 * Running a table that is folded into its reader: inputs are token ids, and a token's row is
 * projected on first use.
 *
 * @module
 */
import { embeddingRow, type EmbeddingTable } from "../../kernels/ops/embedding.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { convertCentered } from "./centered.ts";
import { makeProjector, type Projector, type ProjectorProgram } from "./projector.ts";

/** A table whose rows are a module's inputs. */
export interface FoldedTokens extends EmbeddingTable {
  /** Parameters to which rows are rounded before projection; null: they are not rounded. */
  readonly input: PerTensorQParams | null;
}

/**
 * Projects a module's inputs: values, or rows of a table selected by token ids.
 *
 * @param project Projects values; by default the portable kernels do.
 */
export function inputProjector(
  program: ProjectorProgram,
  tokens?: FoldedTokens,
  project: Projector = makeProjector(program),
): Projector {
  if (!tokens) return project;
  const row = new Float64Array(tokens.embeddingDim);
  return (x, at, out, offset) => {
    embeddingRow(tokens, x[at]!, row, 0);
    convertCentered(row, 0, row.length, null, tokens.input);
    project(row, 0, out, offset);
  };
}
