/**
 * Running GRU: the fast step in TypeScript.
 *
 * @module
 */
import {
  GRU_GATE_COUNT,
  type GRUBinding,
  gruScratch,
  gruStep,
} from "../../../kernels/packed/gru_cell.ts";
import { buildGRUCell, type GRUCellProgram } from "../../../kernels/packed/gru_program.ts";
import type { RunningKind } from "../kind.ts";
import {
  type RecurrentCellProgram,
  recurrentInstance,
  type RecurrentProgram,
} from "../recurrent.ts";

/** One layer and direction of a GRU. */
export type GRULayerProgram = RecurrentCellProgram<GRUCellProgram, GRUBinding>;

/** A GRU's numbers. */
export interface GRUProgram extends RecurrentProgram<GRULayerProgram> {
  /** Tells modules apart. */
  readonly kind: "GRU";
}

/**
 * How GRU runs.
 *
 * @example
 * ```ts
 * import { compileModel, convert, getPreset, GRU, prepare, tensor } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { gru } from "@splitgate/splitgate/runtime/gru";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new GRU({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const program = loadProgram(compileModel(convert(observed)), { kinds: [gru] });
 * assertEquals(program.outputSize, 3);
 * ```
 */
export const gru: RunningKind<GRUProgram> = {
  kind: "GRU",
  instantiate(program) {
    const resetFirst = program.layers![0]![0]!.cell.newOutput !== null;
    return recurrentInstance(
      program,
      GRU_GATE_COUNT,
      buildGRUCell,
      gruStep,
      (size, _projSize, splitGates) => gruScratch(size, splitGates, resetFirst),
    );
  },
};
