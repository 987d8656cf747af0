/**
 * Operators on constants and sizes: everything a graph computes without its input, and shape
 * arithmetic. Sizes that are only known at run time stay symbolic.
 *
 * @module
 */
import { asSizes, constant, isInteger, type NodeContext, product } from "./context.ts";
import { numberOf, ONE, over, plus, same, type Size, sizeOf, times } from "./sizes.ts";
import type { Constant, Fill, OnnxValue, Sizes } from "./values.ts";

/** Sizes as a value. */
export function sizesValue(sizes: readonly Size[], scalar = false): Sizes {
  return { kind: "sizes", sizes, scalar };
}

/** A new array of another's type. */
function arrayLike({ data }: Constant, length: number): Constant["data"] {
  return new (data.constructor as Float32ArrayConstructor)(length);
}

/** Strides of a shape. */
function stridesOf(shape: readonly number[]): number[] {
  return shape.map((_, i) => product(shape.slice(i + 1)));
}

/** A strided view of a constant. */
interface View {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset?: number;
}

/** Copies the elements of a view. */
function view(node: NodeContext, from: Constant, { shape, strides, offset = 0 }: View): Constant {
  const count = product(shape);
  node.graph.spend(node.label, count);
  const data = arrayLike(from, count);
  const index = shape.map(() => 0);
  let at = offset;
  for (let i = 0; i < count; i++) {
    data[i] = from.data[at]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      at -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return constant(data, shape);
}

/** Permutes a constant's axes. */
export function transposed(node: NodeContext, from: Constant, perm: readonly number[]): Constant {
  const strides = stridesOf(from.shape);
  return view(node, from, {
    shape: perm.map((axis) => from.shape[axis]!),
    strides: perm.map((axis) => strides[axis]!),
  });
}

/** The shape that several shapes broadcast to. */
function broadcastShape(node: NodeContext, shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map(({ length }) => length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1);
    const size = sizes.find((each) => each !== 1) ?? 1;
    return sizes.every((each) => each === 1 || each === size)
      ? size
      : node.fail("shapes that broadcast", sizes);
  });
}

/** A constant broadcast to a shape. */
export function broadcast(node: NodeContext, from: Constant, shape: readonly number[]): Constant {
  const own = stridesOf(from.shape);
  const strides = shape.map((_, axis) => {
    const at = axis - shape.length + from.shape.length;
    return (from.shape[at] ?? 1) === 1 ? 0 : own[at]!;
  });
  return view(node, from, { shape, strides });
}

/** Range of indices on an axis. */
export interface Range {
  readonly axis: number;
  readonly start: number;
  readonly step: number;
  readonly count: number;
}

/** The range that Slice selects on an axis of a given size. */
export function sliceOf(
  node: NodeContext,
  size: number,
  [start, end, step]: readonly [number, number, number],
): Omit<Range, "axis"> {
  if (!Number.isInteger(step) || step === 0) node.fail("a step that is not 0", step, ".steps");
  const clamp = (value: number, low: number, high: number) =>
    Math.min(Math.max(value < 0 ? value + size : value, low), high);
  const [from, to] = step > 0
    ? [clamp(start, 0, size), clamp(end, 0, size)]
    : [clamp(start, 0, size - 1), clamp(end, -1, size - 1)];
  return { start: from, step, count: Math.max(0, Math.ceil((to - from) / step)) };
}

/** Slice of constants. */
function slice(node: NodeContext, from: Constant, ranges: readonly Range[]): Constant {
  const strides = stridesOf(from.shape);
  const shape = [...from.shape];
  let offset = 0;
  for (const { axis, start, step, count } of ranges) {
    shape[axis] = count;
    offset += start * strides[axis]!;
    strides[axis]! *= step;
  }
  return view(node, from, { shape, strides, offset });
}

/** Slice's arguments: start, end and step by axis. */
export function slices(
  node: NodeContext,
  rank: number,
): { axis: number; bounds: [Size, number, number] }[] {
  const { graph: { opset } } = node;
  const lists = opset < 10
    ? ["starts", "ends"].map((name) => node.list<number>(name, "number")?.map(sizeOf))
    : [node.sizes(1), node.sizes(2)];
  const [starts, ends] = lists;
  if (starts === undefined || ends === undefined || starts.length !== ends.length) {
    return node.fail("as many starts as ends", starts?.length);
  }
  const axes = opset < 10 ? node.list<number>("axes", "number") : node.integers(3, "");
  const steps = opset < 10 ? undefined : node.integers(4, "");
  return starts.map((start, i) => {
    const axis = node.axis(axes?.[i] ?? i, rank);
    const end = numberOf(ends[i]!) ?? Number.MAX_SAFE_INTEGER;
    return { axis, bounds: [start, end, steps?.[i] ?? 1] };
  });
}

/** Slice of constants and sizes. */
export function foldSlice(node: NodeContext): OnnxValue | undefined {
  const from = node.given(0);
  const number = (size: Size) => numberOf(size) ?? node.fail("a known bound", "a size", ".starts");
  if (from.kind === "sizes") {
    const [only] = slices(node, 1);
    if (only === undefined) return from;
    const [start, end, step] = only.bounds;
    const range = sliceOf(node, from.sizes.length, [number(start), end, step]);
    const { sizes } = from;
    return sizesValue(
      Array.from({ length: range.count }, (_, i) => sizes[range.start + i * range.step]!),
    );
  }
  if (from.kind !== "constant" && from.kind !== "fill") return undefined;
  const ranges = slices(node, from.shape.length).flatMap(({ axis, bounds: [start, end, step] }) => {
    const length = from.shape[axis]!;
    const size = typeof length === "number" ? length : numberOf(length);
    if (size !== undefined) {
      return [{ axis, ...sliceOf(node, size, [number(start), end, step]) }];
    }
    // The whole of an axis of unknown size.
    if (numberOf(start) === 0 && end >= 2 ** 31 - 1 && step === 1) return [];
    return node.fail("bounds of an axis whose size is known", "others");
  });
  if (from.kind === "constant") return slice(node, from, ranges);
  const shape = [...from.shape];
  for (const { axis, count } of ranges) shape[axis] = sizeOf(count);
  return { ...from, shape };
}

/** Gather of constants and sizes. */
export function foldGather(node: NodeContext): OnnxValue | undefined {
  const from = node.given(0);
  const indices = node.given(1);
  if (from.kind !== "sizes" && from.kind !== "constant" && from.kind !== "fill") return undefined;
  if (indices.kind === "flow") return undefined;
  const { data, shape: taken } = node.constant(1);
  if (from.kind === "sizes") {
    const sizes = Array.from(data, (i) => from.sizes[node.axis(i, from.sizes.length)]!);
    return sizesValue(sizes, taken.length === 0);
  }
  const axis = node.axis(node.number("axis", 0), from.shape.length);
  if (from.kind === "fill") {
    const shape = [...from.shape];
    shape.splice(axis, 1, ...taken.map(sizeOf));
    return { ...from, shape };
  }
  const [rows, inner] = [from.shape[axis]!, product(from.shape.slice(axis + 1))];
  const outer = product(from.shape.slice(0, axis));
  node.graph.spend(node.label, outer * data.length * inner);
  const out = arrayLike(from, outer * data.length * inner);
  let at = 0;
  for (let i = 0; i < outer; i++) {
    for (const index of data) {
      const row = (i * rows + node.axis(index, rows)) * inner;
      out.set(from.data.subarray(row, row + inner), at);
      at += inner;
    }
  }
  return constant(out, [...from.shape.slice(0, axis), ...taken, ...from.shape.slice(axis + 1)]);
}

/** Concat of constants and sizes; undefined where an input is neither. */
export function foldConcat(node: NodeContext): OnnxValue | undefined {
  const { inputs } = node;
  if (inputs.every((each) => each?.kind === "sizes" || each?.kind === "constant")) {
    if (inputs.some((each) => each!.kind === "sizes")) {
      return sizesValue(inputs.flatMap((_, i) => node.sizes(i)!));
    }
    const parts = inputs as Constant[];
    const [first] = parts;
    const axis = node.axis(node.number("axis", -1), first!.shape.length);
    const outer = product(first!.shape.slice(0, axis));
    const shape = [...first!.shape];
    shape[axis] = 0;
    for (const part of parts) {
      const others = part.shape.map((n, i) => i === axis ? 0 : n);
      if (others.join() !== first!.shape.map((n, i) => i === axis ? 0 : n).join()) {
        node.fail("shapes that differ on the axis alone", part.shape);
      }
      shape[axis]! += part.shape[axis]!;
    }
    const count = product(shape);
    node.graph.spend(node.label, count);
    const out = arrayLike(first!, count);
    let at = 0;
    for (let i = 0; i < outer; i++) {
      for (const { data } of parts) {
        const width = data.length / outer;
        out.set(data.subarray(i * width, (i + 1) * width), at);
        at += width;
      }
    }
    return constant(out, shape);
  }
  const fills = inputs as Fill[];
  if (fills.every((each) => each?.kind === "fill" && each.value === fills[0]!.value)) {
    const shape = [...fills[0]!.shape];
    const axis = node.axis(node.number("axis", -1), shape.length);
    const sum = fills.slice(1).reduce<Size | undefined>(
      (sum, each) => sum && each.shape[axis] && plus(sum, each.shape[axis]!),
      shape[axis],
    );
    shape[axis] = sum ?? node.fail("sizes that can be added", "others");
    return { ...fills[0]!, shape };
  }
  return undefined;
}

/** The result shape of Reshape, for a number of elements. */
export function reshapedTo(
  node: NodeContext,
  from: readonly Size[],
  to: readonly Size[],
): Size[] {
  const keepsZero = node.number("allowzero", 0) !== 0;
  const shape = to.map((size, i) =>
    size.factor === 0 && !keepsZero
      ? from[i] ?? node.fail("a 0 that stands for a size", "one too many", ".shape")
      : size
  );
  const open = shape.findIndex((size) => numberOf(size) === -1);
  if (open >= 0) {
    const others = shape.filter((_, i) => i !== open);
    shape[open] = over(times(...from), times(...others)) ??
      node.fail("a shape of as many elements", "another", ".shape");
  }
  return shape;
}

/** Reshape, Squeeze and Unsqueeze of constants and fills to a shape. */
export function foldReshape(
  node: NodeContext,
  from: Constant | Fill,
  to: readonly Size[],
): OnnxValue {
  if (from.kind === "fill") return { ...from, shape: to };
  const shape = to.map((size) => numberOf(size) ?? node.fail("a known shape", "another"));
  if (product(shape) !== from.data.length) {
    node.fail(`a shape of ${from.data.length} elements`, shape, ".shape");
  }
  return constant(from.data, shape, from.name);
}

const ARITHMETIC: Readonly<Record<string, (a: number, b: number) => number>> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Div: (a, b) => a / b,
};

/** Add, Sub, Mul and Div of constants and sizes; undefined where an input is neither. */
export function foldArithmetic(node: NodeContext): OnnxValue | undefined {
  const { op } = node.node;
  const [a, b] = [node.given(0), node.given(1)];
  if (a.kind === "sizes" || b.kind === "sizes") {
    const [x, y] = [asSizes(a), asSizes(b)];
    if (x === undefined || y === undefined) return undefined;
    const length = Math.max(x.length, y.length);
    const sizes = Array.from({ length }, (_, i) => {
      const [m, n] = [x, y].map((each) => each[each.length === 1 ? 0 : i] ?? ONE) as [Size, Size];
      const result = op === "Mul"
        ? times(m, n)
        : op === "Div"
        ? over(m, n)
        : plus(m, n, op === "Sub" ? -1 : 1);
      return result ?? node.fail("arithmetic of sizes that gives one product", "another");
    });
    const scalar = [a, b].every((each) =>
      each.kind === "sizes" ? each.scalar : (each as Constant).shape.length === 0
    );
    return sizesValue(sizes, scalar);
  }
  if (!node.isConstant(0) || !node.isConstant(1)) return undefined;
  const [m, n] = [node.constant(0), node.constant(1)];
  const shape = broadcastShape(node, [m.shape, n.shape]);
  const [x, y] = [m, n].map((each) => broadcast(node, each, shape)) as [Constant, Constant];
  const whole = op === "Div" && isInteger(m);
  const compute = ARITHMETIC[op]!;
  const data = arrayLike(isInteger(m) ? n : m, x.data.length);
  for (let i = 0; i < data.length; i++) {
    const value = compute(x.data[i]!, y.data[i]!);
    data[i] = whole ? Math.trunc(value) : value;
  }
  return constant(data, shape);
}

/** Cast of constants. */
export function foldCast(node: NodeContext, from: Constant): Constant {
  const to = node.number("to", 1);
  const float = [1, 10, 11, 16].includes(to);
  if (float !== isInteger(from)) return from;
  node.graph.spend(node.label, from.data.length);
  return float
    ? constant(Float32Array.from(from.data), from.shape)
    : constant(Float64Array.from(from.data, Math.trunc), from.shape);
}

/** Expand of constants and fills. */
export function foldExpand(node: NodeContext): OnnxValue | undefined {
  const from = node.given(0);
  if (from.kind !== "constant" && from.kind !== "fill") return undefined;
  const to = node.sizes(1) ?? node.fail("a shape", "none");
  const own = from.shape.map((n) => typeof n === "number" ? sizeOf(n) : n);
  const rank = Math.max(own.length, to.length);
  const shape = Array.from({ length: rank }, (_, axis) => {
    const [x, y] = [own, to].map((each) => each[axis - rank + each.length] ?? ONE) as [Size, Size];
    return same(y, ONE) ? x : y;
  });
  const { data } = from.kind === "constant" ? from : { data: [from.value] };
  if (data.length > 0 && (data as Float32Array).every((value) => value === data[0])) {
    return { kind: "fill", shape, value: data[0]! };
  }
  const numbers = shape.map((size) =>
    numberOf(size) ?? node.fail("a shape that is known, or one number in all elements", "another")
  );
  return broadcast(node, from as Constant, numbers);
}
