import { assertEquals, assertThrows } from "@std/assert";
import { importKeras, readKeras } from "@splitgate/splitgate/import/keras";
import type { LSTM } from "@splitgate/splitgate";
import { openHdf5 } from "../../../src/io/keras/hdf5.ts";
import { weightsFor } from "../../../src/io/keras/weights.ts";
import { importLayers } from "../../../src/io/keras/model.ts";
import { assertOutputs, read, references } from "./models.ts";

const MADE = references("keras-made/references.safetensors");

/** Models of Keras 3 that are in both of its formats, and those that are in one. */
const BOTH = ["lstm", "both", "functional", "norm"];
const FILES = [
  ...BOTH.flatMap((name) => [`${name}.keras`, `${name}.h5`]),
  "backwards.keras",
  "conv.keras",
  "conv.h5",
  "stride.keras",
  "gru.keras",
  "gru.h5",
  "keras1.h5",
  "cudnn-lstm.h5",
  "cudnn-gru.h5",
  "dense-compact.h5",
  "dense-big_endian.h5",
  "dense-float16.h5",
  "dense-latest.h5",
];

for (const file of FILES) {
  Deno.test(`importKeras() of ${file} computes what Keras computes`, () => {
    const name = file.replace(/\..*/, "");
    assertOutputs(name, importKeras(read(`keras-made/${file}`)).model, MADE);
  });
}

Deno.test("importKeras() reads weights whose config is given beside them, as text or parsed", () => {
  const bytes = read("keras-made/lstm.weights.h5");
  const config = new TextDecoder().decode(read("keras-made/lstm.json"));
  for (const given of [config, JSON.parse(config)]) {
    assertOutputs("lstm", importKeras(bytes, { config: given }).model, MADE);
  }
  assertThrows(() => importKeras(bytes), RangeError, "options.config: expected the config");
});

Deno.test("importKeras() says which weights it rounds, and refuses those in chunks", () => {
  const { notes } = importKeras(read("keras-made/dense-big_endian.h5"));
  assertEquals(notes, ["layer d: weights are rounded to float32: d/bias:0 (>f8)"]);
  const bytes = read("keras-made/dense-chunked.h5");
  const message = "/model_weights/d/d/kernel:0: expected an array in one piece";
  assertThrows(() => importKeras(bytes), RangeError, message);
});

Deno.test("importKeras() with masking leaves padding behind sequences to lengths, and says so", () => {
  const bytes = read("keras-made/masked.keras");
  assertThrows(() => importKeras(bytes), RangeError, "layer masking (Masking)");
  const { model, notes } = importKeras(bytes, { masking: "lengths" });
  const { maskValue } = importKeras(read("keras-made/lstm.keras")).model;
  assertEquals([model.maskValue, maskValue], [0, null]);
  assertOutputs("masked", model, MADE, MADE.get("masked.lengths")!.data as Int32Array);
  assertEquals(notes.length, 1);
});

Deno.test("hard_sigmoid is clip(x / 6 + 0.5) in files of Keras 3 and clip(0.2 x + 0.5) before", () => {
  const gate = (file: string, name: string) =>
    (importKeras(read(file)).model.children.get(name) as LSTM).gateActivation;
  assertEquals(gate("keras-made/lstm.keras", "first"), "hardSigmoid");
  const before = { name: "hardSigmoid" as const, slope: Math.fround(0.2), offset: 0.5 };
  assertEquals(gate("keras-made/keras1.h5", "lstm_1"), before);
});

Deno.test("importKeras() cuts a model where the option cut says it", () => {
  const bytes = read("keras-made/lstm.keras");
  const names = (cut: Parameters<typeof importKeras>[1]) => [
    ...importKeras(bytes, cut).model.children.keys(),
  ];
  assertEquals(names({}), ["first", "lstm", "lstm_last", "dense", "dense_softmax"]);
  assertEquals(names({ cut: "first" }), ["first"]);
  assertEquals(names({ cut: { activation: false } }), ["first", "lstm", "lstm_last", "dense"]);
  assertEquals(names({ cut: { from: "lstm", to: "lstm" } }), ["lstm", "lstm_last"]);
  assertThrows(() => importKeras(bytes, { cut: "third" }), RangeError, "options.cut: expected in");
});

/** Imports a file of which a layer, or an option of it, is another. */
function importChanged(file: string, index: number, change: object) {
  const { config, ...rest } = readKeras(read(`keras-made/${file}`));
  const copy = structuredClone(config) as { config: { layers: object[] } };
  const layer = copy.config.layers[index]!;
  Object.assign((layer as { config: object }).config, change);
  return importLayers({ ...rest, config: copy }, {});
}

Deno.test("importKeras() refuses the first layer that it does not support, by name and class", () => {
  const refused = (file: string, index: number, change: object, message: string) =>
    assertThrows(() => importChanged(file, index, change), RangeError, message);
  refused("lstm.keras", 1, { activation: "gelu" }, "layer first (LSTM).activation: expected tanh");
  refused("lstm.keras", 1, { go_backwards: true }, "layer first (LSTM).return_sequences: expected");
  refused(
    "lstm.keras",
    1,
    { time_major: true },
    "layer first (LSTM).time_major: expected false",
  );
  refused(
    "lstm.keras",
    4,
    { activation: "mish" },
    "layer dense (Dense).activation: expected one of",
  );
  refused(
    "both.keras",
    2,
    { merge_mode: "mul" },
    "layer bidirectional_2 (Bidirectional).merge_mode",
  );
  refused("norm.h5", 1, { axis: 1 }, "(BatchNormalization).axis: expected -1");
  const { config, ...rest } = readKeras(read("keras-made/lstm.keras"));
  const layers = (config as { config: { layers: { class_name: string }[] } }).config.layers;
  layers[2]!.class_name = "Lambda";
  layers[4]!.class_name = "Lambda";
  const message = "layer dropout (Lambda): expected LSTM, GRU, Bidirectional,";
  assertThrows(() => importLayers({ ...rest, config }, {}), RangeError, message);
  const cure = '(the option cut imports a part), got "Lambda"';
  assertThrows(() => importLayers({ ...rest, config }, {}), RangeError, cure);
  assertEquals([...importLayers({ ...rest, config }, { cut: "first" }).model.children.keys()], [
    "first",
  ]);
});

/** A value in so many lists. */
function inLists(value: unknown, depth: number): unknown {
  return depth === 0 ? value : [inLists(value, depth - 1)];
}

Deno.test("importKeras() reads a call's tensors at most eight deep, and refuses deeper ones", () => {
  /** The children of a model whose last layer's arguments are in so many lists more. */
  const imported = (depth: number) => {
    const { config, ...rest } = readKeras(read("keras-made/functional.keras"));
    const copy = structuredClone(config) as {
      config: { layers: { inbound_nodes: { args: unknown }[] }[] };
    };
    const [call] = copy.config.layers.at(-1)!.inbound_nodes;
    call!.args = inLists(call!.args, depth);
    return [...importLayers({ ...rest, config: copy }, {}).model.children.keys()];
  };
  const names = imported(0);
  assertEquals(imported(7), names); // the arguments are a list themselves
  for (const depth of [8, 9, 100]) {
    assertThrows(() => imported(depth), RangeError, "expected a model of one input");
  }
});

Deno.test("importKeras() carries a mask where it is exact, and refuses it by the layer's name where not", () => {
  const { config, ...rest } = readKeras(read("keras-made/conv.keras"));
  const { layers } = (config as { config: { layers: JsonLayer[] } }).config;
  const masking = { class_name: "Masking", config: { name: "masking", mask_value: -1 } };
  /** The first layer after Masking, with other layers in its place. */
  const imported = (names: readonly string[], masks: readonly object[] = [masking]) => {
    const [input] = layers;
    const kept = names.map((name) => layers.find(({ config }) => config.name.startsWith(name))!);
    const changed = { ...config as object, config: { layers: [input, ...masks, ...kept] } };
    return importLayers({ ...rest, config: changed }, { masking: "lengths" });
  };
  const conv = imported(["conv1d"]);
  assertEquals(conv.model.maskValue, null);
  assertEquals(conv.notes, [
    "layer masking (Masking): steps of nothing but -1 are masked, which changes nothing here: " +
    "no layer behind it heeds a mask",
  ]);
  const refused = (names: readonly string[], message: string, masks = [masking]) =>
    assertThrows(() => imported(names, masks), RangeError, message);
  refused(
    ["conv1d", "conv1d_1", "batch", "max", "conv1d_2", "zero", "average", "lstm"],
    [
      "layer conv1d (Conv1D): expected only layers that leave masked steps out, since layer masking ",
      "(Masking) masks some (the option cut imports a part of the model), got",
    ].join(""),
  );
});

/** A layer of a config. */
interface JsonLayer {
  readonly class_name: string;
  readonly config: { readonly name: string };
}

Deno.test("a mask of what a layer gives, two masks, and an input read beside a mask are refused", () => {
  const { config, ...rest } = readKeras(read("keras-made/masked.keras"));
  const { layers } = (config as { config: { layers: JsonLayer[] } }).config;
  const [input, mask, lstm, ...others] = layers as [
    JsonLayer,
    JsonLayer,
    JsonLayer,
    ...JsonLayer[],
  ];
  const import_ = (list: readonly object[]) =>
    importLayers({ ...rest, config: { ...config as object, config: { layers: list } } }, {
      masking: "lengths",
    });
  assertEquals(import_([input, mask, lstm, ...others]).model.maskValue, 0);
  const tanh = { class_name: "Activation", config: { name: "t", activation: "tanh" } };
  assertThrows(
    () => import_([input, tanh, mask, lstm, ...others]),
    RangeError,
    "layer masking (Masking): expected a mask of the model's input",
  );
  const second = { ...mask, config: { name: "again", mask_value: 4 } };
  assertThrows(
    () => import_([input, mask, second, lstm, ...others]),
    RangeError,
    "layer again (Masking): expected the mask of layer masking (Masking), 0, got 4",
  );
  const call = (layer: JsonLayer, ...from: string[]) => ({
    ...layer,
    name: layer.config.name,
    inbound_nodes: from.length === 0 ? [] : [from.map((name) => [name, 0, 0, {}])],
  });
  const [first, steps] = [input.config.name, lstm.config.name];
  const joined = { class_name: "Concatenate", config: { name: "joined", axis: -1 } };
  const functional = {
    class_name: "Functional",
    config: {
      layers: [
        call(input),
        call(mask, first),
        call(lstm, mask.config.name),
        call(joined, first, steps),
      ],
      input_layers: [[first, 0, 0]],
      output_layers: [["joined", 0, 0]],
    },
  };
  assertThrows(
    () => importLayers({ ...rest, config: functional }, { masking: "lengths" }),
    RangeError,
    "layer joined: expected the input behind the mask of layer masking (Masking)",
  );
  const zeros = { ...lstm, config: { ...lstm.config, zero_output_for_mask: true } };
  assertThrows(
    () => import_([input, mask, zeros, ...others]),
    RangeError,
    "zero_output_for_mask: expected only layers that leave masked steps out",
  );
});

Deno.test("weights are found by their names in any order, and by their order where names say nothing", () => {
  const weights = (names: readonly string[]) =>
    names.map((name) => ({ name, dtype: "<f4", data: new Float32Array(1), shape: [1] }));
  const found = (names: readonly string[]) =>
    weightsFor("layer lstm", weights(names), ["kernel", "bias"]).map(({ name }) => name);
  assertEquals(found(["lstm/bias:0", "lstm/kernel:0"]), ["lstm/kernel:0", "lstm/bias:0"]);
  assertEquals(found(["a/b/bias", "a/b/kernel:12"]), ["a/b/kernel:12", "a/b/bias"]);
  assertEquals(found(["vars/0", "vars/1"]), ["vars/0", "vars/1"]);
  assertThrows(() => found(["lstm/kernel:0"]), RangeError, "layer lstm: expected kernel, bias");
});

Deno.test("a file with any other byte in HDF5's signature is said to be another file", () => {
  const bytes = read("keras-made/lstm.h5");
  openHdf5(bytes);
  for (let i = 0; i < 8; i++) {
    const other = bytes.slice();
    other[i]! ^= 1;
    assertThrows(
      () => openHdf5(other),
      RangeError,
      "bytes: expected an HDF5 file",
    );
  }
});
