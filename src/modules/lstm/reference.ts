/**
 * An LSTM's part of the reference graph.
 *
 * @module
 */
import type { LinearWeight } from "../../../kernels/ops/linear.ts";
import {
  CELL_STATE,
  type CellExecutor,
  GATES,
  lstmParts,
  type Part,
  runCell,
} from "../../cells/lstm_parts.ts";
import { type PerTensorQParams, sameQParams } from "../../core/qparams.ts";
import type { DraftNode, NodeOwner, ReferenceBuilder, ReferenceValue } from "../reference.ts";
import { hiddenQParams, type QuantizedLSTMCell } from "./cell.ts";
import type { LSTMModule } from "./data.ts";

/** The rows of one gate of a weight, with their scales. */
function gateRows(weight: LinearWeight, gate: number): LinearWeight {
  const { data, inFeatures, outFeatures, scales, zeroPoints } = weight;
  const rows = outFeatures / 4;
  const channels = scales.length / 4;
  const [from, to] = channels < 1 ? [0, 1] : [gate * channels, (gate + 1) * channels];
  return {
    ...weight,
    data: data.subarray(gate * rows * inFeatures, (gate + 1) * rows * inFeatures),
    outFeatures: rows,
    scales: scales.subarray(from, to),
    zeroPoints: zeroPoints.subarray(from, to),
  };
}

class CellBuilder implements CellExecutor<ReferenceValue> {
  readonly #builder: ReferenceBuilder;
  readonly #cell: QuantizedLSTMCell;
  readonly #name: string;
  readonly #owner: NodeOwner;
  /**
   * Behind which node the next pair on a value goes, so that pairs stand where their value is made.
   */
  readonly #last: Map<string, string> = new Map();

  constructor(builder: ReferenceBuilder, cell: QuantizedLSTMCell, name: string, owner: NodeOwner) {
    this.#builder = builder;
    this.#cell = cell;
    this.#name = name;
    this.#owner = owner;
  }

  read(part: Part, gate: number, index: number, value: ReferenceValue): ReferenceValue {
    const to = this.#cell.parts.inputs?.[part.name]?.[index] ?? null;
    if (to === null || (value.qparams !== null && sameQParams(value.qparams, to))) return value;
    const builder = this.#builder;
    const owner = { ...this.#owner, part: part.name, ...(gate < 0 ? {} : { gate }) };
    const name = `${this.#name}.${part.name}${gate < 0 ? "" : `.${GATES[gate]}`}.inputs[${index}]`;
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
    const { parts, weightIh, weightHh, weightHr, biasIh, biasHh } = this.#cell;
    const given = parts[part.name] as
      | PerTensorQParams
      | null
      | readonly (PerTensorQParams | null)[];
    const to = Array.isArray(given) ? given[Math.max(gate, 0)] : given as PerTensorQParams | null;
    const owner = { ...this.#owner, part: part.name, ...(gate < 0 ? {} : { gate }) };
    const name = `${this.#name}.${part.name}${gate < 0 ? "" : `.${GATES[gate]}`}`;
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
    const [whole, wholeBias] = part.name === "igates"
      ? [weightIh, biasIh]
      : part.name === "hgates"
      ? [weightHh, biasHh]
      : [weightHr!, null];
    const weight = gate < 0 ? whole : gateRows(whole, gate);
    const width = weight.outFeatures;
    const bias = wholeBias === null || gate < 0
      ? wholeBias
      : wholeBias.subarray(gate * width, (gate + 1) * width);
    return this.#builder.operation(
      { name, op: "linear", inputs: names, width, weight, bias, ...owner },
      owner,
      to,
    );
  }

  chunk(value: ReferenceValue, gate: number): ReferenceValue {
    const name = `${this.#name}.chunk.${GATES[gate]}`;
    const width = value.width / 4;
    const node = {
      name,
      op: "chunk",
      inputs: [value.float],
      dtype: "float32",
      width,
      gate,
      constants: { chunks: 4 },
    } as const;
    const float = this.#builder.add({ ...node, ...this.#owner, gate });
    return { float, integers: null, width, qparams: value.qparams };
  }
}

/** Adds one cell and gives its hidden state, as the whole sequence of it. */
function addCell(
  builder: ReferenceBuilder,
  lstm: LSTMModule,
  x: ReferenceValue,
  cell: QuantizedLSTMCell,
  owner: NodeOwner,
): ReferenceValue {
  const name = `${owner.module}.${owner.cell}`;
  const state = (
    key: "h" | "c",
    width: number,
    q: PerTensorQParams | null,
    given: PerTensorQParams | null,
  ): [DraftNode, ReferenceValue] => {
    const node: DraftNode = {
      name: `${name}.${key}`,
      op: "state",
      inputs: [],
      dtype: "float32",
      width,
      ...owner,
      ...q,
      ...given && { constants: { stateInput: given } },
    };
    builder.nodes.push(node);
    return [node, { float: node.name, integers: q === null ? null : node.name, width, qparams: q }];
  };
  const hidden = hiddenQParams(cell);
  const hiddenWidth = cell.weightHh.inFeatures;
  const [h, hGiven] = state("h", hiddenWidth, hidden, lstm.stateInput?.[0] ?? null);
  const [c, cGiven] = state(
    "c",
    lstm.hiddenSize,
    cell.parts[CELL_STATE],
    lstm.stateInput?.[1] ?? null,
  );
  const xRead = builder.dequantize(x, owner, `${name}.x`);
  const hRead = builder.dequantize(hGiven, owner, h.name);
  const cRead = builder.dequantize(cGiven, owner, c.name);
  const split = lstm.splitGates;
  const parts = lstmParts(cell.parts.proj !== undefined, lstm);
  const next = runCell(
    new CellBuilder(builder, cell, name, owner),
    parts,
    split,
    xRead,
    hRead,
    cRead,
  );
  h.inputs = [next.h.integers ?? next.h.float];
  c.inputs = [next.c.integers ?? next.c.float];
  return next.h;
}

/** Adds an LSTM and gives its output. */
export function referenceLSTM(
  lstm: LSTMModule,
  module: string,
  x: ReferenceValue,
  builder: ReferenceBuilder,
): ReferenceValue {
  let value = x;
  lstm.cells.forEach((layer, l) => {
    const [forward, ...backward] = layer.map((cell, d) =>
      addCell(builder, lstm, value, cell, { module, cell: `l${l}${d === 1 ? "_reverse" : ""}` })
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
        hiddenQParams(layer[0]!),
      );
    } else {
      value = builder.dequantize(forward!, owner, `${forward!.integers}.y`);
    }
  });
  return value;
}
