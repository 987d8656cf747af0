// Float models out of files of torch.save: what the authors' own code computes of them.
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  convert,
  getPreset,
  LSTM,
  prepare,
  type Tensor,
  tokens,
  type TokenTensor,
} from "@splitgate/splitgate";
import {
  type Architecture,
  type ArchitectureModule,
  draftArchitecture,
  parseSafetensors,
  readArchitecture,
  recognizeModules,
} from "@splitgate/splitgate/safetensors";
import { importTorch, readTorch } from "@splitgate/splitgate/import/torch";
import { bytesOf } from "./files.ts";

const MODELS = new URL("../../models/", import.meta.url);

/** A model of a package of PyPI, and what that computes. */
function modelOf(name: string, file: string) {
  const bytes = Deno.readFileSync(new URL(`${name}/${file}`, MODELS));
  const path = new URL(`${name}/${name}.reference.safetensors`, MODELS);
  const { tensors } = parseSafetensors(Deno.readFileSync(path));
  const x = (key: string): TokenTensor => {
    const { data, shape } = tensors.get(key)!;
    return tokens(data as Int32Array, shape);
  };
  return { bytes, tensors, x };
}

/** The draft of a file's architecture, with its blanks filled in, in order. */
function filled(
  bytes: Uint8Array,
  ...kinds: (string | ArchitectureModule["options"])[]
): Architecture {
  const draft = draftArchitecture(readTorch(bytes).tensors);
  const modules = draft.modules.map((each): ArchitectureModule => {
    if (each.kind !== "?") return each;
    const kind = kinds.shift() as string;
    const options = typeof kinds[0] === "object"
      ? { options: kinds.shift() as Record<string, unknown> }
      : {};
    return { ...each, kind, ...options };
  });
  assertEquals(kinds, []);
  return { ...draft, modules };
}

function relativeError(got: Float32Array, expected: Float32Array): number {
  assertEquals(got.length, expected.length);
  const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  return expected.reduce((max, value, i) => Math.max(max, Math.abs(value - got[i]!)), 0) / largest;
}

/** The index of the largest value of each row. */
function argMax({ data, shape }: Tensor): number[] {
  const width = shape.at(-1)!;
  return Array.from({ length: data.length / width }, (_, r) => {
    const row = data.subarray(r * width, (r + 1) * width);
    return row.indexOf(Math.max(...row));
  });
}

function agreement(a: readonly number[], b: readonly number[]): number {
  assertEquals(a.length, b.length);
  return a.filter((each, i) => each === b[i]).length / a.length;
}

const LAST = { batchFirst: true };

Deno.test("parsernaam's names: its output within 1e-5, and the same answer of int8 in 98%", () => {
  const { bytes, tensors, x } = modelOf("parsernaam", "parsernaam.pt");
  const { model, notes } = importTorch(bytes, {
    architecture: filled(bytes, "LastStep", LAST, "Identity"),
    strict: true,
  });
  assertEquals(notes, []);
  const y = tensors.get("y") as unknown as Tensor;
  assert(relativeError(model.forward(x("x")).data, y.data) < 1e-5);
  const final = importTorch(bytes, { architecture: filled(bytes, "LastStep", LAST, "LogSoftmax") });
  const probabilities = final.model.forward(x("x"));
  assert(relativeError(probabilities.data, tensors.get("y_final")!.data as Float32Array) < 1e-5);
  const observed = prepare(model, getPreset("accurate"));
  observed.forward(x("x_calibration"));
  const quantized = convert(observed);
  const session = quantized.createSession({ batch: 64, maxSteps: 30 });
  const out = new Float32Array(y.data.length);
  session.run(x("x").data, out);
  const same = agreement(argMax({ data: out, shape: y.shape }), argMax(y));
  assert(same >= 0.98, `${same}`);
});

Deno.test("recognizeModules() names modules by their tensors, behind any prefix", () => {
  const what = (name: string) =>
    recognizeModules(readTorch(bytesOf(name)).tensors).map((each) => `${each.path}: ${each.what}`);
  const expected = [
    "embedding: Embedding of 5 rows of 3",
    "rnn: LSTM of 2 layers, bidirectional, input 3, hidden 2",
    "norm: BatchNorm1d of 4",
    "fc: Linear of 4 to 2",
  ];
  for (const file of ["checkpoint.pt", "lightning.ckpt", "wrapped.pt", "module.pt"]) {
    assertEquals(what(file), expected, file);
  }
  const shape = (...sizes: number[]) => ({ shape: sizes });
  const others = recognizeModules(
    new Map([
      ["proj.weight_ih_l0", shape(20, 3)],
      ["proj.weight_hh_l0", shape(20, 2)],
      ["proj.weight_hr_l0", shape(2, 5)],
      ["gru.weight_ih_l0", shape(6, 3)],
      ["gru.weight_hh_l0", shape(6, 2)],
      ["gru.bias_ih_l0", shape(6)],
      ["rnn.weight_ih_l0", shape(2, 3)],
      ["rnn.weight_hh_l0", shape(2, 2)],
      ["norm.weight", shape(7)],
      ["norm.bias", shape(7)],
      ["out.weight", shape(7, 3)],
      ["conv.weight", shape(4, 3, 5)],
      ["conv.bias", shape(4)],
      ["picture.weight", shape(4, 3, 5, 5)],
      ["crf.transitions", shape(7, 7)],
      ["odd.weight_ih_l0", shape(7, 3)],
      ["odd.weight_hh_l0", shape(7, 2)],
    ]),
  ).map(({ path, kind, what }) => `${path} ${kind}: ${what}`);
  assertEquals(others, [
    "proj LSTM: LSTM of 1 layer, input 3, hidden 5, projected to 2, without bias",
    "gru GRU: GRU of 1 layer, input 3, hidden 2",
    "rnn RNN: RNN of 1 layer, input 3, hidden 2, without bias",
    "norm LayerNorm: LayerNorm of 7",
    "out ?: Embedding of 7 rows of 3, or Linear of 3 to 7, without bias",
    "conv Conv1d: Conv1d of 3 to 4, kernel 5",
    "picture null: not recognized",
    "crf null: not recognized",
    "odd null: not recognized",
  ]);
});

Deno.test("a draft never guesses what tensors do not tell, and is refused until that is filled in", () => {
  const bytes = bytesOf("checkpoint.pt");
  const draft = draftArchitecture(readTorch(bytes).tensors);
  assertEquals(draft.modules.map(({ name, kind }) => `${name}: ${kind}`), [
    "embedding: Embedding",
    "rnn: LSTM",
    "time_after_rnn: ?",
    "norm: BatchNorm1d",
    "after_norm: ?",
    "fc: Linear",
    "after_fc: ?",
  ]);
  const message = "modules[2] (time_after_rnn).kind: expected a kind that you choose (LastStep, Fi";
  assertThrows(() => readArchitecture(draft), RangeError, message);
  assertThrows(() => importTorch(bytes, { architecture: draft }), RangeError, message);
  const dotted = new LSTM({ inputSize: 2, hiddenSize: 3 }).stateDict();
  const renamed = new Map([...dotted].map(([name, each]) => [`net.encoder.${name}`, each]));
  const [module] = draftArchitecture(renamed).modules;
  assertEquals([module!.name, module!.tensors], ["net_encoder", "net.encoder"]);
});

Deno.test("importTorch() finds the model in a checkpoint, and says what it left out", () => {
  const plain = bytesOf("module.pt");
  const architecture = filled(plain, "LastStep", LAST, "ReLU", "Identity");
  const model = importTorch(bytesOf("checkpoint.pt"), { architecture });
  assertEquals(model.notes.length, 1);
  assert(model.notes[0]!.startsWith('beside the state dict, and left out: "epoch", "best"'));
  const wrapped = importTorch(bytesOf("wrapped.pt"), { architecture, strict: true });
  assertEquals(wrapped.notes, ['all names begin with "module._orig_mod.", which is left out']);
  assertEquals(wrapped.model.stateDict(), model.model.stateDict());
  const lightning = importTorch(bytesOf("lightning.ckpt"), { architecture, prefix: "model." });
  assertEquals(lightning.model.stateDict(), model.model.stateDict());
  const short = { ...architecture, modules: architecture.modules.slice(0, -2) };
  const left = importTorch(bytesOf("checkpoint.pt"), { architecture: short }).notes;
  assertEquals(left[0], 'left over, since no module takes them: "fc.weight", "fc.bias"');
  assertThrows(
    () => importTorch(bytesOf("wrapped.pt"), { architecture: short, strict: true }),
    RangeError,
    "options.architecture: expected modules for all tensors",
  );
  const x = tokens([1, 2, 3, 4], [2, 2]);
  assertEquals(model.model.forward(x).shape, [2, 2]);
});
