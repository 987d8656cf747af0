/**
 * Lowering of GRUs.
 *
 * @module
 */
import {
  bindGRUState,
  type GRUCellWeights,
  gruOrder,
  type GRUParameters,
  lowerGRUCell,
} from "../../../kernels/packed/lower_gru.ts";
import { integerBound, type TableList } from "../../../kernels/packed/lower.ts";
import { conventionsOf } from "../../cells/functions.ts";
import type { PartName } from "../../cells/cell.ts";
import { type PerTensorQParams, sameQParams } from "../../core/qparams.ts";
import type { DynamicGRUProgram } from "../../runtime/kinds/dynamic_gru.ts";
import type { GRUProgram } from "../../runtime/kinds/gru.ts";
import { lowerProjector, packs } from "../lower_projector.ts";
import { partWeight, type QuantizedCell, slowPart, stateQParams } from "../recurrent/cell.ts";
import { initialQParams, type RecurrentSource } from "../recurrent/data.ts";
import {
  fitsFloat32,
  foldedTokens,
  loweredEnds,
  orByParts,
  stateSpan,
} from "../recurrent/lower.ts";
import type { GRUModule } from "./data.ts";

/** Parts that the fast step runs in float32 too. */
function floatParts({ resetAfter }: GRUModule): readonly PartName[] {
  return resetAfter ? ["igates", "hgates"] : ["igates", "hgates", "rgate_hgates"];
}

/** A cell's weights in the layout of the fast step. */
function weightsOf({ cell, resetAfter }: GRUModule, own: QuantizedCell): GRUCellWeights {
  const of = (name: PartName) =>
    partWeight(cell, own, cell.parts.find((part) => part.name === name)!, -1);
  const { weight: weightHh, bias: biasHh } = of("hgates");
  const { weight: weightHn, bias: biasHn } = resetAfter
    ? { weight: null, bias: null }
    : of("rgate_hgates");
  return { weightIh: own.weightIh, biasIh: own.biasIh, weightHh, biasHh, weightHn, biasHn };
}

/** Whether a cell's parameters suit float32 arithmetic. */
function fits(parts: GRUParameters, initial: PerTensorQParams): boolean {
  const { igates, hgates, rgates, zgates, ngates, hy, rgate_hx, rgate_hgates } = parts;
  const { reset_gate, update_gate, new_gate, hx_ngate, zgate_hx_ngate } = parts;
  const activated = [reset_gate, update_gate, new_gate];
  return fitsFloat32(
    [...igates, ...hgates, initial, rgate_hgates, ...activated, hx_ngate, zgate_hx_ngate],
    rgate_hx === undefined ? [hy] : [hy, rgate_hx],
    [rgates, zgates, ngates],
  );
}

/** The layers of a GRU, or null where the fast step does not run one. */
function lowerLayers(
  source: RecurrentSource<GRUModule>,
  tables: TableList,
): NonNullable<GRUProgram["layers"]> | null {
  const { module, tokens } = source;
  const { engine, hiddenSize, complementedUpdate, cells } = module;
  const order = gruOrder(3, hiddenSize);
  const layers: NonNullable<GRUProgram["layers"]>[number][] = [];
  let from = source.input;
  for (const layer of cells) {
    const outside = from === null || (tokens !== null && layers.length === 0);
    const lowered = [];
    for (const own of layer) {
      const [initial] = initialQParams(source, own);
      if (slowPart(own, floatParts(module)) !== null || !packs(from) || !packs(initial!)) {
        return null;
      }
      const parts = own.parts as GRUParameters;
      const hidden = stateQParams(module.cell, own)!;
      const weights = weightsOf(module, own);
      const stateBound = Math.max(integerBound(hidden), integerBound(initial!));
      const input = outside ? null : from;
      const bind = (state: PerTensorQParams) =>
        bindGRUState(engine, weights, parts, state, complementedUpdate);
      lowered.push({
        cell: lowerGRUCell({ engine, weights, parts, input, stateBound }, module, tables),
        running: bind(hidden),
        first: sameQParams(initial!, hidden) ? null : bind(initial!),
        hidden,
        // Without given parameters, initial states are zeros.
        ...stateSpan(source.initial === undefined ? [hidden] : [hidden, initial!]),
        float32: fits(parts, initial!),
        projector: outside
          ? lowerProjector(
            { engine, weight: own.weightIh, bias: own.biasIh, order },
            from,
            parts.igates as (PerTensorQParams | null)[],
          )
          : null,
      });
    }
    layers.push(lowered);
    from = lowered[0]!.hidden;
  }
  return layers;
}

/** Lowers a GRU; if the fast step cannot run it, it runs by parts and the program says why. */
export function lowerGRU(source: RecurrentSource<GRUModule>): GRUProgram {
  const { module } = source;
  const tables: TableList = { list: [], indices: new Map() };
  const layers = lowerLayers(source, tables);
  const program: GRUProgram = {
    kind: "GRU",
    ...loweredEnds(source),
    engine: module.engine,
    hiddenSize: module.hiddenSize,
    splitGates: module.splitGates,
    tables: tables.list,
    layers,
    ...foldedTokens(source),
    source,
  };
  return orByParts(program, source, floatParts(module));
}

/** Lowers a dynamic GRU. */
export function lowerDynamicGRU(module: GRUModule): DynamicGRUProgram {
  const { engine, hiddenSize, input, cells } = module;
  return {
    kind: "DynamicGRU",
    ...loweredEnds({ module, input, tokens: null }),
    engine,
    hiddenSize,
    conventions: conventionsOf(module),
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
