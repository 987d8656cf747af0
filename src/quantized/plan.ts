/**
 * A model made ready to run: constants, scratch and buffers that all its sessions share.
 *
 * @module
 */
import { failRange } from "../errors.ts";
import type { LstmBackend, PreparedModule, TokenRows } from "./backend.ts";
import { embeddingRows } from "./embedding.ts";
import { prepareLinear } from "./linear.ts";
import { type EmbeddingModule, type Ends, endsOf, type ModuleData } from "./modules.ts";
import { portable } from "./portable.ts";

/** A module made ready; with its tokens folded in, an LSTM reads these. */
export interface Stage extends Ends {
  /** The module it came from. */
  readonly source: ModuleData;
  readonly run: PreparedModule;
}

/** A model's modules made ready, for one choice of folding and of kernels. */
export interface Plan {
  readonly stages: readonly Stage[];
  /** What goes into each stage, and what the last one gives: as long as the session that asked for most needs. */
  readonly buffers: Float64Array[];
}

function prepareEmbedding(embedding: EmbeddingModule): PreparedModule {
  const rows = embeddingRows(embedding), width = embedding.embeddingDim;
  return {
    process(_state, x, out, steps, batch) {
      for (let r = 0; r < steps * batch; r++) rows.read(x[r]!, out, r * width);
    },
  };
}

/** Whether an Embedding is folded into the LSTM behind it; "float32": without rounding its rows to the LSTM's input. */
export type Folding = boolean | "float32";

/** Makes a model's modules ready. */
export function makePlan(
  modules: ReadonlyMap<string, ModuleData>,
  fold: Folding,
  kernels: LstmBackend | null,
): Plan {
  const stages: Stage[] = [], list = [...modules];
  let tokens: TokenRows | null = null;
  list.forEach(([name, source], i) => {
    const { kind } = source;
    if (kind === "Embedding" && fold && list[i + 1]?.[1].kind === "LSTM") {
      tokens = embeddingRows(source);
      return;
    }
    const use = { input: kind !== "LSTM" || (tokens && fold === "float32") ? null : source.input, tokens };
    const run = kind === "Embedding"
      ? prepareEmbedding(source)
      : kind === "Linear"
      ? source.dynamic ? source.fallback!(source) : prepareLinear(source)
      : kernels?.prepare(source, use) ?? portable.prepare(source, use) ?? source.fallback?.prepare(source, use);
    if (!run) {
      return failRange(`modules.${name}`, "parts that the fast step runs (the full entry point has more)", "others");
    }
    stages.push({ ...endsOf(source), ...(tokens && { input: null, inputSize: 1 }), source, run });
    tokens = null;
  });
  return { stages, buffers: [] };
}
