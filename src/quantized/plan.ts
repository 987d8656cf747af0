/**
 * A model made ready to run: constants, scratch and buffers that all its sessions share.
 *
 * @module
 */
import { checkBoolean, failRange } from "../errors.ts";
import type { PerTensorQParams } from "../qparams.ts";
import type { LstmBackend, PreparedLstm, PreparedRows, TokenRows } from "./backend.ts";
import { hiddenQParams } from "./cell.ts";
import { embeddingRows } from "./embedding.ts";
import { PreparedLinear } from "./linear.ts";
import { type EmbeddingModule, type LstmModule, type ModuleData, outputWidth } from "./modules.ts";
import { portable } from "./portable.ts";

/** A module made ready. */
export interface Stage {
  /** The LSTM it came from, or null. */
  readonly source: LstmModule | null;
  readonly lstm: PreparedLstm | null;
  /** What runs it row by row where it is no LSTM. */
  readonly rows: PreparedRows | null;
  /** Parameters of what it reads and gives; null is float32, or tokens. */
  readonly input: PerTensorQParams | null;
  readonly output: PerTensorQParams | null;
  readonly inputSize: number;
  readonly outputSize: number;
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
    const list = [...modules];
    list.forEach(([name, module], i) => {
      const outputSize = outputWidth(module), plain = { source: null, lstm: null, rows: null, outputSize };
      if (module.kind === "Embedding") {
        if (fold && list[1]?.[1].kind === "LSTM") tokens = embeddingRows(module);
        else {
          const rows = new PreparedEmbedding(module);
          stages.push({ ...plain, rows, input: null, output: null, inputSize: 1 });
        }
      } else if (module.kind === "Linear") {
        const { input, output, weight } = module;
        const rows = module.dynamic ? module.fallback!(module) : new PreparedLinear(module);
        stages.push({ ...plain, rows, input, output, inputSize: weight.inFeatures });
      } else {
        const { input, inputSize, cells, numLayers } = module, options = { input, tokens: i === 1 ? tokens : null };
        const lstm = kernels?.prepare(module, options) ?? portable.prepare(module, options) ??
          module.fallback?.prepare(module, options);
        if (!lstm) {
          failRange(`modules.${name}`, "parts that the fast step runs (the full entry point runs any)", "others");
        }
        stages.push({
          ...plain,
          source: module,
          lstm,
          input: options.tokens === null ? input : null,
          output: hiddenQParams(cells[numLayers - 1]![0]!),
          inputSize: options.tokens === null ? inputSize : 1,
        });
      }
    });
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
      bytes += lstm?.reserve(batch, steps, splitGates ?? source!.splitGates) ?? rows!.reserve?.(batch * steps) ?? 0;
    }
    return bytes;
  }
}
