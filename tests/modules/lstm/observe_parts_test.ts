import { assertEquals, assertNotEquals, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { convert, LSTM, type QConfig, tensor } from "@splitgate/splitgate";
import {
  FakeQuantize,
  FixedQParamsObserver,
  HistogramObserver,
  MinMaxObserver,
  observeLSTMParts,
  type Observer,
  type PartObservers,
  type PartSlot,
} from "@splitgate/splitgate/qconfig";
import { convertToReference } from "@splitgate/splitgate/reference";
import { defaultWeightObserver, fbgemmQConfig } from "../../../src/qconfig/qconfig.ts";
import { CELLS } from "../../../src/cells/cells.ts";
import { lstmCell } from "../../../src/cells/lstm_parts.ts";
import { type LSTMPartName, PART_SLOTS } from "../../../src/cells/names.ts";
import type { ObservedLSTM } from "../../../src/modules/lstm/observed.ts";
import { lstmCases, partObservers } from "../../../src/testing/observed_lstms.ts";

const bits16 = MinMaxObserver.withArgs({
  dtype: "qint32",
  qscheme: "perTensorSymmetric",
  quantMin: -32768,
  quantMax: 32767,
});
const qconfig: QConfig = { activation: MinMaxObserver.withArgs({}), weight: defaultWeightObserver };
const small = () => new LSTM({ inputSize: 2, hiddenSize: 3, numLayers: 2, bidirectional: true });
const input = tensor(Float32Array.from({ length: 24 }, (_, i) => Math.sin(i * 1.7)), [4, 3, 2]);

/** The slots that an LSTM has. */
const SLOTS: readonly PartSlot[] = PART_SLOTS.filter((slot) =>
  lstmCell(true).parts.some((part) => part.slot === slot)
);

function lstmOf(observed: ReturnType<typeof observeLSTMParts>): ObservedLSTM {
  return observed.modules.get("lstm") as ObservedLSTM;
}

Deno.test("observeLSTMParts() gives the float LSTM's output bit for bit, in every form", () => {
  fc.assert(
    fc.property(
      lstmCases.chain((each) =>
        fc.boolean().chain((splitGates) =>
          partObservers([0, 8, 16, 32], splitGates, each.lstm)
            .map((parts) => ({ ...each, splitGates, parts }))
        )
      ),
      ({ lstm, x, state, lengths, splitGates, parts }) => {
        const observed = observeLSTMParts(lstm, parts, { splitGates, qconfig });
        const options = { ...(lengths === undefined ? {} : { lengths }) };
        const [y, [h, c]] = lstm.forward(x, state, options);
        assertEquals(
          observed.forward(x, {
            ...options,
            ...(state === undefined ? {} : { state: { lstm: state } }),
          }),
          y,
        );
        assertEquals(lstmOf(observed).forward(x, state, options), [y, [h, c]]);
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("observeLSTMParts() gives the float LSTM's output when the input has no batch", () => {
  const lstm = small();
  const x = tensor(input.data.subarray(0, 8), [4, 2]);
  assertEquals(observeLSTMParts(lstm, {}).forward(x), lstm.forward(x)[0]);
});

Deno.test("observeLSTMParts() copies weights and biases of both directions", () => {
  const lstm = small();
  const observed = observeLSTMParts(lstm, {}, { splitGates: true });
  const [expected] = lstm.forward(input);
  assertEquals(lstmOf(observed).module.stateDict(), lstm.stateDict());
  for (const { data } of lstm.stateDict().values()) data.fill(9);
  assertEquals(observed.forward(input), expected);
});

Deno.test("observeLSTMParts() gives each part, layer and direction an observer of its own", () => {
  const observed = observeLSTMParts(small(), {}, { qconfig, splitGates: true });
  const seen = new Set<Observer>();
  let count = 0;
  for (const { observers } of lstmOf(observed).cells.flat()) {
    for (const each of Object.values(observers).flat() as Observer[]) {
      seen.add(each);
      count++;
    }
  }
  assertEquals([seen.size, count], [4 * 21, 4 * 21]);
  const fused = lstmOf(observeLSTMParts(small(), {}, { qconfig })).cells[0]![0]!.observers;
  assertEquals(new Set(Object.values(fused).flat()).size, 12);
});

Deno.test("observeLSTMParts() gives a left-out part the QConfig's activation, sigmoid and tanh too", () => {
  const activation = FixedQParamsObserver.withArgs({ scale: 2 ** -7, zeroPoint: 128 });
  const observed = observeLSTMParts(small(), { cellState: bits16 }, {
    qconfig: { ...qconfig, activation },
  });
  for (const { observers } of lstmOf(observed).cells.flat()) {
    for (const part of lstmCell(true).parts) {
      const observer = [observers[part.name as LSTMPartName]].flat()[0] as Observer | undefined;
      if (part.name === "proj") continue;
      assertEquals(
        observer?.kind,
        part.slot === "cellState" ? "MinMaxObserver" : "FixedQParamsObserver",
        part.name,
      );
    }
  }
});

Deno.test("observeLSTMParts() sets each slot, also to not quantized, and a part over its slot", () => {
  const lstm = new LSTM({ inputSize: 2, hiddenSize: 5, projSize: 3 });
  for (const slot of SLOTS) {
    const histogram = HistogramObserver.withArgs({});
    for (const [observer, kind] of [[histogram, "HistogramObserver"], [null, undefined]] as const) {
      const { observers } = lstmOf(observeLSTMParts(lstm, { [slot]: observer }, { qconfig }))
        .cells[0]![0]!;
      for (const part of lstmCell(true).parts) {
        const [own] = [observers[part.name as LSTMPartName]].flat() as (Observer | null)[];
        assertEquals(own?.kind, part.slot === slot ? kind : "MinMaxObserver", part.name);
      }
    }
  }
  const parts = { sigmoid: bits16, forget_gate: null };
  const { observers } = lstmOf(observeLSTMParts(lstm, parts, { qconfig })).cells[0]![0]!;
  assertEquals([observers.input_gate?.dtype, observers.forget_gate, observers.output_gate?.dtype], [
    "qint32",
    null,
    "qint32",
  ]);
});

Deno.test("observeLSTMParts() observes each gate's linear output for itself when gates are split", () => {
  const four = [1, 2, 3, 4].map((k) =>
    FixedQParamsObserver.withArgs({ scale: k / 64, zeroPoint: 128 })
  );
  const observed = observeLSTMParts(small(), { linearOutput: four }, { qconfig, splitGates: true });
  observed.forward(input);
  const gates = convertToReference(observed).nodes.filter(({ op, part }) =>
    op === "quantize" && part === "gates"
  );
  assertEquals(gates.map(({ scale }) => scale! * 64), [
    1,
    2,
    3,
    4,
    1,
    2,
    3,
    4,
    1,
    2,
    3,
    4,
    1,
    2,
    3,
    4,
  ]);
  assertThrows(
    () => observeLSTMParts(small(), { linearOutput: four }, { qconfig }),
    RangeError,
    "part gates: expected one observer for all gates, or splitGates: true",
  );
});

Deno.test("observeLSTMParts() quantizes values on their way when parts have fake-quantizers", () => {
  const lstm = small();
  const [float] = lstm.forward(input);
  for (const slot of SLOTS.filter((slot) => slot !== "projection")) {
    const coarse = FakeQuantize.withArgs({
      observer: FixedQParamsObserver.withArgs({ scale: 0.25, zeroPoint: 128 }),
    });
    const observed = observeLSTMParts(lstm, { [slot]: coarse }, { qconfig });
    assertNotEquals(observed.forward(input), float, slot);
  }
  const fake = FakeQuantize.withArgs({
    observer: MinMaxObserver.withArgs({}),
    fakeQuantEnabled: false,
  });
  assertEquals(observeLSTMParts(lstm, { hiddenState: fake }, { qconfig }).forward(input), float);
});

Deno.test("observeLSTMParts() with fake-quantizers everywhere comes to what the reference graph gives", () => {
  const fixed = (scale: number, zeroPoint: number) =>
    FakeQuantize.withArgs({ observer: FixedQParamsObserver.withArgs({ scale, zeroPoint }) });
  const parts: PartObservers = {
    linearOutput: fixed(1 / 16, 128),
    sigmoid: fixed(1 / 256, 0),
    tanh: fixed(1 / 128, 128),
    cellState: fixed(1 / 32, 128),
    cellTanh: fixed(1 / 128, 128),
    hiddenState: fixed(1 / 128, 128),
  };
  const weight = FixedQParamsObserver.withArgs({ dtype: "qint8", scale: 1 / 128, zeroPoint: 0 });
  const lstm = small();
  // Weights that int8 holds exactly, so that only activations are rounded.
  for (const { data } of lstm.stateDict().values()) {
    data.forEach((v, i) => data[i] = Math.round(v * 128) / 128);
  }
  const observed = observeLSTMParts(lstm, parts, {
    qconfig: { activation: fixed(1 / 64, 128), weight },
    splitGates: true,
  });
  const y = observed.forward(input);
  assertEquals(convertToReference(observed).run(input).output, y);
});

Deno.test("observeLSTMParts() carries observers of what parts read through to every form", () => {
  const observed = observeLSTMParts(small(), {
    sigmoid: bits16,
    tanh: bits16,
    fgate_cx: { inputs: [MinMaxObserver.withArgs({}), null] },
  }, { qconfig });
  observed.forward(input);
  const pairs = convertToReference(observed).nodes.filter(({ name, op }) =>
    op === "quantize" && name.includes("inputs[")
  );
  assertEquals(
    pairs.map(({ name, dtype }) => [name, dtype]),
    [
      "l0",
      "l0_reverse",
      "l1",
      "l1_reverse",
    ].map((cell) => [`lstm.${cell}.fgate_cx.inputs[0].quantize`, "quint8"]),
  );
  assertStrictEquals(convert(observed).modules.size, 1);
});

Deno.test("observeLSTMParts() refuses what is no part, observer, dtype or range, and says what to do", () => {
  const lstm = small();
  const observe = (parts: unknown, options = {}) =>
    observeLSTMParts(lstm, parts as PartObservers, options);
  assertThrows(() => observe({ cellGate: bits16 }), RangeError, "cell_gate");
  assertThrows(
    () => observe({ cellState: "int16" }),
    TypeError,
    "part cellState: expected an observer factory",
  );
  for (const given of ["int16", { dtype: "int16" }]) {
    assertThrows(
      () => observe({ cellState: given }),
      TypeError,
      "for 16 bits with dtype qint32, quantMin and quantMax",
    );
  }
  assertThrows(() => observe({ cellState: undefined }), TypeError, "part cellState");
  assertThrows(
    () => observe({ cellState: { dtype: "qint32" } }),
    TypeError,
    "part cellState: expected an observer factory",
  );
  assertThrows(
    () => MinMaxObserver.withArgs({ dtype: "int16" as "qint32" }),
    TypeError,
    'for 16 bits: qint32 with quantMin and quantMax), got "int16"',
  );
  assertThrows(
    () =>
      FixedQParamsObserver.withArgs({ dtype: "quint8", scale: 1, zeroPoint: 0, quantMax: 65535 }),
    RangeError,
    "quantMax: expected an integer in 1..255, got 65535",
  );
  assertThrows(() => observe({ cellState: [bits16, bits16] }), RangeError, "4 observers");
  assertThrows(
    () => observe({ cellState: [bits16, bits16, bits16, bits16] }),
    TypeError,
    "part cellState",
  );
  assertThrows(
    () => observe({ fgate_cx: { inputs: [bits16] } }),
    RangeError,
    "part fgate_cx.inputs: expected 2",
  );
  assertThrows(() => observe({ fgate_cx: { inputs: bits16 } }), TypeError, "part fgate_cx.inputs");
  assertThrows(
    () => observe({ projection: bits16 }),
    RangeError,
    "part projection: expected an LSTM with projSize",
  );
  assertThrows(() => observe(null), TypeError, "parts");
  assertThrows(() => observe({}, { splitGates: 1 }), TypeError, "splitGates");
  assertThrows(() => observe({}, { qconfig: null }), TypeError, "qconfig");
  assertThrows(() => observeLSTMParts({} as LSTM, {}), TypeError, "lstm: expected an LSTM");
});

Deno.test("convert() and convertToReference() name the part whose observer never saw data", () => {
  for (const form of [convert, convertToReference]) {
    const observed = observeLSTMParts(small(), {}, {
      qconfig: { ...fbgemmQConfig, input: bits16 },
    });
    assertThrows(
      () => form(observed),
      RangeError,
      "lstm.input: expected an observer that has seen data",
    );
    const each = observeLSTMParts(small(), {}, { splitGates: true });
    (each.modules.get("lstm") as ObservedLSTM).forward(input);
    assertThrows(() => form(each), RangeError, "lstm.input");
    each.forward(input);
    (lstmOf(each).cells[1]![1]!.observers.gates[2] as Observer).reset();
    assertThrows(
      () => form(each),
      RangeError,
      "lstm.l1_reverse.gates.cell: expected an observer that has seen data",
    );
  }
});

Deno.test("PART_SLOTS has the slot of every part, and no other", () => {
  const slots = CELLS.flatMap(({ parts }) => parts.map(({ slot }) => slot));
  assertEquals(new Set(slots), new Set(PART_SLOTS));
});
