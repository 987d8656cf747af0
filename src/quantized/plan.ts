/**
 * A model made ready to run: constants, scratch and buffers that all its sessions share.
 *
 * @module
 */
import { checkBoolean, failRange } from "../errors.ts";
import type { LstmBackend, LstmUse, PreparedLstm, PreparedRows, TokenRows } from "./backend.ts";
import { embeddingRows } from "./embedding.ts";
import { PreparedLinear } from "./linear.ts";
import { type EmbeddingModule, type Ends, endsOf, type LstmModule, type ModuleData } from "./modules.ts";
import { portable } from "./portable.ts";

/** A module made ready; with its tokens folded in, an LSTM reads these. */
export interface Stage extends Ends {
  /** The LSTM it came from. */
  readonly source?: LstmModule;
  readonly lstm?: PreparedLstm;
  /** What runs it row by row where it is no LSTM. */
  readonly rows?: PreparedRows;
}

class PreparedEmbedding {
  readonly #rows: TokenRows;
  readonly #row: Float32Array;

  constructor(embedding: EmbeddingModule) {
    this.#rows = embeddingRows(embedding);
    this.#row = new Float32Array(embedding.embeddingDim);
  }

  process(x: Float64Array, out: Float64Array, count: number): void {
    const row = this.#row, width = row.length;
    for (let r = 0; r < count; r++) {
      this.#rows.read(x[r]!, row);
      for (let k = 0; k < width; k++) out[r * width + k] = row[k]!;
    }
  }
}

/** A model's modules made ready, for one choice of folding and of kernels. */
export class Plan {
  readonly stages: readonly Stage[];
  /** What goes into each stage, and what the last one gives. */
  buffers: Float64Array[] = [];

  constructor(modules: ReadonlyMap<string, ModuleData>, readonly fold: boolean, readonly kernels: LstmBackend | null) {
    checkBoolean("foldEmbedding", fold);
    const stages: Stage[] = [];
    let tokens: TokenRows | null = null;
    let place = 0;
    for (const [name, module] of modules) {
      const ends = endsOf(module), next = [...modules.values()][++place];
      if (module.kind === "Embedding") {
        if (fold && next?.kind === "LSTM") tokens = embeddingRows(module);
        else stages.push({ ...ends, rows: new PreparedEmbedding(module) });
      } else if (module.kind === "Linear") {
        const rows = module.dynamic ? module.fallback!(module) : new PreparedLinear(module);
        stages.push({ ...ends, rows });
      } else {
        const use: LstmUse = { input: module.input, tokens };
        const lstm = kernels?.prepare(module, use) ?? portable.prepare(module, use) ??
          module.fallback?.prepare(module, use);
        if (!lstm) {
          failRange(`modules.${name}`, "parts that the fast step runs (the full entry point runs any)", "others");
        }
        stages.push({ ...ends, source: module, lstm, ...(tokens === null ? {} : { input: null, inputSize: 1 }) });
        tokens = null;
      }
    }
    this.stages = stages;
  }

  /** Makes room for sessions of `batch` rows and `steps` steps at a time, and gives the bytes that these use. */
  reserve(batch: number, steps: number, splitGates: boolean | undefined): number {
    const { stages } = this, widths = [stages[0]!.inputSize, ...stages.map((s) => s.outputSize)];
    let bytes = 0;
    this.buffers = widths.map((width, i) => {
      const size = batch * steps * width, buffer = this.buffers[i]!;
      bytes += size * 8;
      return buffer?.length! >= size ? buffer : new Float64Array(size);
    });
    for (const { lstm, rows, source } of stages) {
      bytes += lstm?.reserve(batch, steps, splitGates ?? source!.splitGates) ?? rows?.reserve?.(batch * steps) ?? 0;
    }
    return bytes;
  }
}
