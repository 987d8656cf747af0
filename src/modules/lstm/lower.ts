/**
 * From an LSTM of integers to the numbers of its steps.
 *
 * @module
 */
import { activationTable, lookup } from "../../../kernels/numeric/activation.ts";
import {
  bindState,
  type CellParameters,
  gateOrder,
  integerBound,
  lowerCell,
  type SharedTables,
  sharedTables,
} from "../../../kernels/packed/lower.ts";
import type { ActivationProgram } from "../../../kernels/packed/program.ts";
import type { Affine } from "../../../kernels/numeric/quantize.ts";
import { functionsOf, hasLSTMFunctions } from "../../cells/functions.ts";
import { type PerTensorQParams, sameQParams } from "../../core/qparams.ts";
import type { DynamicLSTMProgram } from "../../runtime/kinds/dynamic_lstm.ts";
import type { LSTMCellProgram, LSTMProgram } from "../../runtime/kinds/lstm.ts";
import type { Slot } from "../../runtime/kind.ts";
import { makeProjector } from "../../runtime/projector.ts";
import { convertCentered } from "../../runtime/centered.ts";
import { lowerProjector, packs } from "../lower_projector.ts";
import { byParts } from "./by_parts.ts";
import { fastParts, hiddenQParams, slowPart } from "./cell.ts";
import { initialQParams, lstmEnds, type LSTMModule, type LSTMSource } from "./data.ts";

/** Integers that are turned into addresses or stored, and integers that must be float32 values. */
const ROUNDED = 2 ** 22;
const EXACT = 2 ** 24;

/**
 * Whether float32 arithmetic, and integers that it rounds to by adding 1.5 * 2^23, take these
 * parameters.
 */
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
function lowerLayers(source: LSTMSource, tables: SharedTables): LSTMCellProgram[][] | null {
  const { module, tokens, initial } = source;
  const { engine, hiddenSize, cells } = module;
  const order = gateOrder(hiddenSize);
  const layers: LSTMCellProgram[][] = [];
  let from = source.input;
  for (const layer of cells) {
    const lowered: LSTMCellProgram[] = [];
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
        min: Math.min(0, ...states.map((q) => q.quantMin - q.zeroPoint)),
        max: Math.max(0, ...states.map((q) => q.quantMax - q.zeroPoint)),
        float32: fitsFloat32(parts, c!),
        projector: outside
          ? lowerProjector(
            { engine, weight: cell.weightIh, bias: cell.biasIh, order },
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
  { module, tokens, input }: LSTMSource,
  layers: readonly (readonly LSTMCellProgram[])[],
): Pick<LSTMProgram, "layers" | "fill"> {
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
      convertCentered(row, 0, inputSize, null, input);
      for (const { rows, project } of folded) project(row, 0, rows, token * size);
      known[token] = 1;
    },
  };
}

/** What it keeps between steps: h and c of every layer and direction, and marks of first steps. */
function slotsOf({ cells, hiddenSize, projSize }: LSTMModule): readonly Slot[] {
  const all = cells.flat();
  return [
    { name: "fresh", size: 1, groups: all.map(() => null), initial: 1, mark: true },
    { name: "h", size: projSize || hiddenSize, groups: all.map(hiddenQParams) },
    { name: "c", size: hiddenSize, groups: all.map(({ parts }) => parts.fgate_cx_igate_cgate) },
  ];
}

/** What of an LSTM keeps the fast step from running it, and what would help. */
function reasonAgainst({ module, input, initial }: LSTMSource): string {
  const { cells } = module;
  if (!packs(input)) return "its input has more than 24 bits: give it an observer of fewer";
  for (const [l, layer] of cells.entries()) {
    for (const [d, cell] of layer.entries()) {
      const reason = slowPart(cell);
      if (reason !== null) return `cells[${l}][${d}].${reason}`;
      const [h] = initialQParams({ module, initial }, cell);
      if (!packs(h)) return `cells[${l}][${d}]: h has more than 24 bits`;
    }
  }
  return "the range of its parts";
}

/** Lowers an LSTM; what the fast step does not run says so, and is run by its parts. */
export function lowerLSTM(source: LSTMSource): LSTMProgram {
  const { module, tokens, input } = source;
  const tables = sharedTables(module);
  const layers = lowerLayers(source, tables);
  const { inputs, output } = lstmEnds(module);
  const port = tokens === null
    ? { size: inputs[0]!.size, qparams: input }
    : { size: 1, qparams: null };
  const program: LSTMProgram = {
    kind: "LSTM",
    inputs: [port],
    output,
    engine: module.engine,
    hiddenSize: module.hiddenSize,
    projSize: module.projSize,
    splitGates: module.splitGates,
    slots: slotsOf(module),
    tables: tables.list,
    ...(layers !== null && tokens !== null ? foldTokens(source, layers) : { layers }),
    source,
  };
  if (layers !== null) return program;
  const instantiate = () => byParts().instantiate(program)!;
  return { ...program, byParts: { reason: reasonAgainst(source), instantiate } };
}

/** Lowers a dynamic LSTM. */
export function lowerDynamicLSTM(module: LSTMModule): DynamicLSTMProgram {
  const { engine, hiddenSize, cells } = module;
  const { inputs, output } = lstmEnds(module);
  return {
    kind: "DynamicLSTM",
    inputs,
    output,
    slots: slotsOf(module),
    engine,
    hiddenSize,
    ...!hasLSTMFunctions(module) && { functions: functionsOf(module) },
    cells: cells.map((layer) =>
      layer.map(({ weightIh, weightHh, biasIh, biasHh }) => ({
        weightIh,
        weightHh,
        biasIh,
        biasHh,
      }))
    ),
  };
}

/** Inputs of an activation up to which its outputs are stored. */
const TABULATED = 256;

/**
 * All that can be known beforehand: every token's rows, and the outputs of short activation tables.
 */
export function completeLSTM(program: LSTMProgram, vocabulary: number): LSTMProgram {
  if (program.fill) { for (let token = 0; token < vocabulary; token++) program.fill(token); }
  const tables = program.tables.map((program): ActivationProgram => {
    const { activation, from, to } = program;
    const table = activationTable(activation, from, to);
    const { size, first } = table;
    if (size === 0 || size > TABULATED) return program;
    const outputs = Float32Array.from({ length: size }, (_, i) => lookup(table, first + i));
    return { ...program, outputs };
  });
  return { ...program, tables };
}
