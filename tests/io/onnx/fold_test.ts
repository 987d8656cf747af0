import { assert, assertEquals, assertThrows } from "@std/assert";
import { Generator, type Linear, LSTM, tensor } from "@splitgate/splitgate";
import { importOnnx } from "@splitgate/splitgate/import/onnx";
import { bytes8, floats, type GraphInit, ints, node, onnxFile } from "./graphs.ts";

const RUNS = 60;

/** An array of any rank, as tests compute with it. */
interface Values {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

const product = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);

/** All indices of a shape, the last axis fastest. */
function indicesOf(shape: readonly number[]): number[][] {
  const [size, ...rest] = shape;
  if (size === undefined) return [[]];
  const inner = indicesOf(rest);
  return Array.from({ length: size }, (_, i) => inner.map((each) => [i, ...each])).flat();
}

/** An array of a shape, by a function of its indices. */
function made(shape: readonly number[], value: (index: readonly number[]) => number): Values {
  return { shape, data: indicesOf(shape).map(value) };
}

/** The element of an array at some indices. */
function at({ shape, data }: Values, index: readonly number[]): number {
  return data[index.reduce((sum, i, axis) => sum * shape[axis]! + i, 0)]!;
}

/** The last axis first: arrays of the same elements but other shapes differ. */
function reversed(values: Values): Values {
  return made([...values.shape].reverse(), (index) => at(values, [...index].reverse()));
}

/** Random arrays and sizes. */
class Draw {
  readonly #random: Generator;

  constructor(seed: number) {
    this.#random = new Generator(seed);
  }

  /** An integer from `low` to `high`. */
  whole(low: number, high: number): number {
    const one = new Float32Array(1);
    this.#random.uniform(one, 0, 1);
    return Math.min(high, low + Math.floor(one[0]! * (high - low + 1)));
  }

  shape(rank: number): number[] {
    return Array.from({ length: rank }, () => this.whole(1, 4));
  }

  /** Eighths, whose sums and products float32 has exactly. */
  values(shape: readonly number[]): Values {
    return made(shape, () => this.whole(-64, 64) / 8);
  }

  /** An axis, counted from either end. */
  axis(axis: number, rank: number): number {
    return this.whole(0, 1) === 0 ? axis : axis - rank;
  }
}

const asFloats = (name: string, { shape, data }: Values) => floats(name, shape, data);

/** What nodes compute of constants, `w`, as the weight of a Linear: its last axis first. */
function folded(rest: Pick<GraphInit, "nodes" | "tensors">, expected: Values): number[] {
  const count = expected.data.length;
  const perm = expected.shape.map((_, axis) => expected.shape.length - 1 - axis);
  const moved = perm.length === 0 ? [] : [node("Transpose", ["w"], ["t"], { perm })];
  const { model } = importOnnx(onnxFile({
    inputs: { x: ["batch", count] },
    outputs: ["y"],
    nodes: [
      ...rest.nodes,
      ...moved,
      node("Reshape", [moved.length === 0 ? "w" : "t", "column"], ["m"]),
      node("MatMul", ["x", "m"], ["y"]),
    ],
    tensors: [...rest.tensors ?? [], ints("column", [count, 1])],
  }));
  const [linear] = model.children.values();
  return [...(linear as Linear).weight];
}

Deno.test("Gather of constants takes the rows that its indices name, on any axis", () => {
  const draw = new Draw(1);
  for (let run = 0; run < RUNS; run++) {
    const from = draw.values(draw.shape(draw.whole(1, 4)));
    const rank = from.shape.length;
    const axis = draw.whole(0, rank - 1);
    const size = from.shape[axis]!;
    const indices = made(draw.shape(draw.whole(0, 2)), () => draw.whole(-size, size - 1));
    const inner = axis + indices.shape.length;
    const expected = made(
      [...from.shape.slice(0, axis), ...indices.shape, ...from.shape.slice(axis + 1)],
      (index) => {
        const row = at(indices, index.slice(axis, inner));
        const own = row < 0 ? row + size : row;
        return at(from, [...index.slice(0, axis), own, ...index.slice(inner)]);
      },
    );
    const weight = folded({
      nodes: [node("Gather", ["from", "at"], ["w"], { axis: draw.axis(axis, rank) })],
      tensors: [asFloats("from", from), ints("at", indices.data, [...indices.shape])],
    }, expected);
    assertEquals(weight, [...reversed(expected).data]);
  }
});

Deno.test("Concat of constants puts them side by side on any axis", () => {
  const draw = new Draw(2);
  for (let run = 0; run < RUNS; run++) {
    const shape = draw.shape(draw.whole(1, 4));
    const rank = shape.length;
    const axis = draw.whole(0, rank - 1);
    const parts = Array.from(
      { length: draw.whole(1, 3) },
      () => draw.values(shape.with(axis, draw.whole(1, 4))),
    );
    const owners = parts.flatMap((part) =>
      Array.from({ length: part.shape[axis]! }, (_, i) => [part, i] as const)
    );
    const expected = made(shape.with(axis, owners.length), (index) => {
      const [part, i] = owners[index[axis]!]!;
      return at(part, index.with(axis, i));
    });
    const weight = folded({
      nodes: [
        node("Concat", parts.map((_, i) => `p${i}`), ["w"], { axis: draw.axis(axis, rank) }),
      ],
      tensors: parts.map((part, i) => asFloats(`p${i}`, part)),
    }, expected);
    assertEquals(weight, [...reversed(expected).data]);
  }
});

Deno.test("Concat of constants that differ on other axes too is refused", () => {
  for (const [a, b] of [[[2, 3], [2, 4]], [[2, 3], [2, 1]], [[2, 3], [2]]] as const) {
    const [first, second] = [a, b].map((shape) => made(shape, () => 1)) as [Values, Values];
    const tensors = [asFloats("a", first), asFloats("b", second)];
    const nodes = [node("Concat", ["a", "b"], ["w"], { axis: 0 })];
    assertThrows(
      () => folded({ nodes, tensors }, made([12], () => 1)),
      RangeError,
      "(Concat): expected shapes that differ on the axis alone",
    );
  }
});

Deno.test("Add, Sub, Mul and Div of constants compute each pair of elements, broadcast", () => {
  const operations: Record<string, (a: number, b: number) => number> = {
    Add: (a, b) => a + b,
    Sub: (a, b) => a - b,
    Mul: (a, b) => a * b,
    Div: (a, b) => a / b,
  };
  const draw = new Draw(3);
  for (let run = 0; run < RUNS; run++) {
    const shape = draw.shape(draw.whole(1, 3));
    const operand = (): Values => {
      const own = shape.map((size) => draw.whole(0, 2) === 0 ? 1 : size);
      return made(own, () => (2 * draw.whole(-32, 31) + 1) / 8); // no divisor of 0
    };
    const [a, b] = [operand(), operand()];
    // Axes of size 1 at the front may be left out.
    const front = b.shape.findIndex((size) => size > 1);
    const given = { ...b, shape: b.shape.slice(draw.whole(0, Math.max(front, 0))) };
    const whole = shape.map((_, axis) => Math.max(a.shape[axis]!, b.shape[axis]!));
    const within = ({ shape: own }: Values, index: readonly number[]) =>
      index.map((i, axis) => own[axis] === 1 ? 0 : i);
    for (const [op, compute] of Object.entries(operations)) {
      const expected = made(
        whole,
        (index) => Math.fround(compute(at(a, within(a, index)), at(b, within(b, index)))),
      );
      const weight = folded({
        nodes: [node(op, ["a", "b"], ["w"])],
        tensors: [asFloats("a", a), asFloats("b", given)],
      }, expected);
      assertEquals(weight, [...reversed(expected).data], op);
    }
  }
});

Deno.test("Squeeze and Unsqueeze of constants move no element", () => {
  const values = made([2, 3, 4], ([i, j, k]) => 100 * i! + 10 * j! + k!);
  for (const axis of [0, 1, 3, -1, -4]) {
    const weight = folded({
      nodes: [
        node("Unsqueeze", ["v", "axes"], ["u"]),
        node("Squeeze", ["u", "axes"], ["w"]),
      ],
      tensors: [asFloats("v", values), ints("axes", [axis])],
    }, values);
    assertEquals(weight, [...reversed(values).data]);
  }
});

/** Outputs of a Linear whose weight has as many columns as nodes compute of sizes, `n`. */
function columnsOf(nodes: GraphInit["nodes"], numbers: Readonly<Record<string, number>>): number {
  const { model } = importOnnx(onnxFile({
    inputs: { x: ["batch", 6] },
    outputs: ["y"],
    nodes: [
      node("Shape", ["x"], ["sizes"]),
      node("Gather", ["sizes", "zero"], ["batch"]),
      node("Gather", ["sizes", "one"], ["width"]),
      ...nodes,
      node("Concat", ["width", "n"], ["shape"], { axis: 0 }),
      node("ConstantOfShape", ["shape"], ["w"]),
      node("MatMul", ["x", "w"], ["y"]),
    ],
    tensors: Object.entries({ zero: 0, one: 1, ...numbers }).map(([name, n]) => ints(name, [n])),
  }));
  const [linear] = model.children.values();
  return (linear as Linear).outFeatures;
}

Deno.test("arithmetic of sizes has the result of each operator, also where they are not known", () => {
  const two = { two: 2 };
  const known: Record<string, number> = { Add: 8, Sub: 4, Mul: 12, Div: 3 };
  for (const [op, expected] of Object.entries(known)) {
    assertEquals(columnsOf([node(op, ["width", "two"], ["n"])], two), expected, op);
  }
  const ratio = [
    node("Mul", ["batch", "width"], ["a"]),
    node("Add", ["a", "batch"], ["b"]),
    node("Div", ["b", "batch"], ["n"]),
  ];
  assertEquals(columnsOf(ratio, two), 7);
  const none = [
    node("Sub", ["batch", "batch"], ["a"]),
    node("Add", ["a", "two"], ["n"]),
  ];
  assertEquals(columnsOf(none, two), 2);
  for (const op of ["Add", "Sub"]) {
    for (const inputs of [["batch", "two"], ["two", "batch"]]) {
      assertThrows(
        () => columnsOf([node(op, inputs, ["n"])], two),
        RangeError,
        `(${op}): expected arithmetic of sizes that gives one product`,
      );
    }
  }
});

Deno.test("a constant of a negative size is refused by its node's name", () => {
  const file = onnxFile({
    inputs: { x: ["batch", 3] },
    outputs: ["y"],
    nodes: [node("ConstantOfShape", ["s"], ["c"]), node("MatMul", ["x", "c"], ["y"])],
    tensors: [ints("s", [3, -1])],
  });
  assertThrows(
    () => importOnnx(file),
    RangeError,
    'node "y/MatMul" (MatMul): expected constants of at most 4000000 elements',
  );
});

Deno.test("an axis is one of -rank to rank - 1", () => {
  const build = (axis: number) =>
    importOnnx(onnxFile({
      inputs: { x: ["batch", 3] },
      outputs: ["y"],
      nodes: [
        node("MatMul", ["x", "w"], ["a"]),
        node("Softmax", ["a"], ["y"], { axis }),
      ],
      tensors: [floats("w", [3, 2], [1, 2, 3, 4, 5, 6])],
    })).model.children.size;
  for (const axis of [1, -1]) assertEquals(build(axis), 2);
  for (const axis of [2, -3]) {
    const message = `(Softmax).axis: expected an axis of 2, got ${axis}`;
    assertThrows(() => build(axis), RangeError, message);
  }
});

Deno.test("features that one node reads are not some of those that another reads", () => {
  const file = onnxFile({
    inputs: { x: ["batch", 5, 3] },
    outputs: ["y", "z"],
    nodes: [
      node("MatMul", ["x", "w"], ["y"]),
      node("Reshape", ["x", "shape"], ["r"]),
      node("MatMul", ["r", "v"], ["z"]),
    ],
    tensors: [
      floats("w", [3, 1], [1, 2, 3]),
      floats("v", [15, 1], new Float32Array(15)),
      ints("shape", [0, 15]),
    ],
  });
  assertThrows(
    () => importOnnx(file),
    RangeError,
    'node "z/MatMul" (MatMul): expected an axis of all features, in the order',
  );
});

Deno.test("steps in one axis with features stand before or behind all of them", () => {
  const [steps, batch, input, units] = [4, 2, 3, 6];
  const lstm = new LSTM({ inputSize: input, hiddenSize: units, seed: 1 });
  const gates = 4 * units;
  const zeros = (name: string, shape: number[]) =>
    floats(name, shape, new Float32Array(product(shape)));
  const build = (perm: readonly number[]) =>
    importOnnx(onnxFile({
      inputs: { x: [steps, "batch", input] },
      outputs: ["y"],
      nodes: [
        node("LSTM", ["x", "W", "R"], ["a"], { hidden_size: units }),
        node("Squeeze", ["a", "one"], ["s"]),
        node("Reshape", ["s", "split"], ["f"]),
        node("Transpose", ["f"], ["t"], { perm }),
        node("Reshape", ["t", "rows"], ["y"]),
      ],
      tensors: [
        floats("W", [1, gates, input], lstm.cells[0]![0]!.weightIh),
        zeros("R", [1, gates, units]),
        ints("one", [1]),
        ints("split", [steps, 0, 2, 3]),
        ints("rows", [0, -1]),
      ],
    })).model;
  const x = tensor(new Float32Array(steps * batch * input).fill(0.5), [steps, batch, input]);
  for (const perm of [[1, 0, 2, 3], [1, 2, 3, 0]]) {
    assertEquals(build(perm).forward(x).shape, [batch, steps * units]);
  }
  assertThrows(
    () => build([1, 2, 0, 3]),
    RangeError,
    "expected a known number of steps before or behind all features",
  );
});

Deno.test("axes of the input that no node tells apart are told apart by their names", () => {
  const cases: [names: [string, string], axes: string][] = [
    [["batch", "time"], "batch, time"],
    [["time", "batch"], "time, batch"],
    [["seq_len", "n"], "time, batch"],
    [["n", "seq_len"], "batch, time"],
    [["T", "B"], "time, batch"],
    [["B", "T"], "batch, time"],
    [["time_b", "rows"], "time, batch"],
    [["b_time", "rows"], "time, batch"],
    [["steps_n", "rows"], "time, batch"],
    [["n_steps", "rows"], "time, batch"],
    [["batch_time", "steps"], "batch, time"],
    [["rows", "columns"], "batch, time"],
  ];
  for (const [names, axes] of cases) {
    const { notes } = importOnnx(onnxFile({
      inputs: { x: [...names, 3] },
      outputs: ["y"],
      nodes: [node("MatMul", ["x", "w"], ["y"])],
      tensors: [floats("w", [3, 2], [1, 2, 3, 4, 5, 6])],
    }));
    const note = notes.find((each) => each.startsWith('input "x"'));
    assertEquals(note, `input "x": [${axes}, features]`, names.join());
  }
});

Deno.test("a note tells the scale and the zero point at which the file rounds a value", () => {
  const build = (zeroPoint: readonly number[]) =>
    importOnnx(onnxFile({
      inputs: { x: ["batch", 3] },
      outputs: ["y"],
      nodes: [
        node("QuantizeLinear", ["x", "s", ...zeroPoint.map(() => "z")], ["q"]),
        node("DequantizeLinear", ["q", "s", ...zeroPoint.map(() => "z")], ["d"]),
        node("MatMul", ["d", "w"], ["y"]),
      ],
      tensors: [
        floats("s", [], [0.25]),
        floats("w", [3, 2], [1, 2, 3, 4, 5, 6]),
        ...zeroPoint.map((z) => ({
          name: "z",
          dataType: 2,
          dims: [],
          rawData: Uint8Array.of(z),
        })),
      ],
    })).notes;
  for (const zeroPoint of [[7], [0], []]) {
    const text = `uint8 in the file, scale 0.25, zero point ${zeroPoint[0] ?? 0}: `;
    assert(build(zeroPoint).some((note) => note.includes(text)), text);
  }
});

Deno.test("DequantizeLinear of a constant takes the scale and zero point of each index of its axis", () => {
  const shape = [2, 3, 4];
  const draw = new Draw(4);
  const values = made(shape, () => draw.whole(-128, 127));
  for (const axis of [0, 1, 2, -1, -3]) {
    const own = axis < 0 ? axis + shape.length : axis;
    const size = shape[own]!;
    const scales = Array.from({ length: size }, (_, i) => (i + 1) / 8);
    const zeros = Array.from({ length: size }, (_, i) => 3 * i - 2);
    const expected = made(
      shape,
      (index) => (at(values, index) - zeros[index[own]!]!) * scales[index[own]!]!,
    );
    const weight = folded({
      nodes: [node("DequantizeLinear", ["v", "s", "z"], ["w"], { axis })],
      tensors: [
        bytes8("v", shape, Int8Array.from(values.data)),
        floats("s", [size], scales),
        bytes8("z", [size], Int8Array.from(zeros)),
      ],
    }, expected);
    assertEquals(weight, [...reversed(expected).data]);
  }
});

Deno.test("a constant is added to the model's input by a module of its own", () => {
  const { model } = importOnnx(onnxFile({
    inputs: { x: ["batch", 3] },
    outputs: ["y"],
    nodes: [node("Add", ["x", "b"], ["a"]), node("MatMul", ["a", "w"], ["y"])],
    tensors: [floats("b", [3], [1, 2, 4]), floats("w", [3, 1], [1, 1, 1])],
  }));
  assertEquals([...model.forward(tensor(Float32Array.of(8, 16, 32), [1, 3])).data], [63]);
});

/** A file of an LSTM, of its final hidden state, and of nodes that read it, `h`. */
function hiddenFile(
  nodes: GraphInit["nodes"],
  { directions = 1, tensors = [], inputs = {}, initial = "" }: {
    readonly directions?: number;
    readonly tensors?: NonNullable<GraphInit["tensors"]>;
    readonly inputs?: GraphInit["inputs"];
    readonly initial?: string;
  },
): Uint8Array {
  const [input, units] = [3, 2];
  const lstm = new LSTM({ inputSize: input, hiddenSize: units, seed: 1 });
  const { weightIh, weightHh } = lstm.cells[0]![0]!;
  const twice = (data: Float32Array) => Array.from({ length: directions }, () => [...data]).flat();
  return onnxFile({
    inputs: { x: ["steps", "batch", input], ...inputs },
    outputs: ["y"],
    nodes: [
      node("LSTM", ["x", "W", "R", "", "", initial], ["a", "h"], {
        hidden_size: units,
        direction: directions === 2 ? "bidirectional" : "forward",
      }),
      ...nodes,
    ],
    tensors: [
      floats("W", [directions, 4 * units, input], twice(weightIh)),
      floats("R", [directions, 4 * units, units], twice(weightHh)),
      ints("zero", [0]),
      ints("one", [1]),
      ints("two", [2]),
      ...tensors,
    ],
  });
}

const kindsOf = (file: Uint8Array) =>
  [...importOnnx(file).model.children.values()].map(({ kind }) => kind);

Deno.test("final states are a value however their axis of layers is taken off", () => {
  const weight = { tensors: [floats("w", [2, 1], [1, 2]), ints("row", [0], [])] };
  const taken = [
    [node("Gather", ["h", "row"], ["t"], { axis: 0 })],
    [node("Squeeze", ["h", "zero"], ["t"])],
    [node("Slice", ["h", "zero", "one", "zero"], ["s"]), node("Squeeze", ["s", "zero"], ["t"])],
  ];
  for (const nodes of taken) {
    const file = hiddenFile([...nodes, node("MatMul", ["t", "w"], ["y"])], weight);
    assertEquals(kindsOf(file), ["LSTM", "FinalHidden", "Linear"]);
  }
  const none = [node("Slice", ["h", "one", "one", "zero"], ["s"]), node("Relu", ["s"], ["y"])];
  assertThrows(
    () => importOnnx(hiddenFile(none, {})),
    RangeError,
    "(Slice): expected a state",
  );
});

Deno.test("both directions' final states may be taken one by one and joined with their axis", () => {
  const file = hiddenFile([
    node("Slice", ["h", "zero", "one", "zero"], ["f"]),
    node("Slice", ["h", "one", "two", "zero"], ["b"]),
    node("Concat", ["f", "b"], ["c"], { axis: -1 }),
    node("Squeeze", ["c", "zero"], ["t"]),
    node("MatMul", ["t", "w"], ["y"]),
  ], { directions: 2, tensors: [floats("w", [4, 1], [1, 2, 3, 4])] });
  assertEquals(kindsOf(file), ["LSTM", "FinalHidden", "Linear"]);
});

Deno.test("an initial state's width may be a name, and is checked where it is a number", () => {
  const build = (width: number | string) =>
    importOnnx(hiddenFile([node("Squeeze", ["a", "one"], ["y"])], {
      inputs: { h0: [1, "batch", width] },
      initial: "h0",
    })).states.map(({ slot, input }) => [slot, input]);
  for (const width of [2, "hidden"]) assertEquals(build(width), [["h", "h0"]]);
  assertThrows(() => build(3), RangeError, ".inputs[5]: expected");
});
