import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  Add,
  convert,
  getPreset,
  Graph,
  LastStep,
  Linear,
  LSTM,
  prepare,
  type QConfig,
  QConfigMapping,
  tensor,
} from "@splitgate/splitgate";
import { FixedQParamsObserver } from "@splitgate/splitgate/qconfig";
import { convertToReference } from "@splitgate/splitgate/reference";
import { Generator } from "../../../src/core/generator.ts";
import { random } from "../../../src/testing/float_lstms.ts";

/** A residual connection around an LSTM. */
function residual(): Graph {
  return new Graph({
    project: { module: new Linear({ inFeatures: 2, outFeatures: 4 }) },
    lstm: { module: new LSTM({ inputSize: 4, hiddenSize: 4 }) },
    sum: { module: new Add(), inputs: ["project", "lstm"] },
    last: { module: new LastStep() },
  });
}

Deno.test("a residual Add is observed as it stands, and its integers are near, in both rounding families", () => {
  for (const preset of ["fbgemm", "qnnpack", "accurate"]) {
    const model = residual();
    const x = random(new Generator(1), [6, 3, 2]);
    const lengths = [6, 2, 4];
    const y = model.forward(x, { lengths });
    const observed = prepare(model, getPreset(preset));
    assertEquals(observed.forward(x, { lengths }), y);
    const output = new Float32Array(12);
    convert(observed).createSession({ batch: 3 }).run(x.data, output, lengths);
    output.forEach((value, i) => assert(Math.abs(value - y.data[i]!) < 0.06, preset));
  }
});

/** A QConfig with an output of one scale. */
function fixed(scale: number, base: QConfig): QConfig {
  const activation = FixedQParamsObserver.withArgs({ scale, zeroPoint: 128 });
  return { ...base, activation };
}

/** x + Linear of x, their scales given. */
function scaled(preset: string, scale: number, sum: number): () => unknown {
  const base = getPreset(preset);
  const model = new Graph({
    a: { module: new Linear({ inFeatures: 2, outFeatures: 2 }), inputs: "input" },
    b: { module: new Linear({ inFeatures: 2, outFeatures: 2 }), inputs: "input" },
    sum: { module: new Add(), inputs: ["a", "b"] },
  });
  const qconfig = new QConfigMapping().setGlobal({
    ...fixed(scale, base),
    input: fixed(0.1, base).activation,
  })
    .setModuleName("sum", fixed(sum, base));
  const observed = prepare(model, qconfig);
  observed.forward(tensor([1, 2], [1, 2]));
  return () => convert(observed);
}

Deno.test("qnnpack's limits of Add's scales are errors of convert() that name the module; fbgemm has none", () => {
  assertThrows(
    scaled("qnnpack", 1, 2 ** -9),
    RangeError,
    "sum: expected scales within 2^-14..2^8 of the output's for qnnpack's addition, got 1, 1",
  );
  assertThrows(scaled("qnnpack", 2 ** -15, 1), RangeError, "sum: expected scales");
  scaled("qnnpack", 1, 2 ** -7)();
  scaled("fbgemm", 1, 2 ** -9)();
});

Deno.test("prepare() refuses an Add of another rounding family than the other modules'", () => {
  const qconfig = new QConfigMapping().setGlobal(getPreset("fbgemm"))
    .setModuleName("sum", getPreset("qnnpack"));
  assertThrows(() => prepare(residual(), qconfig), RangeError, "qconfig.engine");
});

Deno.test("float sums that overflow are refused, in the reference graph too, and leave the state as it was", () => {
  const model = new Graph({
    lstm: { module: new LSTM({ inputSize: 2, hiddenSize: 2 }) },
    sum: { module: new Add(), inputs: ["input", "input"] },
    last: { module: new LastStep() },
  }, { outputs: ["lstm", "last"] });
  const qconfig = new QConfigMapping().setGlobal(getPreset("fbgemm")).setModuleName("sum", null);
  const observed = prepare(model, qconfig);
  const x = tensor([1, 2, 3, 4], [2, 1, 2]);
  observed.run(x);
  const quantized = convert(observed);
  const session = quantized.createSession();
  const output = { lstm: new Float32Array(4), last: new Float32Array(2) };
  session.run(x.data, output);
  assertEquals(output.last, Float32Array.of(6, 8));
  const state = session.state();
  const large = tensor([1, 2, 3e38, 4], [2, 1, 2]);
  assertThrows(() => session.run(large.data, output), RangeError, "expected finite results");
  assertEquals(session.state(), state);
  assertThrows(() => model.run(large), RangeError, "y[2]: expected a finite number");
  const graph = convertToReference(quantized);
  assertThrows(() => graph.run(large), RangeError, "expected finite results");
  // Padding may be anything.
  session.run(large.data, output, [1]);
  assertEquals(output.last, Float32Array.of(2, 4));
  assertEquals(graph.run(large, { lengths: [1] }).outputs.get("last")!.output.data, output.last);
});

Deno.test("Add refuses what it cannot add, and names it", () => {
  const add = new Add();
  const x = tensor([1, 2], [1, 2]);
  assertThrows(
    () => add.forward(x, tensor([1, 2], [2, 1])),
    RangeError,
    "b.shape: expected [1, 2], as that of a, got [2, 1]",
  );
  // deno-lint-ignore no-explicit-any -- bad on purpose
  assertThrows(() => add.forward(x, undefined as any), TypeError, "b");
  // deno-lint-ignore no-explicit-any -- bad on purpose
  assertThrows(() => new Add({ alpha: 2 } as any), TypeError, 'got "alpha"');
  assertThrows(() => add.forward(tensor([3e38], [1]), tensor([3e38], [1])), RangeError, "y[0]");
  const lstm = { module: new LSTM({ inputSize: 2, hiddenSize: 3 }) };
  const refused = (inputs: readonly string[], message: string) =>
    assertThrows(() => new Graph({ lstm, sum: { module: add, inputs } }), RangeError, message);
  refused(
    ["lstm", "input"],
    'children.sum: expected two inputs of one width, got "widths 3 and 2"',
  );
  refused(["lstm"], "children.sum: expected two inputs, got 1");
  refused(["lstm", "lstm", "lstm"], "children.sum: expected two inputs, got 3");
});
