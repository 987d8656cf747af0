/**
 * Building the reference graph of a quantized model's modules.
 *
 * @module
 */
import type { LinearWeight } from "../../kernels/ops/linear.ts";
import { failRange } from "../core/errors.ts";
import {
  CELL_STATE,
  type CellExecutor,
  GATES,
  lstmParts,
  type Part,
  runCell,
} from "../cells/lstm_parts.ts";
import { type PerTensorQParams, sameQParams } from "../core/qparams.ts";
import { hiddenQParams, type QuantizedLstmCell } from "../modules/lstm/cell.ts";
import type { LstmModule, ModuleData } from "../authoring/modules.ts";
import type { GraphNode } from "./graph.ts";

/** A node while the graph is built: what a state reads is known late. */
type Draft = { -readonly [K in keyof GraphNode]: GraphNode[K] };

/** What tells where a node belongs. */
type Place = Pick<GraphNode, "module" | "cell" | "part" | "gate">;

/** A value: the node that gives it in float32, and the one that gives its integers if it is quantized. */
interface Value {
  readonly float: string;
  readonly integers: string | null;
  /** Of the integers that it was dequantized from, cut up or not. */
  readonly qparams: PerTensorQParams | null;
  readonly width: number;
}

class Builder {
  readonly nodes: Draft[] = [];

  /** Adds a node, at the end or behind another one. */
  add(node: GraphNode, after?: string): string {
    if (after === undefined) this.nodes.push({ ...node });
    else this.nodes.splice(this.nodes.findIndex(({ name }) => name === after) + 1, 0, { ...node });
    return node.name;
  }

  dequantize(from: Value, place: Place, name: string, after?: string): Value {
    const { integers, width, qparams } = from;
    if (integers === null) return from;
    const node: GraphNode = {
      name: `${name}.dequantize`,
      op: "dequantize",
      inputs: [integers],
      dtype: "float32",
      width,
      ...place,
    };
    return { float: this.add(node, after), integers, width, qparams };
  }

  /** A q-dq pair on a float32 value. */
  pair(
    float: string,
    width: number,
    to: PerTensorQParams,
    place: Place,
    name: string = float,
    after?: string,
  ): Value {
    const node: GraphNode = {
      name: `${name}.quantize`,
      op: "quantize",
      inputs: [float],
      width,
      ...place,
      ...to,
    };
    const integers = this.add(node, after);
    const value = { float, integers, width, qparams: to };
    return this.dequantize(value, place, name, after === undefined ? undefined : integers);
  }

  /** An operation, and the pair on its output where that is quantized. */
  operation(node: Omit<GraphNode, "dtype">, place: Place, to: PerTensorQParams | null): Value {
    const name = this.add({
      ...node,
      ...place,
      dtype: "float32",
      ...(to === null ? { float: true } : {}),
    });
    return to === null
      ? { float: name, integers: null, width: node.width, qparams: null }
      : this.pair(name, node.width, to, place);
  }

  /** A value in the parameters that a module takes it in: requantized where they are not its own. */
  convert(value: Value, to: PerTensorQParams | null, place: Place, name: string): Value {
    if (to === null || (value.qparams !== null && sameQParams(value.qparams, to))) return value;
    return this.pair(value.float, value.width, to, place, name);
  }

  /** The nodes, but for dequantizes that nobody reads. */
  finish(): readonly GraphNode[] {
    const read = new Set(this.nodes.flatMap(({ inputs }) => inputs));
    return this.nodes.filter(({ name, op }) => op !== "dequantize" || read.has(name));
  }
}

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

class CellBuilder implements CellExecutor<Value> {
  readonly #builder: Builder;
  readonly #cell: QuantizedLstmCell;
  readonly #name: string;
  readonly #place: Place;
  /** Behind which node the next pair on a value goes, so that pairs stand where their value is made. */
  readonly #last: Map<string, string> = new Map();

  constructor(builder: Builder, cell: QuantizedLstmCell, name: string, place: Place) {
    this.#builder = builder;
    this.#cell = cell;
    this.#name = name;
    this.#place = place;
  }

  read(part: Part, gate: number, index: number, value: Value): Value {
    const to = this.#cell.parts.inputs?.[part.name]?.[index] ?? null;
    if (to === null || (value.qparams !== null && sameQParams(value.qparams, to))) return value;
    const builder = this.#builder;
    const place = { ...this.#place, part: part.name, ...(gate < 0 ? {} : { gate }) };
    const name = `${this.#name}.${part.name}${gate < 0 ? "" : `.${GATES[gate]}`}.inputs[${index}]`;
    const read = builder.pair(
      value.float,
      value.width,
      to,
      place,
      name,
      this.#last.get(value.float) ?? value.float,
    );
    this.#last.set(value.float, read.float);
    return read;
  }

  apply(part: Part, gate: number, inputs: readonly Value[]): Value {
    const { parts, weightIh, weightHh, weightHr, biasIh, biasHh } = this.#cell;
    const given = parts[part.name] as
      | PerTensorQParams
      | null
      | readonly (PerTensorQParams | null)[];
    const to = Array.isArray(given) ? given[Math.max(gate, 0)] : given as PerTensorQParams | null;
    const place = { ...this.#place, part: part.name, ...(gate < 0 ? {} : { gate }) };
    const name = `${this.#name}.${part.name}${gate < 0 ? "" : `.${GATES[gate]}`}`;
    const names = inputs.map(({ float }) => float);
    if (part.op !== "linear") {
      return this.#builder.operation(
        { name, op: part.op, inputs: names, width: inputs[0]!.width, ...place },
        place,
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
      { name, op: "linear", inputs: names, width, weight, bias, ...place },
      place,
      to,
    );
  }

  chunk(value: Value, gate: number): Value {
    const name = `${this.#name}.chunk.${GATES[gate]}`;
    const width = value.width / 4;
    const node = {
      name,
      op: "chunk",
      inputs: [value.float],
      dtype: "float32",
      width,
      gate,
    } as const;
    const float = this.#builder.add({ ...node, ...this.#place, gate });
    return { float, integers: null, width, qparams: value.qparams };
  }
}

/** Adds one cell and gives its hidden state, as the whole sequence of it. */
function addCell(
  builder: Builder,
  lstm: LstmModule,
  x: Value,
  cell: QuantizedLstmCell,
  place: Place,
): Value {
  const name = `${place.module}.${place.cell}`;
  const state = (key: "h" | "c", width: number, q: PerTensorQParams | null): [Draft, Value] => {
    const node: Draft = {
      name: `${name}.${key}`,
      op: "state",
      inputs: [],
      dtype: "float32",
      width,
      ...place,
      ...q,
    };
    builder.nodes.push(node);
    return [node, { float: node.name, integers: q === null ? null : node.name, width, qparams: q }];
  };
  const hidden = hiddenQParams(cell);
  const hiddenWidth = cell.weightHh.inFeatures;
  const [h, hGiven] = state("h", hiddenWidth, hidden);
  const [c, cGiven] = state("c", lstm.hiddenSize, cell.parts[CELL_STATE]);
  const xRead = builder.dequantize(x, place, `${name}.x`);
  const hRead = builder.dequantize(hGiven, place, h.name);
  const cRead = builder.dequantize(cGiven, place, c.name);
  const split = lstm.splitGates;
  const parts = lstmParts(cell.parts.proj !== undefined);
  const next = runCell(
    new CellBuilder(builder, cell, name, place),
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

function addLstm(builder: Builder, module: string, lstm: LstmModule, x: Value): Value {
  let value = x;
  lstm.cells.forEach((layer, l) => {
    const [forward, ...backward] = layer.map((cell, d) =>
      addCell(builder, lstm, value, cell, { module, cell: `l${l}${d === 1 ? "_reverse" : ""}` })
    );
    value = forward!;
    const place = { module };
    if (backward.length > 0) {
      // torch.cat of quantized tensors keeps the first one's parameters.
      const both = [forward, ...backward];
      const read = both.map((each) =>
        builder.dequantize(each!, place, `${each!.integers}.y`).float
      );
      const width = both.reduce((sum, each) => sum + each!.width, 0);
      const name = `${module}.l${l}.concat`;
      value = builder.operation(
        { name, op: "concat", inputs: read, width, ...place },
        place,
        hiddenQParams(layer[0]!),
      );
    } else {
      value = builder.dequantize(forward!, place, `${forward!.integers}.y`);
    }
  });
  return value;
}

/** The reference graph's nodes for modules one after the other. */
export function buildGraph(modules: ReadonlyMap<string, ModuleData>): readonly GraphNode[] {
  const builder = new Builder();
  const [first] = modules.values();
  const tokens = first!.kind === "Embedding";
  const size = first!.kind === "Embedding"
    ? 1
    : first!.kind === "Linear"
    ? first!.weight.inFeatures
    : first!.inputSize;
  const input = builder.add({
    name: "input",
    op: "input",
    inputs: [],
    dtype: tokens ? "int32" : "float32",
    width: size,
    module: null,
  });
  let value: Value = { float: input, integers: null, width: size, qparams: null };
  for (const [module, each] of modules) {
    const place = { module };
    if (each.kind === "Embedding") {
      const width = each.embeddingDim;
      const node = {
        name: module,
        op: "embedding",
        inputs: [value.float],
        width,
        embedding: each,
        ...place,
      } as const;
      value = builder.operation(node, place, null);
      continue;
    }
    if (each.dynamic) {
      failRange(
        `modules.${module}`,
        "no dynamic module: its integers differ from call to call",
        "one",
      );
    }
    value = builder.convert(value, each.input, place, `${module}.input`);
    if (each.kind === "Linear") {
      const { weight, bias, output } = each;
      const width = weight.outFeatures;
      const node = {
        name: module,
        op: "linear",
        inputs: [value.float],
        width,
        weight,
        bias,
        ...place,
      } as const;
      value = builder.operation(node, place, output);
    } else {
      value = addLstm(builder, module, each, value);
    }
  }
  builder.add({
    name: "output",
    op: "output",
    inputs: [value.float],
    dtype: "float32",
    width: value.width,
    module: null,
  });
  return builder.finish();
}
