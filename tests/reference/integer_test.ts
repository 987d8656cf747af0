// Integer execution, each part fed the same integers, against the reference graph's operation and
// quantize.
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { convert, LSTM, type PerTensorQParams, type QTensor, tensor } from "@splitgate/splitgate";
import type { Part } from "@splitgate/splitgate/modules";
import {
  FixedQParamsObserver,
  MinMaxObserver,
  observeLSTMParts,
  type PartObservers,
} from "@splitgate/splitgate/qconfig";
import {
  convertToReference,
  type GraphNode,
  type GraphValue,
} from "@splitgate/splitgate/reference";
import { reportParts } from "@splitgate/splitgate/tune";
import { byParts, type PartValue } from "../../src/modules/recurrent/by_parts.ts";
import { type CellExecutor, gateSuffix, runCell } from "../../src/cells/cell.ts";
import {
  defaultPerChannelWeightObserver,
  defaultWeightObserver,
} from "../../src/qconfig/qconfig.ts";
import type { QuantizedLSTM } from "../../src/modules/lstm/quantized.ts";
import { ByPartsExecutor } from "../../src/modules/recurrent/by_parts.ts";
import { computeNode } from "../../src/reference/run.ts";
import {
  type LSTMCase,
  lstmCases,
  ownParts,
  partObservers,
  slotObserver,
} from "../../src/testing/observed_lstms.ts";

/** One row. */
const ROW = { steps: 1, batch: 1, batchFirst: false, lengths: null };

/** Differences between integer execution and the reference graph, part by part. */
interface Found {
  values: number;
  differing: number;
  largest: number;
}

function isQuantized(value: PartValue): value is QTensor<PerTensorQParams> {
  return "qparams" in value;
}

function graphValue(value: PartValue): GraphValue {
  return { data: value.data, qparams: isQuantized(value) ? value.qparams : null };
}

/** Runs every cell by parts over `steps`, and each part's reference on what the part was given. */
function compare(
  model: ReturnType<typeof observeLSTMParts>,
  { x, steps, lstm }: LSTMCase,
  found: Found,
): void {
  const quantized = convert(model).modules.get("lstm") as QuantizedLSTM;
  const nodes = new Map<string, GraphNode>();
  for (const node of convertToReference(model).nodes) nodes.set(node.name, node);
  const operate = (node: GraphNode, inputs: readonly PartValue[]): GraphValue => {
    const read = inputs.map(graphValue).map((value) =>
      value.qparams === null
        ? value
        : computeNode({ ...node, op: "dequantize" }, [value], ROW, null)
    );
    const out = node.op === "quantize" ? read[0]! : computeNode(node, read, ROW, null);
    const quantize = nodes.get(`${node.name}.quantize`);
    const to = node.op === "quantize" ? node : quantize;
    return to === undefined ? out : computeNode(to, [out], ROW, null);
  };
  /**
   * The largest magnitude of what a linear adds up, of which float32 keeps 24 bits however much of
   * it cancels.
   */
  const magnitude = ({ weight, bias }: GraphNode, x: PartValue): number => {
    const { scale, zeroPoint } = isQuantized(x) ? x.qparams : { scale: 1, zeroPoint: 0 };
    let largest = 0;
    for (let row = 0; row < weight!.outFeatures; row++) {
      const rowScale = weight!
        .scales[Math.floor(row * weight!.scales.length / weight!.outFeatures)]!;
      let sum = Math.abs(bias?.[row] ?? 0);
      x.data.forEach((q, k) =>
        sum += Math.abs(scale * (q - zeroPoint) * rowScale * weight!.data[row * x.data.length + k]!)
      );
      largest = Math.max(largest, sum);
    }
    return largest;
  };
  const check = (here: PartValue, reference: GraphValue, part: string, terms = 0) => {
    assertEquals(here.data.length, reference.data.length);
    here.data.forEach((value, i) => {
      // Both round to float32 on their ways, five times each at most (a linear here: the
      // accumulator's scale, the multiplier, the accumulator, with its bias, the product; there: x,
      // weight, the sum, the quantize's reciprocal and product), each time by 2^-24 of what is
      // added up: wide results differ by more than a step.
      const [scale, zeroPoint] = isQuantized(here)
        ? [here.qparams.scale, here.qparams.zeroPoint]
        : [1, 0];
      const rounding = Math.max(Math.abs(value - zeroPoint), terms / scale) * 10 * 2 ** -24;
      const step = isQuantized(here) ? 1 + rounding : Math.max(rounding, 2 ** -24);
      const difference = Math.abs(value - reference.data[i]!) / step;
      found.values++;
      if (difference !== 0) found.differing++;
      found.largest = Math.max(found.largest, difference);
      assert(difference <= 1, `${part}: ${value} here, ${reference.data[i]} in the reference`);
    });
  };
  const [first] = quantized.cells;
  const width = lstm.inputSize;
  first!.forEach((cell, d) => {
    const own = new ByPartsExecutor(quantized.engine, quantized.cell, cell);
    const at = `lstm.l0${d === 1 ? "_reverse" : ""}`;
    const nameOf = (part: Part, gate: number) =>
      `${at}.${part.name}${gateSuffix(quantized.cell, gate)}`;
    const executor: CellExecutor<PartValue> = {
      apply(part, gate, inputs) {
        const value = own.apply(part, gate, inputs);
        const name = nameOf(part, gate);
        const [from] = inputs;
        const { weight, bias } = nodes.get(name)!;
        if (
          quantized.engine === "qnnpack" && weight !== undefined && bias != null &&
          isQuantized(from!)
        ) {
          // qnnpack holds the bias in an int32 of the accumulator's step.
          fc.pre(
            Math.max(...bias.map(Math.abs)) <
              from.qparams.scale * Math.min(...weight.scales) * 2 ** 30,
          );
        }
        const node = nodes.get(name)!;
        check(
          value,
          operate(node, inputs),
          name,
          part.op === "linear" ? magnitude(node, from!) : 0,
        );
        return value;
      },
      chunk: (part, gate, value) => own.chunk(part, gate, value),
      read(part, gate, index, value) {
        const read = own.read(part, gate, index, value);
        const node = nodes.get(`${nameOf(part, gate)}.inputs[${index}].quantize`);
        if (node !== undefined) check(read, operate(node, [value]), node.name);
        return read;
      },
    };
    const zero = (node: GraphNode): PartValue => {
      const data = new Float32Array(node.width);
      const shape = [1, node.width];
      if (node.dtype === "float32") return { data, shape };
      const value = computeNode({ ...node, op: "quantize" }, [{ data, qparams: null }], ROW, null);
      return { ...value, shape } as PartValue;
    };
    let states: readonly PartValue[] = quantized.cell.states
      .map(({ name }) => zero(nodes.get(`${at}.${name}`)!));
    for (let t = 0; t < steps; t++) {
      const row = x.data.slice(t * width, (t + 1) * width);
      const input = nodes.get("lstm.input.quantize");
      const value = input === undefined
        ? { data: row, shape: [1, width] }
        : { ...computeNode(input, [{ data: row, qparams: null }], ROW, null), shape: [1, width] };
      const { cell, splitGates } = quantized;
      states = runCell(executor, cell, splitGates, value as PartValue, states);
    }
  });
}

/** {@linkcode compare}, for parameters that qnnpack's fixed-point addition takes. */
function compareWhereDefined(...args: Parameters<typeof compare>): void {
  try {
    compare(...args);
  } catch (error) {
    fc.pre(!(error instanceof RangeError && error.message.includes("qnnpack's addition")));
    throw error;
  }
}

const weights = fc.constantFrom(defaultWeightObserver, defaultPerChannelWeightObserver);
const engines = ["fbgemm", "qnnpack"] as const;

/** Observed and calibrated LSTMs whose parts have any of the given widths. */
function observedCases(
  widths: readonly (0 | 8 | 16 | 32)[],
  of: readonly (typeof engines[number])[],
) {
  return fc.record({
    each: lstmCases,
    splitGates: fc.boolean(),
    weight: weights,
    engine: fc.constantFrom(...of),
    input: slotObserver("hiddenState", [8]).map((observer) => observer!),
    read: fc.option(slotObserver("sigmoid", [8, 16]).map((observer) => observer!), { nil: null }),
  }).chain(({ each, splitGates, weight, engine, input, read }) =>
    partObservers(widths, splitGates, each.lstm).map((parts) => {
      const requantized: PartObservers = read !== null
        ? { ...parts, fgate_cx: { inputs: [read, null] }, ogate_cy: { inputs: [read, null] } }
        : parts;
      const activation = MinMaxObserver.withArgs({});
      const qconfig = { activation, weight, engine, input };
      const model = observeLSTMParts(each.lstm, requantized, { qconfig, splitGates });
      model.forward(each.x);
      return { each, model };
    })
  );
}

Deno.test("integer execution stays within one step of the reference graph at each part, whatever the dtypes", () => {
  const found = { values: 0, differing: 0, largest: 0 };
  fc.assert(
    fc.property(
      observedCases([0, 8, 16, 32], engines),
      ({ each, model }) => compareWhereDefined(model, each, found),
    ),
    { numRuns: 200 },
  );
  if (Deno.env.get("SHOW")) console.log(found);
  assert(found.values > 20000, `only ${found.values} values`);
});

Deno.test("integer execution of 8-bit parts is the reference graph's, but for what float32 rounds the other way", () => {
  const found = { values: 0, differing: 0, largest: 0 };
  fc.assert(
    fc.property(observedCases([8], ["fbgemm"]), ({ each, model }) => compare(model, each, found)),
    { numRuns: 200 },
  );
  if (Deno.env.get("SHOW")) console.log(found);
  assert(found.differing <= found.values * 1e-4, `${found.differing} of ${found.values} differ`);
});

Deno.test("integer execution of 8-bit parts is the reference graph's when float32 is exact", () => {
  const found = { values: 0, differing: 0, largest: 0 };
  const scale = (low: number, high: number) =>
    fc.integer({ min: low, max: high }).map((k) => 2 ** k);
  const fixed = (low: number, high: number) =>
    fc.record({ scale: scale(low, high), zeroPoint: fc.integer({ min: 0, max: 255 }) })
      .map((options) => FixedQParamsObserver.withArgs(options));
  fc.assert(
    fc.property(
      lstmCases,
      fc.record({
        input: fixed(-7, -4),
        weight: scale(-7, -5).map((scale) =>
          FixedQParamsObserver.withArgs({ dtype: "qint8", scale, zeroPoint: 0 })
        ),
        inputProjection: fixed(-6, -3),
        hiddenProjection: fixed(-6, -3),
        linearOutput: fixed(-6, -3),
        sigmoid: fixed(-8, -7),
        tanh: fixed(-7, -6),
        cellState: fixed(-7, -4),
        cellTanh: fixed(-7, -6),
        hiddenState: fixed(-7, -6),
      }),
      fc.boolean(),
      (each, { input, weight, ...parts }, splitGates) => {
        // A bias that is a multiple of every product's step.
        for (const { data } of each.lstm.stateDict().values()) {
          data.forEach((v, i) => data[i] = Math.round(v * 16) / 16);
        }
        // Left out is the projection of the hidden state, which an LSTM need not have.
        const qconfig = {
          activation: FixedQParamsObserver.withArgs({ scale: 1 / 64, zeroPoint: 99 }),
          weight,
          input,
        };
        const own = ownParts(each.lstm, parts);
        const model = observeLSTMParts(each.lstm, own, { qconfig, splitGates });
        model.forward(each.x);
        compare(model, each, found);
      },
    ),
    { numRuns: 200 },
  );
  assertEquals(found.differing, 0);
  assert(found.values > 20000, `only ${found.values} values`);
});

Deno.test("a cell that grows past ±8 over 2,000 steps saturates, is counted and never wraps", () => {
  const hiddenSize = 3;
  const steps = 2000;
  const lstm = new LSTM({ inputSize: 1, hiddenSize });
  // Every gate is open, two units count up and one down.
  const { weightIh, weightHh, biasIh, biasHh } = lstm.cells[0]![0]!;
  for (const each of [weightIh, weightHh, biasIh!, biasHh!]) each.fill(0);
  biasIh!.forEach((_, row) =>
    biasIh![row] = row < 2 * hiddenSize || row >= 3 * hiddenSize ? 12 : row % 3 === 1 ? -1 : 1
  );
  const bits16 = { dtype: "qint32", quantMin: -32768, quantMax: 32767, zeroPoint: 0 } as const;
  for (
    const [name, cellScale, top] of [["16 bits", 2 ** -11, 32767], ["8 bits", 1 / 16, 255]] as const
  ) {
    const cell = name === "16 bits"
      ? FixedQParamsObserver.withArgs({ ...bits16, scale: cellScale })
      : FixedQParamsObserver.withArgs({ scale: cellScale, zeroPoint: 128 });
    const gates = FixedQParamsObserver.withArgs({ ...bits16, scale: 2 ** -11 });
    const activation = FixedQParamsObserver.withArgs({ scale: 2 ** -7, zeroPoint: 128 });
    for (const splitGates of [false, true]) {
      const model = observeLSTMParts(lstm, {
        inputProjection: null,
        hiddenProjection: null,
        linearOutput: gates,
        sigmoid: FixedQParamsObserver.withArgs({
          ...bits16,
          quantMin: 0,
          quantMax: 65535,
          scale: 2 ** -16,
        }),
        tanh: FixedQParamsObserver.withArgs({ ...bits16, scale: 2 ** -15 }),
        cellState: cell,
      }, {
        qconfig: { activation, weight: defaultWeightObserver },
        splitGates,
      });
      const zeros = tensor(new Float32Array(steps), [steps, 1, 1]);
      const quantized = convert(model);
      let wrapped = 0;
      let last = [0, 0, 0];
      let saturatedParts = 0;
      const session = quantized.createSession({
        maxSteps: 1,
        kernels: byParts((part, value, saturated) => {
          if (!part.endsWith("fgate_cx_igate_cgate")) return;
          saturatedParts += saturated;
          const { qparams } = value as QTensor<PerTensorQParams>;
          const now = Array.from(value.data, (q) => q - qparams.zeroPoint);
          now.forEach((q, unit) =>
            wrapped += unit === 1 ? (q > last[unit]! ? 1 : 0) : q < last[unit]! ? 1 : 0
          );
          last = now;
        }),
      });
      const fast = quantized.createSession({ maxSteps: 16 });
      const y = new Float32Array(3);
      const both = new Float32Array(steps * 3);
      fast.run(zeros.data, both);
      for (let t = 0; t < steps; t++) {
        session.step(zeros.data.subarray(t, t + 1), y);
        assertEquals(y, both.slice(3 * t, 3 * t + 3), `step ${t}`);
      }
      const middle = name === "16 bits" ? 0 : 128;
      assertEquals([wrapped, last], [0, [
        top - middle,
        name === "16 bits" ? -32768 : -128,
        top - middle,
      ]]);
      assert(saturatedParts > 3 * 1900, `${saturatedParts}`);
      const { output, state } = convertToReference(model).run(zeros);
      assertEquals(output.data, both);
      assertEquals([...state.get("lstm.l0")!.c!.data], [top, name === "16 bits" ? -32768 : 0, top]);
      const cells = reportParts(quantized, [zeros]).parts.find(({ name }) =>
        name === "lstm.l0.fgate_cx_igate_cgate"
      )!;
      assertEquals([cells.saturated, cells.values], [saturatedParts, 3 * steps]);
      assert(cells.max > cellScale * (top - middle));
    }
  }
});
