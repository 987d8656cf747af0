/**
 * Running a table that is folded into what reads it: token ids go in, and the row that one stands
 * for is projected when it is first met.
 *
 * @module
 */
import { embeddingRow, type EmbeddingTable } from "../../kernels/ops/embedding.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { convertCentered } from "./centered.ts";
import { makeProjector, type Projector, type ProjectorProgram } from "./projector.ts";

/** A table whose rows are a module's inputs. */
export interface FoldedTokens extends EmbeddingTable {
  /** What rows are rounded to before they are projected; null: they stay as they are. */
  readonly input: PerTensorQParams | null;
}

/** What projects a module's inputs: values, or the rows of a table that token ids stand for. */
export function inputProjector(program: ProjectorProgram, tokens?: FoldedTokens): Projector {
  const project = makeProjector(program);
  if (!tokens) return project;
  const row = new Float64Array(tokens.embeddingDim);
  return (x, at, out, offset) => {
    embeddingRow(tokens, x[at]!, row, 0);
    convertCentered(row, 0, row.length, null, tokens.input);
    project(row, 0, out, offset);
  };
}
