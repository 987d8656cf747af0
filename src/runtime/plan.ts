/**
 * Plans: a program's modules made ready for one choice of kernels, and where their values stand in memory.
 *
 * @module
 */
import { type PerTensorQParams, sameQParams } from "../core/qparams.ts";
import type { ProgramData } from "./data.ts";
import type { Backend, PreparedModule, RunningKind, Slot } from "./kind.ts";

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
  /** The buffer that it is converted into: another one where others still read it; -1 where it is read as it is. */
  readonly converted: number;
}

/** A module made ready. */
export interface PlannedNode {
  /** Its name in the model. */
  readonly name: string;
  /** What runs it. */
  readonly run: PreparedModule;
  /** What it keeps between steps. */
  readonly slots: readonly Slot[];
  /** What it reads. */
  readonly inputs: readonly PlannedInput[];
  /** The buffer that its output stands in. */
  readonly buffer: number;
  /** Values of a row of its output. */
  readonly size: number;
  /** Whether it runs with split gates where nothing else is said. */
  readonly splitGates: boolean;
  /** Whether its inputs have a row for each step. */
  readonly timeIn: boolean;
  /** Whether its output has. */
  readonly timeOut: boolean;
}

/** A program's modules made ready, for one choice of kernels. */
export interface Plan {
  /** In the order in which they run. */
  readonly nodes: readonly PlannedNode[];
  /** The buffer of the model's input. */
  readonly input: number;
  /** Values of a row of each buffer, the widest that it holds; and whether one of them has a row for each step. */
  readonly sizes: readonly { readonly row: number; readonly time: boolean }[];
  /** The buffers: as long as the session that asked for most needs. */
  readonly buffers: Float64Array[];
  /** Whether the first node alone reads the model's input. */
  readonly oneReader: boolean;
  /** Whether the last node alone gives the model's output. */
  readonly oneOutput: boolean;
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

/** Makes a program's modules ready, and plans where their values stand: a buffer is used again when its value is not. */
export function planOf(
  { nodes, outputs, input }: ProgramData,
  kinds: readonly RunningKind[],
  kernels: Backend | undefined,
): Plan {
  // The last node that reads each value; what comes out is read behind all nodes.
  const lastReader = nodes.map((_, i) => i);
  let inputReader = -1;
  nodes.forEach(({ from }, i) => {
    for (const read of from) {
      if (read < 0) inputReader = i;
      else lastReader[read] = i;
    }
  });
  for (const { node } of outputs) lastReader[node] = nodes.length;
  const buffers = new Buffers();
  const inputBuffer = buffers.take(input.size, true);
  const places: number[] = [];
  const times: boolean[] = [];
  const planned = nodes.map(({ name, from, program: own }, i): PlannedNode => {
    const kind = kinds[i]!;
    const timeIn = from.every((read) => read < 0 || times[read]!);
    const timeOut = timeIn && !kind.endsTime;
    const scratch: number[] = [];
    const inputs = from.map((read, k): PlannedInput => {
      const { qparams: given, size } = read < 0 ? input : nodes[read]!.program.output;
      const { qparams: taken } = own.inputs[k]!;
      const buffer = read < 0 ? inputBuffer : places[read]!;
      // What a model takes comes in the parameters of the first that reads it.
      if (same(given, taken)) return { buffer, size, given, taken, converted: -1 };
      const last = (read < 0 ? inputReader : lastReader[read]!) === i;
      const alone = last && from.filter((each) => each === read).length === 1;
      const converted = alone ? buffer : buffers.take(size, timeIn);
      if (!alone) scratch.push(converted);
      return { buffer, size, given, taken, converted };
    });
    const buffer = buffers.take(own.output.size, timeOut);
    places.push(buffer);
    times.push(timeOut);
    for (const each of scratch) buffers.free(each);
    for (const read of from) {
      if (read < 0 ? inputReader === i : lastReader[read] === i) {
        buffers.free(read < 0 ? inputBuffer : places[read]!);
      }
    }
    return {
      name,
      run: kernels?.prepare(own) ?? own.byParts?.prepare() ?? kind.prepare(own),
      slots: kind.slots(own),
      inputs,
      buffer,
      size: own.output.size,
      splitGates: own.splitGates ?? false,
      timeIn,
      timeOut,
    };
  });
  const readers = nodes.filter(({ from }) => from.includes(-1));
  return {
    nodes: planned,
    input: inputBuffer,
    sizes: buffers.sizes,
    buffers: [],
    oneReader: readers.length === 1 && nodes[0]!.from.includes(-1),
    oneOutput: outputs.length === 1 && outputs[0]!.node === nodes.length - 1,
  };
}
