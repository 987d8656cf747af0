/**
 * Readers of files: each mutated file is read and run, or refused by a named error, within a second
 * and 64 MB.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { zipSync } from "fflate/browser";
import {
  compileModel,
  convert,
  getPreset,
  type Graph,
  Linear,
  loadFloatModel,
  loadModel,
  LSTM,
  type Module,
  prepare,
  PRESET_NAMES,
  type QuantizedModel,
  saveFloatModel,
  saveModel,
  Sequential,
  tensor,
  tokens,
} from "@splitgate/splitgate";
import { parseSafetensors, writeSafetensors } from "@splitgate/splitgate/safetensors";
import { importKeras } from "@splitgate/splitgate/import/keras";
import { importOnnx, parseOnnx } from "@splitgate/splitgate/import/onnx";
import { importTfjs, shardPaths } from "@splitgate/splitgate/import/tfjs";
import { importTorch, readTorch } from "@splitgate/splitgate/import/torch";
import { loadProgram } from "@splitgate/splitgate/runtime/state";
import {
  DRAWN_KINDS,
  type GraphCase,
  graphCases,
  graphOf,
  modelOfKind,
  type ModuleSizes,
  observedGraph,
} from "@splitgate/splitgate/testing";
import { firstRows, parseData, parseLabels } from "../../src/cli/data.ts";
import { CommandError } from "../../src/cli/error.ts";
import { writeNpy } from "../../src/cli/npy.ts";
import { importSafetensors } from "../../src/io/import_tensors.ts";
import { readKeras } from "../../src/io/keras/read.ts";
import { ARCHITECTURE_KEY } from "../../src/io/metadata.ts";
import { draftArchitecture } from "../../src/io/recognize_modules.ts";
import { unpickle } from "../../src/io/torch/pickle.ts";
import { rewriteFloat } from "../../src/authoring/rewrites.ts";
import { flatten } from "../../src/modules/graph.ts";
import { RUNNING_KINDS } from "../../src/modules/kinds.ts";
import type { Program } from "../../src/runtime/program.ts";
import type { Session } from "../../src/runtime/session.ts";
import { quantizedOf } from "../../src/testing/arbitraries.ts";
import { changeJson, mutate, type Random, random, type Words, wordsOf } from "../io/mutations.ts";
import { mutateMessage } from "../io/onnx/mutations.ts";
import { bytesOf as torchFile, EXPECTED } from "../io/torch/files.ts";
import { CALLS, PICKLES, STATED } from "../io/torch/pickles.ts";
import { readTree, writeTree } from "../io/tree.ts";
import type { Target } from "./target.ts";

/** A mutated file: a valid one and what its changes follow from, or the bytes themselves. */
export type ReaderCase = { readonly file: string; readonly seed: number } | {
  readonly base64: string;
};

/** What a file may cost beyond its own size; whoever counts what is run takes longer, and says so. */
export const LIMITS = { milliseconds: 1000, bytes: 64 * 2 ** 20 };

/** Characters that a message may have. */
const LONGEST_MESSAGE = 1000;

/** A reader of files. */
interface Reader {
  readonly name: string;
  /** Valid files by name. */
  readonly files: () => ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  /** Reads all that a file holds, and runs it where it can be run. */
  readonly read: (bytes: Uint8Array<ArrayBuffer>) => void;
  /** Changes what the bytes mean; every other file is changed so. */
  readonly change?: (
    bytes: Uint8Array<ArrayBuffer>,
    draw: Random,
    files: () => ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
  ) => Uint8Array<ArrayBuffer>;
}

const MODELS = new URL("../models/", import.meta.url);
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Larger files are not mutated: they take long, and hold the same. */
const LARGEST = 100_000;

/** The files of a folder that end so. */
function filesIn(folder: string, ending: RegExp): Map<string, Uint8Array<ArrayBuffer>> {
  const found = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const { name } of Deno.readDirSync(new URL(folder, MODELS))) {
    if (!ending.test(name)) continue;
    const bytes = Deno.readFileSync(new URL(folder + name, MODELS));
    if (bytes.length <= LARGEST) found.set(folder + name, bytes);
  }
  return new Map([...found].sort());
}

const float = new Sequential({
  lstm: new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 }),
  out: new Linear({ inFeatures: 3, outFeatures: 2, seed: 2 }),
});

/** Steps that models run: as many as a Flatten of every kind's model takes. */
const STEPS = 9;

/** A small model by a preset. */
function quantized(preset: "fbgemm" | "accurate") {
  const observed = prepare(float, getPreset(preset));
  observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
  return convert(observed);
}

const SIZES: Omit<ModuleSizes, "seed"> = {
  inputSize: 2,
  width: 3,
  numLayers: 1,
  bidirectional: false,
  batchFirst: false,
};

/** Small models: two of two modules, and one of every kind by each preset that takes it. */
function models(): Map<string, QuantizedModel> {
  const found = new Map((["fbgemm", "accurate"] as const).map((p) => [p as string, quantized(p)]));
  DRAWN_KINDS.forEach((kind, i) => {
    // Presets and the two directions take turns.
    const preset = [...PRESET_NAMES, "dynamic"][i % (PRESET_NAMES.length + 1)]!;
    const sizes = { ...SIZES, bidirectional: i % 2 > 0, batchFirst: i % 3 > 0, seed: i };
    for (const each of [preset, "accurate"]) {
      const made = quantizedOf({ kind, sizes, model: modelOfKind(kind, sizes) }, each);
      if (made !== null) found.set(`${kind}, ${each}`, made);
    }
  });
  for (const [name, c] of graphsDrawn()) {
    try {
      const graph = graphOf(c);
      const names = [...rewriteFloat(flatten(graph)).modules.keys()];
      found.set(name, convert(observedGraph(c, graph, names)));
    } catch (error) {
      // What a preset or an engine cannot run.
      if (!(error instanceof RangeError && /: expected [^]+, got /.test(error.message))) {
        throw error;
      }
    }
  }
  return found;
}

/** Graphs of several modules, with models in them and several outputs. */
function graphsDrawn(): Map<string, GraphCase> {
  return new Map(
    fc.sample(graphCases, { numRuns: 12, seed: 1 }).map((c, i) => [`graph ${i}`, c]),
  );
}

/** Small float models of every kind. */
function floatModels(): Map<string, Module> {
  const kinds = DRAWN_KINDS.map((kind, seed): [string, Module] => [
    kind,
    modelOfKind(kind, { ...SIZES, bidirectional: seed % 2 > 0, seed }),
  ]);
  const graphs = [...graphsDrawn()].map(([name, c]): [string, Module] => [name, graphOf(c)]);
  return new Map([["float", float], ...kinds, ...graphs]);
}

/** Programs of the models that a program can hold. */
function programs(): Map<string, Uint8Array<ArrayBuffer>> {
  const found = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const [name, model] of models()) {
    try {
      found.set(name, compileModel(model));
    } catch (error) {
      // It names the module that no program can hold.
      if (!(error instanceof RangeError && error.message.startsWith("modules."))) throw error;
    }
  }
  return found;
}

/** Runs some steps of zeros. */
function run(
  model: Program<Session> | QuantizedModel,
  session = model.createSession({ maxSteps: STEPS }),
): void {
  const { inputSize, vocabulary, outputs } = model;
  const x = vocabulary > 0 ? new Int32Array(STEPS) : new Float32Array(STEPS * inputSize);
  const arrays = outputs.map(({ name, size }) =>
    [name, new Float32Array(size * session.outputSteps(STEPS, name))] as const
  );
  session.run(x, arrays.length > 1 ? Object.fromEntries(arrays) : arrays[0]![1]);
}

/** Runs some steps of zeros through a float model. */
function runFloat(model: Graph): void {
  const observed = prepare(model, getPreset("fbgemm"));
  const { inputSize, batchFirst } = observed;
  const shape = batchFirst ? [1, STEPS] : [STEPS, 1];
  if (inputSize === null) observed.run(tokens(new Int32Array(STEPS), shape));
  else observed.run(tensor(new Float32Array(STEPS * inputSize), [...shape, inputSize]));
}

/** Changes a JSON value in a model file, without its checksum. */
function changeTree(bytes: Uint8Array<ArrayBuffer>, draw: Random): Uint8Array<ArrayBuffer> {
  const { tensors, tree } = readTree(bytes);
  changeJson(tree, draw);
  return writeTree(tensors, tree);
}

/** Changes a value of a safetensors file's header. */
function changeHeader(bytes: Uint8Array<ArrayBuffer>, draw: Random): Uint8Array<ArrayBuffer> {
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const header = JSON.parse(decoder.decode(bytes.subarray(8, 8 + length)));
  changeJson(header, draw);
  const text = encoder.encode(JSON.stringify(header));
  const out = new Uint8Array(8 + text.length + bytes.length - 8 - length);
  new DataView(out.buffer).setUint32(0, text.length, true);
  out.set(text, 8);
  out.set(bytes.subarray(8 + length), 8 + text.length);
  return out;
}

/** Changes a JSON value in a float model's architecture, without its checksum. */
function changeArchitecture(bytes: Uint8Array<ArrayBuffer>, draw: Random): Uint8Array<ArrayBuffer> {
  const { tensors, metadata } = parseSafetensors(bytes);
  const { crc32: _left, ...architecture } = JSON.parse(metadata[ARCHITECTURE_KEY]!);
  changeJson(architecture, draw);
  return writeSafetensors(tensors, { [ARCHITECTURE_KEY]: JSON.stringify(architecture) });
}

/** A file of TensorFlow.js as one: the length of its JSON, the JSON, and all shards. */
function tfjsFiles(): Map<string, Uint8Array<ArrayBuffer>> {
  const found = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const name of ["lstm-chars", "lstm-chars-uint8"]) {
    const read = (path: string) => Deno.readFileSync(new URL(`tfjs-made/${name}/${path}`, MODELS));
    const json = read("model.json");
    const shards = shardPaths(JSON.parse(decoder.decode(json))).flatMap((path) => [...read(path)]);
    found.set(name, joined(json, Uint8Array.from(shards)));
  }
  return found;
}

function joined(json: Uint8Array, shards: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(4 + json.length + shards.length);
  new DataView(out.buffer).setUint32(0, json.length, true);
  out.set(json, 4);
  out.set(shards, 4 + json.length);
  return out;
}

/** The two halves of such a file. */
function halves(bytes: Uint8Array<ArrayBuffer>): [json: string, shards: Uint8Array<ArrayBuffer>] {
  const length = bytes.length < 4 ? 0 : new DataView(bytes.buffer).getUint32(0, true);
  return [decoder.decode(bytes.subarray(4, 4 + length)), bytes.slice(4 + length)];
}

/** Files of Keras behind their own architecture, which may be given beside a file's. */
function kerasConfigs(): Map<string, Uint8Array<ArrayBuffer>> {
  const found = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const [name, bytes] of filesIn("keras-made/", /\.(keras|h5)$/)) {
    let config: unknown;
    try {
      ({ config } = readKeras(bytes));
    } catch {
      continue; // A form of HDF5 that is refused.
    }
    if (config !== null) found.set(name, joined(text(JSON.stringify(config)), bytes));
  }
  return found;
}

const allWords = new WeakMap<ReadonlyMap<string, Uint8Array<ArrayBuffer>>, Words>();

/** Changes a value of the JSON before a file's bytes, often to one of another file. */
function changeHalf(
  bytes: Uint8Array<ArrayBuffer>,
  draw: Random,
  files: () => ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
): Uint8Array<ArrayBuffer> {
  const all = files();
  const words = allWords.get(all) ??
    wordsOf([...all.values()].map((each) => JSON.parse(halves(each)[0])));
  allWords.set(all, words);
  const [json, rest] = halves(bytes);
  const value = JSON.parse(json);
  changeJson(value, draw, words);
  return joined(text(JSON.stringify(value)), rest);
}

/** A byte for each character. */
const latin1 = (each: string) => Uint8Array.from(each, (c) => c.charCodeAt(0));

const text = (each: string) => encoder.encode(each);

/** Inputs of models that data is read for: values, and token ids. */
const SHAPES = [{ size: 2, vocabulary: 0 }, { size: 1, vocabulary: 9 }];

/** An array of so many sizes as NumPy writes it. */
function npy(shape: readonly number[]): Uint8Array<ArrayBuffer> {
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => i % 4);
  return Uint8Array.from(writeNpy(data, [...shape]));
}

/** Reads a file of data for any model, and as labels; throws what the last refusal is, if all refuse. */
function readData(path: string, bytes: Uint8Array<ArrayBuffer>): void {
  for (const row of firstRows(path, bytes)) assert(row.length < LONGEST_MESSAGE);
  const ways = [
    ...SHAPES.map((shape) => () => void parseData(path, bytes, shape)),
    () => void parseLabels(path, bytes),
  ];
  let refusals = 0;
  for (const way of ways) {
    try {
      way();
    } catch (error) {
      requireNamed(error);
      if (++refusals === ways.length) throw error;
    }
  }
}

/** Does something with what a file holds: it works, or is refused by a named error. */
function takeOrRefuse(take: () => void): void {
  try {
    take();
  } catch (error) {
    requireNamed(error);
  }
}

/** Models whose states are restored, of all modules that keep some, once they are needed. */
let streaming: ReadonlyMap<string, QuantizedModel> | undefined;

function streamingModels(): ReadonlyMap<string, QuantizedModel> {
  return streaming ??= new Map(
    [...models()].filter(([name, { looksAhead }]) =>
      !looksAhead && /^(fbgemm|LSTM|GRU|Conv1d|Max|Mean|AvgPool|graph)/.test(name)
    ),
  );
}

/** Readers, by what `--target` calls them. */
const READERS: readonly Reader[] = [
  {
    name: "safetensors",
    files: () =>
      new Map([
        [
          "small",
          writeSafetensors([
            ["weight", { data: new Int8Array([1, -2, 3, -4, 5, -6]), shape: [2, 3] }],
            ["bias", { data: new Float32Array([0.5, -1]), shape: [2] }],
            ["none", { data: new Uint8Array(0), shape: [0] }],
          ], { format: "1" }),
        ],
        ["model", saveModel(quantized("fbgemm"))],
      ]),
    read(bytes) {
      const { tensors } = parseSafetensors(bytes);
      for (const { data } of tensors.values()) assert(data.length >= 0);
      takeOrRefuse(() => importSafetensors(bytes, { architecture: draftArchitecture(tensors) }));
    },
    change: changeHeader,
  },
  {
    name: "model",
    files: () => new Map([...models()].map(([name, model]) => [name, saveModel(model)])),
    read: (bytes) => run(loadModel(bytes)),
    change: changeTree,
  },
  {
    name: "float",
    files: () => new Map([...floatModels()].map(([name, model]) => [name, saveFloatModel(model)])),
    read: (bytes) => runFloat(loadFloatModel(bytes)),
    change: changeArchitecture,
  },
  {
    name: "program",
    files: programs,
    read: (bytes) => run(loadProgram(bytes, { kinds: RUNNING_KINDS })),
  },
  {
    name: "state",
    files: () =>
      new Map([...streamingModels()].map(([name, model]) => {
        const session = model.createSession({ maxSteps: STEPS });
        run(model, session);
        return [name, session.state()];
      })),
    read(bytes) {
      // A state says of which model it is.
      let refusal: unknown;
      for (const model of streamingModels().values()) {
        const session = model.createSession({ maxSteps: STEPS });
        const before = session.state();
        try {
          session.restore(bytes);
          return run(model, session);
        } catch (error) {
          requireNamed(error);
          assertEquals(session.state(), before);
          refusal ??= error;
        }
      }
      throw refusal;
    },
  },
  {
    name: "torch",
    files: () =>
      new Map(
        Object.keys(EXPECTED.files).map((name) => [name, Uint8Array.from(torchFile(name))] as const)
          .filter(([, { length }]) => length < LARGEST / 2),
      ),
    read(bytes) {
      const { tensors } = readTorch(bytes);
      for (const { data } of tensors.values()) assert(data.length >= 0);
      takeOrRefuse(() => importTorch(bytes, { architecture: draftArchitecture(tensors) }));
    },
  },
  {
    name: "pickle",
    files: () => {
      const texts = [...PICKLES.map(([each]) => each), ...CALLS, STATED];
      return new Map(texts.map((each, i) => [`${i}`, latin1(each)]));
    },
    read(bytes) {
      unpickle(bytes, 0, { persistent: (id) => ["id", id], call: () => undefined });
    },
    change(bytes, draw, files) {
      // One after the other, without the end of the first.
      const all = [...files().values()];
      const other = all[draw(all.length)]!;
      return mutate(Uint8Array.of(...bytes.subarray(0, -1), ...other), draw).slice();
    },
  },
  {
    name: "keras",
    files: () => filesIn("keras-made/", /\.(keras|h5)$/),
    read(bytes) {
      runFloat(importKeras(bytes, { masking: "lengths" }).model);
    },
  },
  {
    name: "keras-config",
    files: kerasConfigs,
    read(bytes) {
      const [config, weights] = halves(bytes);
      for (const options of [{}, { masking: "lengths" } as const]) {
        runFloat(importKeras(weights, { config, ...options }).model);
      }
    },
    change: changeHalf,
  },
  {
    name: "tfjs",
    files: tfjsFiles,
    read(bytes) {
      runFloat(importTfjs(...halves(bytes)).model);
    },
    change: changeHalf,
  },
  {
    name: "onnx",
    files: () =>
      new Map([
        ...filesIn("onnx-operators/", /\.onnx$/),
        ...filesIn("onnx-made/", /^(?!.*unrolled).*\.onnx$/),
      ]),
    read(bytes) {
      for (const { data } of parseOnnx(bytes).tensors.values()) assert(data.length >= 0);
      runFloat(importOnnx(bytes).model);
    },
    change(bytes, draw, files) {
      const all = [...files().values()];
      return mutateMessage(bytes, draw, all[draw(all.length)]);
    },
  },
  {
    name: "npy",
    files: () =>
      new Map([
        ["npy", npy([2, 3, 2])],
        ["alone", npy([6, 2])],
        ["row", npy([12])],
        ["fortran", latin1(decoder.decode(npy([2, 3, 2])).replace("False", "True "))],
      ]),
    read: (bytes) => readData("data.npy", bytes),
  },
  {
    name: "npz",
    files: () =>
      new Map([
        ["all", zipSync({ "x.npy": npy([2, 3, 2]), "y.npy": npy([2, 6]) })],
        ["other", zipSync({ "a.npy": npy([4, 3]) })],
      ]),
    read: (bytes) => readData("data.npz", bytes),
  },
  {
    name: "data",
    files: () => {
      const x = { data: new Float32Array(12).map((_, i) => i % 3), shape: [2, 3, 2] };
      const ids = { data: new BigInt64Array(6), shape: [2, 3] };
      const lengths = { data: Int32Array.of(1, 3), shape: [2] };
      return new Map([
        ["x", writeSafetensors([["x", x], ["lengths", lengths], ["y", ids]])],
        ["tokens", writeSafetensors([["x_calibration", ids]])],
        ["other", writeSafetensors([["a", x], ["b", x]])],
      ]);
    },
    read: (bytes) => readData("data.safetensors", bytes),
    change: changeHeader,
  },
  {
    name: "csv",
    files: () =>
      new Map([
        ["csv", text('sequence,x,y\na,1,2\na,0.5,-1\nb,3e2,"4"\n')],
        ["tokens", text("1,2,3\n4,5\n")],
      ]),
    read: (bytes) => readData("data.csv", bytes),
  },
  {
    name: "jsonl",
    files: () =>
      new Map([
        ["jsonl", text('[[1,2],[3,4]]\n{"x":[[0.5,1]],"id":1}\n[1,2]\n')],
        ["tokens", text('[1,2,3]\n{"x":[4]}\n')],
      ]),
    read: (bytes) => readData("data.jsonl", bytes),
  },
];

/** Bytes of a case. */
function mutated(
  { files, change }: Reader,
  one: ReaderCase,
): { bytes: Uint8Array<ArrayBuffer>; valid: Uint8Array<ArrayBuffer> | null } {
  if ("base64" in one) {
    const bytes = Uint8Array.from(atob(one.base64), (each) => each.charCodeAt(0));
    return { bytes, valid: null };
  }
  const valid = files().get(one.file)!;
  const draw = random(one.seed);
  const changed = change !== undefined && draw(2) === 0
    ? change(valid, draw, files)
    : mutate(valid, draw);
  return { bytes: Uint8Array.from(changed), valid };
}

/** What reading a file came to, and what it cost. */
interface Reading {
  readonly outcome: string;
  readonly milliseconds: number;
  readonly bytes: number;
}

/** Requires an error that names what was expected and what came, in few words. */
function requireNamed(error: unknown): void {
  const { name, message } = error as Error;
  // The command has its own message for files that are not data.
  const named = error instanceof CommandError ||
    (name === "RangeError" || name === "TypeError") && /: expected [^]+, got /.test(message);
  if (!named) throw new Error(`an error without a name: ${message}`, { cause: error });
  assert(message.length < LONGEST_MESSAGE, `a message of ${message.length} characters`);
}

/** Reads a file; throws where it is refused without a name. */
function measured({ read }: Reader, bytes: Uint8Array<ArrayBuffer>): Reading {
  const before = Deno.memoryUsage();
  const start = performance.now();
  let outcome = "read";
  try {
    read(bytes);
  } catch (error) {
    outcome = "refused";
    requireNamed(error);
  }
  const milliseconds = performance.now() - start;
  const after = Deno.memoryUsage();
  const more = after.heapUsed + after.external - before.heapUsed - before.external;
  return { outcome, milliseconds, bytes: more };
}

/** Requires that a file is read, or refused by a named error. */
function readOrRefuse(reader: Reader, bytes: Uint8Array<ArrayBuffer>): string {
  const within = ({ milliseconds, bytes: more }: Reading) =>
    milliseconds < LIMITS.milliseconds && more < LIMITS.bytes + bytes.length;
  let reading = measured(reader, bytes);
  // A machine that is busy, or memory that is cleared just then, is slow once.
  for (let again = 0; again < 2 && !within(reading); again++) reading = measured(reader, bytes);
  assert(within(reading), JSON.stringify(reading));
  return reading.outcome;
}

/** Puts back what makes no difference. */
function withoutNeedlessChanges(
  bytes: Uint8Array<ArrayBuffer>,
  valid: Uint8Array<ArrayBuffer>,
  fails: (bytes: Uint8Array<ArrayBuffer>) => boolean,
): Uint8Array<ArrayBuffer> {
  let best = bytes;
  for (let span = best.length; span >= 1; span >>= 1) {
    for (let from = 0; from < best.length; from += span) {
      const part = valid.subarray(from, Math.min(from + span, best.length));
      if (part.every((byte, i) => byte === best[from + i])) continue;
      const next = best.slice();
      next.set(part, from);
      if (fails(next)) best = next;
    }
  }
  return best;
}

/** Bytes as a case. */
function caseOf(bytes: Uint8Array): ReaderCase {
  return { base64: btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")) };
}

/** Every reader as a target. */
export const READER_TARGETS: readonly Target<ReaderCase>[] = READERS.map((given) => {
  // Files are read and made once, where they are needed.
  let files: ReadonlyMap<string, Uint8Array<ArrayBuffer>> | undefined;
  const reader: Reader = { ...given, files: () => files ??= given.files() };
  return {
    name: reader.name,
    cases: fc.constant(null).chain(() =>
      fc.record({
        file: fc.constantFrom(...reader.files().keys()),
        seed: fc.noShrink(fc.integer({ min: 0, max: 2 ** 31 - 1 })),
      })
    ),
    run: (one) => ({ outcome: readOrRefuse(reader, mutated(reader, one).bytes) }),
    smallest(one, fails) {
      const { bytes, valid } = mutated(reader, one);
      if (valid === null) return one;
      return caseOf(withoutNeedlessChanges(bytes, valid, (each) => fails(caseOf(each))));
    },
  };
});
