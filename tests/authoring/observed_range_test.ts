// What is quantized was observed: ranges hold every value of the calls that calibrated them.
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  convert,
  Embedding,
  Linear,
  loadModel,
  LSTM,
  type ObservedModel,
  prepare,
  type QConfig,
  saveModel,
  Sequential,
  type Tensor,
  tensor,
  tokens,
} from "@splitgate/splitgate";
import {
  FakeQuantize,
  MinMaxObserver,
  MovingAverageMinMaxObserver,
  type Observer,
  type PartName,
} from "@splitgate/splitgate/qconfig";
import {
  convertToReference,
  type GraphNode,
  nodeQParams,
  type ReferenceState,
} from "@splitgate/splitgate/reference";
import { accurateQConfig } from "../../src/qconfig/presets.ts";
import { byParts } from "../../src/modules/recurrent/by_parts.ts";
import { defaultWeightObserver, fbgemmQConfig, qnnpackQConfig } from "../../src/qconfig/qconfig.ts";
import type { ForwardTensor } from "../../src/modules/kind.ts";
import { lstmCell } from "../../src/cells/lstm_parts.ts";
import type { ObservedLSTM } from "../../src/modules/lstm/observed.ts";
import type { QuantizedLinear } from "../../src/modules/linear/quantized.ts";
import type { QuantizedLSTM } from "../../src/modules/lstm/quantized.ts";
import { ReferenceModel } from "../../src/reference/reference.ts";
import { floatWeights } from "../../src/tune/report.ts";
import { type LSTMCase, lstmCases } from "../../src/testing/observed_lstms.ts";

/** 8-bit min/max observers everywhere. */
const minMax: QConfig = {
  activation: MinMaxObserver.withArgs({}),
  weight: defaultWeightObserver,
};

function reals(given: ForwardTensor): Float32Array {
  if (!("qparams" in given)) return given.data;
  const { scale, zeroPoint } = given.qparams;
  return Float32Array.from(given.data, (q) => scale * (q - zeroPoint));
}

function largestDifference(here: ForwardTensor, float: Tensor): number {
  assertEquals(here.shape, [...float.shape]);
  return reals(here).reduce((max, y, i) => Math.max(max, Math.abs(y - float.data[i]!)), 0);
}

/** x with zeros beyond each row's length: padding is observed nowhere. */
function unpadded({ x, lengths, steps, batch, lstm }: LSTMCase): Tensor {
  const data = x.data.slice();
  lengths?.forEach((length, b) => {
    for (let t = length; t < steps; t++) {
      const row = lstm.batchFirst ? b * steps + t : t * batch + b;
      data.fill(0, row * lstm.inputSize, (row + 1) * lstm.inputSize);
    }
  });
  return tensor(data, x.shape);
}

function calibrate(observed: ObservedModel, { x, state, lengths }: LSTMCase): void {
  observed.forward(x, {
    ...(lengths === undefined ? {} : { lengths }),
    ...(state === undefined ? {} : { state: { lstm: state } }),
  });
}

/** The rows of one cell of a state [cells, batch, width]. */
function cellState({ data, shape: [cells, batch, width] }: Tensor, cell: number): Tensor {
  const size = data.length / cells!;
  return tensor(data.slice(cell * size, (cell + 1) * size), [batch!, width!]);
}

/** A state as the reference graph takes it. */
function referenceState(lstm: LSTM, [h, c]: readonly [Tensor, Tensor]): ReferenceState {
  return new Map(
    Array.from({ length: lstm.numLayers * lstm.numDirections }, (_, cell) => {
      const layer = Math.floor(cell / lstm.numDirections);
      const reverse = cell % lstm.numDirections === 1 ? "_reverse" : "";
      return [`lstm.l${layer}${reverse}`, { h: cellState(h, cell), c: cellState(c, cell) }];
    }),
  );
}

/** Whether a node's parameters come from what was seen: not from an operator that gives its own. */
function isObserved({ part }: GraphNode, observed: ObservedLSTM): boolean {
  if (part === undefined) return true;
  const { op } = lstmCell(true, observed.module).parts.find(({ name }) => name === part)!;
  return !["sigmoid", "hardsigmoid", "tanh"].includes(op) &&
    observed.qconfig.parts?.[part as PartName] === undefined;
}

Deno.test("every value that the calibration call quantizes lies in the range that was observed", () => {
  let values = 0;
  fc.assert(
    fc.property(
      lstmCases,
      fc.boolean(),
      fc.constantFrom("torch", "own"),
      (random, splitGates, initialState) => {
        const { lstm, state, lengths } = random;
        const observed = prepare(lstm, { ...minMax, initialState, concatenation: "both" }, {
          splitGates,
        });
        calibrate(observed, random);
        const quantized = convert(observed);
        const holds = (value: number, q: NonNullable<ReturnType<typeof nodeQParams>>) => {
          values++;
          // The zero point is rounded, which shifts the range by at most half a step.
          const { scale, zeroPoint, quantMin, quantMax } = q;
          const steps = value / scale + zeroPoint;
          assert(
            steps >= quantMin - 0.501 && steps <= quantMax + 0.501,
            `${value}: ${steps} steps`,
          );
        };
        const twin = new ReferenceModel(quantized, floatWeights(observed));
        const observedLSTM = observed.modules.get("lstm") as ObservedLSTM;
        twin.run(unpadded(random), {
          ...(lengths === undefined ? {} : { lengths }),
          ...(state === undefined ? {} : { state: referenceState(lstm, state) }),
          watch(node, { data }) {
            if (node.op !== "quantize" || !isObserved(node, observedLSTM)) return;
            data.forEach((value) => holds(value, nodeQParams(node)!));
          },
        });
        if (state === undefined) return;
        const { cells, stateInput } = quantized.modules.get("lstm") as QuantizedLSTM;
        cells.flat().forEach(({ parts }, cell) => {
          const own = [parts.proj ?? parts.ogate_cy, parts.fgate_cx_igate_cgate];
          state.forEach((tensor, i) =>
            cellState(tensor, cell).data.forEach((value) =>
              holds(value, stateInput?.[i] ?? own[i]!)
            )
          );
        });
      },
    ),
    { numRuns: 150 },
  );
  assert(values > 100_000, `${values} values`);
});

Deno.test("accurate: what calibrated it comes out within 0.02 of float, final states within 0.03", () => {
  // A relu's or linear's values, and with them the steps, can be of any size.
  const bounded = lstmCases.filter(({ lstm }) =>
    [lstm.activation, lstm.cellActivation].every((each) => each === "tanh" || each === "sigmoid")
  );
  fc.assert(
    fc.property(bounded, fc.boolean(), (random, splitGates) => {
      const { lstm, x, state, lengths } = random;
      const observed = prepare(lstm, accurateQConfig, { splitGates });
      calibrate(observed, random);
      const options = lengths === undefined ? {} : { lengths };
      const quantized = convert(observed).modules.get("lstm") as QuantizedLSTM;
      const [y, [h, c]] = quantized.forward(x, state, options);
      const [yFloat, [hFloat, cFloat]] = lstm.forward(x, state, options);
      const found = [[y, yFloat], [h, hFloat], [c, cFloat]] as const;
      found.forEach(([here, float], i) => {
        const difference = largestDifference(here, float);
        assert(difference <= (i === 0 ? 0.02 : 0.03), `${"yhc"[i]}: ${difference}`);
      });
    }),
    { numRuns: 150 },
  );
});

/**
 * Skips cases that qnnpack cannot add: a part that saw only zeros, as after a ReLU, has a tiny
 * scale.
 */
function whereDefined<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    fc.pre(!(error instanceof RangeError && error.message.includes("qnnpack's addition")));
    throw error;
  }
}

Deno.test("a given state takes the same integers in every executor, and from the model's file", () => {
  fc.assert(
    fc.property(
      lstmCases.filter(({ state, lstm }) => state !== undefined && lstm.projSize === 0),
      fc.constantFrom(fbgemmQConfig, qnnpackQConfig, accurateQConfig, minMax),
      fc.boolean(),
      (random, preset, splitGates) => {
        const { lstm, x, state, lengths } = random;
        const observed = prepare(lstm, preset, { splitGates });
        calibrate(observed, random);
        const model = convert(observed);
        const quantized = model.modules.get("lstm") as QuantizedLSTM;
        const options = lengths === undefined ? {} : { lengths };
        const expected = whereDefined(() => quantized.forward(x, state, options));
        const given = { ...options, kernels: byParts() };
        assertEquals(quantized.forward(x, state, given), expected);
        const bytes = saveModel(model);
        const loaded = loadModel(bytes);
        assertEquals(saveModel(loaded), bytes);
        const again = loaded.modules.get("lstm") as QuantizedLSTM;
        assertEquals(again.stateInput, quantized.stateInput);
        assertEquals(again.forward(x, state, options), expected);
        // The reference graph rounds otherwise here and there: a step or two, never another range.
        const { output } = convertToReference(model).run(x, {
          ...options,
          state: referenceState(lstm, state!),
        });
        const { scale } = quantized.output!;
        assert(largestDifference(expected[0], output) <= 8 * scale);
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("own: final states passed on to the next chunk give the bits of the whole", () => {
  let several = 0;
  fc.assert(
    fc.property(
      lstmCases.filter(({ lstm, steps }) => !lstm.bidirectional && !lstm.batchFirst && steps > 1),
      (random) => {
        const { lstm, x, state, steps, batch } = random;
        const observed = prepare(lstm, accurateQConfig);
        calibrate(observed, { ...random, lengths: undefined });
        const quantized = convert(observed).modules.get("lstm") as QuantizedLSTM;
        const [whole, final] = quantized.forward(x, state);
        const size = batch * lstm.inputSize;
        let next: readonly [ForwardTensor, ForwardTensor] | undefined = state;
        for (let t = 0; t < steps; t++) {
          const chunk = tensor(x.data.slice(t * size, (t + 1) * size), [1, batch, lstm.inputSize]);
          const [y, after] = quantized.forward(chunk, next);
          const width = y.data.length;
          assertEquals(y.data, whole.data.slice(t * width, (t + 1) * width));
          next = after;
        }
        assertEquals(next, final);
        if (!("qparams" in final[1])) several++;
      },
    ),
    { numRuns: 40 },
  );
  assert(several > 5, `${several} with float32 states`);
});

/** A cell whose output at the first step is decided by h0 alone: tanh(sigmoid(0) tanh(h0)) / 2. */
function readsHidden(): LSTM {
  const lstm = new LSTM({ inputSize: 1, hiddenSize: 1 });
  const zeros = () => tensor([0, 0, 0, 0], [4]);
  lstm.loadStateDict(
    new Map([
      ["weight_ih_l0", tensor([0, 0, 0, 0], [4, 1])],
      ["weight_hh_l0", tensor([0, 0, 1, 0], [4, 1])],
      ["bias_ih_l0", zeros()],
      ["bias_hh_l0", zeros()],
    ]),
  );
  return lstm;
}

Deno.test("given states have observers of their own under torch's presets, and the cell's under own", () => {
  const x = tensor([0], [1, 1, 1]);
  const state = [tensor([0.9], [1, 1, 1]), tensor([-0.5], [1, 1, 1])] as const;
  const ends = (observer: Observer | null) => [observer!.minVal, observer!.maxVal];
  const run = (initialState: "torch" | "own") => {
    const observed = prepare(readsHidden(), { ...minMax, initialState });
    observed.forward(x, { state: { lstm: state } });
    const lstm = observed.modules.get("lstm") as ObservedLSTM;
    return { lstm, quantized: convert(observed).modules.get("lstm") as QuantizedLSTM };
  };
  const f = Math.fround;
  const torch = run("torch");
  assertEquals(torch.lstm.state!.map(ends), [[f(0.9), f(0.9)], [-0.5, -0.5]]);
  assert((torch.lstm.cells[0]![0]!.observers.ogate_cy!.maxVal as number) < 0.2);
  assertEquals(torch.quantized.stateInput!.map((q) => q!.scale), [f(f(0.9) / 255), f(0.5 / 255)]);
  const own = run("own");
  assertEquals([own.lstm.state, own.quantized.stateInput], [null, undefined]);
  assertEquals(own.lstm.cells[0]![0]!.observers.ogate_cy!.maxVal, f(0.9));
  assertEquals(own.lstm.cells[0]![0]!.observers.fgate_cx_igate_cgate!.minVal, -0.5);
  const [expected] = readsHidden().forward(x, state);
  for (const { quantized } of [torch, own]) {
    assert(largestDifference(quantized.forward(x, state)[0], expected) < 0.01);
  }
});

Deno.test("states of zeros, or none, leave each cell's own parameters to float32 states", () => {
  const x = tensor([1, -1], [2, 1, 1]);
  const zeros = () => tensor([0], [1, 1, 1]);
  for (const state of [undefined, [zeros(), zeros()] as const]) {
    const observed = prepare(readsHidden(), minMax);
    observed.forward(x, state === undefined ? {} : { state: { lstm: state } });
    assertEquals(
      (convert(observed).modules.get("lstm") as QuantizedLSTM).stateInput,
      undefined,
    );
  }
});

Deno.test("fake-quantizers change given states, as torch's QuantStubs do", () => {
  const activation = FakeQuantize.withArgs({
    observer: MinMaxObserver.withArgs({ quantMin: 0, quantMax: 3 }),
  });
  const given = tensor([0.9, 0.2], [1, 2, 1]);
  const rounded = tensor([0.9, 0.3], [1, 2, 1]);
  const zeros = tensor([0, 0], [1, 2, 1]);
  const x = tensor([0, 0], [1, 2, 1]);
  for (const initialState of ["torch", "own"] as const) {
    const [fake, exact] = [given, rounded].map((h) =>
      prepare(readsHidden(), { ...minMax, initialState, activation })
        .forward(x, { state: { lstm: [h, zeros] } })
    );
    assertEquals(fake, exact);
  }
});

Deno.test("gates and weights are fake-quantized where activations are, and switched like them", () => {
  const observer = MovingAverageMinMaxObserver.withArgs({});
  const fake = (fakeQuantEnabled: boolean): QConfig => ({
    activation: FakeQuantize.withArgs({ observer, fakeQuantEnabled }),
    weight: FakeQuantize.withArgs({
      observer: MinMaxObserver.withArgs({ dtype: "qint8", qscheme: "perTensorSymmetric" }),
      fakeQuantEnabled,
    }),
  });
  const float = new LSTM({ inputSize: 2, hiddenSize: 3, projSize: 2 });
  const x = tensor([0.5, -1, 0.25, 2], [2, 1, 2]);
  const [expected] = float.forward(x);
  for (const splitGates of [false, true]) {
    const quiet = prepare(float, fake(false), { splitGates });
    assertEquals(quiet.forward(x), expected);
    const { observers, weightFakeQuant } = (quiet.modules.get("lstm") as ObservedLSTM)
      .cells[0]![0]!;
    const { ih, hh, hr } = weightFakeQuant;
    assertEquals([ih.length, hh.length, hr.length], splitGates ? [4, 4, 1] : [1, 1, 1]);
    const gates = [observers.input_gate, observers.forget_gate, observers.cell_gate];
    for (const gate of [...gates, observers.output_gate]) {
      assert(gate instanceof FakeQuantize && !gate.fakeQuantEnabled);
    }
    assert(!(observers.tanh_cy instanceof FakeQuantize));
    // Switched on one by one, each changes what comes out.
    for (const quantizer of [...ih, ...hh, ...hr, ...gates, observers.gates[0]]) {
      (quantizer as FakeQuantize).fakeQuantEnabled = true;
      assert(quiet.forward(x).data.some((y, i) => y !== expected.data[i]));
      (quantizer as FakeQuantize).fakeQuantEnabled = false;
    }
    assertEquals(quiet.forward(x), expected);
  }
});

Deno.test("weights are clamped to a halved range, whose ends nearest rounding leaves", () => {
  const weight = MinMaxObserver.withArgs({
    dtype: "qint8",
    qscheme: "perTensorSymmetric",
    reduceRange: true,
  });
  const linear = new Linear({ inFeatures: 2, outFeatures: 1 });
  linear.weight.set([1, -1]);
  const observed = prepare(linear, { ...minMax, weight });
  observed.forward(tensor([1, 1], [1, 2]));
  const { modules } = convert(observed);
  const out = modules.get("linear") as QuantizedLinear;
  // 1 is 63.5 steps of 1 / 63.5, which rounds to 64.
  assertEquals([...out.weight.data], [63, -64]);
});

Deno.test("the backward direction is cut off under torch's presets, and observed where both are", () => {
  // Both directions are equal, except that the backward one opens its gates.
  const lstm = new LSTM({ inputSize: 2, hiddenSize: 3, bidirectional: true });
  const [[forward, backward]] = lstm.cells as [[LSTM["cells"][0][0], LSTM["cells"][0][0]]];
  forward.weightIh.forEach((_, i) => forward.weightIh[i]! /= 8);
  backward.weightIh.forEach((_, i) => backward.weightIh[i]! *= 8);
  const x = tensor(Float32Array.from({ length: 20 }, (_, i) => Math.sin(i)), [10, 1, 2]);
  const [expected] = lstm.forward(x);
  const errors = (["torch", "both"] as const).map((concatenation) => {
    const observed = prepare(lstm, { ...accurateQConfig, concatenation });
    observed.forward(x);
    const [y] = (convert(observed).modules.get("lstm") as QuantizedLSTM).forward(x);
    return largestDifference(y, expected);
  });
  assert(errors[0]! > 0.2 && errors[1]! < 0.01, `${errors}`);
  assertEquals(accurateQConfig.concatenation, "both");
});

Deno.test("calibrated rounding and what a part requantizes before it reads go together", () => {
  const input = MinMaxObserver.withArgs({});
  const x = tensor([0.5, -1, 0.25, 2], [2, 1, 2]);
  const parts = { ...accurateQConfig.parts, hgates: { inputs: [input] } };
  const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), {
    ...accurateQConfig,
    parts,
  });
  observed.forward(x);
  const { observers } = (observed.modules.get("lstm") as ObservedLSTM).cells[0]![0]!;
  assert(observers.inputs!.hgates![0]!.seen);
  convert(observed);
});

Deno.test("lengths of what is unbatched keep padding from observers, of tokens as well", () => {
  const x = tensor([0.5, -1, 0.25, 2, 100, 100], [3, 2]);
  const model = new Sequential({
    lstm: new LSTM({ inputSize: 2, hiddenSize: 5 }),
    out: new Linear({ inFeatures: 5, outFeatures: 2 }),
  });
  const prints = [x, tensor(x.data.slice(0, 4), [2, 2])].map((each) => {
    const observed = prepare(model, minMax);
    observed.forward(each, { lengths: [2] });
    return convert(observed).fingerprint;
  });
  assertEquals(prints[0], prints[1]);
  const tagger = new Sequential({
    embedding: new Embedding({ numEmbeddings: 3, embeddingDim: 2 }),
    lstm: new LSTM({ inputSize: 2, hiddenSize: 5 }),
  });
  const [whole, padded, batch] = [
    [[0, 1], [2]],
    [[0, 1, 2, 2], [4]],
    [[0, 1, 2, 2], [4, 1]],
  ].map(([ids, shape]) => {
    const observed = prepare(tagger, minMax);
    observed.forward(tokens(ids!, shape!), { lengths: [2] });
    return convert(observed).fingerprint;
  });
  assertEquals([padded, batch], [whole, whole]);
});

Deno.test("a moving average begins with the first tensor's range, and given states move it under own", () => {
  const observer = MovingAverageMinMaxObserver.withArgs({ averagingConstant: 0.5 });
  const observed = prepare(readsHidden(), {
    ...minMax,
    initialState: "own",
    activation: observer,
  });
  const state = [tensor([0.5], [1, 1, 1]), tensor([0.25], [1, 1, 1])] as const;
  observed.forward(tensor([0], [1, 1, 1]), { state: { lstm: state } });
  const { ogate_cy } = (observed.modules.get("lstm") as ObservedLSTM).cells[0]![0]!.observers;
  const y = readsHidden().forward(tensor([0], [1, 1, 1]), state)[0].data[0]!;
  const f = Math.fround;
  assertEquals(ogate_cy!.minVal, f(0.5 + f(0.5 * f(y - 0.5))));
});

Deno.test("prepare() refuses a concatenation that there is none of", () => {
  const lstm = new LSTM({ inputSize: 1, hiddenSize: 1 });
  assertThrows(
    () => prepare(lstm, { ...minMax, concatenation: "shared" as "both" }),
    RangeError,
    "qconfig.concatenation: expected torch or both, got",
  );
});
