import { assert, assertEquals, assertThrows } from "@std/assert";
import { Generator, LSTM, type Tensor, tensor } from "@splitgate/splitgate";
import { importOnnx, parseOnnx } from "@splitgate/splitgate/import/onnx";
import { type Attribute, floats, type GraphInit, ints, node, onnxFile } from "./graphs.ts";

const INPUT = 3;
const HIDDEN = 4;

const random = new Generator(7);

function reals(count: number): Float32Array {
  const out = new Float32Array(count);
  random.uniform(out, -1, 1);
  return out;
}

/** Blocks of rows in another order: PyTorch's gates i f g o are ONNX's i o f c. */
function toOnnxGates(data: Float32Array): Float32Array {
  const block = data.length / 4;
  const order = [0, 3, 1, 2];
  return Float32Array.from(order.flatMap((g) => [...data.subarray(g * block, (g + 1) * block)]));
}

/** The weights of one layer of an LSTM as ONNX has them. */
function weightsOf({ cells: [layer], hiddenSize, inputSize, numDirections }: LSTM) {
  const joined = (of: (cell: LSTM["cells"][0][0]) => Float32Array[]) =>
    layer!.flatMap((cell) => of(cell).flatMap((each) => [...toOnnxGates(each)]));
  const rows = 4 * hiddenSize;
  return [
    floats("W", [numDirections, rows, inputSize], joined(({ weightIh }) => [weightIh])),
    floats("R", [numDirections, rows, hiddenSize], joined(({ weightHh }) => [weightHh])),
    floats("B", [numDirections, 2 * rows], joined(({ biasIh, biasHh }) => [biasIh!, biasHh!])),
  ];
}

/** A file of an LSTM with the given attributes, and further parts of the graph. */
function lstmFile(
  attributes: Readonly<Record<string, Attribute>>,
  { lstm = new LSTM({ inputSize: INPUT, hiddenSize: HIDDEN }), ...rest }:
    & Partial<GraphInit>
    & { readonly lstm?: LSTM; readonly inputsOf?: readonly string[] } = {},
): Uint8Array {
  const more = rest.inputsOf ?? [];
  return onnxFile({
    inputs: { x: ["steps", "batch", INPUT] },
    outputs: ["a"],
    ...rest,
    nodes: [
      node("LSTM", ["x", "W", "R", "B", ...more], ["a"], { hidden_size: HIDDEN, ...attributes }),
      ...rest.nodes ?? [],
    ],
    tensors: [...weightsOf(lstm), ...rest.tensors ?? []],
  });
}

Deno.test("an LSTM has the bits of the one that was written, in either layout and both directions", () => {
  let count = 0;
  for (const bidirectional of [false, true]) {
    for (const layout of [0, 1]) {
      for (const [steps, batch] of [[1, 1], [2, 3], [5, 2]] as const) {
        const batchFirst = layout === 1;
        const seed = ++count;
        const lstm = new LSTM({
          inputSize: INPUT,
          hiddenSize: HIDDEN,
          bidirectional,
          batchFirst,
          seed,
        });
        const sizes = batchFirst ? [batch, steps] : [steps, batch];
        const perm = batchFirst ? [0, 1, 2, 3] : [0, 2, 1, 3];
        const shape = [...sizes, INPUT];
        const direction = bidirectional ? "bidirectional" : "forward";
        const file = lstmFile({ layout, direction }, {
          lstm,
          inputs: { x: shape },
          outputs: ["y"],
          nodes: [
            node("Transpose", ["a"], ["t"], { perm }),
            node("Reshape", ["t", "shape"], ["y"]),
          ],
          tensors: [ints("shape", [...sizes, lstm.outputSize])],
        });
        const { model, notes } = importOnnx(file);
        const x = tensor(reals(steps * batch * INPUT), shape);
        assertEquals(model.forward(x), lstm.forward(x)[0]);
        const axes = batchFirst ? "batch, time" : "time, batch";
        assertEquals(notes[0], `input "x": [${axes}, features]`);
      }
    }
  }
  assertEquals(count, 12);
});

Deno.test("functions of an LSTM's cell are those that the node names", () => {
  const cases: [Record<string, Attribute>, Partial<LSTM>][] = [
    [{}, { gateActivation: "sigmoid", activation: "tanh", cellActivation: "tanh" }],
    [{ activations: ["sigmoid", "relu", "tanh"] }, {
      gateActivation: "sigmoid",
      activation: "relu",
      cellActivation: "tanh",
    }],
    [{ activations: ["HardSigmoid", "Tanh", "Affine"] }, {
      gateActivation: { name: "hardSigmoid", slope: Math.fround(0.2), offset: 0.5 },
      activation: "tanh",
      cellActivation: "linear",
    }],
    [{
      activations: ["HardSigmoid", "Tanh", "Tanh"],
      activation_alpha: [0.25],
      activation_beta: [0.375],
    }, {
      gateActivation: { name: "hardSigmoid", slope: 0.25, offset: 0.375 },
    }],
  ];
  for (const [attributes, expected] of cases) {
    const lstm = importOnnx(lstmFile(attributes)).model.children.get("a") as LSTM;
    for (const [key, value] of Object.entries(expected)) {
      assertEquals(lstm[key as "gateActivation"], value as LSTM["gateActivation"]);
    }
  }
});

Deno.test("what an LSTM cannot be is refused by the node's name and operator", () => {
  const state = (name: string, shape: number[], value = 0) =>
    floats(name, shape, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value));
  const cases: [Uint8Array, string][] = [
    [lstmFile({ clip: 3 }), ".clip: expected no clipping, got 3"],
    [lstmFile({ input_forget: 1 }), ".input_forget: expected 0, for input"],
    [lstmFile({ direction: "backward" }), '.direction: expected "forward", "reverse" or "bidirect'],
    [lstmFile({ activations: ["Softsign", "Tanh", "Tanh"] }), ".activations: expected Sigmoid"],
    [lstmFile({ activations: ["Tanh", "Tanh", "Tanh"] }), ".activations: expected Sigmoid or Hard"],
    [lstmFile({ activations: ["Sigmoid"] }), ".activations: expected 3 functions"],
    [lstmFile({ hidden_size: 5 }), ".W: expected float32 values of shape [1, 20, 3]"],
    [
      lstmFile({}, {
        inputsOf: ["", "", "", "P"],
        tensors: [state("P", [1, 3 * HIDDEN], 0.5)],
      }),
      ".inputs[7]: expected no peephole weights",
    ],
    [
      lstmFile({}, { inputsOf: ["", "h"], tensors: [state("h", [1, 2, HIDDEN + 1])] }),
      ".inputs[5]: expected a state of shape [1, batch, 4]",
    ],
    [
      lstmFile({}, { inputsOf: ["lengths"], tensors: [ints("lengths", [1, 2])] }),
      ".inputs[4]: expected an input of the graph as lengths",
    ],
    [
      lstmFile({}, { inputs: { x: ["steps", "batch", INPUT + 1] } }),
      ".W: expected float32 values of shape [1, 16, 4]",
    ],
  ];
  for (const [file, message] of cases) {
    assertThrows(() => importOnnx(file), RangeError, `node "a/LSTM" (LSTM)${message}`);
  }
});

Deno.test("zeros as initial states, lengths of all steps and zero peepholes say nothing", () => {
  const zeros = (name: string, ...shape: number[]) =>
    floats(name, shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));
  const { model, states } = importOnnx(lstmFile({}, {
    inputs: { x: [5, 2, INPUT] },
    inputsOf: ["lengths", "h", "c", "P"],
    tensors: [
      ints("lengths", [5, 5]),
      zeros("h", 1, 2, HIDDEN),
      zeros("c", 1, 2, HIDDEN),
      zeros("P", 1, 3 * HIDDEN),
    ],
  }));
  assertEquals([states.length, model.children.size], [0, 1]);
});

Deno.test("layers of other functions, or whose output is read twice, stay modules of their own", () => {
  const lstm = new LSTM({ inputSize: HIDDEN, hiddenSize: HIDDEN });
  const build = (attributes: Record<string, Attribute>, outputs: string[]) =>
    importOnnx(lstmFile({}, {
      lstm,
      inputs: { x: ["steps", "batch", HIDDEN] },
      outputs,
      nodes: [
        node("Squeeze", ["a", "axes"], ["s"]),
        node("LSTM", ["s", "W", "R", "B"], ["b"], { hidden_size: HIDDEN, ...attributes }),
        node("Squeeze", ["b", "axes"], ["t"]),
      ],
      tensors: [ints("axes", [1])],
    })).model;
  assertEquals(build({}, ["t"]).children.size, 1);
  assertEquals(build({ activations: ["Sigmoid", "Relu", "Tanh"] }, ["t"]).children.size, 2);
  assertEquals(build({}, ["s", "t"]).children.size, 2);
});

/** A file whose nodes read rows of three features. */
function rowFile(rest: Partial<GraphInit> & Pick<GraphInit, "nodes">): Uint8Array {
  return onnxFile({ inputs: { x: ["batch", INPUT] }, outputs: ["y"], ...rest });
}

Deno.test("the first node that is not known is named, with what is", () => {
  const file = rowFile({ nodes: [node("Relu", ["x"], ["a"]), node("Einsum", ["a"], ["y"])] });
  const error = assertThrows(
    () => importOnnx(file),
    RangeError,
    'node "y/Einsum" (Einsum): expected LSTM, GRU',
  );
  assert(error.message.includes("(`cut` and `outputs` leave parts of a graph out)"));
  assert(!error.message.includes("…"), error.message);
  assert(error.message.endsWith('got "Einsum"'));
  const other = rowFile({ nodes: [node("Relu", ["x"], ["y"], {}, "com.example")] });
  assertThrows(() => importOnnx(other), RangeError, 'node "y/Relu" (com.example.Relu): expected');
});

Deno.test("what computes nothing that a module could is refused by what is expected", () => {
  const w = floats("w", [INPUT, 2], reals(2 * INPUT));
  const cases: [Uint8Array, string][] = [
    [rowFile({ nodes: [node("Mul", ["x", "x"], ["y"])] }), "(Mul): expected a constant"],
    [
      rowFile({ nodes: [node("MatMul", ["w", "x"], ["y"])], tensors: [w] }),
      "a weight on the right",
    ],
    [
      rowFile({ nodes: [node("Gemm", ["x", "w"], ["y"], { transB: 1 })], tensors: [w] }),
      "(Gemm): expected a weight for 3 features, got [3, 2]",
    ],
    [
      rowFile({ nodes: [node("Softmax", ["x"], ["y"], { axis: 0 })], opset: 13 }),
      "(Softmax): expected a known number of features",
    ],
    [
      rowFile({ nodes: [node("Relu", ["x"], ["a"]), node("Add", ["a", "q"], ["y"])] }),
      '(Add): expected inputs that nodes before it give, got "q"',
    ],
    [
      rowFile({ nodes: [node("Relu", ["x"], ["a"]), node("Shape", ["a"], ["y"])] }),
      'output "y": expected what a module gives, or a final state, got "sizes"',
    ],
    [
      rowFile({ nodes: [node("Add", ["x", "z"], ["y"])], inputs: { x: [1], z: [1] } }),
      "graph.inputs: expected one input besides states",
    ],
    [
      rowFile({
        nodes: [node("Reshape", ["x", "s"], ["r"]), node("Relu", ["r"], ["y"])],
        tensors: [ints("s", [7, -1])],
      }),
      "(Reshape).shape: expected a shape of as many elements",
    ],
  ];
  for (const [file, message] of cases) {
    assertThrows(() => importOnnx(file), RangeError, message);
  }
});

Deno.test("an axis that is time for one node and batch for another is refused", () => {
  const lstm = new LSTM({ inputSize: HIDDEN, hiddenSize: HIDDEN });
  const file = lstmFile({}, {
    lstm,
    inputs: { x: ["a", "b", HIDDEN] },
    outputs: ["c"],
    nodes: [
      node("Squeeze", ["a", "axes"], ["s"]),
      node("Transpose", ["s"], ["t"], { perm: [1, 0, 2] }),
      node("LSTM", ["t", "W", "R", "B"], ["c"], { hidden_size: HIDDEN }),
    ],
    tensors: [ints("axes", [1])],
  });
  assertThrows(
    () => importOnnx(file),
    RangeError,
    'node "c/LSTM" (LSTM): expected an axis of time',
  );
});

Deno.test("`cut` and `outputs` leave out what stands before and behind", () => {
  const file = onnxFile({
    inputs: { image: ["batch", 3, 8, 8] },
    outputs: ["y"],
    nodes: [
      node("Unknown", ["image"], ["a"]),
      node("LSTM", ["a", "W", "R", "B"], ["b", "h"], { hidden_size: HIDDEN }),
      node("Squeeze", ["b", "axes"], ["c"]),
      node("Unknown", ["c"], ["y"]),
    ],
    tensors: [
      ...weightsOf(new LSTM({ inputSize: INPUT, hiddenSize: HIDDEN })),
      ints("axes", [1]),
    ],
  });
  const { model, outputs, notes } = importOnnx(file, { cut: "a", outputs: ["c"] });
  assertEquals([...outputs], [["c", "b"]]);
  assertEquals(notes[0], 'input "a": [time, batch, features]');
  assertEquals(model.forward(tensor(reals(2 * INPUT), [2, 1, INPUT])).shape, [2, 1, HIDDEN]);
  // A final state that nothing else is asked for is a value.
  const hidden = importOnnx(parseOnnx(file), { cut: "a", outputs: ["h"] });
  assertEquals([...hidden.model.children.values()].map(({ kind }) => kind), [
    "LSTM",
    "FinalHidden",
  ]);
  assertThrows(() => importOnnx(file, { cut: "z" }), RangeError, "options.cut: expected a tensor");
  assertThrows(
    () => importOnnx(file, { outputs: ["z"] }),
    RangeError,
    "options.outputs: expected t",
  );
  assertThrows(() => importOnnx(file, { outputs: [] }), TypeError, "options.outputs");
  assertThrows(() => importOnnx(file, { cut: 1 as never }), TypeError, "options.cut");
  assertThrows(() => importOnnx(file, { strict: true } as never), TypeError, "options.strict");
});

Deno.test("doubles are rounded to float32, and a note says so where that loses something", () => {
  const double = (name: string, data: number[]) => ({
    name,
    dataType: 11,
    dims: [BigInt(INPUT), 1n],
    doubleData: data,
  });
  const build = (data: number[]) =>
    importOnnx(
      rowFile({ nodes: [node("MatMul", ["x", "w"], ["y"])], tensors: [double("w", data)] }),
    );
  assertEquals(build([1, 2, 3]).notes.some((note) => note.includes("float32")), false);
  const { model, notes } = build([0.1, 2, 3]);
  assertEquals(notes[0], "w is float64 in the file: it was rounded to float32");
  assertEquals((model.stateDict().get("y.weight") as Tensor).data[0], Math.fround(0.1));
});

Deno.test("a graph that would fold constants without end is refused", () => {
  const file = rowFile({
    nodes: [
      node("ConstantOfShape", ["s"], ["c"]),
      node("MatMul", ["x", "c"], ["y"]),
    ],
    tensors: [ints("s", [3, 2 ** 30])],
  });
  assertThrows(() => importOnnx(file), RangeError, "constants of at most 4000000 elements");
});
