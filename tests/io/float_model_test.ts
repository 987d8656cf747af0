// Float models as files, and errors for architectures that do not fit.
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  Add,
  BatchNorm1d,
  convert,
  Embedding,
  Generator,
  getPreset,
  Graph,
  HardSigmoid,
  LastStep,
  Linear,
  loadFloatModel,
  loadModel,
  LSTM,
  prepare,
  ReLU,
  saveFloatModel,
  saveModel,
  Sequential,
  tensor,
  tokens,
} from "@splitgate/splitgate";
import {
  type Architecture,
  architectureOf,
  importSafetensors,
  parseSafetensors,
  readArchitecture,
  writeSafetensors,
} from "@splitgate/splitgate/safetensors";
import { ARCHITECTURE_KEY } from "../../src/io/metadata.ts";

/** A model with models in it, a branch, two outputs and names that are integers. */
function nested(): Graph {
  const seed = new Generator(3);
  const encoder = new Sequential({
    "0": new Embedding({ numEmbeddings: 7, embeddingDim: 4, seed }),
    "1": new LSTM({ inputSize: 4, hiddenSize: 3, bidirectional: true, batchFirst: true, seed }),
  });
  const head = new Graph({
    fc: { module: new Linear({ inFeatures: 6, outFeatures: 6, seed }) },
    relu: { module: new ReLU() },
    sum: { module: new Add(), inputs: ["relu", "input"] },
  });
  return new Graph({
    encoder: { module: encoder },
    head: { module: head },
    tag: { module: new Linear({ inFeatures: 6, outFeatures: 2, seed }), inputs: "head" },
    last: { module: new LastStep({ batchFirst: true }), inputs: "head" },
  }, { outputs: ["tag", "last"] });
}

Deno.test("loadFloatModel() gives models within models, branches and outputs as they were", () => {
  const model = nested();
  const bytes = saveFloatModel(model);
  const loaded = loadFloatModel(bytes);
  assertEquals(saveFloatModel(loaded), bytes);
  assertEquals(loaded.stateDict(), model.stateDict());
  assert(loaded.children.get("encoder") instanceof Sequential);
  const x = tokens([1, 2, 3, 4, 5, 6], [2, 3]);
  assertEquals(loaded.run(x), model.run(x));
  assertEquals(
    [...parseSafetensors(bytes).tensors.keys()].includes("encoder.1.weight_ih_l0"),
    true,
  );
});

Deno.test("an architecture names what a module reads only where that is not the one before", () => {
  interface Reading {
    readonly name: string;
    readonly inputs?: string | readonly string[];
    readonly modules?: readonly Reading[];
  }
  const namedIn = (modules: readonly Reading[]): unknown[][] =>
    modules.flatMap(({ name, inputs, modules = [] }) => [
      ...inputs === undefined ? [] : [[name, inputs]],
      ...namedIn(modules),
    ]);
  assertEquals(namedIn(architectureOf(nested()).modules), [
    ["sum", ["relu", "input"]],
    ["last", ["head"]],
  ]);
});

/** A file of other tensors or another architecture, without a checksum. */
function changed(
  bytes: Uint8Array,
  change: (architecture: { modules: Record<string, unknown>[]; [key: string]: unknown }) => void,
): Uint8Array {
  const { tensors, metadata } = parseSafetensors(bytes);
  const { crc32: _left, ...architecture } = JSON.parse(metadata[ARCHITECTURE_KEY]!);
  change(architecture);
  return writeSafetensors(tensors, { [ARCHITECTURE_KEY]: JSON.stringify(architecture) });
}

const plain = () =>
  new Sequential({
    norm: new BatchNorm1d({ numFeatures: 2, eps: 1e-3 }),
    lstm: new LSTM({ inputSize: 2, hiddenSize: 3, numLayers: 2, projSize: 1 }),
    fc: new Linear({ inFeatures: 1, outFeatures: 2 }),
  });

Deno.test("loadFloatModel() refuses what does not fit, by the module's name", () => {
  const bytes = saveFloatModel(plain());
  const cases: [(a: Parameters<Parameters<typeof changed>[1]>[0]) => void, string][] = [
    [(a) => a.version = 2, "architecture.version: expected 1, got 2"],
    [
      (a) => a.more = 1,
      "architecture: expected no options but version, modules, outputs, maskValue, note",
    ],
    [(a) => a.modules = {} as never, "modules: expected an array"],
    [(a) => a.modules[0]!.kind = "BatchNorm", "modules[0] (norm).kind: expected one of Add,"],
    [(a) => a.modules[0]!.kind = "?", "modules[0] (norm).kind: expected a kind that you choose"],
    [(a) => a.modules[0]!.size = 1, "modules[0] (norm): expected no options but name, kind,"],
    [(a) => a.modules[0]!.options = { eps: -1 }, "norm.eps: expected"],
    [
      (a) => a.modules[0]!.options = { numFeatures: 2 },
      "norm.options: expected no options but eps",
    ],
    [(a) => a.modules[1]!.name = "other", "other.weight_ih_l0: expected a tensor [any, any], got"],
    [(a) => a.modules[2]!.tensors = "lstm", 'fc.weight: expected a tensor [any, any], got "none"'],
    [(a) => a.modules[2]!.kind = "Embedding", "fc.tensors: expected the state dict of this"],
    [(a) => a.modules.pop(), 'bytes: expected no other tensors, got "fc.'],
    [(a) => a.modules[2]!.inputs = ["norm"], "children.lstm: expected a module that is read"],
    [(a) => a.modules[1]!.name = "norm", "modules.norm: expected a name of its own"],
    [(a) => a.outputs = ["lstm"], "children.fc: expected a module that is read"],
    [(a) => a.modules.push({ ...a.modules[2]!, name: "more", tensors: "fc" }), "modules.more.tens"],
  ];
  for (const [change, message] of cases) {
    const error = assertThrows(() => loadFloatModel(changed(bytes, change))) as Error;
    assert(error instanceof RangeError || error instanceof TypeError, `${error}`);
    assert(error.message.startsWith(message), `${error.message} begins ${message}`);
  }
});

Deno.test("a module of a hostile file allocates nothing larger than its tensors", () => {
  // A hidden size of a million, of which the weight between hidden states is not there.
  const rows = 4_000_000;
  const bytes = writeSafetensors([
    ["lstm.weight_ih_l0", { data: new Float32Array(rows), shape: [rows, 1] }],
    ["lstm.weight_hh_l0", { data: new Float32Array(4), shape: [4, 1] }],
  ], { [ARCHITECTURE_KEY]: '{"modules":[{"name":"lstm","kind":"LSTM"}]}' });
  const message = "lstm.weight_hh_l0: expected a tensor [4000000, 1000000], got [4, 1]";
  assertThrows(() => loadFloatModel(bytes), RangeError, message);
});

Deno.test("loadFloatModel() finds a changed bit, and each reader says whose file it was given", () => {
  const model = plain();
  const bytes = saveFloatModel(model);
  const flipped = bytes.slice();
  flipped[flipped.length - 1]! ^= 1;
  assertThrows(() => loadFloatModel(flipped), RangeError, "a file of checksum");
  assertThrows(() => loadModel(bytes), RangeError, "which loadFloatModel reads");
  const observed = prepare(model, getPreset("fbgemm"));
  observed.forward(tensor([1, 2, 3, 4], [2, 1, 2]));
  const quantized = saveModel(convert(observed));
  assertThrows(() => loadFloatModel(quantized), RangeError, "which loadModel reads");
  const foreign = writeSafetensors(model.stateDict());
  assertThrows(() => loadFloatModel(foreign), RangeError, "which importSafetensors takes");
});

Deno.test("importSafetensors() takes names behind a prefix, other dtypes, and lists what is left", () => {
  const weight = { data: Float64Array.of(0.5, 0.1), shape: [1, 2] };
  const count = { data: BigInt64Array.of(2n ** 60n + 1n), shape: [] };
  const file = writeSafetensors([["net.fc.weight", weight], ["steps", count]]);
  const architecture: Architecture = { modules: [{ name: "fc", kind: "Linear" }] };
  const { model, notes } = importSafetensors(file, { architecture, prefix: "net." });
  assertEquals([...model.stateDict()], [
    ["fc.weight", { data: Float32Array.of(0.5, 0.1), shape: [1, 2] }],
  ]);
  assertEquals(notes, [
    '"net.fc.weight": 1 of 2 values of F64 rounded to float32',
    'left over, since no module takes them: "steps"',
  ]);
  const strict = { architecture, prefix: "net.", strict: true };
  assertThrows(() => importSafetensors(file, strict), RangeError, 'all tensors, got "\\"steps');
  const none = { architecture, prefix: "nat." };
  assertThrows(() => importSafetensors(file, none), RangeError, "options.prefix: expected one of");
});

Deno.test("models may stand 16 deep within models, and no deeper", () => {
  const deep = (depth: number): string =>
    depth === 0
      ? '{"name":"a","kind":"Identity"}'
      : `{"name":"a","kind":"Graph","modules":[${deep(depth - 1)}]}`;
  readArchitecture(`{"modules":[${deep(16)}]}`);
  assertThrows(
    () => readArchitecture(`{"modules":[${deep(17)}]}`),
    RangeError,
    "models within models 16 deep",
  );
  assertThrows(() => readArchitecture(`{"modules":[${deep(20_000)}]}`), RangeError);
});

Deno.test("an architecture says which hard sigmoid is torch's own", () => {
  const options = (module: HardSigmoid) => architectureOf(module).modules[0]!.options;
  assertEquals(options(new HardSigmoid()), undefined);
  const line = new HardSigmoid({ slope: 1 / 6 });
  assertEquals(options(line), { slope: Math.fround(1 / 6), offset: 0.5 });
  assertEquals(loadFloatModel(saveFloatModel(line)).children.get("hardsigmoid"), line);
});

Deno.test("loadFloatModel() refuses or reads files with random edits by named errors alone", () => {
  const valid = saveFloatModel(nested());
  const text = changed(valid, () => {});
  const seed = new Generator(11);
  const random = (below: number) => seed.next() % below;
  const header = new DataView(text.buffer).getUint32(0, true);
  let refused = 0;
  for (let run = 0; run < 3000; run++) {
    const bytes = text.slice();
    for (let i = 0; i <= random(3); i++) {
      const at = 8 + random(run % 4 === 0 ? bytes.length - 8 : header);
      bytes[at] = run % 2 === 0 ? random(256) : bytes[8 + random(header)]!;
    }
    try {
      loadFloatModel(bytes);
    } catch (error) {
      refused++;
      const named = error instanceof RangeError || error instanceof TypeError;
      assert(named && /: expected /.test((error as Error).message), `${error}`);
    }
  }
  assert(refused > 1000, `${refused} refused`);
});
