// A GRU from float model to program: observed, reference, files, folding, tuning, targets.
import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  convert,
  Embedding,
  Generator,
  getPreset,
  GRU,
  Linear,
  loadModel,
  type ObservedModel,
  prepare,
  PRESET_NAMES,
  QConfigMapping,
  quantizeDynamic,
  saveModel,
  Sequential,
  tensor,
  tokens,
} from "@splitgate/splitgate";
import { GRU_PARTS } from "@splitgate/splitgate/modules";
import { fbgemmBackendConfig, MinMaxObserver } from "@splitgate/splitgate/qconfig";
import { convertToReference } from "@splitgate/splitgate/reference";
import { reportParts, tune } from "@splitgate/splitgate/tune";
import { gruCell } from "../../../src/cells/gru_parts.ts";
import { type CellExecutor, gateSuffix, type Part, runCell } from "../../../src/cells/cell.ts";
import type { ObservedRecurrent } from "../../../src/modules/recurrent/observed.ts";
import { ByPartsExecutor, type PartValue } from "../../../src/modules/recurrent/by_parts.ts";
import type { QuantizedGRU } from "../../../src/modules/gru/quantized.ts";
import { computeNode } from "../../../src/reference/run.ts";
import type { Bits } from "../../../src/testing/quantized_lstms.ts";
import { gruCases } from "../../../src/testing/quantized_lstms.ts";
import { anyModel, formsOf } from "../../runtime/forms.ts";
import { inputFor, outputFor } from "../../../src/testing/values.ts";
import { random } from "../../../src/testing/float_lstms.ts";

const ROW = { steps: 1, batch: 1, lengths: null, batchFirst: false };

const conventions = fc.record({ resetAfter: fc.boolean(), complementedUpdate: fc.boolean() });

interface Made {
  readonly gru: GRU;
  readonly observed: ObservedModel;
  readonly generator: Generator;
}

/** A GRU that has seen calibration data. */
const calibrated: fc.Arbitrary<Made> = fc.record({
  conventions,
  preset: fc.constantFrom(...PRESET_NAMES),
  splitGates: fc.boolean(),
  numLayers: fc.constantFrom(1, 2),
  bidirectional: fc.boolean(),
  hiddenSize: fc.constantFrom(1, 5, 13),
  seed: fc.nat(),
}).map(({ conventions, preset, splitGates, ...sizes }) => {
  const gru = new GRU({ inputSize: 4, ...sizes, ...conventions });
  const observed = prepare(gru, getPreset(preset as "accurate"), { splitGates });
  const generator = new Generator(sizes.seed + 1);
  for (let i = 0; i < 3; i++) {
    const x = random(generator, [6, 2, 4]);
    // Observing changes nothing.
    assertEquals(observed.forward(x), gru.forward(x)[0]);
  }
  return { gru, observed, generator };
});

/** Runs of a quantized GRU and its reference graph, part by part, on what the former computes. */
function requireOneStep({ observed, generator }: Made): number {
  const graph = convertToReference(observed);
  const nodes = new Map(graph.nodes.map((node) => [node.name, node]));
  const quantized = convert(observed).modules.get("gru") as QuantizedGRU;
  const { cell } = quantized;
  const x = random(generator, [4, 1, quantized.inputSize]);
  let compared = 0;
  const valueOf = ({ data, ...rest }: PartValue) => ({
    data,
    qparams: "qparams" in rest ? rest.qparams : null,
  });
  quantized.cells[0]!.forEach((own, d) => {
    const executor = new ByPartsExecutor(quantized.engine, cell, own);
    const at = `gru.l0${d === 1 ? "_reverse" : ""}`;
    const held: CellExecutor<PartValue> = {
      apply(part: Part, gate, inputs) {
        const value = executor.apply(part, gate, inputs);
        const name = `${at}.${part.name}${gateSuffix(cell, gate)}`;
        const floats = inputs.map((input) => {
          const { data, qparams } = valueOf(input);
          if (qparams === null) return { data, qparams };
          const { scale, zeroPoint } = qparams;
          return {
            data: Float32Array.from(data, (q) => Math.fround(scale * (q - zeroPoint))),
            qparams: null,
          };
        });
        const real = computeNode(nodes.get(name)!, floats, ROW, null);
        const quantize = nodes.get(`${name}.quantize`);
        const expected = quantize === undefined ? real : computeNode(quantize, [real], ROW, null);
        value.data.forEach((q, i) => {
          const step = "qparams" in value ? 1 : 1e-5 * Math.max(1, Math.abs(q));
          assert(Math.abs(q - expected.data[i]!) <= step, `${name}: ${q}, ${expected.data[i]}`);
          compared++;
        });
        return value;
      },
      chunk: (part, gate, value) => executor.chunk(part, gate, value),
      read: (part, gate, index, value) => executor.read(part, gate, index, value),
    };
    const zero = nodes.get(`${at}.h`)!;
    const data = new Float32Array(zero.width);
    let states: readonly PartValue[] = [
      zero.dtype === "float32" ? { data, shape: [1, zero.width] } : {
        ...computeNode({ ...zero, op: "quantize" }, [{ data, qparams: null }], ROW, null),
        shape: [1, zero.width],
      } as PartValue,
    ];
    for (let t = 0; t < 4; t++) {
      const row = x.data.slice(t * 4, t * 4 + 4);
      const input = nodes.get("gru.input.quantize");
      const value = input === undefined
        ? { data: row }
        : computeNode(input, [{ data: row, qparams: null }], ROW, null);
      const given = { ...value, shape: [1, 4] } as PartValue;
      if (!("qparams" in given) || given.qparams === null) {
        states = runCell(held, cell, quantized.splitGates, { data: row, shape: [1, 4] }, states);
      } else states = runCell(held, cell, quantized.splitGates, given, states);
    }
  });
  return compared;
}

Deno.test("the integers of a GRU are within one step of its reference graph at each part, in every preset", () => {
  let compared = 0;
  fc.assert(
    fc.property(calibrated, (made) => {
      try {
        compared += requireOneStep(made);
      } catch (error) {
        if (error instanceof RangeError && error.message.includes("qnnpack")) return;
        throw error;
      }
    }),
    { numRuns: 60 },
  );
  assert(compared > 5000, `${compared}`);
});

Deno.test("a GRU's reference graph has its pairs, three Linears for each state where gates are split, and no gates tensor", () => {
  for (const splitGates of [false, true]) {
    const gru = new GRU({ inputSize: 2, hiddenSize: 3, bidirectional: true });
    const observed = prepare(gru, getPreset("fbgemm"), { splitGates });
    observed.forward(random(new Generator(1), [4, 2, 2]));
    const { nodes } = convertToReference(observed);
    const linears = nodes.filter(({ op }) => op === "linear");
    assertEquals(linears.length, (splitGates ? 6 : 2) * 2);
    assertEquals(linears.every(({ width }) => width === (splitGates ? 3 : 9)), true);
    assertEquals(nodes.filter(({ op }) => op === "chunk").length, splitGates ? 0 : 6 * 2);
    // Every part is quantized once, in both directions.
    for (const cell of ["l0", "l0_reverse"]) {
      const parts = nodes.filter((node) => node.op === "quantize" && node.cell === cell);
      const names = new Set(parts.map(({ part }) => part));
      assertEquals(names, new Set(GRU_PARTS.map(({ name }) => name)));
    }
  }
});

Deno.test("every part of a GRU takes an observer, dtype and range of its own, in both directions", () => {
  for (const splitGates of [false, true]) {
    for (const resetAfter of [true, false]) {
      const { parts } = gruCell({
        gateActivation: "sigmoid",
        activation: "tanh",
        resetAfter,
        complementedUpdate: false,
      });
      const mapping = parts.reduce(
        (mapping, { name }, i) =>
          mapping.setPart(
            name,
            MinMaxObserver.withArgs({ dtype: "qint32", quantMin: -1000 - i, quantMax: 1000 + i }),
          ),
        new QConfigMapping().setGlobal(getPreset("fbgemm")),
      );
      const gru = new GRU({ inputSize: 2, hiddenSize: 3, bidirectional: true, resetAfter });
      const observed = prepare(gru, mapping, { splitGates });
      observed.forward(random(new Generator(1), [4, 2, 2]));
      const quantized = convert(observed).modules.get("gru") as QuantizedGRU;
      for (const { parts: own } of quantized.cells[0]!) {
        parts.forEach(({ name }, i) => {
          const all = [own[name as keyof typeof own]].flat() as {
            quantMax: number;
            dtype: string;
          }[];
          for (const q of all) assertEquals([q.dtype, q.quantMax], ["qint32", 1000 + i], name);
        });
      }
    }
  }
  const three = Array.from({ length: 3 }, () => MinMaxObserver.withArgs({}));
  const gates = new QConfigMapping().setGlobal(getPreset("fbgemm"))
    .setPart("linearOutput", three).setPart("hiddenProjection", three);
  const gru = new GRU({ inputSize: 2, hiddenSize: 3, resetAfter: false });
  const observed = prepare(gru, gates, { splitGates: true });
  const { observers } = (observed.modules.get("gru") as ObservedRecurrent).cells[0]![0]!;
  assertEquals(new Set([observers.hgates, observers.rgate_hgates].flat()).size, 3);
  const four = [...three, three[0]!];
  assertThrows(
    () => prepare(gru, gates.setPart("igates", four), { splitGates: true }),
    RangeError,
    "part igates: expected 3 observers, one a gate, got 4",
  );
});

Deno.test("a GRU gives the same portable, by parts and as a program, fused and split, alone and in models", () => {
  let ran = 0;
  const bits = fc.constantFrom<Bits>(7, 8, 16);
  fc.assert(
    fc.property(
      gruCases(bits, fc.constantFrom<Bits>(0, 8)),
      fc.constantFrom("none", "8", "16", "float"),
      fc.boolean(),
      (lstm, embedding, linear) => {
        const model = anyModel({ lstm, embedding, linear, dynamic: false });
        if (model === null) return;
        const { batch, steps } = lstm;
        const input = inputFor(model, lstm.seed, steps * batch);
        const [first, ...others] = formsOf(model).map(([name, form, options]) => {
          const session = form.createSession({ ...options, batch, maxSteps: steps });
          const output = outputFor(model, steps * batch);
          session.run(input, output);
          return [name, [...output], lstm.bidirectional ? null : [...session.state()]] as const;
        });
        for (const [name, ...rest] of others) assertEquals(rest, first!.slice(1), name);
        ran++;
      },
    ),
    { numRuns: 60 },
  );
  assert(ran > 40, `${ran}`);
});

Deno.test("a GRU's model file gives it back, to the fingerprint, and changed fields are refused", () => {
  const made: unknown[] = [];
  fc.assert(
    fc.property(calibrated, ({ observed }) => {
      const model = convert(observed);
      const again = loadModel(saveModel(model));
      assertEquals(saveModel(again), saveModel(model));
      assertEquals(again.modules.get("gru"), model.modules.get("gru"));
      made.push(model);
    }),
    { numRuns: 20 },
  );
  assertEquals(made.length, 20);
});

Deno.test("sessions of a GRU give and take its state in torch's shapes", () => {
  const gru = new GRU({ inputSize: 2, hiddenSize: 3, numLayers: 2 });
  const observed = prepare(gru, getPreset("accurate"));
  const x = random(new Generator(3), [6, 1, 2]);
  observed.forward(x);
  const model = convert(observed);
  const whole = new Float32Array(18);
  const session = model.createSession({ maxSteps: 6 });
  session.run(x.data, whole);
  const { data, shape } = session.getState("gru.h");
  assertEquals(shape, [2, 1, 3]);
  const other = model.createSession({ maxSteps: 6 });
  other.setState("gru.h", { data, shape });
  const next = x.data.slice(0, 2);
  const outputs = [session, other].map((each) => {
    const out = new Float32Array(3);
    each.step(next, out);
    return out;
  });
  assertEquals(outputs[0], outputs[1]);
  assertThrows(() => other.setState("gru.c", { data, shape }), RangeError, "gru.h");
});

Deno.test("calibration observes given states of a GRU, named in the model", () => {
  const gru = new GRU({ inputSize: 2, hiddenSize: 3 });
  const observed = prepare(new Sequential({ gru }), getPreset("fbgemm"));
  const x = random(new Generator(3), [6, 1, 2]);
  const h = random(new Generator(4), [1, 1, 3]);
  assertEquals(
    observed.forward(x, { state: { gru: h } }),
    gru.forward(x, h)[0],
  );
  const quantized = convert(observed).modules.get("gru") as QuantizedGRU;
  assertEquals(quantized.stateInput?.length, 1);
  assertThrows(
    () => observed.forward(x, { state: { gru: random(new Generator(4), [1, 1, 4]) } }),
    RangeError,
    "state.shape: expected [1, 1, 3]",
  );
});

Deno.test("calibrated rounding of a GRU brings its integers nearer to the float model", () => {
  const errors = [0, 0];
  for (let seed = 0; seed < 6; seed++) {
    const model = new Sequential({
      embedding: new Embedding({ numEmbeddings: 12, embeddingDim: 6, seed }),
      gru: new GRU({
        inputSize: 6,
        hiddenSize: 10,
        seed,
        bidirectional: seed % 2 === 1,
        resetAfter: seed % 3 !== 0,
      }),
      out: new Linear({ inFeatures: seed % 2 === 1 ? 20 : 10, outFeatures: 3, seed }),
    });
    const draw = (from: number) => {
      const generator = new Generator(from);
      return tokens(
        Int32Array.from(random(generator, [40 * 4]).data, (v) => Math.floor((v + 2) * 2.9)),
        [40, 4],
      );
    };
    const test = draw(100);
    const expected = model.forward(test).data;
    (["nearest", "calibrated"] as const).forEach((weightRounding, i) => {
      const qconfig = getPreset("accurate");
      // 16 bits elsewhere, so that only the weights' own error remains.
      const parts = { ...qconfig.parts, hiddenState: qconfig.parts!.stateChange! };
      const observed = prepare(model, { ...qconfig, parts, weightRounding });
      for (let k = 0; k < 4; k++) observed.forward(draw(k));
      const session = convert(observed).createSession({ batch: 4, maxSteps: 40 });
      const out = new Float32Array(expected.length);
      session.run(test.data, out);
      out.forEach((value, k) => errors[i]! += (value - expected[k]!) ** 2);
    });
  }
  assertLess(errors[1]!, 0.7 * errors[0]!);
});

Deno.test("tune() chooses dtypes of a GRU's parts, and reportParts() names each", () => {
  const gru = new GRU({ inputSize: 2, hiddenSize: 6 });
  const data = Array.from({ length: 3 }, (_, i) => random(new Generator(i), [20, 1, 2]));
  const { parts } = tune(gru, data, { budget: 30 });
  assertEquals(
    new Set(parts.map(({ slot }) => slot)),
    new Set(GRU_PARTS.map(({ slot }) => slot).filter((slot) => !slot.endsWith("Projection"))),
  );
  const observed = prepare(gru, getPreset("fbgemm"));
  for (const x of data) observed.forward(x);
  const report = reportParts(observed, data);
  const names = new Set(report.parts.map(({ name }) => name));
  for (const { name } of GRU_PARTS) assert([...names].some((each) => each.includes(name)), name);
});

Deno.test("a target without a subtraction leaves that of a GRU in float32, and the rest in integers", () => {
  const gru = new GRU({ inputSize: 2, hiddenSize: 3 });
  const x = random(new Generator(3), [6, 1, 2]);
  const observed = prepare(gru, getPreset("fbgemm"), {
    backendConfig: fbgemmBackendConfig,
    onUnsupported: "float",
  });
  observed.forward(x);
  const quantized = convert(observed).modules.get("gru") as QuantizedGRU;
  const { parts } = quantized.cells[0]![0]!;
  assertEquals([parts.hx_ngate, parts.igates[0]?.dtype], [null, "quint8"]);
});

Deno.test("a dynamic GRU runs the same in sessions, programs and files, and refuses what torch's has not", () => {
  for (const bidirectional of [false, true]) {
    const model = new Sequential({
      gru: new GRU({ inputSize: 3, hiddenSize: 5, numLayers: 2, bidirectional }),
    });
    const quantized = quantizeDynamic(model);
    const x = random(new Generator(3), [6, 2, 3]);
    const [y] = (quantized.modules.get("gru") as QuantizedGRU).forward(x);
    for (const each of [quantized, loadModel(saveModel(quantized))]) {
      for (const [name, form, options] of formsOf(each).filter(([name]) => name !== "by parts")) {
        const session = form.createSession({ ...options, batch: 2, maxSteps: 6 });
        const out = new Float32Array(y.data.length);
        session.run(x.data, out);
        assertEquals(out, y.data, name);
      }
    }
  }
  assertThrows(
    () => quantizeDynamic(new GRU({ inputSize: 2, hiddenSize: 3, resetAfter: false })),
    RangeError,
    "gru.resetAfter: expected true, since the GRU is dynamic",
  );
  const gru = quantizeDynamic(new GRU({ inputSize: 2, hiddenSize: 3 })).modules.get("gru");
  const q = { dtype: "quint8", scale: 1, zeroPoint: 0, quantMin: 0, quantMax: 255 } as const;
  assertThrows(
    () => (gru as QuantizedGRU).forward({ data: new Uint8Array(2), shape: [1, 2], qparams: q }),
    TypeError,
    "x: expected a float32 tensor, since the GRU is dynamic",
  );
  assertEquals(tensor([1], [1]).shape, [1]);
});
