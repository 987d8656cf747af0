/**
 * From an LSTM of integers to the numbers of its steps.
 *
 * @module
 */
import {
  bindState,
  type CellParameters,
  gateOrder,
  integerBound,
  lowerCell,
  type SharedTables,
  sharedTables,
} from "../../../kernels/packed/lower.ts";
import type { Affine } from "../../../kernels/numeric/quantize.ts";
import { functionsOf, hasLSTMFunctions } from "../../cells/functions.ts";
import type { PartName } from "../../cells/cell.ts";
import { type PerTensorQParams, sameQParams } from "../../core/qparams.ts";
import type { DynamicLSTMProgram } from "../../runtime/kinds/dynamic_lstm.ts";
import type { LSTMCellProgram, LSTMProgram } from "../../runtime/kinds/lstm.ts";
import { lowerProjector, packs } from "../lower_projector.ts";
import { slowPart, stateQParams } from "../recurrent/cell.ts";
import { initialQParams, type RecurrentSource } from "../recurrent/data.ts";
import {
  fitsFloat32,
  foldedTokens,
  loweredEnds,
  orByParts,
  stateSpan,
} from "../recurrent/lower.ts";
import type { LSTMModule, QuantizedLSTMCell } from "./data.ts";

/** Parts that the fast step runs in float32 too. */
const FLOATS: readonly PartName[] = ["igates", "hgates"];

/** Whether float32 arithmetic takes a cell's parameters. */
function fits(parts: CellParameters, initialCell: Affine): boolean {
  const { igates, hgates, gates, fgate_cx_igate_cgate: cell, ogate_cy: hidden } = parts;
  const { input_gate, forget_gate, cell_gate, output_gate } = parts;
  const { fgate_cx, igate_cgate, tanh_cy } = parts;
  const activated = [input_gate, forget_gate, cell_gate, output_gate, tanh_cy];
  return fitsFloat32(
    [...igates, ...hgates, initialCell, ...activated, fgate_cx, igate_cgate],
    [hidden],
    [...gates, cell],
  );
}

/** The parts as the fast step takes them, or null where it does not run them. */
export function fastParts(cell: QuantizedLSTMCell): CellParameters | null {
  return slowPart(cell, FLOATS) === null ? cell.parts as CellParameters : null;
}

/** The layers of an LSTM, or null where the fast step does not run one. */
function lowerLayers(
  source: RecurrentSource<LSTMModule>,
  tables: SharedTables,
): LSTMCellProgram[][] | null {
  const { module, tokens, initial } = source;
  const { engine, hiddenSize, cells } = module;
  const order = gateOrder(hiddenSize);
  const layers: LSTMCellProgram[][] = [];
  let from = source.input;
  for (const layer of cells) {
    const lowered: LSTMCellProgram[] = [];
    const folded = tokens !== null && layers.length === 0;
    for (const cell of layer) {
      const [h, c] = initialQParams(source, cell);
      const parts = fastParts(cell);
      if (parts === null || !packs(from) || !packs(h!)) return null;
      const hidden = stateQParams(module.cell, cell)!;
      const cellState = parts.fgate_cx_igate_cgate as PerTensorQParams;
      const bound = Math.max(integerBound(hidden), integerBound(h!));
      const outside = from === null || folded;
      const lstmCell = { engine, weights: cell, parts };
      // Other initial states are zeros.
      const states = initial === undefined ? [hidden] : [hidden, h!];
      lowered.push({
        cell: lowerCell(lstmCell, outside ? null : from, bound, tables).cell,
        running: bindState(lstmCell, hidden, cellState),
        first: sameQParams(h!, hidden) && sameQParams(c!, cellState)
          ? null
          : bindState(lstmCell, h!, c!),
        hidden,
        ...stateSpan(states),
        float32: fits(parts, c!),
        projector: outside
          ? lowerProjector(
            { engine, weight: cell.weightIh, bias: cell.biasIh, order },
            from,
            parts.igates as PerTensorQParams[],
          )
          : null,
      });
    }
    layers.push(lowered);
    from = lowered[0]!.hidden;
  }
  return layers;
}

/** Lowers an LSTM; what the fast step does not run says so, and is run by its parts. */
export function lowerLSTM(source: RecurrentSource<LSTMModule>): LSTMProgram {
  const { module } = source;
  const tables = sharedTables(module);
  const layers = lowerLayers(source, tables);
  const program: LSTMProgram = {
    kind: "LSTM",
    ...loweredEnds(source),
    engine: module.engine,
    hiddenSize: module.hiddenSize,
    projSize: module.projSize,
    splitGates: module.splitGates,
    tables: tables.list,
    layers,
    ...foldedTokens(source),
    source,
  };
  return orByParts(program, source, FLOATS);
}

/** Lowers a dynamic LSTM. */
export function lowerDynamicLSTM(module: LSTMModule): DynamicLSTMProgram {
  const { engine, hiddenSize, input, cells } = module;
  return {
    kind: "DynamicLSTM",
    ...loweredEnds({ module, input, tokens: null }),
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
