/**
 * From modules to programs.
 *
 * @module
 */
import {
  bindState,
  type CellParameters,
  gateOrder,
  integerBound,
  lowerCell,
  lowerProjection,
  orderRows,
  rowOrder,
  type SharedTables,
  sharedTables,
} from "../../kernels/packed/lower.ts";
import type { Engine, LinearWeight } from "../../kernels/ops/linear.ts";

import type { Affine } from "../../kernels/numeric/quantize.ts";
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import { failRange } from "../core/errors.ts";
import { type PerTensorQParams, sameQParams } from "../core/qparams.ts";
import {
  fastParts,
  hiddenQParams,
  IMPLICIT_STATE,
  packs,
  type QuantizedLstmCell,
} from "../modules/lstm/cell.ts";
import { embeddingRows } from "../modules/embedding/quantized.ts";
import {
  type EmbeddingModule,
  endsOf,
  type LinearModule,
  type LstmModule,
  type LstmSource,
  type ModuleData,
} from "./modules.ts";
import type { LstmCellProgram, LstmProgram, StageProgram } from "../runtime/program.ts";
import { makeProjector, type ProjectorProgram } from "../runtime/projector.ts";
import { convertShifted } from "../runtime/shifted.ts";

/** The parameters that a cell's state has at a row's first step. */
export function initialQParams(
  { module, initial }: LstmSource,
  cell: QuantizedLstmCell,
): [PerTensorQParams | null, PerTensorQParams | null] {
  const [h, c] = initial ??
    (module.torchInitialState ? [IMPLICIT_STATE, IMPLICIT_STATE] : [null, null]);
  return [h ?? hiddenQParams(cell), c ?? cell.parts.fgate_cx_igate_cgate];
}

/** Lowers what projects rows of parameters `input`, or of float32 values where that is null. */
function lowerProjector(
  engine: Engine,
  weight: LinearWeight,
  bias: Float32Array | null,
  order: Int32Array,
  input: PerTensorQParams | null,
  to: readonly (PerTensorQParams | null)[],
): ProjectorProgram {
  const { outFeatures } = weight;
  const rows = orderRows(weight, order, input === null ? 0 : integerBound(input));
  if (input !== null) {
    return {
      rows,
      projection: lowerProjection(engine, weight, bias, order, input, to),
      float: null,
    };
  }
  const places = order.subarray(0, outFeatures);
  const { scales } = weight;
  return {
    rows,
    projection: null,
    float: {
      scales: Float32Array.from(
        places,
        (row) => scales[Math.floor(row * scales.length / outFeatures)]!,
      ),
      bias: bias && Float32Array.from(places, (row) => bias[row]!),
      to,
    },
  };
}

/** Integers that are turned into addresses or stored, and integers that must be float32 values. */
const ROUNDED = 2 ** 22;
const EXACT = 2 ** 24;

/** Whether float32 arithmetic, and integers that it rounds to by adding 1.5 * 2^23, take these parameters. */
function fitsFloat32(parts: CellParameters, initialCell: Affine): boolean {
  const { igates, hgates, gates, fgate_cx_igate_cgate: cell, ogate_cy: hidden } = parts;
  const exact = [
    ...igates,
    ...hgates,
    initialCell,
    parts.input_gate,
    parts.forget_gate,
    parts.cell_gate,
  ]
    .concat(parts.output_gate, parts.fgate_cx, parts.igate_cgate, parts.tanh_cy);
  return exact.every((q) => q === null || integerBound(q) <= EXACT) &&
    [...gates, cell, hidden].every((q) => integerBound(q) < ROUNDED) &&
    [...gates, cell].every((q) => q.quantMax - q.quantMin < 65536);
}

/** The layers of an LSTM, or null where the fast step does not run one. */
function lowerLayers(source: LstmSource, tables: SharedTables): LstmCellProgram[][] | null {
  const { module, tokens, initial } = source;
  const { engine, hiddenSize, cells } = module;
  const order = gateOrder(hiddenSize);
  const layers: LstmCellProgram[][] = [];
  let from = source.input;
  for (const layer of cells) {
    const lowered: LstmCellProgram[] = [];
    const folded = tokens !== null && layers.length === 0;
    for (const cell of layer) {
      const parts = fastParts(cell);
      const [h, c] = initialQParams(source, cell);
      if (parts === null || !packs(from) || !packs(h)) return null;
      const hidden = hiddenQParams(cell)!;
      const cellState = parts.fgate_cx_igate_cgate as PerTensorQParams;
      const bound = Math.max(integerBound(hidden), integerBound(h!));
      const outside = from === null || folded;
      // Other initial states are zeros.
      const states = initial === undefined ? [hidden] : [hidden, h!];
      lowered.push({
        cell: lowerCell(engine, cell, parts, order, outside ? null : from, bound, tables).cell,
        running: bindState(engine, cell, parts, order, hidden, cellState),
        first: sameQParams(h!, hidden) && sameQParams(c!, cellState)
          ? null
          : bindState(engine, cell, parts, order, h!, c!),
        hidden,
        least: Math.min(0, ...states.map((q) => q.quantMin - q.zeroPoint)),
        most: Math.max(0, ...states.map((q) => q.quantMax - q.zeroPoint)),
        float32: fitsFloat32(parts, c!),
        projector: outside
          ? lowerProjector(
            engine,
            cell.weightIh,
            cell.biasIh,
            order,
            from,
            parts.igates as PerTensorQParams[],
          )
          : null,
        rows: null,
      });
    }
    layers.push(lowered);
    from = lowered[0]!.hidden;
  }
  return layers;
}

/** Folds tokens: their rows stand for what projects them, each computed when it is asked for. */
function foldTokens(
  { module, tokens, input }: LstmSource,
  layers: readonly (readonly LstmCellProgram[])[],
): Pick<LstmProgram, "layers" | "fill"> {
  const { count, read } = tokens!;
  const { inputSize, hiddenSize } = module;
  const size = 4 * hiddenSize;
  const known = new Uint8Array(count);
  const row = new Float64Array(inputSize);
  const folded = layers[0]!.map((cell) => {
    const rows = new Float32Array(count * size);
    const project = makeProjector(cell.projector!);
    return { program: { ...cell, rows, projector: null }, rows, project };
  });
  return {
    layers: [folded.map(({ program }) => program), ...layers.slice(1)],
    fill(token) {
      if (known[token] === 1) return;
      read(token, row, 0);
      convertShifted(row, 0, inputSize, null, input);
      for (const { rows, project } of folded) project(row, 0, rows, token * size);
      known[token] = 1;
    },
  };
}

/** Lowers an LSTM; what cannot be run by the fast step keeps its source alone. */
export function lowerLstm(source: LstmSource): LstmProgram {
  const { module, tokens, input } = source;
  const tables = sharedTables();
  const layers = lowerLayers(source, tables);
  const ends = endsOf(module);
  return {
    kind: "LSTM",
    ...ends,
    ...(tokens === null ? { input } : { input: null, inputSize: 1 }),
    engine: module.engine,
    hiddenSize: module.hiddenSize,
    projSize: module.projSize,
    splitGates: module.splitGates,
    states: module.cells.flat().map((
      cell,
    ) => [hiddenQParams(cell), cell.parts.fgate_cx_igate_cgate]),
    tables: tables.list,
    ...(layers !== null && tokens !== null ? foldTokens(source, layers) : { layers }),
    source,
  };
}

function lowerLinear(linear: LinearModule): StageProgram {
  const { engine, weight, bias, input, output } = linear;
  const ends = endsOf(linear);
  if (linear.dynamic) {
    return {
      kind: "Linear",
      ...ends,
      projector: null,
      prepare: () => linear.fallback!(linear),
    };
  }
  if (!packs(input)) {
    failRange("input", "parameters of at most 24 bits", `${input!.quantMin}..${input!.quantMax}`);
  }
  const projector = lowerProjector(engine, weight, bias, rowOrder(weight.outFeatures), input, [
    output,
  ]);
  return { kind: "Linear", ...ends, projector };
}

function lowerEmbedding(embedding: EmbeddingModule): StageProgram {
  const { weight, scales, biases, numEmbeddings } = embedding;
  const float = isFloat32Array(weight);
  return {
    kind: "Embedding",
    ...endsOf(embedding),
    weight,
    // Adding -0 changes nothing.
    scales: float ? new Float32Array(numEmbeddings).fill(1) : scales,
    biases: float ? new Float32Array(numEmbeddings).fill(-0) : biases,
  };
}

/** Whether an Embedding is folded into the LSTM behind it; "float32": without rounding its rows to the LSTM's input. */
export type Folding = boolean | "float32";

/** The LSTM that an Embedding feeds, or null: what folding is about. */
export function foldable(modules: readonly ModuleData[]): LstmModule | null {
  const [embedding, lstm] = modules;
  return embedding?.kind === "Embedding" && lstm?.kind === "LSTM" ? lstm : null;
}

/** Bytes of the projected rows that an Embedding's tokens fold into; infinite where there is nothing to fold. */
export function foldedBytes(modules: readonly ModuleData[]): number {
  const lstm = foldable(modules);
  const { numEmbeddings } = modules[0] as EmbeddingModule;
  return lstm === null ? Infinity : numEmbeddings * lstm.hiddenSize * 16 * lstm.cells[0]!.length;
}

/** Lowers a model's modules. */
export function lowerModules(modules: readonly ModuleData[], fold: Folding): StageProgram[] {
  const stages: StageProgram[] = [];
  modules.forEach((module, i) => {
    if (module.kind === "Linear") stages.push(lowerLinear(module));
    else if (module.kind === "LSTM") {
      const before = modules[i - 1];
      const tokens = fold && before?.kind === "Embedding" ? embeddingRows(before) : null;
      const input = tokens !== null && fold === "float32" ? null : module.input;
      stages.push(lowerLstm({ module, input, tokens }));
    } else if (!fold || modules[i + 1]?.kind !== "LSTM") stages.push(lowerEmbedding(module));
  });
  return stages;
}
