/**
 * Plans: a program's modules made ready for one choice of kernels, and where their values stand in
 * memory.
 *
 * @module
 */
import { type PerTensorQParams, sameQParams } from "../core/qparams.ts";
import type { ProgramData } from "./data.ts";
import type { Backend, ModuleInstance, RunningKind, Slot } from "./kind.ts";

/** A value that a module reads. */
export interface PlannedInput {
  /** The buffer that it stands in. */
  readonly buffer: number;
  /** Values of a row. */
  readonly size: number;
  /** Parameters that its producer gives it in. */
  readonly given: PerTensorQParams | null;
  /** Parameters that it is read in. */
  readonly taken: PerTensorQParams | null;
  /** The buffer in which it is read: another one where it is converted. */
  readonly converted: number;
}

/** A module made ready. */
export interface PlannedNode {
  /** Its name in the model. */
  readonly name: string;
  /** What runs it. */
  readonly run: ModuleInstance;
  /** What it keeps between steps. */
  readonly slots: readonly Slot[];
  /** What it reads. */
  readonly inputs: readonly PlannedInput[];
  /** The buffer that its output stands in. */
  readonly buffer: number;
  /** Whether it runs with split gates where nothing else is said. */
  readonly splitGates: boolean;
  /** Whether its inputs have a row for each step. */
  readonly timeIn: boolean;
}

/** A program's modules made ready, for one choice of kernels. */
export interface Plan {
  /** In the order in which they run. */
  readonly nodes: readonly PlannedNode[];
  /** The buffer of the model's input. */
  readonly input: number;
  /**
   * Values of a row of each buffer, the widest that it holds; and whether one of them has a row for
   * each step.
   */
  readonly sizes: readonly { readonly row: number; readonly time: boolean }[];
  /** The buffers: as long as the session that asked for most needs. */
  readonly buffers: Float64Array[];
  /** Whether the first node alone reads the model's input, and quantizes reals. */
  readonly takesReals: boolean;
  /**
   * Whether the last node alone gives the model's output, a row for each step, and dequantizes
   * integers.
   */
  readonly givesReals: boolean;
  /** Whether a module ends time, so that what stands behind it runs once for all steps. */
  readonly endsTime: boolean;
}

/** Hands out buffers, and takes back those that nobody reads any more. */
class Buffers {
  readonly sizes: { row: number; time: boolean }[] = [];
  readonly #free = new Set<number>();

  /** A free buffer, for rows of `size` values: the one that has been free for longest. */
  take(size: number, time: boolean): number {
    const [free] = this.#free;
    if (free !== undefined) this.#free.delete(free);
    const buffer = free ?? this.sizes.push({ row: 0, time: false }) - 1;
    const { row, time: before } = this.sizes[buffer]!;
    this.sizes[buffer] = { row: Math.max(row, size), time: before || time };
    return buffer;
  }

  free(buffer: number): void {
    this.#free.add(buffer);
  }
}

function same(a: PerTensorQParams | null, b: PerTensorQParams | null): boolean {
  return a === b || (a !== null && b !== null && sameQParams(a, b));
}

/**
 * Makes a program's modules ready, and plans where their values stand: a buffer is used again when
 * its value is not. Values are numbered: 0 is the model's input, and i + 1 what node i gives.
 *
 * @param times Of each value whether it has a row for each step.
 */
export function planOf(
  { nodes, outputs, input }: ProgramData,
  kinds: readonly RunningKind[],
  times: readonly boolean[],
  kernels: Backend | undefined,
): Plan {
  const ports = [input, ...nodes.map(({ program }) => program.output)];
  // The last node that reads each value; what comes out is read behind all nodes.
  const lastReader = ports.map((_, value) => value - 1);
  nodes.forEach(({ from }, i) => {
    for (const read of from) lastReader[read + 1] = i;
  });
  for (const { node } of outputs) lastReader[node + 1] = nodes.length;
  const buffers = new Buffers();
  const places = [buffers.take(input.size, true)];
  const planned = nodes.map(({ name, from, program: own }, i): PlannedNode => {
    const kind = kinds[i]!;
    const timeIn = from.every((read) => times[read + 1]!);
    const timeOut = times[i + 1]!;
    const used: number[] = [];
    const inputs = from.map((read, k): PlannedInput => {
      const { qparams: given, size } = ports[read + 1]!;
      const { qparams: taken } = own.inputs[k]!;
      const buffer = places[read + 1]!;
      if (lastReader[read + 1] === i) used.push(buffer);
      // What a model takes comes in the parameters of the first that reads it.
      if (same(given, taken)) return { buffer, size, given, taken, converted: buffer };
      const converted = buffers.take(size, timeIn);
      used.push(converted);
      return { buffer, size, given, taken, converted };
    });
    const buffer = buffers.take(own.output.size, timeOut);
    places.push(buffer);
    for (const each of used) buffers.free(each);
    return {
      name,
      run: kernels?.instantiate(own) ?? own.byParts?.instantiate() ?? kind.instantiate(own),
      slots: kind.slots(own),
      inputs,
      buffer,
      splitGates: own.splitGates ?? false,
      timeIn,
    };
  });
  const last = nodes.length - 1;
  const reader = nodes.map(({ from }) => from.includes(-1)).lastIndexOf(true);
  return {
    nodes: planned,
    input: places[0]!,
    sizes: buffers.sizes,
    buffers: [],
    takesReals: reader === 0 && planned[0]!.run.takesReals === true,
    givesReals: outputs.length === 1 && outputs[0]!.node === last && times[last + 1]! &&
      ports[last + 1]!.qparams !== null && planned[last]!.run.givesReals === true,
    endsTime: times.includes(false),
  };
}
