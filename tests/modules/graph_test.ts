import {
  compileModel,
  convert,
  Dropout,
  Embedding,
  getPreset,
  Graph,
  type GraphChild,
  type GraphOptions,
  Identity,
  Linear,
  LinearReLU,
  loadModel,
  LSTM,
  type Module,
  prepare,
  ReLU,
  saveModel,
  Sequential,
  tensor,
  tokens,
} from "@splitgate/splitgate";
import { convertToReference, verifyGraph } from "@splitgate/splitgate/reference";
import { loadProgram } from "@splitgate/splitgate/runtime";
import { assert, assertEquals, assertThrows } from "@std/assert";

const x = tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]);
const linear = (inFeatures: number, outFeatures: number, seed = 1) =>
  new Linear({ inFeatures, outFeatures, seed });
const lstm = (inputSize: number, hiddenSize: number, seed = 2) =>
  new LSTM({ inputSize, hiddenSize, seed });

Deno.test("Graph.run() gives each output by its name, what its modules give one by one", () => {
  const [a, b, c] = [linear(2, 3), lstm(3, 4), linear(3, 2, 5)];
  const model = new Graph({
    c: { module: c, inputs: "a" },
    a: { module: a, inputs: ["input"] },
    b: { module: b, inputs: "a" },
  }, { outputs: ["b", "c", "a"] });
  const y = a.forward(x);
  const expected = new Map([["b", b.forward(y)[0]], ["c", c.forward(y)], ["a", y]]);
  assertEquals(model.run(x), expected);
  assertEquals([...model.run(x).keys()], ["b", "c", "a"]);
  assertEquals([...model.children.keys()], ["a", "b", "c"]);
  assertEquals([...model.stateDict().keys()].slice(0, 3), ["a.weight", "a.bias", "b.weight_ih_l0"]);
});

Deno.test("an output that is a model, or is rewritten, keeps its name in every form", () => {
  const model = new Graph({
    body: { module: new Sequential({ deep: new Sequential({ lstm: lstm(2, 3) }) }) },
    tag: { module: linear(3, 2), inputs: "body" },
  }, { outputs: ["tag", "body"] });
  const names = ["tag", "body"];
  assertEquals([...model.run(x).keys()], names);
  const observed = prepare(model, getPreset("fbgemm"));
  assertEquals([...observed.run(x).keys()], names);
  const quantized = convert(observed);
  assertEquals(quantized.outputs.map(({ name }) => name), names);
  assertEquals([...quantized.modules.keys()], ["body.deep.lstm", "tag"]);
  const reference = convertToReference(quantized);
  assertEquals([...reference.run(x).outputs.keys()], names);
  assertEquals(verifyGraph(reference.nodes), []);
  const arrays = { tag: new Float32Array(4), body: new Float32Array(6) };
  quantized.createSession().run(x.data, arrays);
  assert(arrays.body.some((value) => value !== 0));
});

Deno.test("outputs that are left out or become part of another module are given under their own names", () => {
  const model = new Graph({
    lin: { module: linear(2, 3), inputs: "input" },
    drop: { module: new Dropout(), inputs: "lin" },
    again: { module: new Identity(), inputs: "drop" },
    fused: { module: linear(3, 4), inputs: "drop" },
    relu: { module: new ReLU(), inputs: "fused" },
    // Read by an output too: no part of another module.
    whole: { module: linear(3, 2), inputs: "again" },
    cut: { module: new ReLU(), inputs: "whole" },
  }, { outputs: ["lin", "again", "drop", "relu", "whole", "cut"] });
  const expected = model.run(x);
  const observed = prepare(model, getPreset("fbgemm"));
  assertEquals([...observed.modules.keys()], ["lin", "fused", "whole", "cut"]);
  assertEquals(observed.run(x), expected);
  const quantized = convert(observed);
  const names = [...expected.keys()];
  const [first, ...others] = [
    quantized,
    loadModel(saveModel(quantized)),
    loadProgram(compileModel(quantized)),
  ].map((made) => {
    assertEquals(made.outputs.map(({ name }) => name), names);
    const arrays = Object.fromEntries(
      names.map((name) => [name, new Float32Array(expected.get(name)!.data.length)]),
    );
    made.createSession().run(x.data, arrays);
    return arrays;
  });
  for (const other of others) assertEquals(other, first);
  assertEquals(first!.drop, first!.lin);
  assertEquals(first!.again, first!.lin);
  assertEquals(first!.cut, first!.whole!.map((value) => Math.max(0, value)));
  const reference = convertToReference(quantized);
  assertEquals(verifyGraph(reference.nodes), []);
  assertEquals([...reference.run(x).outputs.keys()], names);
});

Deno.test("a module may be called as a reference graph calls nodes of its own", () => {
  for (const name of ["output", "quantize", "dequantize", "state"]) {
    for (const outputs of [["last"], ["last", name]]) {
      const model = new Graph({
        [name]: { module: linear(2, 3) },
        last: { module: linear(3, 3), inputs: name },
      }, { outputs });
      const observed = prepare(model, getPreset("fbgemm"));
      observed.run(x);
      const graph = convertToReference(observed);
      assertEquals(verifyGraph(graph.nodes), []);
      assertEquals([...graph.run(x).outputs.keys()], outputs);
    }
  }
});

Deno.test("Graph.forward() is for one output; run() is for several", () => {
  const model = new Graph({ a: { module: linear(2, 3) }, b: { module: linear(3, 1) } }, {
    outputs: ["a", "b"],
  });
  const message = 'outputs: expected one output (run gives several), got "a, b"';
  assertThrows(() => model.forward(x), RangeError, message);
  const observed = prepare(model, getPreset("fbgemm"));
  assertThrows(() => observed.forward(x), RangeError, message);
});

Deno.test("new Graph() names the module, what was expected and what is missing", () => {
  type Children = Record<string, GraphChild>;
  const refused = (
    children: Children,
    options: GraphOptions | undefined,
    Kind: typeof TypeError | typeof RangeError,
    message: string,
  ) => assertThrows(() => new Graph(children, options), Kind, message);
  const a: GraphChild = { module: linear(2, 3), inputs: "input" };
  const b: GraphChild = { module: linear(3, 3), inputs: "a" };
  // deno-lint-ignore no-explicit-any -- bad on purpose
  const bad = (value: unknown) => value as any;
  for (const none of [null, undefined, 5, "a"]) {
    refused(bad(none), undefined, TypeError, "children: expected an object of modules, got ");
  }
  refused({}, undefined, RangeError, "children: expected at least one module");
  refused(
    { a: bad(null) },
    undefined,
    TypeError,
    "children.a: expected an object of module, inputs",
  );
  refused({ a: bad(linear(2, 3)) }, undefined, TypeError, "children.a: expected no options but");
  refused(
    { a: { module: bad({}) } },
    undefined,
    TypeError,
    "children.a: expected a module: Graph, ",
  );
  refused(
    { a: bad({ ...a, input: "input" }) },
    undefined,
    TypeError,
    "children.a: expected no opt",
  );
  for (const inputs of [null, 5, {}, [1], ["a", null]]) {
    refused(
      { a, b: { ...b, inputs: bad(inputs) } },
      undefined,
      TypeError,
      "children.b.inputs: expected a name or an array of names",
    );
  }
  for (const outputs of ["a", null, 5, [1], [null], { a: "a" }]) {
    refused(
      { a },
      { outputs: bad(outputs) },
      TypeError,
      "options.outputs: expected an array of names",
    );
  }
  refused({ a }, bad({ output: ["a"] }), TypeError, "options: expected no options but outputs");
  refused({ a }, { outputs: [] }, RangeError, "outputs: expected the name of at least one module");
  refused({ a, b }, { outputs: ["c"] }, RangeError, 'outputs: expected names of a, b, got "c"');
  refused({ a }, { outputs: ["input"] }, RangeError, 'outputs: expected names of a, got "input"');
  refused(
    { a, b },
    { outputs: ["b", "b"] },
    RangeError,
    'outputs: expected each name once, got "b"',
  );
  refused(
    { a, b },
    { outputs: ["a"] },
    RangeError,
    "children.b: expected a module that is read, or",
  );
  refused(
    { a, b: { ...b, inputs: [] } },
    undefined,
    RangeError,
    "children.b: expected one input or",
  );
  refused(
    { a, b: { ...b, inputs: "c" } },
    undefined,
    RangeError,
    'children.b: expected inputs of input, a, b, got "c"',
  );
  refused(
    { a: { ...a, inputs: "b" }, b },
    undefined,
    RangeError,
    "children.b: expected no circle of inputs, got",
  );
  refused({ a, b: { ...b, inputs: "b" } }, { outputs: ["a", "b"] }, RangeError, "no circle of");
  refused(
    { a, b: { module: linear(4, 1), inputs: "a" } },
    undefined,
    RangeError,
    "children.b: expected a module that takes the width 3, got 4",
  );
  refused(
    { a, b: { module: linear(3, 1), inputs: ["a", "a"] } },
    undefined,
    RangeError,
    "children.b: expected one input, got 2",
  );
  refused(
    { a, b: { module: linear(5, 1), inputs: "input" } },
    { outputs: ["a", "b"] },
    RangeError,
    'children.b: expected a module that reads values of width 2, as a does, got "values of width 5"',
  );
  refused(
    { a, e: { module: new Embedding({ numEmbeddings: 3, embeddingDim: 2 }), inputs: "input" } },
    { outputs: ["a", "e"] },
    RangeError,
    'expected a module that reads values of width 2, as a does, got "token ids"',
  );
  refused(
    { a, e: { module: new Embedding({ numEmbeddings: 3, embeddingDim: 2 }), inputs: "a" } },
    undefined,
    RangeError,
    "children.e: expected a module that takes the width 3",
  );
  // Of models in models the whole name.
  const two = new Graph({
    p: { module: linear(3, 1) },
    q: { module: linear(3, 1), inputs: "input" },
  }, {
    outputs: ["p", "q"],
  });
  const nested = (module: Module, inputs: string | string[] = "a"): Children => ({
    a,
    body: { module, inputs },
  });
  refused(
    nested(two),
    undefined,
    RangeError,
    'children.body: expected a model of one output, got "p',
  );
  refused(
    nested(new Sequential({ p: linear(3, 1) }), ["a", "a"]),
    undefined,
    RangeError,
    "children.body: expected one input, since it is a model, got 2",
  );
  refused(
    nested(new Sequential({ inner: new Sequential({ p: linear(4, 1) }) })),
    undefined,
    RangeError,
    "children.body.inner.p: expected a module that takes the width 3, got 4",
  );
});

Deno.test("initial states go to the modules that they are named for, and to others they are refused", () => {
  const model = new Graph({
    a: { module: lstm(2, 3), inputs: "input" },
    b: { module: lstm(2, 3), inputs: "input" },
    body: { module: new Sequential({ lstm: lstm(2, 3) }), inputs: "input" },
    out: { module: linear(3, 1), inputs: "a" },
  }, { outputs: ["a", "b", "body", "out"] });
  const state = [tensor([0.5, -0.5, 1], [1, 1, 3]), tensor([1, 0, -1], [1, 1, 3])] as const;
  const given = lstm(2, 3).forward(x, state)[0];
  const plain = lstm(2, 3).forward(x)[0];
  const observed = prepare(model, getPreset("fbgemm"));
  for (const form of [model, observed]) {
    const outputs = form.run(x, { state: { b: state, "body.lstm": state } });
    assertEquals(
      ["a", "b", "body"].map((name) => outputs.get(name)),
      [plain, given, given],
    );
    for (const name of ["out", "body", "c", "toString", ""]) {
      assertThrows(
        () => form.run(x, { state: { [name]: state } }),
        RangeError,
        `options.state: expected names of recurrent modules, got "${name}"`,
      );
    }
  }
});

Deno.test("one module under two names is two modules that begin alike", () => {
  const shared = new LinearReLU({ inFeatures: 2, outFeatures: 2, seed: 3 });
  const model = new Sequential({ a: shared, b: shared });
  const observed = prepare(model, getPreset("fbgemm"));
  assertEquals(observed.forward(x), shared.forward(shared.forward(x)));
  const { modules } = convert(observed);
  assertEquals([...modules.keys()], ["a", "b"]);
});

Deno.test("a model that tables of tokens of several sizes read takes the tokens that all of them have", () => {
  const embedding = (numEmbeddings: number) => ({
    module: new Embedding({ numEmbeddings, embeddingDim: 2, seed: 1 }),
    inputs: "input",
  });
  const model = new Graph({
    many: embedding(9),
    few: embedding(4),
    lstm: { module: lstm(2, 3), inputs: "few" },
  }, { outputs: ["many", "lstm"] });
  const ids = tokens([3, 0], [2, 1]);
  const observed = prepare(model, getPreset("fbgemm"));
  observed.run(ids);
  const quantized = convert(observed);
  assertEquals(quantized.vocabulary, 4);
  for (const foldEmbedding of [true, false]) {
    const session = quantized.createSession({ foldEmbedding });
    const arrays = { many: new Float32Array(4), lstm: new Float32Array(6) };
    session.run(ids.data, arrays);
    assertThrows(
      () => session.run(Int32Array.of(4, 0), arrays),
      RangeError,
      "sequence[0]: expected an integer in 0..3, got 4",
    );
  }
  assertThrows(() => model.run(tokens([4], [1, 1])), RangeError, "x.data[0]");
});
