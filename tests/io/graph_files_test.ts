// Files of graphs, and programs: faults in them are named.
import {
  compileModel,
  convert,
  getPreset,
  Graph,
  Linear,
  loadModel,
  LSTM,
  prepare,
  quantizeDynamic,
  saveModel,
  Sequential,
  tensor,
} from "@splitgate/splitgate";
import { loadProgram } from "@splitgate/splitgate/runtime/state";
import { dynamicLinear, dynamicLSTM } from "@splitgate/splitgate/runtime/dynamic";
import { assertEquals, assertThrows } from "@std/assert";
import { readTree, writeTree } from "./tree.ts";

function branched() {
  return new Graph({
    a: { module: new Linear({ inFeatures: 2, outFeatures: 3, seed: 1 }), inputs: "input" },
    b: { module: new LSTM({ inputSize: 3, hiddenSize: 3, seed: 2 }), inputs: "a" },
    c: { module: new Linear({ inFeatures: 3, outFeatures: 1, seed: 3 }), inputs: "b" },
    d: { module: new Linear({ inFeatures: 3, outFeatures: 4, seed: 4 }), inputs: "b" },
  }, { outputs: ["c", "d"] });
}

const observed = prepare(branched(), getPreset("fbgemm"));
observed.run(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
const model = convert(observed);

Deno.test("loadModel() takes modules in any order, and outputs by any names", () => {
  const { tensors, tree } = readTree(saveModel(model));
  assertEquals(tree.outputs, [["c", "c"], ["d", "d"]]);
  // A module that no longer comes after its input is named.
  let last = "input";
  // deno-lint-ignore no-explicit-any
  for (const each of tree.modules as any[]) {
    each.reads ??= [last];
    last = each.name;
  }
  tree.modules.reverse();
  const other = loadModel(writeTree(tensors, tree));
  assertEquals(other.fingerprint, model.fingerprint);
  assertEquals(saveModel(other), saveModel(model));
  tree.outputs = [["tag", "c"], ["score", "d"], ["again", "c"]];
  const named = loadModel(writeTree(tensors, tree));
  assertEquals(named.outputs.map(({ name }) => name), ["tag", "score", "again"]);
  const x = Float32Array.of(0.5, -1);
  const [tag, again] = [new Float32Array(1), new Float32Array(1)];
  const score = new Float32Array(4);
  for (const made of [named, loadModel(saveModel(named)), loadProgram(compileModel(named))]) {
    made.createSession().step(x, { tag, score, again });
    assertEquals(again, tag);
    const [c, d] = [new Float32Array(1), new Float32Array(4)];
    model.createSession().step(x, { c, d });
    assertEquals([tag, score], [c, d]);
  }
});

Deno.test("loadModel() names what is wrong with a graph, and the module", () => {
  // deno-lint-ignore no-explicit-any
  const cases: [string, (tree: any) => unknown][] = [
    ["b.reads: expected an array", (t) => t.modules[1].reads = "a"],
    ["b.reads[0]: expected a name", (t) => t.modules[1].reads = [0]],
    ["b.reads: expected an array", (t) => t.modules[1].reads = null],
    ["modules.b: expected one input or more", (t) => t.modules[1].reads = []],
    ["modules.b: expected one input, got 2", (t) => t.modules[1].reads = ["a", "a"]],
    ['modules.b: expected inputs of input, a, b, c, d, got "x"', (t) => t.modules[1].reads = ["x"]],
    ["modules.b: expected no circle of inputs", (t) => t.modules[1].reads = ["d"]],
    ["modules.b: expected no circle of inputs", (t) => t.modules[1].reads = ["b"]],
    ["modules.a: expected a module that is read", (t) => t.modules[1].reads = ["input"]],
    ["modules.c: expected no circle of inputs", (t) => t.modules[0].reads = ["c"]],
    [
      'modules.a: expected a module that reads values of width 3, as modules.c does, got "values of',
      (t) => t.modules[2].reads = ["input"],
    ],
    ["modules.d: expected an input of width 1, got 3", (t) => t.modules[3].reads = ["c"]],
    ["modules.d: expected a module that is read, or an output", (t) => t.outputs.pop()],
    ["outputs: expected the name of at least one module", (t) => t.outputs = []],
    ["outputs: expected an array", (t) => t.outputs = "c"],
    ["outputs[0]: expected an array", (t) => t.outputs = ["c", "d"]],
    ["outputs[1]: expected 2 elements, got 3", (t) => t.outputs[1].push("d")],
    ["outputs[1][0]: expected a name", (t) => t.outputs[1][0] = 5],
    ['outputs: expected names of a, b, c, d, got "x"', (t) => t.outputs[1][1] = "x"],
    ['outputs: expected names of a, b, c, d, got "input"', (t) => t.outputs[1][1] = "input"],
    ['outputs: expected each name once, got "c"', (t) => t.outputs[1][0] = "c"],
    ["b.type: expected one of ", (t) => t.modules[1].type = "RNN"],
    ["b.type: expected one of ", (t) => t.modules[1].type = "constructor"],
    ['name: expected a name of its own, got "a"', (t) => t.modules[1].name = "a"],
    ["that are not empty, have no dot", (t) => t.modules[0].name = "input"],
  ];
  for (const [message, change] of cases) {
    const { tensors, tree } = readTree(saveModel(model));
    change(tree);
    if (tree.modules[0].name === "input") {
      for (const key of [...tensors.keys()]) {
        if (key.startsWith("a.")) tensors.set(key.replace("a.", "input."), tensors.get(key)!);
        if (key.startsWith("a.")) tensors.delete(key);
      }
    }
    const load = () => loadModel(writeTree(tensors, tree));
    const error = assertThrows(load, Error, message);
    assertEquals(error instanceof RangeError || error instanceof TypeError, true, message);
  }
});

Deno.test("a model of modules whose names say something to JavaScript is saved, compiled and run by these names", () => {
  const names = ["constructor", "toString", "hasOwnProperty", "a\nb", "0", "__proto__"];
  for (const name of names) {
    const children = Object.fromEntries([
      [name, { module: new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 }), inputs: "input" }],
      ["x", { module: new Linear({ inFeatures: 3, outFeatures: 1, seed: 2 }), inputs: name }],
    ]);
    const graph = new Graph(children, { outputs: [name, "x"] });
    const x = tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]);
    const expected = graph.run(x);
    assertEquals([...expected.keys()], [name, "x"]);
    const state = [tensor([0, 0, 0], [1, 1, 3]), tensor([0, 0, 0], [1, 1, 3])] as const;
    assertEquals(graph.run(x, { state: Object.fromEntries([[name, state]]) }), expected);
    const observed = prepare(graph, getPreset("fbgemm"));
    assertEquals(observed.run(x), expected);
    const model = convert(observed);
    const results = [
      model,
      loadModel(saveModel(model)),
      loadProgram(compileModel(model)),
    ].map((made) => {
      const session = made.createSession();
      const arrays = Object.fromEntries([
        [name, new Float32Array(6)],
        ["x", new Float32Array(2)],
      ]);
      session.run(x.data, arrays);
      return [Object.entries(arrays), session.getState(`${name}.h`)];
    });
    for (const result of results) assertEquals(result, results[0]);
  }
});

Deno.test("loadProgram() runs a dynamic graph with the kinds of ./runtime/dynamic, and says which one is missing", () => {
  const graph = quantizeDynamic(
    new Graph({
      body: {
        module: new Sequential({ lstm: new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 }) }),
        inputs: "input",
      },
      tag: { module: new Linear({ inFeatures: 3, outFeatures: 2, seed: 2 }), inputs: "body" },
      score: { module: new Linear({ inFeatures: 3, outFeatures: 1, seed: 3 }), inputs: "body" },
    }, { outputs: ["tag", "body", "score"] }),
  );
  const file = compileModel(graph);
  const program = loadProgram(file, { kinds: [dynamicLinear, dynamicLSTM] });
  const results = [graph, program].map((made) => {
    const arrays = {
      tag: new Float32Array(8),
      body: new Float32Array(12),
      score: new Float32Array(4),
    };
    const session = made.createSession({ batch: 2 });
    session.run(Float32Array.of(0.1, -0.4, 0.9, 0.3, 1, 0, -1, 2), arrays, [2, 1]);
    return [arrays, session.state()];
  });
  assertEquals(results[1], results[0]);
  const way = "; give loadProgram kinds of its runtime/ entry";
  assertThrows(
    () => loadProgram(file),
    RangeError,
    'node "body.lstm": expected a kind that is loaded; give loadProgram',
  );
  const error = assertThrows(
    () => loadProgram(file, { kinds: [dynamicLSTM] }),
    RangeError,
    'node "tag": expected a kind that is loaded; give loadProgram',
  );
  assertEquals(error.message.includes(way), true, error.message);
  assertEquals(error.message.endsWith('got "DynamicLinear"'), true, error.message);
  for (const bad of [null, {}, dynamicLSTM, 5]) {
    assertThrows(
      () => loadProgram(file, { kinds: bad as never }),
      TypeError,
      "options.kinds: expected an array of kinds",
    );
  }
  for (const bad of [null, undefined, "DynamicLSTM", {}]) {
    assertThrows(
      () => loadProgram(file, { kinds: [dynamicLinear, bad] as never }),
      TypeError,
      "options.kinds[1]: expected a kind",
    );
  }
});
