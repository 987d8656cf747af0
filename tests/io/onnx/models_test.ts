import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  convert,
  getPreset,
  type LSTM,
  prepare,
  type QuantizedModel,
  type Tensor,
  type TokenTensor,
} from "@splitgate/splitgate";
import type { SafetensorsEntry } from "@splitgate/splitgate/safetensors";
import { type ImportedOnnx, importOnnx } from "@splitgate/splitgate/import/onnx";
import { invalidFiles, type ModelFile, modelFiles } from "./models.ts";

/** A file that is written out step by step, without a recurrent node. */
const UNROLLED = /unrolled/;

type Reference = ModelFile["reference"];

function tensorOf(reference: Reference, ...names: string[]): Tensor {
  const name = names.find((each) => reference.has(each))!;
  return reference.get(name) as SafetensorsEntry & { data: Float32Array };
}

/** The initial states that a graph takes as inputs, by module. */
function statesOf(
  { states }: ImportedOnnx,
  reference: Reference,
): Record<string, [Tensor, Tensor]> {
  const given: Record<string, [Tensor, Tensor]> = {};
  for (const { module, slot, input, rows } of states) {
    if (input === undefined) continue;
    assertEquals(rows, rows.map((_, i) => i));
    given[module] ??= [] as unknown as [Tensor, Tensor];
    given[module][slot === "h" ? 0 : 1] = tensorOf(reference, input);
  }
  return given;
}

/** The largest difference over the largest value. */
function relativeError(got: ArrayLike<number>, expected: Float32Array): number {
  assertEquals(got.length, expected.length);
  const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  assert(largest > 0);
  return expected.reduce((max, value, i) => Math.max(max, Math.abs(value - got[i]!)), 0) / largest;
}

/** Share of rows whose largest value has the same index. */
function sameArgMax(got: Float32Array, { data, shape }: Tensor): number {
  const width = shape.at(-1)!;
  const at = (row: Float32Array) => row.indexOf(Math.max(...row));
  const rows = data.length / width;
  let same = 0;
  for (let r = 0; r < rows; r++) {
    const [a, b] = [got, data].map((each) => at(each.subarray(r * width, (r + 1) * width)));
    if (a === b) same++;
  }
  return same / rows;
}

/** Runs a quantized model from initial states. */
function runQuantized(
  model: QuantizedModel,
  x: Tensor | TokenTensor,
  { batch, steps, size, states }: {
    batch: number;
    steps: number;
    size: number;
    states: Record<string, [Tensor, Tensor]>;
  },
): Float32Array {
  const session = model.createSession({ batch, maxSteps: steps });
  for (const [module, [h, c]] of Object.entries(states)) {
    session.setState(`${module}.h`, h);
    session.setState(`${module}.c`, c);
  }
  const out = new Float32Array(size);
  session.run(x.data, out);
  return out;
}

for (const { name, bytes, reference, options } of modelFiles()) {
  if (UNROLLED.test(name)) continue;
  Deno.test(`${name} gives what onnxruntime gives, and its integers the same largest output`, () => {
    const imported = importOnnx(bytes, options);
    const { model } = imported;
    const isQuantized = reference.has("y_dequantized");
    const x = tensorOf(reference, "x", "cut");
    const y = tensorOf(reference, "y_dequantized", "y");
    const state = statesOf(imported, reference);
    const hasStates = Object.keys(state).length > 0;
    const [float] = model.run(x, { state }).values();
    assertEquals(float!.shape, y.shape);
    const error = relativeError(float!.data, y.data);
    assert(error < (isQuantized ? 1e-4 : 1e-5), `${error}`);

    const observed = prepare(model, getPreset("accurate"));
    observed.run(tensorOf(reference, "x_calibration", "cut_calibration"));
    // States that calibration has not met would be clamped.
    if (hasStates) observed.run(x, { state });
    const quantized = convert(observed);
    const [a, b] = x.shape as [number, number];
    const [batch, steps] = quantized.batchFirst ? [a, b] : [b, a];
    const size = y.data.length;
    const integers = runQuantized(quantized, x, { batch, steps, size, states: state });
    // A graph that gives its LSTM's own output has no classes.
    if (hasStates) assert(relativeError(integers, y.data) < 0.03);
    else assert(sameArgMax(integers, y) >= 0.98);
  });
}

Deno.test("states among inputs and outputs of a graph are those of the model's sessions", () => {
  const files = modelFiles().filter(({ name }) => name.startsWith("lstm2-states"));
  assertEquals(files.length, 4);
  for (const { bytes, reference } of files) {
    const imported = importOnnx(bytes);
    const { model, states, notes } = imported;
    assertEquals(
      states.map(({ slot, input, output, rows }) => [slot, input ?? output, rows]),
      [["h", "h0", [0, 1]], ["c", "c0", [0, 1]], ["h", "hn", [0, 1]], ["c", "cn", [0, 1]]],
    );
    assertEquals(notes.filter((note) => note.includes("State`")).length, 4);
    const lstm = model.children.get("lstm") as LSTM;
    const given = statesOf(imported, reference).lstm!;
    const [, [h, c]] = lstm.forward(tensorOf(reference, "x"), given);
    assert(relativeError(h.data, tensorOf(reference, "h").data) < 1e-5);
    assert(relativeError(c.data, tensorOf(reference, "c").data) < 1e-5);
  }
});

Deno.test("a projected LSTM that was exported without its projection is refused by its state", () => {
  const files = invalidFiles();
  assertEquals(files.length, 2);
  for (const { bytes } of files) {
    assertThrows(
      () => importOnnx(bytes),
      RangeError,
      'node "node_lstm__2" (LSTM).inputs[6]: expected a state of shape [1, ',
    );
  }
});

Deno.test("layers of one network become one module, whoever exported it", () => {
  const [first, ...others] = modelFiles().filter(({ name }) =>
    /^emb-bilstm2.*(legacy|dynamo)$/.test(name)
  )
    .map(({ bytes }) => importOnnx(bytes).model);
  assertEquals(others.length, 3);
  assertEquals([...first!.children.keys()], ["emb", "lstm", "fc"]);
  assertEquals(first!.stateDict().get("lstm.weight_ih_l1_reverse")!.shape, [80, 40]);
  for (const other of others) assertEquals(other.stateDict(), first!.stateDict());
});
