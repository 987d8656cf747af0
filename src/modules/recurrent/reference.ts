/**
 * A recurrent module's part of the reference graph.
 *
 * @module
 */
import {
  type Cell,
  type CellExecutor,
  gateSuffix,
  ofPart,
  type Part,
  runCell,
  spanOf,
} from "../../cells/cell.ts";
import { sameQParams } from "../../core/qparams.ts";
import type { DraftNode, NodeOwner, ReferenceBuilder, ReferenceValue } from "../reference.ts";
import { partWeight, type QuantizedCell, stateQParams } from "./cell.ts";
import { cellName, type RecurrentModule, stateSizes } from "./data.ts";

class CellBuilder implements CellExecutor<ReferenceValue> {
  readonly #builder: ReferenceBuilder;
  readonly #cell: Cell;
  readonly #own: QuantizedCell;
  readonly #name: string;
  readonly #owner: NodeOwner;
  /**
   * The node after which the next q-dq pair on a value goes, so that pairs follow their value's
   * producer.
   */
  readonly #last: Map<string, string> = new Map();

  constructor(
    builder: ReferenceBuilder,
    cell: Cell,
    own: QuantizedCell,
    name: string,
    owner: NodeOwner,
  ) {
    this.#builder = builder;
    this.#cell = cell;
    this.#own = own;
    this.#name = name;
    this.#owner = owner;
  }

  read(part: Part, gate: number, index: number, value: ReferenceValue): ReferenceValue {
    const to = this.#own.parts.inputs?.[part.name]?.[index] ?? null;
    if (to === null || (value.qparams !== null && sameQParams(value.qparams, to))) return value;
    const builder = this.#builder;
    const owner = { ...this.#owner, part: part.name, ...(gate < 0 ? {} : { gate }) };
    const name = `${this.#name}.${part.name}${gateSuffix(this.#cell, gate)}.inputs[${index}]`;
    const read = builder.pair(
      value,
      to,
      owner,
      name,
      this.#last.get(value.float) ?? value.float,
    );
    this.#last.set(value.float, read.float);
    return read;
  }

  apply(part: Part, gate: number, inputs: readonly ReferenceValue[]): ReferenceValue {
    const to = ofPart(this.#own.parts, part.name)[Math.max(gate, 0)]!;
    const owner = { ...this.#owner, part: part.name, ...(gate < 0 ? {} : { gate }) };
    const name = `${this.#name}.${part.name}${gateSuffix(this.#cell, gate)}`;
    const names = inputs.map(({ float }) => float);
    if (part.op !== "linear") {
      return this.#builder.operation(
        {
          name,
          op: part.op,
          inputs: names,
          width: inputs[0]!.width,
          ...part.activation && { constants: { activation: part.activation } },
          ...owner,
        },
        owner,
        to,
      );
    }
    const { weight, bias } = partWeight(this.#cell, this.#own, part, gate);
    const width = weight.outFeatures;
    return this.#builder.operation(
      { name, op: "linear", inputs: names, width, weight, bias, ...owner },
      owner,
      to,
    );
  }

  chunk(part: Part, gate: number, value: ReferenceValue): ReferenceValue {
    const name = `${this.#name}.${part.name}.chunk${gateSuffix(this.#cell, gate)}`;
    const [from, to] = spanOf(this.#cell, part);
    const chunks = to - from;
    const width = value.width / chunks;
    const node = {
      name,
      op: "chunk",
      inputs: [value.float],
      dtype: "float32",
      width,
      constants: { chunks, chunk: gate - from },
    } as const;
    const float = this.#builder.add({ ...node, ...this.#owner, gate });
    return { float, integers: null, width, qparams: value.qparams };
  }
}

/** Adds one cell and returns its hidden state of the whole sequence. */
function addCell(
  builder: ReferenceBuilder,
  module: RecurrentModule,
  x: ReferenceValue,
  own: QuantizedCell,
  owner: NodeOwner,
): ReferenceValue {
  const { cell } = module;
  const name = `${owner.module}.${owner.cell}`;
  const sizes = stateSizes(module);
  const nodes = cell.states.map(({ name: key }, i): DraftNode => {
    const given = module.stateInput?.[i] ?? null;
    return {
      name: `${name}.${key}`,
      op: "state",
      inputs: [],
      dtype: "float32",
      width: sizes[i]!,
      ...owner,
      ...stateQParams(cell, own, i),
      ...given && { constants: { stateInput: given } },
    };
  });
  builder.nodes.push(...nodes);
  const xRead = builder.dequantize(x, owner, `${name}.x`);
  const read = nodes.map(({ name: node, width }, i) => {
    const qparams = stateQParams(cell, own, i);
    const value = { float: node, integers: qparams === null ? null : node, width, qparams };
    return builder.dequantize(value, owner, node);
  });
  const executor = new CellBuilder(builder, cell, own, name, owner);
  const next = runCell(executor, cell, module.splitGates, xRead, read);
  nodes.forEach((node, i) => node.inputs = [next[i]!.integers ?? next[i]!.float]);
  return next[0]!;
}

/** Adds a recurrent module and returns its output. */
export function referenceRecurrent(
  recurrent: RecurrentModule,
  module: string,
  x: ReferenceValue,
  builder: ReferenceBuilder,
): ReferenceValue {
  let value = x;
  recurrent.cells.forEach((layer, l) => {
    const [forward, ...backward] = layer.map((cell, d) =>
      addCell(builder, recurrent, value, cell, { module, cell: cellName(l, d) })
    );
    value = forward!;
    const owner = { module };
    if (backward.length > 0) {
      // torch.cat of quantized tensors keeps the first one's parameters.
      const both = [forward, ...backward];
      const read = both.map((each) =>
        builder.dequantize(each!, owner, `${each!.integers}.y`).float
      );
      const width = both.reduce((sum, each) => sum + each!.width, 0);
      const name = `${module}.l${l}.concat`;
      value = builder.operation(
        {
          name,
          op: "concat",
          inputs: read,
          width,
          constants: { widths: both.map((each) => each!.width) },
          ...owner,
        },
        owner,
        stateQParams(recurrent.cell, layer[0]!),
      );
    } else {
      value = builder.dequantize(forward!, owner, `${forward!.integers}.y`);
    }
  });
  return value;
}
