/**
 * Planning: which buffer holds each value of a lowered model.
 *
 * @module
 */
import { type PerTensorQParams, sameQParams } from "../core/qparams.ts";
import type { AxisKey } from "../modules/graph.ts";
import type { NodeInput, ProgramData, ProgramNode, TimeAxis } from "../runtime/data.ts";
import type { NodeProgram } from "../runtime/kind.ts";

/** A lowered module that has no buffers yet. */
export interface LoweredNode {
  /** Its name in the model. */
  readonly name: string;
  /** Indices of the nodes that it reads, which come before it; -1 is the model's input. */
  readonly from: readonly number[];
  /** The axis of its output: what its rows stand for. */
  readonly axis: AxisKey;
  /** Its program. */
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

/** Hands out buffers, and takes back those whose values are not read any more. */
class Buffers {
  readonly sizes: number[][] = [];
  readonly #free = new Set<number>();

  /** A free buffer for rows of `size` values: the one that was freed first. */
  take(size: number, axis: number): number {
    const [free] = this.#free;
    if (free !== undefined) this.#free.delete(free);
    const buffer = free ?? this.sizes.push([]) - 1;
    const rows = this.sizes[buffer]!;
    while (rows.length <= axis) rows.push(0);
    rows[axis] = Math.max(rows[axis]!, size);
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
 * Assigns buffers to a model's values; a buffer is reused once its value has been read for the last
 * time. Values are numbered: 0 is the model's input, and i + 1 the output of node i.
 */
export function planProgram(
  { nodes, outputs, input, ...rest }: LoweredModel,
): ProgramData {
  const ports = [input, ...nodes.map(({ program }) => program.output)];
  // Axes by their keys, and that of each value.
  const axes: TimeAxis[] = [];
  const indices = new Map<AxisKey, number>([[null, 0], ["", 1]]);
  const axisOf = [1];
  nodes.forEach(({ from, axis }, node) => {
    const known = indices.get(axis);
    const index = known ?? axes.push({ from: axisOf[from[0]! + 1]!, node }) + 1;
    indices.set(axis, index);
    axisOf.push(index);
  });
  // The last node that reads each value; outputs are read after all nodes.
  const lastReader = ports.map((_, value) => value - 1);
  nodes.forEach(({ from }, i) => {
    for (const read of from) lastReader[read + 1] = i;
  });
  for (const { node } of outputs) lastReader[node + 1] = nodes.length;
  const buffers = new Buffers();
  const owned = [buffers.take(input.size, 1)];
  const planned = nodes.map(({ name, from, program }, i): ProgramNode => {
    const axis = axisOf[from[0]! + 1]!;
    const used: number[] = [];
    const inputs = from.map((read, k): NodeInput => {
      const { qparams, size } = ports[read + 1]!;
      const buffer = owned[read + 1]!;
      if (lastReader[read + 1] === i) used.push(buffer);
      if (same(qparams, program.inputs[k]!.qparams)) {
        return { buffer, converted: buffer, given: qparams };
      }
      const converted = buffers.take(size, axis);
      used.push(converted);
      return { buffer, converted, given: qparams };
    });
    const buffer = buffers.take(program.output.size, axisOf[i + 1]!);
    owned.push(buffer);
    for (const each of used) buffers.free(each);
    return { name, program, inputs, buffer, axis };
  });
  const last = nodes.length - 1;
  const { vocabulary } = rest;
  return {
    ...rest,
    input,
    given: vocabulary === 0
      ? input.qparams
      : { dtype: "qint32", scale: 1, zeroPoint: 0, quantMin: 0, quantMax: vocabulary - 1 },
    oneReader: nodes.map(({ from }) => from.includes(-1)).lastIndexOf(true) === 0,
    nodes: planned,
    outputs: outputs.map(({ name, node }) => ({
      ...ports[node + 1]!,
      name,
      label: outputs.length > 1 ? `output.${name}` : "output",
      time: axisOf[node + 1]! > 0,
      axis: axisOf[node + 1]!,
      buffer: owned[node + 1]!,
    })),
    oneGiver: outputs.length === 1 && outputs[0]!.node === last && axisOf[last + 1]! > 0 &&
      ports[last + 1]!.qparams !== null,
    names: outputs.map(({ name }) => name),
    axes,
    buffers: buffers.sizes,
    widest: Math.max(...buffers.sizes.flat()),
  };
}
