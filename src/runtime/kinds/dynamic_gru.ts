/**
 * Running GRU with dynamic quantization.
 *
 * @module
 */
import {
  addGRUGates,
  finishGRUStepFloat32,
  floatGRUCell,
  type GRUConventions,
} from "../../../kernels/float/gru.ts";
import {
  DynamicRecurrent,
  type DynamicRecurrentProgram,
  saturating,
} from "../dynamic_recurrent.ts";
import type { RunningKind } from "../kind.ts";

/** A dynamic GRU's numbers. */
export interface DynamicGRUProgram extends DynamicRecurrentProgram {
  /** Tells modules apart. */
  readonly kind: "DynamicGRU";
  /** What its cells compute. */
  readonly conventions: GRUConventions;
}

/**
 * How GRU runs with dynamic quantization.
 *
 * @example
 * ```ts
 * import { compileModel, GRU, quantizeDynamic } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { dynamicGRU } from "@splitgate/splitgate/runtime/dynamic";
 * import { assertEquals } from "@std/assert";
 * const model = quantizeDynamic(new GRU({ inputSize: 2, hiddenSize: 3 }));
 * const program = loadProgram(compileModel(model), { kinds: [dynamicGRU] });
 * assertEquals(program.outputSize, 3);
 * ```
 */
export const dynamicGRU: RunningKind<DynamicGRUProgram> = {
  kind: "DynamicGRU",
  instantiate(program) {
    const { hiddenSize, conventions } = program;
    const float = floatGRUCell(hiddenSize, conventions);
    const { functions } = float;
    const candidate = saturating(conventions.activation, functions.candidate);
    const cell = { ...float, functions: { ...functions, candidate } };
    return new DynamicRecurrent(program, {
      gates: cell.gates,
      add: addGRUGates,
      finish: ({ h }, units) => finishGRUStepFloat32(cell, h as Float64Array, units),
    });
  },
};
