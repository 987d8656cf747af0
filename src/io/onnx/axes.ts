/**
 * Operators that only move axes. For values of the model nothing is computed, since axes are
 * identified by their meaning, not their position.
 *
 * @module
 */
import { Flatten } from "../../modules/flatten/float.ts";
import type { NodeContext } from "./context.ts";
import {
  foldCast,
  foldExpand,
  foldReshape,
  type Range,
  reshapedTo,
  sizesValue,
  sliceOf,
  slices,
  transposed,
} from "./fold.ts";
import { numberOf, ONE, over, showSize, type Size, sizeOf } from "./sizes.ts";
import {
  type Atom,
  dimSize,
  type Flow,
  type InitialState,
  isOne,
  type OnnxValue,
  type Role,
  type StatePiece,
  type States,
  withRole,
} from "./values.ts";

/** The axes that a node names, sorted and without duplicates. */
export function axesOf(node: NodeContext, axes: readonly number[], rank: number): number[] {
  return [...new Set(axes.map((axis) => node.axis(axis, rank)))].sort((a, b) => a - b);
}

/** Shape. */
export function shapeOp(node: NodeContext): OnnxValue {
  const from = node.given(0);
  let sizes: readonly Size[];
  if (from.kind === "flow") sizes = from.dims.map(dimSize);
  else if (from.kind === "constant") sizes = from.shape.map(sizeOf);
  else if (from.kind === "fill") sizes = from.shape;
  else return node.fail("a value that the model computes, or a constant", from.kind, ".inputs[0]");
  const start = node.number("start", 0);
  const end = node.number("end", sizes.length);
  return sizesValue(sizes.slice(start, end));
}

/** ConstantOfShape. */
export function constantOfShape(node: NodeContext): OnnxValue {
  const shape = node.sizes(0) ?? node.fail("a shape", "none");
  return { kind: "fill", shape, value: node.tensor("value")?.data[0] ?? 0 };
}

/** Constant. */
export function constantOp(node: NodeContext): OnnxValue {
  const { attributes } = node.node;
  for (const name of ["value_int", "value_float", "value_ints", "value_floats"]) {
    const value = attributes.get(name);
    if (value === undefined) continue;
    const list = (Array.isArray(value) ? value : [value]) as number[];
    const data = name.startsWith("value_int") ? Float64Array.from(list) : Float32Array.from(list);
    return { kind: "constant", shape: Array.isArray(value) ? [list.length] : [], data, name: null };
  }
  return node.tensor("value") ?? node.fail("a value of numbers", [...attributes.keys()]);
}

/** Transpose. */
export function transpose(node: NodeContext): OnnxValue {
  const from = node.given(0);
  const rank = from.kind === "flow"
    ? from.dims.length
    : from.kind === "constant" || from.kind === "fill"
    ? from.shape.length
    : node.fail("a value that the model computes, or a constant", from.kind, ".inputs[0]");
  const given = node.list<number>("perm", "number") ??
    Array.from({ length: rank }, (_, i) => rank - 1 - i);
  const perm = given.map((axis) => node.axis(axis, rank));
  if (perm.length !== rank || new Set(perm).size !== rank) {
    node.fail(`each axis of ${rank} once`, given, ".perm");
  }
  if (from.kind === "constant") return transposed(node, from, perm);
  if (from.kind === "fill") return { ...from, shape: perm.map((axis) => from.shape[axis]!) };
  return { ...from as Flow, dims: perm.map((axis) => (from as Flow).dims[axis]!) };
}

/** Squeeze. */
export function squeeze(node: NodeContext): OnnxValue {
  const from = node.given(0);
  const axes = node.integers(1, "axes");
  if (from.kind === "initial" || from.kind === "states") return from;
  if (from.kind === "sizes") return sizesValue(from.sizes, from.sizes.length === 1);
  if (from.kind === "constant" || from.kind === "fill") {
    const shape = from.shape.map((n) => typeof n === "number" ? sizeOf(n) : n);
    const dropped = axes === undefined ? null : axesOf(node, axes, shape.length);
    return foldReshape(
      node,
      from,
      shape.filter((size, i) => dropped === null ? !isOne(size) : !dropped.includes(i)),
    );
  }
  if (from.kind !== "flow") return node.fail("a value that the model computes", from.kind);
  const dropped = axes === undefined ? null : axesOf(node, axes, from.dims.length);
  for (const axis of dropped ?? []) {
    const size = dimSize(from.dims[axis]!);
    if (!isOne(size)) node.fail(`axis ${axis} of size 1`, showSize(size));
  }
  const dims = from.dims.filter((dim, i) =>
    dropped === null ? !isOne(dimSize(dim)) : !dropped.includes(i)
  );
  return { ...from, dims };
}

/** Unsqueeze. */
export function unsqueeze(node: NodeContext): OnnxValue {
  const from = node.given(0);
  const axes = node.integers(1, "axes") ?? node.fail("axes", "none");
  if (from.kind === "initial" || from.kind === "states") return from;
  if (from.kind === "sizes") return sizesValue(from.sizes);
  const insert = <T>(dims: readonly T[], one: T): T[] => {
    const out = [...dims];
    for (const axis of axesOf(node, axes, dims.length + axes.length)) out.splice(axis, 0, one);
    return out;
  };
  if (from.kind === "constant" || from.kind === "fill") {
    const shape = from.shape.map((n) => typeof n === "number" ? sizeOf(n) : n);
    return foldReshape(node, from, insert(shape, ONE));
  }
  if (from.kind !== "flow") return node.fail("a value that the model computes", from.kind);
  return { ...from, dims: insert<readonly Atom[]>(from.dims, []) };
}

/**
 * The atoms of an axis of a given size: as many of the following ones as multiply to it. An atom of
 * features is split if it is larger.
 */
function takeAtoms(
  node: NodeContext,
  queue: Atom[],
  size: Size,
  split: (from: Atom, into: [Atom, Atom]) => void,
): Atom[] {
  const taken: Atom[] = [];
  let open = size;
  while (!isOne(open)) {
    const [next] = queue;
    const rest = next && over(open, next.size);
    if (rest !== undefined) {
      taken.push(queue.shift()!);
      open = rest;
      continue;
    }
    const inner = next && over(next.size, open);
    if (inner === undefined || next!.role !== "features") {
      node.fail("a shape that joins whole axes, or splits features", showSize(size), ".shape");
    }
    const parts: [Atom, Atom] = [
      { size: open, role: "features" },
      { size: inner!, role: "features" },
    ];
    split(next!, parts);
    queue.splice(0, 1, ...parts);
  }
  return taken;
}

/** Reshapes a value's axes. */
function reshapeFlow(node: NodeContext, from: Flow, to: readonly Size[]): Flow {
  const sizes = reshapedTo(node, from.dims.map(dimSize), to);
  const queue = from.dims.flat().filter(({ size }) => !isOne(size));
  let { features } = from;
  const dims = sizes.map((size) =>
    takeAtoms(node, queue, size, (atom, parts) => {
      const known: readonly Atom[] = features ?? node.graph.features(from);
      features = known.flatMap((each) => each === atom ? parts : [each]);
    })
  );
  if (queue.length > 0) node.fail("a shape of as many elements", "one of fewer", ".shape");
  return flattened(node, { ...from, dims, features });
}

/** A value with time and all features in one axis: all steps in one row. */
function flattened(node: NodeContext, value: Flow): Flow {
  const has = (dim: readonly Atom[], role: Role) => dim.some((each) => each.role === role);
  const axis = value.dims.findIndex((dim) => has(dim, "time") && has(dim, "features"));
  if (axis < 0) return value;
  const from = node.graph.selected(value);
  const dim = from.dims[axis]!;
  const [steps, ...others] = withRole(dim, "time");
  const count = numberOf(steps!.size);
  const width = node.width(from, withRole(dim, "features"));
  const stepsFirst = dim[0] === steps;
  const atEnd = stepsFirst || dim[dim.length - 1] === steps;
  if (count === undefined || others.length > 0 || !atEnd) {
    return node.fail("a known number of steps before or behind all features", "others", ".shape");
  }
  const features = [{ size: sizeOf(count * width), role: "features" as const }];
  const part = node.part([from], {
    make: (batchFirst) => new Flatten({ steps: count, stepsFirst, batchFirst }),
  });
  return {
    kind: "flow",
    part,
    features,
    dims: from.dims.map((each, i) => i === axis ? features : each),
  };
}

/** Final states whose axis of layers and directions is split in two, or joined again. */
function reshapeStates(
  node: NodeContext,
  { perLayer: _, ...from }: States,
  to: readonly Size[],
): States {
  const first = from.flows[0]!;
  const layered = to.length > first.dims.length;
  const size = layered ? numberOf(to[1]!) : from.pieces.length;
  const given = numberOf(to[0]!);
  const count = from.pieces.length / (layered ? size! : 1);
  if (size === undefined || given !== undefined && given > 0 && given !== count) {
    node.fail(`a shape of ${from.pieces.length} states`, to.map(showSize), ".shape");
  }
  return layered ? { ...from, perLayer: size! } : from;
}

/** Reshape. */
export function reshape(node: NodeContext): OnnxValue {
  const from = node.given(0);
  const to = node.sizes(1) ?? node.list<number>("shape", "number")?.map(sizeOf) ??
    node.fail("a shape", "none");
  if (from.kind === "initial") return from;
  if (from.kind === "states") return reshapeStates(node, from, to);
  if (from.kind === "sizes") {
    const shape = reshapedTo(node, [sizeOf(from.sizes.length)], to);
    return shape.length < 2
      ? sizesValue(from.sizes, shape.length === 0)
      : node.fail("a vector of sizes, or one", shape.length, ".shape");
  }
  if (from.kind === "constant" || from.kind === "fill") {
    const own = from.shape.map((n) => typeof n === "number" ? sizeOf(n) : n);
    return foldReshape(node, from, reshapedTo(node, own, to));
  }
  if (from.kind !== "flow") return node.fail("a value that the model computes", from.kind);
  return reshapeFlow(node, from, to);
}

/** Flatten of values in which only one of the flattened axes has more than one element. */
export function flatten(node: NodeContext): OnnxValue {
  const from = node.given(0);
  if (from.kind !== "flow") return node.fail("a value that the model computes", from.kind);
  const axis = node.number("axis", 1);
  const { dims } = from;
  const at = axis < 0 ? axis + dims.length : axis;
  const [outer, inner] = [dims.slice(0, at), dims.slice(at)].map((each) => dimSize(each.flat()));
  return reshapeFlow(node, from, [outer!, inner!]);
}

/** The elements of a list at some indices. */
function pick<T>(node: NodeContext, list: readonly T[], indices: readonly number[]): T[] {
  return indices.map((i) => list[node.axis(i, list.length)]!);
}

/** Selects final states of some layers and directions; `keep` says whether their axis stays. */
function pickStates(
  node: NodeContext,
  pieces: readonly StatePiece[],
  indices: readonly number[],
  { flows, keep }: { readonly flows: readonly Flow[]; readonly keep: boolean },
): OnnxValue {
  const picked = pick(node, pieces, indices);
  const [first] = picked;
  const whole = flows.find(({ pieces: own }) =>
    own!.length === picked.length && own!.every((each, i) => each === picked[i])
  );
  if (whole !== undefined) return keep ? whole : { ...whole, dims: whole.dims.slice(1) };
  if (first === undefined) return node.fail("a state", "none");
  const from = flows.find(({ pieces: own }) => own!.includes(first))!;
  if (picked.length > 1) return { kind: "states", pieces: picked, flows };
  const dims = keep ? [[], ...from.dims.slice(1)] : from.dims.slice(1);
  return { ...from, dims, pieces: picked, mark: { kind: "state" } };
}

/** The indices of a range. */
function indicesOf({ start, step, count }: Omit<Range, "axis">): number[] {
  return Array.from({ length: count }, (_, i) => start + i * step);
}

/** A value whose first axis is one of layers and directions. */
type Stateful = InitialState | States | Flow & { readonly pieces: readonly StatePiece[] };

/** Some rows of states. */
export function selectStates(
  node: NodeContext,
  from: Stateful,
  indices: readonly number[],
  keep: boolean,
): OnnxValue {
  if (from.kind === "initial") return { ...from, rows: pick(node, from.rows, indices) };
  const flows = from.kind === "states" ? from.flows : [from];
  return pickStates(node, from.pieces, indices, { flows, keep });
}

/** A value as states, if one of its axes is that of layers and directions. */
export function asStates(value: OnnxValue, axis: number): Stateful | undefined {
  if (value.kind === "initial" || value.kind === "states") return axis === 0 ? value : undefined;
  if (value.kind !== "flow" || value.pieces === undefined) return undefined;
  // The first atom of a state's features is that of its directions.
  const direction = value.features![0]!;
  const [only, ...others] = value.dims[axis] ?? [];
  const isAxis = others.length === 0 &&
    (only === direction || only === undefined && axis === 0 && isOne(direction.size));
  return isAxis ? value as Stateful : undefined;
}

/** The rows of states that Slice takes; undefined where its input is none. */
export function sliceStates(node: NodeContext): OnnxValue | undefined {
  const from = node.given(0);
  const rank = from.kind === "flow" ? from.dims.length : 3;
  if (from.kind !== "initial" && from.kind !== "states" && from.kind !== "flow") return undefined;
  const wanted = slices(node, rank);
  const [only] = wanted;
  const states = wanted.length === 1 ? asStates(from, only!.axis) : undefined;
  if (states === undefined || states.kind === "states" && states.perLayer !== undefined) {
    return from.kind === "flow" ? undefined : node.fail("one range of the first axis", "another");
  }
  const [start, end, step] = only!.bounds;
  const first = numberOf(start) ?? node.fail("a known start", "a size", ".starts");
  const count = states.kind === "initial" ? states.rows.length : states.pieces.length;
  const range = sliceOf(node, count, [first, end, step]);
  return selectStates(node, states, indicesOf(range), true);
}

/** The rows of states that Gather takes; undefined where its input is none. */
export function gatherStates(node: NodeContext): OnnxValue | undefined {
  const from = node.given(0);
  if (!node.isConstant(1)) return undefined;
  const rank = from.kind === "flow" ? from.dims.length : 3;
  const states = asStates(from, node.axis(node.number("axis", 0), rank));
  if (states === undefined) return undefined;
  const { data, shape } = node.constant(1);
  if (states.kind === "states" && states.perLayer !== undefined) {
    const { perLayer, pieces, flows } = states;
    if (shape.length > 0) node.fail("one layer of states", [...data], ".inputs[1]");
    const layer = node.axis(data[0]!, pieces.length / perLayer);
    const indices = indicesOf({ start: layer * perLayer, step: 1, count: perLayer });
    return pickStates(node, pieces, indices, { flows, keep: true });
  }
  return selectStates(node, states, [...data], shape.length > 0);
}

/** Concat of final states, of layers or of both directions; undefined where an input is none. */
export function concatStates(node: NodeContext): OnnxValue | undefined {
  const flows = node.inputs.flatMap((each) =>
    each?.kind === "states" ? each.flows : each?.kind === "flow" && each.pieces ? [each] : []
  );
  if (flows.length < node.inputs.length) return undefined;
  const [first] = flows;
  const axis = node.number("axis", 0);
  if (node.inputs.every((each) => asStates(each!, axis) !== undefined)) {
    const pieces = node.inputs.flatMap((each) => (each as States | Flow).pieces!);
    return { kind: "states", pieces, flows };
  }
  // The forward and the backward state side by side: all directions of one module.
  const { part, features } = first!;
  const pieces = flows.flatMap((each) => each.pieces!);
  const last = first!.dims.length - 1;
  const sideBySide = node.axis(axis, last + 1) === last && flows.length === 2 &&
    pieces.length === 2 && pieces.every((each, i) => each.slot === "h" && each.direction === i) &&
    flows.every((each) => each.part === part);
  if (!sideBySide) return undefined;
  return { kind: "flow", part, features, dims: [...first!.dims.slice(0, last), [...features!]] };
}

/** Cast, and other operators that modules need not see. */
export function identity(node: NodeContext): OnnxValue {
  const from = node.given(0);
  return node.node.op === "Cast" && from.kind === "constant" ? foldCast(node, from) : from;
}

/** Expand of constants. */
export function expand(node: NodeContext): OnnxValue {
  return foldExpand(node) ?? node.fail("a constant", node.given(0).kind, ".inputs[0]");
}
