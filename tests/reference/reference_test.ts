import { assert, assertEquals, assertMatch, assertNotEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  convert,
  Embedding,
  Linear,
  loadModel,
  LSTM,
  perTensorAffine,
  type PerTensorQParams,
  prepare,
  QConfigMapping,
  type QTensor,
  qtensor,
  saveModel,
  Sequential,
  tensor,
  tokens,
} from "@splitgate/splitgate";
import { LSTM_PARTS } from "@splitgate/splitgate/modules";
import {
  FixedQParamsObserver,
  MinMaxObserver,
  observeLSTMParts,
  PlaceholderObserver,
} from "@splitgate/splitgate/qconfig";
import {
  convertToReference,
  type GraphNode,
  type ReferenceModel,
  verifyGraph,
} from "@splitgate/splitgate/reference";
import { defaultWeightObserver, fbgemmQConfig } from "../../src/qconfig/qconfig.ts";
import { lstmCell } from "../../src/cells/lstm_parts.ts";
import type { NamedModule } from "../../src/qconfig/mapping.ts";
import { lstmCases, partObservers } from "../../src/testing/observed_lstms.ts";
import { head, pick, transposed } from "../modules/tensors.ts";

const qconfig = { activation: MinMaxObserver.withArgs({}), weight: defaultWeightObserver };
const x = tensor(Float32Array.from({ length: 24 }, (_, i) => Math.sin(i * 1.7)), [4, 3, 2]);

function observed(options: { splitGates?: boolean; lstm?: LSTM } = {}) {
  const { lstm = new LSTM({ inputSize: 2, hiddenSize: 3 }), splitGates = false } = options;
  const model = observeLSTMParts(lstm, {}, { qconfig, splitGates });
  model.forward(x);
  return model;
}

/** Whole sequences of an observed LSTM, calibrated on its own input. */
const calibrated = (widths: readonly (0 | 8 | 16 | 32)[]) =>
  lstmCases.chain((each) =>
    fc.boolean().chain((splitGates) =>
      partObservers(widths, splitGates, each.lstm).map((parts) => {
        const model = observeLSTMParts(each.lstm, parts, { qconfig, splitGates });
        model.forward(each.x, each.lengths === undefined ? {} : { lengths: each.lengths });
        return { ...each, splitGates, parts, model };
      })
    )
  );

Deno.test("convertToReference() puts two pairs between neighbours of different dtypes", () => {
  const wide = MinMaxObserver.withArgs({ dtype: "qint32", quantMin: 0, quantMax: 65535 });
  const mapping = new QConfigMapping().setGlobal(qconfig)
    .setModuleName("linear1", { ...qconfig, activation: wide, input: qconfig.activation });
  const model = new Sequential({
    linear1: new Linear({ inFeatures: 2, outFeatures: 3 }),
    linear2: new Linear({ inFeatures: 3, outFeatures: 2 }),
  });
  const prepared = prepare(model, mapping);
  prepared.forward(x);
  const words = convertToReference(prepared).nodes.map(({ op, dtype }) =>
    op === "quantize" ? `q ${dtype}` : op
  );
  assertEquals(words, [
    "input",
    "q quint8",
    "dequantize",
    "linear",
    "q qint32",
    "dequantize",
    "q quint8",
    "dequantize",
    "linear",
    "q quint8",
    "dequantize",
    "output",
  ]);
});

Deno.test("convertToReference() puts no pair on parts that are not quantized", () => {
  const model = observeLSTMParts(new LSTM({ inputSize: 2, hiddenSize: 3 }), {
    inputProjection: null,
    hiddenProjection: null,
    cellTanh: null,
  }, { qconfig });
  model.forward(x);
  const graph = convertToReference(model);
  const paired = graph.nodes.filter(({ op }) => op === "quantize").map(({ part }) => part);
  assertEquals(paired, [
    undefined,
    ...LSTM_PARTS.map(({ name }) => name).filter((name) =>
      !["igates", "hgates", "tanh_cy"].includes(name)
    ),
  ]);
  assertEquals(graph.nodes.filter(({ float }) => float).map(({ part }) => part), [
    "igates",
    "hgates",
    "tanh_cy",
  ]);
});

Deno.test("convertToReference() gives a graph without a fault for every configuration", () => {
  fc.assert(
    fc.property(calibrated([0, 8, 16, 32]), ({ model }) => {
      const { nodes } = convertToReference(model);
      assertEquals(verifyGraph(nodes), []);
    }),
    { numRuns: 60 },
  );
});

Deno.test("ReferenceModel.run() is close to the float model when parts have 16 bits", () => {
  const bits16 = MinMaxObserver.withArgs({ dtype: "qint32", quantMin: -32768, quantMax: 32767 });
  const lstm = new LSTM({
    inputSize: 2,
    hiddenSize: 7,
    numLayers: 2,
    bidirectional: true,
    projSize: 3,
  });
  // Both directions in the same parameters: torch.cat keeps the first one's, and would clip the
  // other's values.
  const projection = FixedQParamsObserver.withArgs({
    dtype: "qint32",
    scale: 2 ** -14,
    zeroPoint: 0,
  });
  const model = observeLSTMParts(lstm, { projection }, {
    qconfig: { activation: bits16, weight: fbgemmQConfig.weight },
  });
  const y = model.forward(x);
  const { output, quantized } = convertToReference(model).run(x);
  assertEquals(output.shape, y.shape);
  assertEquals(quantized?.data instanceof Int32Array, true);
  const worst = y.data.reduce(
    (max, value, i) => Math.max(max, Math.abs(value - output.data[i]!)),
    0,
  );
  assert(worst < 0.01 && worst > 0, `${worst}`);
});

Deno.test("ReferenceModel.run() gives each row of a batch what it gives alone, also backward", () => {
  fc.assert(
    fc.property(calibrated([0, 8, 16]), ({ model, lstm, x, lengths, steps, batch }) => {
      const graph = convertToReference(model);
      const whole = graph.run(x, lengths === undefined ? {} : { lengths });
      for (let b = 0; b < batch; b++) {
        const own = pick(lstm.batchFirst ? transposed(x) : x, 1, b);
        const length = lengths?.[b] ?? steps;
        const alone = graph.run(turned(head(own, length), lstm.batchFirst));
        const row = head(pick(turned(whole.output, lstm.batchFirst), 1, b), length);
        assertEquals(turned(alone.output, lstm.batchFirst), row);
        const unbatched = graph.run(tensor(head(own, length).data, [length, lstm.inputSize]));
        assertEquals(unbatched.output.shape, [length, lstm.outputSize]);
        assertEquals(unbatched.output.data, row.data);
        for (const [cell, states] of whole.state) {
          for (const [key, value] of Object.entries(states)) {
            const width = value.shape[1]!;
            assertEquals(
              value.data.slice(b * width, (b + 1) * width),
              alone.state.get(cell)![key]!.data,
            );
          }
        }
      }
    }),
    { numRuns: 40 },
  );
});

function turned(value: typeof x, batchFirst: boolean): typeof x {
  return batchFirst ? transposed(value) : value;
}

Deno.test("ReferenceModel.run() goes on from the state that it gave", () => {
  fc.assert(
    fc.property(
      calibrated([0, 8, 16]).filter(({ lstm, lengths }) =>
        !lstm.bidirectional && lengths === undefined
      ),
      fc.nat(),
      ({ model, lstm, x, steps }, cut) => {
        const graph = convertToReference(model);
        const whole = graph.run(x);
        const series = turned(x, lstm.batchFirst);
        const first = 1 + cut % steps;
        const width = series.data.length / steps;
        const rest = tensor(series.data.slice(first * width), [
          steps - first,
          ...series.shape.slice(1),
        ]);
        const begin = graph.run(turned(head(series, first), lstm.batchFirst));
        if (first === steps) return assertEquals(begin, whole);
        const end = graph.run(turned(rest, lstm.batchFirst), { state: begin.state });
        assertEquals(end.state, whole.state);
        const both = [begin, end].flatMap((
          { output },
        ) => [...turned(output, lstm.batchFirst).data]);
        assertEquals(both, [...turned(whole.output, lstm.batchFirst).data]);
      },
    ),
    { numRuns: 40 },
  );
});

Deno.test("ReferenceModel.run() gives the same bits for fused and split gates when their parameters agree", () => {
  fc.assert(
    fc.property(
      lstmCases.chain((each) =>
        partObservers([0, 8, 16, 32], false, each.lstm).map((parts) => ({ ...each, parts }))
      ),
      ({ lstm, x, parts }) => {
        const results = [false, true].map((splitGates) => {
          // One scale for all gates of a weight: split gates have each their own otherwise.
          const weight = FixedQParamsObserver.withArgs({
            dtype: "qint8",
            scale: 1 / 50,
            zeroPoint: 0,
          });
          const fixedParts = Object.fromEntries(
            Object.entries(parts).map(([slot, given]) => [
              slot,
              slot === "linearOutput" || slot === "inputProjection" || slot === "hiddenProjection"
                ? given === null
                  ? null
                  : FixedQParamsObserver.withArgs({ scale: 1 / 8, zeroPoint: 120 })
                : given,
            ]),
          );
          const model = observeLSTMParts(lstm, fixedParts, {
            qconfig: { ...qconfig, weight },
            splitGates,
          });
          model.forward(x);
          const { output, quantized, state } = convertToReference(model).run(x);
          return { output, quantized, state };
        });
        assertEquals(results[0], results[1]);
      },
    ),
    { numRuns: 40 },
  );
});

Deno.test("ReferenceModel.run() honours a given state in its own parameters", () => {
  const graph = convertToReference(observed());
  const q = (scale: number, zeroPoint: number, values: number[]): QTensor<PerTensorQParams> =>
    qtensor(
      Uint8Array.from(values),
      [3, 3],
      perTensorAffine({ dtype: "quint8", scale, zeroPoint }),
    );
  const values = [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const a = graph.run(x, {
    state: new Map([["lstm.l0", { h: q(0.125, 4, values), c: q(0.25, 0, values) }]]),
  });
  const same = graph.run(x, {
    state: new Map([["lstm.l0", {
      h: q(0.0625, 8, values.map((v) => v * 2)),
      c: q(0.125, 0, values.map((v) => v * 2)),
    }]]),
  });
  assertEquals(a, same);
  assertNotEquals(a.output, graph.run(x).output);
});

Deno.test("ReferenceModel.run() starts from tokens and from float rows", () => {
  const model = new Sequential({
    embedding: new Embedding({ numEmbeddings: 5, embeddingDim: 2 }),
    lstm: new LSTM({ inputSize: 2, hiddenSize: 3, bidirectional: true }),
    out: new Linear({ inFeatures: 6, outFeatures: 2 }),
  });
  const ids = tokens([0, 1, 2, 3, 4, 0], [3, 2]);
  for (const embedding of [qconfig, null]) {
    const mapping = new QConfigMapping().setGlobal(qconfig).setModuleName("embedding", embedding);
    const prepared = prepare(model, mapping);
    const float = prepared.forward(ids);
    const { output } = convertToReference(prepared).run(ids);
    output.data.forEach((value, i) => assert(Math.abs(value - float.data[i]!) < 0.05));
    assertThrows(
      () => convertToReference(prepared).run(tokens([5], [1, 1])),
      RangeError,
      "x.data[0]",
    );
  }
  const float = { ...qconfig, activation: PlaceholderObserver.withArgs({}) };
  const prepared = prepare(
    model,
    new QConfigMapping().setGlobal(qconfig).setModuleName("out", float),
  );
  prepared.forward(ids);
  assertEquals(convertToReference(prepared).run(ids).quantized, null);
});

Deno.test("convertToReference() of a quantized model that was saved and loaded gives the same graph", () => {
  const part = { inputs: [MinMaxObserver.withArgs({ dtype: "qint8" }), null] };
  const model = observeLSTMParts(
    new LSTM({ inputSize: 2, hiddenSize: 3, projSize: 2, numLayers: 2 }),
    {
      fgate_cx: part,
      cellTanh: null,
    },
    { qconfig, splitGates: true },
  );
  model.forward(x);
  const loaded = convertToReference(loadModel(saveModel(convert(model))));
  assertEquals(loaded.nodes, convertToReference(model).nodes);
});

Deno.test("ReferenceModel.run() refuses what does not fit", () => {
  const graph = convertToReference(observed());
  const zeros = tensor(new Float32Array(9), [3, 3]);
  assertThrows(() => graph.run(tensor([1, 2, 3], [1, 1, 3])), RangeError, "x.shape");
  assertThrows(() => graph.run(tensor([1, 2], [1, 1, 1, 2])), RangeError, "x.shape");
  assertThrows(() => graph.run(tensor([NaN, 2], [1, 1, 2])), RangeError, "x[0]");
  assertThrows(
    () => graph.run({ data: new Float64Array(2), shape: [1, 1, 2] } as never),
    TypeError,
    "x.data",
  );
  assertThrows(() => graph.run(x, { lengths: [1, 2] }), RangeError, "lengths");
  assertThrows(() => graph.run(x, { lengths: [1, 2, 5] }), RangeError, "lengths[2]");
  assertThrows(
    () => graph.run(x, { state: new Map([["l0", { h: zeros, c: zeros }]]) }),
    RangeError,
    "lstm.l0",
  );
  assertThrows(
    () => graph.run(x, { state: new Map([["lstm.l0", { h: zeros, c: tensor([1], [1, 1]) }]]) }),
    RangeError,
    "lstm.l0.c.shape",
  );
  assertThrows(
    () => graph.run(x, { length: [1] } as never),
    TypeError,
    "options: expected no options but state",
  );
  assertThrows(
    () => graph.run(x, { state: {} } as never),
    TypeError,
    "options.state: expected a Map",
  );
  assertThrows(
    () => verifyGraph(graph as never),
    TypeError,
    "nodes: expected an array of a graph's nodes",
  );
  assertThrows(() => convertToReference({} as never), TypeError, "observed");
});

/** The nodes with one of them changed or taken out. */
function mutated(
  nodes: readonly GraphNode[],
  name: string,
  change: Partial<GraphNode> | null,
): GraphNode[] {
  return nodes.flatMap((node) =>
    node.name !== name ? [node] : change === null ? [] : [{ ...node, ...change }]
  );
}

Deno.test("verifyGraph() finds every kind of fault", () => {
  const { nodes } = convertToReference(observed());
  const gates = "lstm.l0.gates";
  const faults = (changed: readonly GraphNode[]) =>
    verifyGraph(changed).map(({ node, fault }) => `${node} ${fault}`);
  const has = (changed: readonly GraphNode[], text: string) =>
    assert(
      faults(changed).some((fault) => fault.includes(text)),
      `${text} not in\n${faults(changed).join("\n")}`,
    );
  assertEquals(faults(nodes), []);
  has(
    mutated(nodes, `${gates}.quantize`, null),
    `${gates}.dequantize reads ${gates}.quantize, which does not exist`,
  );
  has(mutated(nodes, `${gates}.dequantize`, { inputs: [gates] }), "gives no integers");
  has(
    mutated(nodes, "lstm.l0.gates.chunk.input", { inputs: [gates] }),
    "reads lstm.l0.gates, which has no q-dq pair",
  );
  has(
    mutated(nodes, "lstm.l0.tanh_cy", { inputs: ["lstm.l0.fgate_cx_igate_cgate.quantize"] }),
    "is not dequantized",
  );
  has(
    mutated(nodes, `${gates}.quantize`, { quantMin: -1 }),
    "illegal parameters: quantMin: expected an integer in 0..255",
  );
  has(mutated(nodes, `${gates}.quantize`, { zeroPoint: 256 }), "illegal parameters: zeroPoint");
  has(mutated(nodes, `${gates}.quantize`, { scale: 0 }), "illegal parameters: scale");
  has(
    mutated(nodes, `${gates}.quantize`, { dtype: "int16" as "qint32" }),
    "illegal parameters: dtype",
  );
  has(mutated(nodes, `${gates}.quantize`, { dtype: "float32" }), "gives float32, not integers");
  has(
    mutated(nodes, gates, { dtype: "qint32" }),
    "gives qint32, which only a quantize or a state can",
  );
  has(mutated(nodes, gates, { inputs: ["lstm.l0.igates.dequantize"] }), "reads 1 values, not 2");
  has(mutated(nodes, gates, { op: "div" as "add" }), "has an unknown operation, div");
  has(mutated(nodes, gates, { width: 7 }), "has the width 7, not 12");
  has(mutated(nodes, gates, { name: "lstm.l0.igates" }), "has a name that another node has");
  has(mutated(nodes, "lstm.l0.igates", { weight: undefined }), "has no weight");
  has(mutated(nodes, "lstm.l0.h", { scale: 1 }), "differ in their parameters");
  has(mutated(nodes, "lstm.l0.c", { inputs: ["lstm.input.quantize"] }), "which stands before it");
  has([...nodes].reverse(), "which stands behind it");
  has(mutated(nodes, "output", { inputs: ["lstm.l0.tanh_cy.dequantize"] }), "is read by nobody");
  const pair = nodes.find(({ name }) => name === `${gates}.quantize`)!;
  const repeated = nodes.flatMap((node) =>
    node.name !== `${gates}.dequantize` ? [node] : [
      node,
      { ...pair, name: "again", inputs: [node.name] },
      { ...node, name: "again.dequantize", inputs: ["again"] },
    ]
  );
  has(
    mutated(repeated, "lstm.l0.gates.chunk.input", { inputs: ["again.dequantize"] }),
    "again repeats the pair before it",
  );
  const wider = repeated.map((node) => node.name === "again" ? { ...node, scale: 1 } : node);
  assertEquals(
    faults(mutated(wider, "lstm.l0.gates.chunk.input", { inputs: ["again.dequantize"] })),
    [],
  );
});

Deno.test("ReferenceModel can be iterated, and written as a table, JSON, DOT and Mermaid", () => {
  const graph: ReferenceModel = convertToReference(observed({ splitGates: true }));
  const table = graph.toTable().trimEnd().split("\n");
  assertEquals(table.length, graph.nodes.length + 1);
  assertMatch(table[0], /^name +op +inputs +dtype +scale +zeroPoint +quantMin +quantMax +weight$/);
  const { nodes } = JSON.parse(graph.toJSONText()) as { nodes: GraphNode[] };
  assertEquals(nodes.map(({ name }) => name), graph.nodes.map(({ name }) => name));
  for (
    const [i, { op, inputs, dtype, scale, zeroPoint, quantMin, quantMax }] of graph.nodes.entries()
  ) {
    const node = nodes[i]!;
    assertEquals(
      [node.op, node.inputs, node.dtype, node.scale, node.zeroPoint, node.quantMin, node.quantMax],
      [op, inputs, dtype, scale, zeroPoint, quantMin, quantMax],
    );
  }
  const edges = graph.nodes.reduce((sum, { inputs }) => sum + inputs.length, 0);
  assertEquals(graph.toDot().split("\n").filter((line) => line.includes(" -> ")).length, edges);
  assertEquals(
    graph.toDot().split("\n").filter((line) => line.includes("[label=")).length,
    graph.nodes.length,
  );
  assertEquals(
    graph.toMermaid().split("\n").filter((line) => /-->|-\.->/.test(line)).length,
    edges,
  );
  assertEquals(graph.toDot().match(/style=dashed/g)?.length, 2);
});

const named: NamedModule = { name: "lstm", type: "LSTM", parts: lstmCell(false).parts };
Deno.test("a mapping's parts reach the graph", () => {
  const mapping = new QConfigMapping().setGlobal(qconfig)
    .setPart(
      "cellState",
      MinMaxObserver.withArgs({ dtype: "qint32", quantMin: -32768, quantMax: 32767 }),
    );
  assertEquals(Object.keys(mapping.resolve([named])[0]!.parts!), ["cellState"]);
  const prepared = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), mapping);
  prepared.forward(x);
  const wide = convertToReference(prepared).nodes.filter(({ dtype }) => dtype === "qint32").map((
    { part, op },
  ) => part ?? op);
  assertEquals(wide, ["state", "fgate_cx", "igate_cgate", "fgate_cx_igate_cgate"]);
});
