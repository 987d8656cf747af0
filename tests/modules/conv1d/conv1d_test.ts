import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  Add,
  AvgPool1d,
  BatchNorm1d,
  Conv1d,
  Conv1dReLU,
  convert,
  Flatten,
  Generator,
  getPreset,
  Graph,
  Linear,
  LSTM,
  MaxPool1d,
  type Module,
  prepare,
  ReLU,
  Sequential,
  tensor,
  ZeroPad1d,
} from "@splitgate/splitgate";
import { dynamicQConfig } from "@splitgate/splitgate/qconfig";
import { convertToReference } from "@splitgate/splitgate/reference";
import { foldBatchNorm } from "../../../kernels/ops/normalize.ts";
import type { ObservedConv1d } from "../../../src/modules/conv1d/observed.ts";

const qconfig = getPreset("fbgemm");
const sizes = { inChannels: 2, outChannels: 4, kernelSize: 3 };

/** A float32 tensor of drawn values. */
function drawn(seed: number, shape: number[]) {
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
  new Generator(seed).uniform(data, -2, 2);
  return tensor(data, shape);
}

Deno.test("a float Conv1d equals plain loops in double, rounded once, each row of its own length", () => {
  fc.assert(fc.property(
    fc.record({
      kernelSize: fc.constantFrom(1, 2, 3, 5),
      stride: fc.constantFrom(1, 2, 3),
      dilation: fc.constantFrom(1, 2),
      padding: fc.tuple(fc.nat(3), fc.nat(3)),
      groups: fc.constantFrom(1, 2),
      bias: fc.boolean(),
      batchFirst: fc.boolean(),
    }),
    fc.nat(),
    (options, seed) => {
      const { kernelSize, stride, dilation, padding: [left, right], groups, batchFirst } = options;
      const conv = new Conv1d({ ...options, inChannels: 4, outChannels: 6, seed });
      const lengths = [12, 9];
      const x = drawn(seed, batchFirst ? [2, 12, 4] : [12, 2, 4]);
      const y = conv.forward(x, { lengths });
      const count = (n: number) =>
        Math.floor((n + left + right - dilation * (kernelSize - 1) - 1) / stride) + 1;
      const most = count(12);
      assertEquals(y.shape, batchFirst ? [2, most, 6] : [most, 2, 6]);
      const perGroup = 4 / groups;
      for (let b = 0; b < 2; b++) {
        for (let t = 0; t < most; t++) {
          for (let o = 0; o < 6; o++) {
            let sum = 0;
            for (let tap = 0; tap < kernelSize; tap++) {
              const from = t * stride - left + tap * dilation;
              if (from < 0 || from >= lengths[b]!) continue;
              for (let i = 0; i < perGroup; i++) {
                const channel = Math.floor(o * groups / 6) * perGroup + i;
                const row = batchFirst ? b * 12 + from : from * 2 + b;
                const w = conv.weight[(o * perGroup + i) * kernelSize + tap]!;
                sum += x.data[row * 4 + channel]! * w;
              }
            }
            const expected = t < count(lengths[b]!) ? Math.fround(sum + (conv.bias?.[o] ?? 0)) : 0;
            assertEquals(y.data[(batchFirst ? b * most + t : t * 2 + b) * 6 + o], expected);
          }
        }
      }
    },
  ));
});

Deno.test("prepare() folds a BatchNorm1d into a Conv1d, makes ReLU part of it, and zeros before it padding", () => {
  const conv = new Conv1d({ ...sizes, padding: 1 });
  const norm = new BatchNorm1d({ numFeatures: 4 });
  for (const { data } of norm.stateDict().values()) new Generator(3).uniform(data, 0.2, 2);
  const model = new Sequential({
    pad: new ZeroPad1d({ padding: [2, 0] }),
    conv,
    norm,
    relu: new ReLU(),
  });
  const observed = prepare(model, qconfig);
  assertEquals([...observed.modules.keys()], ["conv"]);
  const { conv: folded } = observed.modules.get("conv") as ObservedConv1d;
  assert(folded instanceof Conv1dReLU);
  assertEquals([folded.window.left, folded.window.right], [3, 1]);
  const expected = foldBatchNorm("convolution", conv.weight, conv.bias, norm);
  assertEquals([folded.weight, folded.bias], [expected.weight, expected.bias]);
  // An average takes the zeros of the padding only where it counts them.
  for (const countIncludePad of [true, false]) {
    const average = new Sequential({
      conv,
      pad: new ZeroPad1d({ padding: [2, 0] }),
      average: new AvgPool1d({ kernelSize: 3, stride: 1, countIncludePad }),
    });
    const names = [...prepare(average, qconfig).modules.keys()];
    assertEquals(names, countIncludePad ? ["conv", "average"] : ["conv", "pad", "average"]);
    const x = drawn(1, [9, 2, 2]);
    assertEquals(prepare(average, qconfig).forward(x), average.forward(x));
  }
});

Deno.test("a whole model of windows: sessions come within a step of the reference graph, in every preset", () => {
  for (const preset of ["fbgemm", "qnnpack", "accurate", "int8x16"] as const) {
    const model = new Sequential({
      conv: new Conv1d({ ...sizes, padding: "causal", seed: 4 }),
      relu: new ReLU(),
      pool: new MaxPool1d({ kernelSize: 2 }),
      flat: new Flatten({ steps: 6 }),
      out: new Linear({ inFeatures: 24, outFeatures: 3, seed: 5 }),
    });
    const observed = prepare(model, getPreset(preset));
    const x = drawn(7, [12, 2, 2]);
    const float = model.forward(x);
    assertEquals(observed.forward(x), float);
    const quantized = convert(observed);
    const y = new Float32Array(6);
    quantized.createSession({ batch: 2 }).run(x.data, y);
    const { output } = convertToReference(quantized).run(x);
    // Of float32 outputs, what a step of an integer before them can make.
    const step = quantized.output?.scale ?? 0.01;
    y.forEach((value, i) => {
      assert(Math.abs(value - output.data[i]!) < 1.01 * step, preset);
      assert(Math.abs(value - float.data[i]!) < 0.1, `${preset}: ${value}, ${float.data[i]}`);
    });
  }
});

Deno.test("branches of equal windows can be joined, others are refused", () => {
  const branches = (b: Module) =>
    new Graph({
      a: { module: new Conv1d({ ...sizes, stride: 2 }), inputs: "input" },
      b: { module: b, inputs: "input" },
      sum: { module: new Add(), inputs: ["a", "b"] },
    });
  const model = branches(new Conv1d({ ...sizes, stride: 2, seed: 1 }));
  const observed = prepare(model, qconfig);
  const x = drawn(2, [9, 2, 2]);
  observed.forward(x, { lengths: [9, 5] });
  const session = convert(observed).createSession({ batch: 2 });
  assertEquals([session.outputSteps(9), session.outputSteps(5)], [4, 2]);
  const both = new Float32Array(4 * 2 * 4);
  session.run(x.data, both, [9, 5]);
  // The shorter row is as if it ran alone.
  const alone = new Float32Array(2 * 4);
  const row = Float32Array.from({ length: 10 }, (_, i) => x.data[(i >> 1) * 4 + 2 + i % 2]!);
  convert(observed).createSession().run(row, alone);
  for (let t = 0; t < 4; t++) {
    const own = both.subarray((t * 2 + 1) * 4, (t * 2 + 2) * 4);
    assertEquals(own, t < 2 ? alone.subarray(t * 4, (t + 1) * 4) : new Float32Array(4));
  }
  assertThrows(
    () => branches(new Conv1d(sizes)),
    RangeError,
    "children.sum: expected inputs of the same steps",
  );
});

Deno.test("Session.workingBytes counts the rows between modules, and the line that a window moves along", () => {
  const conv = new Conv1d({ inChannels: 2, outChannels: 4, kernelSize: 3 });
  const observed = prepare(new Sequential({ conv }), qconfig);
  observed.forward(drawn(1, [6, 1, 2]));
  const model = convert(observed);
  const [few, many] = [4, 9].map((maxSteps) => model.createSession({ maxSteps }).workingBytes);
  // Of each step: the input, the output, and the input once more in the line.
  assertEquals(many! - few!, 5 * (2 + 4 + 2) * 8);
});

Deno.test("what windows cannot do is refused by name, with the way on", () => {
  const conv = (options: Record<string, unknown>) => new Conv1d({ ...sizes, ...options });
  const cases: [() => unknown, typeof TypeError | typeof RangeError, string][] = [
    [() => conv({ groups: 3 }), RangeError, "groups: expected a divisor of inChannels = 2"],
    [
      () => conv({ padding: "same", stride: 2 }),
      RangeError,
      'stride: expected 1, since the padding is "same"',
    ],
    [() => conv({ padding: "reflect" }), RangeError, 'padding: expected a number, "valid", "same"'],
    [() => conv({ padding: -1 }), RangeError, "padding: expected an integer in 0"],
    [() => conv({ paddingMode: "zeros" }), TypeError, "options: expected no options but"],
    [
      () => new MaxPool1d({ kernelSize: 3, padding: 2 }),
      RangeError,
      "padding: expected at most half the kernel, 1",
    ],
    [
      () => new AvgPool1d({ kernelSize: 2, padding: [2, 0] }),
      RangeError,
      "padding: expected an integer in 0..1",
    ],
    [
      () => conv({}).forward(drawn(1, [2, 2])),
      RangeError,
      "x.shape: expected at least 3 steps, for a window of 3, got 2",
    ],
    [
      () => conv({}).forward(drawn(1, [5, 2, 2]), { lengths: [5, 2] }),
      RangeError,
      "lengths[1]: expected at least 3 steps",
    ],
    [
      () => new Flatten({ steps: 3 }).forward(drawn(1, [4, 2])),
      RangeError,
      "x.shape: expected 3 steps, as Flatten has",
    ],
    [() => prepare(conv({}), dynamicQConfig), RangeError, "a Conv1d has no dynamic form"],
  ];
  for (const [call, Kind, message] of cases) assertThrows(call, Kind, message);

  for (const options of [{ stride: 2 }, { padding: 1 }, { padding: "causal", stride: 2 }]) {
    const observed = prepare(conv(options), qconfig);
    observed.forward(drawn(1, [6, 1, 2]));
    const session = convert(observed).createSession();
    const step = () => session.step(new Float32Array(2), new Float32Array(4));
    assertThrows(step, TypeError, "step: expected run, since the model reads whole sequences");
  }
  const observed = prepare(
    new Sequential({ conv: conv({}), lstm: new LSTM({ inputSize: 4, hiddenSize: 2 }) }),
    qconfig,
  );
  observed.forward(drawn(1, [6, 1, 2]));
  const flat = prepare(
    new Sequential({ conv: conv({}), flat: new Flatten({ steps: 4 }) }),
    qconfig,
  );
  flat.forward(drawn(1, [6, 1, 2]));
  const flattened = convert(flat).createSession({ batch: 2 });
  const flatten = (steps: number, lengths?: number[]) => () =>
    flattened.run(new Float32Array(steps * 4), new Float32Array(2 * 16), lengths);
  flatten(6, [6, 6])();
  assertThrows(
    flatten(7),
    RangeError,
    "steps that Flatten reads: expected 4, as Flatten has, got 5",
  );
  assertThrows(
    flatten(7, [6, 7]),
    RangeError,
    "steps of row 1: expected 4, as Flatten has, got 5",
  );
  const session = convert(observed).createSession({ batch: 2 });
  const run = (steps: number, lengths?: number[]) => () =>
    session.run(new Float32Array(steps * 4), new Float32Array(Math.max(1, steps - 2) * 4), lengths);
  assertThrows(run(2), RangeError, "steps: expected at least 3 steps, for a window of 3, got 2");
  assertThrows(run(6, [6, 2]), RangeError, "lengths[1]: expected at least 3 steps");
  run(6, [6, 0])();
  const small = () => convert(observed).createSession({ maxSteps: 2 });
  assertThrows(small, RangeError, "steps: expected at least 3 steps");
});
