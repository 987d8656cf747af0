/**
 * Planning: in which buffer each value of a lowered model stands.
 *
 * @module
 */
import { type PerTensorQParams, sameQParams } from "../core/qparams.ts";
import type { BufferSize, NodeInput, ProgramData, ProgramNode } from "../runtime/data.ts";
import type { NodeProgram } from "../runtime/kind.ts";

/** A lowered module that has no buffers yet. */
export interface LoweredNode {
  /** Its name in the model. */
  readonly name: string;
  /** Indices of the nodes that it reads, which stand before it; -1 is the model's input. */
  readonly from: readonly number[];
  /** Whether its output has a row for each step. */
  readonly timeOut: boolean;
  /** The numbers. */
  readonly program: NodeProgram;
}

/** A lowered model that has no buffers yet. */
export interface LoweredModel extends
  Pick<
    ProgramData,
    "vocabulary" | "batchFirst" | "looksAhead" | "fingerprint" | "input"
  > {
  /** In the order in which they run: first those that read a row for each step. */
  readonly nodes: readonly LoweredNode[];
  /** Names of the outputs, and the nodes that give them. */
  readonly outputs: readonly { readonly name: string; readonly node: number }[];
}

/** Hands out buffers, and takes back those whose values nobody reads any more. */
class Buffers {
  readonly sizes: BufferSize[] = [];
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
 * Plans where a model's values stand: a buffer is used again when its value is not. Values are
 * numbered: 0 is the model's input, and i + 1 what node i gives.
 */
export function planProgram(
  { nodes, outputs, input, ...rest }: LoweredModel,
): ProgramData {
  const ports = [input, ...nodes.map(({ program }) => program.output)];
  const times = [true, ...nodes.map(({ timeOut }) => timeOut)];
  // The last node that reads each value; what comes out is read behind all nodes.
  const lastReader = ports.map((_, value) => value - 1);
  nodes.forEach(({ from }, i) => {
    for (const read of from) lastReader[read + 1] = i;
  });
  for (const { node } of outputs) lastReader[node + 1] = nodes.length;
  const buffers = new Buffers();
  const owned = [buffers.take(input.size, true)];
  const planned = nodes.map(({ name, from, program }, i): ProgramNode => {
    const timeIn = from.every((read) => times[read + 1]!);
    const used: number[] = [];
    const inputs = from.map((read, k): NodeInput => {
      const { qparams, size } = ports[read + 1]!;
      const buffer = owned[read + 1]!;
      if (lastReader[read + 1] === i) used.push(buffer);
      if (same(qparams, program.inputs[k]!.qparams)) {
        return { from: read, buffer, converted: buffer };
      }
      const converted = buffers.take(size, timeIn);
      used.push(converted);
      return { from: read, buffer, converted };
    });
    const buffer = buffers.take(program.output.size, times[i + 1]!);
    owned.push(buffer);
    for (const each of used) buffers.free(each);
    return { name, program, inputs, buffer, timeIn };
  });
  const last = nodes.length - 1;
  return {
    ...rest,
    input,
    oneReader: nodes.map(({ from }) => from.includes(-1)).lastIndexOf(true) === 0,
    nodes: planned,
    outputs: outputs.map(({ name, node }) => ({
      ...ports[node + 1]!,
      name,
      time: times[node + 1]!,
      buffer: owned[node + 1]!,
    })),
    oneGiver: outputs.length === 1 && outputs[0]!.node === last && times[last + 1]! &&
      ports[last + 1]!.qparams !== null,
    buffers: buffers.sizes,
  };
}
