/**
 * The lowering shared by recurrent modules.
 *
 * @module
 */
import { activationTable, lookup } from "../../../kernels/numeric/activation.ts";
import { integerBound } from "../../../kernels/packed/lower.ts";
import type { Affine } from "../../../kernels/numeric/quantize.ts";
import type { ActivationProgram } from "../../../kernels/packed/program.ts";
import type { PartName } from "../../cells/cell.ts";
import type { NodeProgram, Slot } from "../../runtime/kind.ts";
import type { FoldedTokens } from "../../runtime/tokens.ts";
import { packs } from "../lower_projector.ts";
import { byParts } from "./by_parts.ts";
import { slowPart, stateQParams } from "./cell.ts";
import {
  initialQParams,
  recurrentEnds,
  type RecurrentModule,
  type RecurrentSource,
  stateSizes,
} from "./data.ts";

/** The part of a recurrent module's program that completing it needs. */
export interface RecurrentProgram extends NodeProgram {
  /** Activation tables of all cells. */
  readonly tables: readonly ActivationProgram[];
  /** By layer, then direction; null if the fast step cannot run it. */
  readonly layers: readonly unknown[] | null;
}

/**
 * Limits of integers: of those that become addresses or are stored, and of those that must be exact
 * in float32.
 */
const ROUNDED = 2 ** 22;
const EXACT = 2 ** 24;

/**
 * Whether these parameters suit float32 arithmetic with rounding by adding 1.5 * 2^23.
 *
 * @param exact Parameters of values that only have to be exact in float32.
 * @param stored Parameters of values that are stored as integers.
 * @param tabulated Parameters of inputs of tabulated functions.
 */
export function fitsFloat32(
  exact: readonly (Affine | null)[],
  stored: readonly Affine[],
  tabulated: readonly Affine[],
): boolean {
  return exact.every((q) => q === null || integerBound(q) <= EXACT) &&
    [...stored, ...tabulated].every((q) => integerBound(q) < ROUNDED) &&
    tabulated.every((q) => q.quantMax - q.quantMin < 65536);
}

/**
 * The smallest and largest integer, less the zero point, of states with these parameters; the span
 * includes 0.
 */
export function stateSpan(
  states: readonly Affine[],
): { readonly min: number; readonly max: number } {
  return {
    min: Math.min(0, ...states.map((q) => q.quantMin - q.zeroPoint)),
    max: Math.max(0, ...states.map((q) => q.quantMax - q.zeroPoint)),
  };
}

/** The table that is folded into a program, if there is one. */
export function foldedTokens(
  { tokens, input }: Pick<RecurrentSource, "tokens" | "input">,
): { readonly tokens?: FoldedTokens } {
  return tokens === null ? {} : { tokens: { ...tokens, input } };
}

/** The slots: states of every layer and direction, and marks of first steps. */
function slotsOf(module: RecurrentModule): readonly Slot[] {
  const { cell, cells } = module;
  const all = cells.flat();
  const sizes = stateSizes(module);
  return [
    { name: "fresh", size: 1, groups: all.map(() => null), initial: 1, mark: true },
    ...cell.states.map(({ name }, i) => ({
      name,
      size: sizes[i]!,
      groups: all.map((own) => stateQParams(cell, own, i)),
    })),
  ];
}

/** Ports and slots of a lowered module. */
export function loweredEnds(
  { module, tokens, input }: Pick<RecurrentSource, "module" | "tokens" | "input">,
): Required<Pick<NodeProgram, "inputs" | "output" | "slots">> {
  const { inputs, output } = recurrentEnds(module);
  const port = tokens === null
    ? { size: inputs[0]!.size, qparams: input }
    : { size: 1, qparams: null };
  return { inputs: [port], output, slots: slotsOf(module) };
}

/**
 * The reason why the fast step cannot run a module, and the remedy.
 *
 * @param floats Parts that it can also run in float32.
 */
function reasonAgainst(
  { module, input, initial }: RecurrentSource,
  floats: readonly PartName[],
): string {
  if (!packs(input)) return "its input has more than 24 bits: give it an observer of fewer";
  for (const [l, layer] of module.cells.entries()) {
    for (const [d, own] of layer.entries()) {
      const reason = slowPart(own, floats);
      if (reason !== null) return `cells[${l}][${d}].${reason}`;
      const states = initialQParams({ module, initial }, own);
      const wide = states.findIndex((q) => !packs(q));
      if (wide >= 0) {
        return `cells[${l}][${d}]: ${module.cell.states[wide]!.name} has more than 24 bits`;
      }
    }
  }
  return "the range of its parts";
}

/** A program, or, if the fast step cannot run it, the program with execution by parts. */
export function orByParts<P extends RecurrentProgram>(
  program: P,
  source: RecurrentSource,
  floats: readonly PartName[],
): P {
  if (program.layers !== null) return program;
  const instantiate = () => byParts().instantiate(program)!;
  return { ...program, byParts: { reason: reasonAgainst(source, floats), instantiate } };
}

/** Largest number of an activation's inputs for which its outputs are stored. */
const TABULATED = 256;

/** Precomputes the outputs of a program's short activation tables. */
export function completeRecurrent<P extends RecurrentProgram>(program: P): P {
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
