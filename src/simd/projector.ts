/**
 * Projectors in WebAssembly: products of rows and weights, for linear layers and other modules.
 *
 * @module
 */
import { clamp, MAX_FLOAT32 } from "../../kernels/numeric/requantize.ts";
import { isInt8Array } from "../../kernels/numeric/typed_array.ts";
import { packedLength } from "../../kernels/packed/pack.ts";
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

/** Bytes of constants above which further projectors use another memory. */
const FULL = 2 ** 20;

/** Magnitude up to which float32 holds every integer. */
const EXACT = 2 ** 24;

/**
 * Projectors that share a memory, because engines allow only a few hundred memories. A reference to
 * any of them keeps all of them alive.
 */
export class SimdProjectors {
  readonly #kernel: SimdExports;
  readonly #arena: Arena;

  constructor(kernel: SimdExports, oneStep: boolean) {
    this.#kernel = kernel;
    this.#arena = new Arena(kernel.memory, oneStep);
    this.#arena.f32[SHARED.IN_SCALE] = 1;
  }

  /** Whether further projectors should use another memory. */
  get full(): boolean {
    return this.#arena.take(0) >= FULL;
  }

  /**
   * A projector; null if its results do not fit in float32, or its operands cannot hold the
   * integers.
   */
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
    // Operands are padded to whole groups, and results to whole blocks.
    const staged = arena.take(operand.groups * GROUP_VALUES.BYTES * 4);
    const packed = arena.take(operand.bytes);
    const results = arena.take(operand.rows * 4);
    const from = staged / 4;
    const to = results / 4;
    return (x, at, out, offset) => {
      // Growth of the memory detaches views, so they are read here; the reference to `this` keeps
      // the memory alive.
      const { f32 } = this.#arena;
      for (let k = 0; k < length; k++) f32[from + k] = x[at + k]!;
      this.#kernel.projectInput(cell, staged, packed, results, length, 1);
      // Integers have no negative zero.
      if (quantized) { for (let i = 0; i < count; i++) out[offset + i] = f32[to + i]! + 0; }
      else for (let i = 0; i < count; i++) out[offset + i] = f32[to + i]!;
    };
  }
}

/**
 * A projector of float32 rows that needs no preparation and keeps int8 weights: for few rows, such
 * as each token's, which is projected once. For many rows a portable projector, which packs weights
 * as doubles, is faster. null if weights are wider or results are quantized.
 */
export function floatProjector(
  kernel: SimdExports,
  arena: Arena,
  { rows: { data, count, length }, projection, float }: ProjectorProgram,
): Projector | null {
  if (float === null || !isInt8Array(data) || float.to.some((to) => to !== null)) return null;
  const size = packedLength(length);
  const weights = arena.take(data.length);
  const scales = arena.take(count * 4);
  const bias = arena.take(count * 4);
  const row = arena.take(size * 4);
  const results = arena.take(count * 4);
  arena.u8.set(data, weights);
  arena.f32.set(float.scales.subarray(0, count), scales / 4);
  arena.f32.set(projection.term.subarray(0, count), bias / 4);
  return (x, at, out, offset) => {
    const { f32 } = arena;
    for (let k = 0, to = row / 4; k < length; k++) f32[to + k] = x[at + k]!;
    kernel.projectFloats(weights, scales, bias, row, results, size, count);
    for (let i = 0, from = results / 4; i < count; i++) {
      out[offset + i] = clamp(f32[from + i]!, -MAX_FLOAT32, MAX_FLOAT32);
    }
  };
}
