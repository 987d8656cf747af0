import { assert, assertEquals, assertThrows } from "@std/assert";
import { importTfjs, readTfjs, shardPaths } from "@splitgate/splitgate/import/tfjs";
import { assertClose, inputOf, read, references } from "../keras/models.ts";
import { mutate, random, readsOrRefuses, tryOtherValues } from "../mutations.ts";

const FOLDER = "tfjs-made/lstm-chars-uint8";
const JSON_BYTES = read(`${FOLDER}/model.json`);
const TEXT = new TextDecoder().decode(JSON_BYTES);
const PATHS = shardPaths(JSON.parse(TEXT));
const SHARDS = new Map(PATHS.map((path) => [path, read(`${FOLDER}/${path}`)]));

/** The shards one after the other. */
const WHOLE = Uint8Array.from(PATHS.flatMap((path) => [...SHARDS.get(path)!]));

Deno.test("importTfjs() computes what TensorFlow.js computes, the softmax too", () => {
  for (const name of ["lstm-chars", "lstm-chars-uint8"]) {
    const folder = `tfjs-made/${name}`;
    const json = new TextDecoder().decode(read(`${folder}/model.json`));
    const paths = shardPaths(JSON.parse(json));
    const shards = new Map(paths.map((path) => [path, read(`${folder}/${path}`)]));
    const tensors = references(`${folder}/${name}.reference.safetensors`);
    const y = importTfjs(json, shards).model.forward(inputOf(tensors.get("x")!));
    assertClose(name, y, tensors.get("y_final")!, 1e-5);
  }
});

Deno.test("readTfjs() takes shards by their names and one after the other, JSON as text and parsed", () => {
  const expected = readTfjs(TEXT, SHARDS);
  assertEquals(readTfjs(JSON.parse(TEXT), WHOLE), expected);
  assertEquals(expected.weights.get("emb")!.map(({ dtype, shape }) => ({ dtype, shape })), [
    { dtype: "uint8", shape: [50, 16] },
  ]);
});

Deno.test("readTfjs() reads float16, uint16 and plain weights", () => {
  const weights = [
    { name: "dense/kernel", shape: [2, 2], dtype: "float32", quantization: { dtype: "float16" } },
    {
      name: "dense/bias",
      shape: [2],
      dtype: "float32",
      quantization: { dtype: "uint16", min: -1, scale: 0.5 },
    },
    { name: "model/other/kernel", shape: [1], dtype: "float32" },
    { name: "other/flag", shape: [2], dtype: "int32" },
  ];
  const layers = ["dense", "other"].map((name) => ({ class_name: "Dense", config: { name } }));
  const json = {
    modelTopology: { model_config: { class_name: "Sequential", config: { layers } } },
    weightsManifest: [{ paths: ["a"], weights }],
  };
  // 1, -2, 2^-24 and 65504 in binary16.
  const bytes = new Uint8Array([
    ...new Uint8Array(Uint16Array.of(0x3c00, 0xc000, 1, 0x7bff).buffer),
    ...new Uint8Array(Uint16Array.of(0, 65535).buffer),
    ...new Uint8Array(Float32Array.of(0.25).buffer),
    ...new Uint8Array(Int32Array.of(-3, 4).buffer),
  ]);
  const read = readTfjs(json, new Map([["a", bytes]])).weights;
  assertEquals([...read].map(([layer, all]) => [layer, all.map(({ data }) => [...data])]), [
    ["dense", [[1, -2, 2 ** -24, 65504], [-1, 32766.5]]],
    ["other", [[0.25], [-3, 4]]],
  ]);
});

Deno.test("readTfjs() names what is missing or wrong", () => {
  assertThrows(() => readTfjs("{", SHARDS), RangeError, "modelJson: expected JSON");
  assertThrows(() => readTfjs({}, SHARDS), RangeError, "modelTopology: expected a layers model");
  assertThrows(() => readTfjs(TEXT, new Map()), RangeError, `the bytes of ${PATHS[0]}`);
  assertThrows(() => readTfjs(TEXT, WHOLE.slice(1)), RangeError, "up to the end of out/bias");
  assertThrows(() => readTfjs(TEXT, [] as never), TypeError, "shards: expected bytes");
});

const RUNS = 4000;

Deno.test(`${RUNS} damaged copies of model.json and its shards are read, or refused by a named error`, () => {
  const draw = random(2);
  const decoder = new TextDecoder();
  let worked = 0;
  for (let i = 0; i < RUNS; i++) {
    const json = i % 2 === 0 ? decoder.decode(mutate(JSON_BYTES, draw)) : TEXT;
    const bytes = i % 2 === 1 ? mutate(WHOLE, draw) : WHOLE;
    worked += +readsOrRefuses(() => importTfjs(json, bytes));
  }
  assert(worked > 0 && worked < RUNS, `${worked} of ${RUNS} were read`);
});

Deno.test("model.json with other values of any field is read, or refused by a named error", () => {
  const json = JSON.parse(TEXT);
  const fields = tryOtherValues(json, () => readsOrRefuses(() => importTfjs(json, WHOLE)));
  assert(fields > 60, `${fields} fields`);
});
