/**
 * Projectors in WebAssembly: what linear layers, and other modules that multiply rows by weights,
 * hand to the kernels.
 *
 * @module
 */
import { SHARED } from "../../kernels/simd/layout.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import type { Projector, ProjectorProgram } from "../runtime/projector.ts";
import {
  Arena,
  GROUP_VALUES,
  type SimdExports,
  writeInputCell,
  writeOperand,
  writeProjection,
} from "./memory.ts";

/** Bytes of constants from which on further projectors stand in another memory. */
const FULL = 2 ** 20;

/** Up to here float32 has every integer. */
const EXACT = 2 ** 24;

/**
 * Projectors that share a memory: engines have room for few hundred. Whoever keeps one of them
 * keeps all.
 */
export class SimdProjectors {
  readonly #kernel: SimdExports;
  readonly #arena: Arena;

  constructor(kernel: SimdExports, oneStep: boolean) {
    this.#kernel = kernel;
    this.#arena = new Arena(kernel.memory, oneStep);
    this.#arena.f32[SHARED.IN_SCALE] = 1;
  }

  /** Whether others had better stand in another memory. */
  get full(): boolean {
    return this.#arena.take(0) >= FULL;
  }

  /** A projector; null where float32 does not hold its results, or operands not its integers. */
  projector(
    { rows, projection, float }: ProjectorProgram,
    { quantMin, quantMax, zeroPoint }: PerTensorQParams,
    relaxed: boolean,
  ): Projector | null {
    if (float !== null) return null;
    const { lo, hi } = projection;
    const quantized = lo.every((end) => end === end);
    if (!quantized && lo.some((end) => end === end)) return null;
    if (lo.some((end) => end < -EXACT) || hi.some((end) => end > EXACT)) return null;
    const arena = this.#arena;
    const { length, count } = rows;
    const span = { min: quantMin - zeroPoint, max: quantMax - zeroPoint };
    const operand = writeOperand(arena, rows, span, relaxed, false);
    if (operand === null) return null;
    const cell = writeInputCell(arena, operand, writeProjection(arena, projection, operand, 0));
    // Operands are filled up to whole groups, and results to whole blocks.
    const staged = arena.take(operand.groups * GROUP_VALUES.BYTES * 4);
    const packed = arena.take(operand.bytes);
    const results = arena.take(operand.rows * 4);
    const from = staged / 4;
    const to = results / 4;
    return (x, at, out, offset) => {
      // Memory that grows leaves its views behind. By `this`, so that each keeps all.
      const { f32 } = this.#arena;
      for (let k = 0; k < length; k++) f32[from + k] = x[at + k]!;
      this.#kernel.projectInput(cell, staged, packed, results, length, 1);
      // Of integers a zero has no sign.
      if (quantized) { for (let i = 0; i < count; i++) out[offset + i] = f32[to + i]! + 0; }
      else for (let i = 0; i < count; i++) out[offset + i] = f32[to + i]!;
    };
  }
}
