/**
 * The context in which operators are imported: what is known about their inputs, their attributes,
 * and errors that name the node.
 *
 * @module
 */
import { isFloat32Array, typedArrayKind } from "../../../kernels/numeric/typed_array.ts";
import { failRange } from "../../core/errors.ts";
import type { OnnxModel, OnnxNode, OnnxTensor } from "./reader.ts";
import { numberOf, type Size, sizeOf } from "./sizes.ts";
import {
  type Atom,
  atom,
  type Constant,
  dimSize,
  type Flow,
  type OnnxValue,
  type Part,
  type Role,
  sameAtoms,
  withRole,
} from "./values.ts";

/** Elements that constant folding may create, in addition to those in the file. */
const MAX_FOLDED = 4_000_000;

/** Largest number of elements of a vector of sizes. */
const MAX_SIZES = 64;

/** State shared by all nodes of a graph during import. */
export class GraphContext {
  /** The file. */
  readonly model: OnnxModel;
  /** The model's input; the meaning of its axes is learned from the nodes. */
  readonly input: Flow;
  /** Number of readers of a tensor, outputs included. */
  readonly readers: ReadonlyMap<string, number>;
  /** Notes about the model. */
  readonly notes = new Set<string>();
  readonly #selecting = new Map<Part, Part>();
  #budget: number;

  constructor(model: OnnxModel, input: Flow, readers: ReadonlyMap<string, number>) {
    this.model = model;
    this.input = input;
    this.readers = readers;
    this.#budget = MAX_FOLDED;
  }

  /** Version of ONNX's own operators. */
  get opset(): number {
    return this.model.opsets.get("") ?? 1;
  }

  /**
   * A value with all features of its part; if it is the second half of them, a Linear selects it.
   */
  selected(flow: Flow): Flow {
    if (!flow.backward) return flow;
    const { backward: _, ...rest } = flow;
    const { part } = flow;
    const size = numberOf(dimSize(flow.features!))!;
    let selecting = this.#selecting.get(part!);
    if (selecting === undefined) {
      const weight = new Float32Array(2 * size * size);
      for (let i = 0; i < size; i++) weight[i * 2 * size + size + i] = 1;
      const linear = { inFeatures: 2 * size, outFeatures: size, weight, bias: null };
      selecting = { name: `${part!.name}_backward`, reads: [part], linear };
      this.#selecting.set(part!, selecting);
    }
    return { ...rest, part: selecting };
  }

  /** Counts elements against the limit on constant folding. */
  spend(name: string, elements: number): void {
    this.#budget -= elements;
    if (!(Number.isSafeInteger(elements) && elements >= 0 && this.#budget >= 0)) {
      failRange(name, `constants of at most ${MAX_FOLDED} elements`, "more");
    }
  }

  /** The atoms of a value's features, in the part's order. */
  features(flow: Flow): readonly Atom[] {
    return flow.features ?? withRole(this.input.dims.flat(), "features");
  }

  /** A tensor of the file as a constant. */
  constantOf(tensor: OnnxTensor, name: string | null): Constant {
    const { data, shape, dtype } = tensor;
    if (typedArrayKind(data) === "Float64Array") {
      const rounded = Float32Array.from(data as Float64Array);
      if (rounded.some((value, i) => value !== data[i])) {
        this.notes.add(`${tensor.name} is ${dtype} in the file: it was rounded to float32`);
      }
      return { kind: "constant", shape, data: rounded, name };
    }
    const wide = /^Big|^Uint32/.test(typedArrayKind(data)!);
    const numbers = wide ? Float64Array.from(data as BigInt64Array, Number) : data;
    return { kind: "constant", shape, data: numbers as Constant["data"], name };
  }
}

/** Makes a constant of numbers. */
export function constant(
  data: Constant["data"],
  shape: readonly number[],
  name: string | null = null,
): Constant {
  return { kind: "constant", shape, data, name };
}

/** Whether a constant holds integers. */
export function isInteger({ data }: Constant): boolean {
  return !isFloat32Array(data);
}

/** Description of a value in messages. */
function describe(value: OnnxValue | undefined): string {
  switch (value?.kind) {
    case undefined:
      return "none";
    case "flow":
      return value.mark === undefined ? "a value of the model" : {
        quantized: "integers of QuantizeLinear",
        dynamic: "integers of DynamicQuantizeLinear",
        unscaled: "a product of integers",
        table: "rows of integers",
        state: "a state",
      }[value.mark.kind];
    case "states":
    case "initial":
      return "states";
    case "fill":
    case "constant":
      return "a constant";
    default:
      return value!.kind;
  }
}

/** A node during import. */
export class NodeContext {
  /** The graph. */
  readonly graph: GraphContext;
  /** The node. */
  readonly node: OnnxNode;
  /** What is known about its inputs; undefined for omitted ones. */
  readonly inputs: readonly (OnnxValue | undefined)[];
  /** Its name in messages. */
  readonly label: string;

  constructor(graph: GraphContext, node: OnnxNode, inputs: readonly (OnnxValue | undefined)[]) {
    this.graph = graph;
    this.node = node;
    this.inputs = inputs;
    this.label = labelOf(node);
  }

  /** Throws an error about the node. */
  fail(expected: string, got: unknown, of = ""): never {
    return failRange(this.label + of, expected, got);
  }

  /** An attribute that is a number. */
  number(name: string, byDefault: number): number {
    const value = this.node.attributes.get(name) ?? byDefault;
    return typeof value === "number" ? value : this.fail("a number", value, `.${name}`);
  }

  /** An attribute that is a string. */
  text(name: string, byDefault: string): string {
    const value = this.node.attributes.get(name) ?? byDefault;
    return typeof value === "string" ? value : this.fail("a string", value, `.${name}`);
  }

  /** An attribute that is a list; undefined if omitted. */
  list<T extends number | string>(name: string, type: "number" | "string"): T[] | undefined {
    const value = this.node.attributes.get(name);
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || value.some((each) => typeof each !== type)) {
      this.fail(`a list of ${type}s`, value, `.${name}`);
    }
    return value as T[];
  }

  /** An attribute that is a tensor, as a constant. */
  tensor(name: string): Constant | undefined {
    const value = this.node.attributes.get(name);
    if (value === undefined) return undefined;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      return this.fail("a tensor", value, `.${name}`);
    }
    return this.graph.constantOf(value as OnnxTensor, null);
  }

  /** A required input. */
  given(i: number): OnnxValue {
    return this.inputs[i] ?? this.fail(`${i + 1} inputs or more`, this.node.inputs.length);
  }

  /** An input that is a module's output, or the second half of one. */
  flowOrHalf(i: number): Flow {
    const value = this.given(i);
    if (value.kind !== "flow" || value.mark !== undefined) {
      this.fail("a value that the model computes", describe(value), `.inputs[${i}]`);
    }
    return value as Flow;
  }

  /** An input that is a module's whole output. */
  flow(i: number): Flow {
    return this.graph.selected(this.flowOrHalf(i));
  }

  /** Whether an input is a constant, or can be converted to one. */
  isConstant(i: number): boolean {
    const value = this.inputs[i];
    return value?.kind === "constant" || value?.kind === "fill" && numbersOf(value.shape) !== null;
  }

  /** An input that is a constant. */
  constant(i: number): Constant {
    const value = this.given(i);
    if (value.kind === "constant") return value;
    const shape = value.kind === "fill" ? numbersOf(value.shape) : null;
    if (value.kind !== "fill" || shape === null) {
      return this.fail("a constant", describe(value), `.inputs[${i}]`);
    }
    const count = product(shape);
    this.graph.spend(this.label, count);
    return constant(new Float32Array(count).fill(value.value), shape);
  }

  /** An input that is a vector of sizes or integers; undefined if omitted. */
  sizes(i: number): Size[] | undefined {
    const value = this.inputs[i];
    if (value === undefined) return undefined;
    const sizes = asSizes(value);
    return sizes === undefined
      ? this.fail("a vector of sizes", describe(value), `.inputs[${i}]`)
      : [...sizes];
  }

  /** Integers from an input or, in older versions of the operator, an attribute. */
  integers(i: number, attribute: string): number[] | undefined {
    const sizes = this.sizes(i);
    if (sizes === undefined) return this.list(attribute, "number");
    return sizes.map((size) =>
      numberOf(size) ?? this.fail("a constant", "a size that is not known", `.inputs[${i}]`)
    );
  }

  /** An axis out of `rank`; negative ones count from the end. */
  axis(axis: number, rank: number): number {
    const at = axis < 0 ? axis + rank : axis;
    return Number.isInteger(at) && at >= 0 && at < rank
      ? at
      : this.fail(`an axis of ${rank}`, axis, ".axis");
  }

  /** Whether this node is an input's only reader. */
  readsAlone(i: number): boolean {
    return this.graph.readers.get(this.node.inputs[i]!) === 1;
  }

  /**
   * The atom of an axis whose meaning follows from this node; an axis of size 1 without an atom
   * gets one.
   */
  claim(dim: readonly Atom[], role: Role): Atom {
    if (dim.length === 0) return atom(sizeOf(1), role);
    const [only] = dim;
    if (dim.length > 1) this.fail(`one axis of ${role}`, "several in one");
    only!.role ??= role;
    if (only!.role !== role) {
      this.fail(`an axis of ${role} there (\`cut\` leaves out what comes before)`, only!.role);
    }
    return only!;
  }

  /** Requires an axis that holds all features in order, and returns their number. */
  width(flow: Flow, dim: readonly Atom[]): number {
    if (flow.features === null && this.graph.features(flow).length === 0) {
      for (const each of dim) each.role ??= "features";
    }
    const features = this.graph.features(flow);
    const size = numberOf(dimSize(features));
    if (!sameAtoms(dim, features)) {
      this.fail("an axis of all features, in the order in which they are given", "another");
    }
    return size ?? this.fail("a known number of features", "one that is known when it runs");
  }

  /** A value whose last axis holds its features, and their number. */
  featuresLast(flow: Flow): [flow: Flow, width: number] {
    const last = flow.dims[flow.dims.length - 1];
    if (last === undefined) return this.fail("a value with axes", "a single number");
    return [flow, this.width(flow, last)];
  }

  /** Adds a module that reads some values. */
  part(flows: readonly Flow[], rest: Omit<Part, "name" | "reads">, name = this.#name()): Part {
    return { name, reads: flows.map(({ part }) => part), ...rest };
  }

  /**
   * The module's name in the exported network, if the file shows it: a weight's name without its
   * last part, or the node's name without the operator.
   */
  #name(): string {
    const { node } = this;
    for (const input of node.inputs) {
      const [, owner] = /^(.+)\.(weight|bias)\w*$/.exec(input) ?? [];
      if (owner !== undefined && !owner.includes("/")) return owner;
    }
    const path = node.name.split("/").filter((each) => each !== "");
    if (path.length > 1) return path.slice(0, -1).join("_");
    return node.op.replace(/^DynamicQuantize|^Dynamic/, "").toLowerCase();
  }
}

/** Name of a node in messages. */
export function labelOf({ name, op, domain, outputs }: OnnxNode): string {
  const full = domain === "" ? op : `${domain}.${op}`;
  return `node ${JSON.stringify(name || outputs[0] || "")} (${full})`;
}

/** The product of numbers. */
export function product(numbers: readonly number[]): number {
  return numbers.reduce((product, n) => product * n, 1);
}

/** Sizes as numbers; null if one is symbolic. */
export function numbersOf(sizes: readonly Size[]): number[] | null {
  const numbers = sizes.map(numberOf);
  return numbers.includes(undefined) ? null : numbers as number[];
}

/** A value as sizes; undefined if it is none. */
export function asSizes(value: OnnxValue): readonly Size[] | undefined {
  if (value.kind === "sizes") return value.sizes;
  if (value.kind === "fill" && value.shape.length < 2) {
    const [count = 1] = numbersOf(value.shape) ?? [Infinity];
    if (count <= MAX_SIZES) return Array<Size>(count).fill(sizeOf(value.value));
  }
  if (value.kind !== "constant" || value.shape.length > 1 || value.data.length > MAX_SIZES) {
    return undefined;
  }
  return Array.from(value.data, sizeOf);
}
