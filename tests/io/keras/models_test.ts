import { assert, assertEquals } from "@std/assert";
import { convert, getPreset, type Graph, prepare, type Tensor, tensor } from "@splitgate/splitgate";
import type { SafetensorsEntry } from "@splitgate/splitgate/safetensors";
import { importKeras, skipMasked } from "@splitgate/splitgate/import/keras";
import { importTfjs, shardPaths } from "@splitgate/splitgate/import/tfjs";
import { assertClose, inputOf, read, references } from "./models.ts";

/** Min share of rows with the same class. */
const AGREEMENT = 0.98;

/** Rows that models are calibrated on. */
const CALIBRATION = 64;

/** A model of TensorFlow.js: its JSON and its shards. */
function tfjs(name: string): [json: string, shards: Map<string, Uint8Array>] {
  const folder = `tfjs-made/${name}`;
  const json = new TextDecoder().decode(read(`${folder}/model.json`));
  const paths = shardPaths(JSON.parse(json));
  return [json, new Map(paths.map((path) => [path, read(`${folder}/${path}`)]))];
}

const LOGITS = { cut: { activation: false } } as const;

const TFJS = ["lstm-chars", "lstm-chars-uint8", "bilstm-gru-sensors", "bilstm-gru-sensors-uint8"];

/** Models by the folder and name of their references. */
const IMPORTED: Record<string, () => Graph> = {
  ...Object.fromEntries(
    TFJS.map((name) => [
      `tfjs-made/${name}/${name}`,
      () => importTfjs(...tfjs(name), LOGITS).model,
    ]),
  ),
  "ao_gru_a/ao_gru_a": () => importKeras(read("ao_gru_a/gru_model.keras"), { cut: "dense" }).model,
  "network_intrusion/network_intrusion": () =>
    importKeras(read("network_intrusion/cnn_lstm_unsw_finetuned.h5"), LOGITS).model,
};

/** The first rows of a tensor. */
function firstRows({ data, shape, ...rest }: SafetensorsEntry, rows: number): SafetensorsEntry {
  const length = Math.min(rows, shape[0]!) * data.length / shape[0]!;
  const part = data.slice(0, length) as SafetensorsEntry["data"];
  return { ...rest, data: part, shape: [Math.min(rows, shape[0]!), ...shape.slice(1)] };
}

/** Where the largest of each row's values stands; the sign where there is one value. */
function classes({ data, shape }: Tensor): number[] {
  const width = shape.at(-1)!;
  return Array.from({ length: data.length / width }, (_, row) => {
    if (width === 1) return Number(data[row]! > 0);
    const values = data.subarray(row * width, (row + 1) * width);
    return values.indexOf(Math.max(...values));
  });
}

for (const [path, load] of Object.entries(IMPORTED)) {
  Deno.test(`${path}: the float model gives the reference's output`, () => {
    const tensors = references(`${path}.reference.safetensors`);
    assertClose(path, load().forward(inputOf(tensors.get("x")!)), tensors.get("y")!, 1e-5);
  });

  Deno.test(`${path}: the int8 model, by the recommended preset, gives the float one's classes`, () => {
    const tensors = references(`${path}.reference.safetensors`);
    const observed = prepare(load(), getPreset("accurate"));
    observed.forward(inputOf(firstRows(tensors.get("x_calibration")!, CALIBRATION)));
    const x = inputOf(tensors.get("x")!);
    const expected = tensors.get("y") as unknown as Tensor;
    const y = { ...expected, data: new Float32Array(expected.data.length) };
    convert(observed).createSession({ batch: x.shape[0]! }).run(x.data as Float32Array, y.data);
    const expectedClasses = classes(expected);
    const same = classes(y).filter((value, row) => value === expectedClasses[row]).length;
    assert(same >= AGREEMENT * expectedClasses.length, `${same} of ${expectedClasses.length}`);
  });
}

/** What `convert` makes of a model by the recommended preset, calibrated on all that there is. */
function int8Output(load: () => Graph, tensors: ReadonlyMap<string, SafetensorsEntry>): Tensor {
  const observed = prepare(load(), getPreset("accurate"));
  observed.forward(inputOf(tensors.get("x_calibration")!));
  const x = inputOf(tensors.get("x")!);
  const { shape, data } = tensors.get("y")!;
  const y = new Float32Array(data.length);
  convert(observed).createSession({ batch: x.shape[0]! }).run(x.data as Float32Array, y);
  return tensor(y, shape);
}

Deno.test("network_intrusion: the int8 model decides as the float one in all but one of 64 flows", () => {
  const path = "network_intrusion/network_intrusion";
  const tensors = references(`${path}.reference.safetensors`);
  const decisions = classes(int8Output(IMPORTED[path]!, tensors));
  const expected = classes(tensors.get("y") as unknown as Tensor);
  assertEquals(expected.length, 64);
  // Neither answer is the one of all flows.
  assertEquals(new Set(expected).size, 2);
  const others = decisions.filter((decision, row) => decision !== expected[row]).length;
  assert(others <= 1, `${others} decisions`);
});

Deno.test("ao_gru_a: the int8 model's output is at a cosine of at least .999 to the float one's", () => {
  const path = "ao_gru_a/ao_gru_a";
  const tensors = references(`${path}.reference.safetensors`);
  for (
    const [name, load] of [
      ["y", IMPORTED[path]!],
      ["y_final", () => importKeras(read("ao_gru_a/gru_model.keras")).model],
    ] as const
  ) {
    const { data: y } = int8Output(load, tensors);
    const { data: expected } = tensors.get(name) as unknown as Tensor;
    const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
    const cosine = dot(y, expected) / Math.sqrt(dot(y, y) * dot(expected, expected));
    assert(cosine >= 0.999, `${name}: ${cosine}`);
  }
});

const ASTRORAPID = "astrorapid/ZTF_unknown_redshift.hdf5";

/** Sequences of a tensor without the steps of which all values are 0, and where those stand. */
function* withoutMasked({ data, shape }: Tensor): Iterable<{ x: Tensor; steps: number[] }> {
  const [rows, length, width] = shape as [number, number, number];
  for (let row = 0; row < rows; row++) {
    const at = (step: number) => (row * length + step) * width;
    const used = Array.from({ length }, (_, step) => step)
      .filter((step) => data.subarray(at(step), at(step + 1)).some((value) => value !== 0));
    if (used.length === 0) continue;
    const values = used.flatMap((step) => [...data.subarray(at(step), at(step + 1))]);
    const steps = used.map((step) => row * length + step);
    yield { x: tensor(values, [1, used.length, width]), steps };
  }
}

Deno.test("astrorapid: with the steps that Masking skips, all steps give the reference's output", () => {
  const tensors = references("astrorapid/astrorapid.reference.safetensors");
  const { x, lengths, restore } = skipMasked(tensors.get("x") as unknown as Tensor);
  for (const [cut, name] of [[LOGITS, "y"], [{}, "y_final"]] as const) {
    const { model } = importKeras(read(ASTRORAPID), { ...cut, masking: "lengths" });
    assertClose(name, restore(model.forward(x, { lengths })), tensors.get(name)!, 1e-5);
  }
});

Deno.test("astrorapid: without the steps that Masking skips, each used step gives the reference's output, and int8 its class", () => {
  const tensors = references("astrorapid/astrorapid.reference.safetensors");
  const { model } = importKeras(read(ASTRORAPID), { ...LOGITS, masking: "lengths" });
  const expected = tensors.get("y") as unknown as Tensor;
  const width = expected.shape.at(-1)!;
  const largest = expected.data.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  const observed = prepare(model, getPreset("accurate"));
  const calibration = [...withoutMasked(tensors.get("x_calibration") as unknown as Tensor)];
  for (const { x } of calibration.slice(0, CALIBRATION)) observed.forward(x);
  const session = convert(observed).createSession({ maxSteps: expected.shape[1]! });
  let same = 0;
  let all = 0;
  for (const { x, steps } of withoutMasked(tensors.get("x") as unknown as Tensor)) {
    const y = model.forward(x);
    const rows = steps.flatMap((step) => [
      ...expected.data.subarray(step * width, (step + 1) * width),
    ]);
    rows.forEach((value, i) => assert(Math.abs(value - y.data[i]!) <= 1e-5 * largest));
    const int8 = { ...y, data: new Float32Array(y.data.length) };
    session.reset();
    session.run(x.data, int8.data);
    const wanted = classes(tensor(rows, y.shape));
    same += classes(int8).filter((value, step) => value === wanted[step]).length;
    all += steps.length;
  }
  assert(all > 1000 && same >= AGREEMENT * all, `${same} of ${all}`);
});

Deno.test("ao_gru_a: the whole model gives the reference's directions", () => {
  const tensors = references("ao_gru_a/ao_gru_a.reference.safetensors");
  const { model } = importKeras(read("ao_gru_a/gru_model.keras"));
  const y = model.forward(inputOf(tensors.get("x")!));
  assertClose("ao_gru_a", y, tensors.get("y_final")!, 1e-5);
});
