import { assert, assertEquals } from "@std/assert";
import type { Tensor } from "@splitgate/splitgate";
import { parseSafetensors } from "@splitgate/splitgate/safetensors";
import { importOnnx } from "@splitgate/splitgate/import/onnx";

const FOLDER = new URL("../../models/onnx-operators/", import.meta.url);

/** The kinds of modules that some files become, where that is the point of them. */
const KINDS: Readonly<Record<string, string>> = {
  "affine": "BatchNorm1d BatchNorm1d BatchNorm1d Linear Tanh BatchNorm1d Sigmoid Add BatchNorm1d",
  "channels-first": "LSTM MeanOverTime Linear",
  "conv-causal": "ZeroPad1d Conv1d",
  "conv-lstm": "Conv1d ReLU LSTM",
  "conv-of-images": "Conv1d MaxPool1d",
  "conv-same": "Conv1d Conv1d Add",
  "embedding-last": "Embedding LSTM LastStep Linear",
  "first-and-last": "LSTM LastStep FirstStep Concat Linear",
  "flatten": "Conv1d Flatten Linear",
  "flatten-reshaped": "Conv1d Flatten Linear",
  "flatten-steps": "LSTM Flatten Linear",
  "gemms": "Linear Linear LeakyReLU HardSigmoid Softmax",
  "gru-both-hidden": "GRU FinalHidden Linear",
  "gru-two-layers": "GRU Linear",
  "lstm-backward": "LSTM Linear",
  "lstm-backward-hidden": "LSTM FinalHidden Linear",
  "lstm-both-hidden": "LSTM FinalHidden Linear",
  "lstm-hidden": "LSTM FinalHidden Linear",
  "lstm-reshaped-hidden": "LSTM FinalHidden Linear",
  "lstm-two-layers": "LSTM Linear",
  "lstm-unequal-layers": "LSTM LSTM",
  "lstm-viewed-hidden": "LSTM FinalHidden Linear",
  "mean-and-max": "LSTM MeanOverTime MaxOverTime Concat Linear",
  "opset-9": "LSTM LastStep Linear Softmax",
  "pools": "MaxPool1d AvgPool1d AvgPool1d",
  "residual": "LSTM Linear Add LogSoftmax",
};

/** Files whose reference rounds its activations, and by how much their outputs may differ. */
const ROUNDED: Readonly<Record<string, number>> = {
  "quantized-integers": 0.05,
  "quantized-fused": 0.05,
  "quantized-linear": 0.1,
};

/** [batch, features, steps] as [batch, steps, features]. */
function featuresLast({ data, shape: [batch, features, steps] }: Tensor): Tensor {
  const out = data.map((_, i) => {
    const [b, rest] = [Math.floor(i / (steps! * features!)), i % (steps! * features!)];
    const [t, f] = [Math.floor(rest / features!), rest % features!];
    return data[(b * features! + f) * steps! + t]!;
  });
  return { data: out, shape: [batch!, steps!, features!] };
}

const names = [...Deno.readDirSync(FOLDER)].map(({ name }) => name)
  .filter((name) => name.endsWith(".onnx")).map((name) => name.replace(".onnx", "")).sort();

for (const name of names) {
  Deno.test(`operators: ${name} gives what onnxruntime gives`, () => {
    const { model, notes, states } = importOnnx(
      Deno.readFileSync(new URL(`${name}.onnx`, FOLDER)),
    );
    const { tensors } = parseSafetensors(
      Deno.readFileSync(new URL(`${name}.safetensors`, FOLDER)),
    );
    const given = tensors.get("x") as unknown as Tensor;
    const isChannels = notes.some((note) => note.includes("[batch, features, time] in the file"));
    const unbatched = name === "lstm-unbatched";
    const x = isChannels
      ? featuresLast(given)
      : unbatched
      ? { ...given, shape: [given.shape[0]!, 1, given.shape[1]!] }
      : given;
    const lengths = tensors.get("lengths")?.data as Int32Array | undefined;
    const state: Record<string, Tensor | [Tensor, Tensor]> = {};
    for (const { module, slot, value } of states) {
      if (value === undefined) continue;
      if (model.children.get(module)!.kind === "GRU") {
        state[module] = value;
        continue;
      }
      state[module] ??= [] as unknown as [Tensor, Tensor];
      (state[module] as Tensor[])[slot === "h" ? 0 : 1] = value;
    }
    const y = model.forward(x, lengths === undefined ? { state } : { state, lengths });
    const expected = tensors.get("y") as unknown as Tensor;
    assertEquals(y.data.length, expected.data.length);
    const limit = ROUNDED[name] ?? 2e-6;
    const error = expected.data.reduce((max, v, i) => Math.max(max, Math.abs(v - y.data[i]!)), 0);
    assert(error <= limit, `${error}`);
    const kinds = [...model.children.values()].map(({ kind }) => kind).join(" ");
    if (name in KINDS) assertEquals(kinds, KINDS[name]);
  });
}

Deno.test("every file whose modules are listed is there", () => {
  assertEquals(Object.keys({ ...KINDS, ...ROUNDED }).filter((name) => !names.includes(name)), []);
});
