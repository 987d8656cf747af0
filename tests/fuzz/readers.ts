/**
 * Readers of files: each mutated file is read and run, or refused by a named error, within a second
 * and 64 MB.
 *
 * @module
 */
import { assert } from "@std/assert";
import fc from "fast-check";
import {
  compileModel,
  convert,
  getPreset,
  Linear,
  loadFloatModel,
  loadModel,
  LSTM,
  prepare,
  type QuantizedModel,
  saveFloatModel,
  saveModel,
  Sequential,
  tensor,
} from "@splitgate/splitgate";
import { parseSafetensors, writeSafetensors } from "@splitgate/splitgate/safetensors";
import { importKeras } from "@splitgate/splitgate/import/keras";
import { importOnnx, parseOnnx } from "@splitgate/splitgate/import/onnx";
import { importTfjs, shardPaths } from "@splitgate/splitgate/import/tfjs";
import { readTorch } from "@splitgate/splitgate/import/torch";
import { loadProgram } from "@splitgate/splitgate/runtime/state";
import { parseData } from "../../src/cli/data.ts";
import { CommandError } from "../../src/cli/error.ts";
import { writeNpy } from "../../src/cli/npy.ts";
import type { Program } from "../../src/runtime/program.ts";
import type { Session } from "../../src/runtime/session.ts";
import { changeJson, mutate, type Random, random } from "../io/mutations.ts";
import { mutateMessage } from "../io/onnx/mutations.ts";
import { bytesOf as torchFile, EXPECTED } from "../io/torch/files.ts";
import { readTree, writeTree } from "../io/tree.ts";
import type { Target } from "./target.ts";

/** A mutated file: a valid one and what its changes follow from, or the bytes themselves. */
export type ReaderCase = { readonly file: string; readonly seed: number } | {
  readonly base64: string;
};

/** What a file may cost: milliseconds, and bytes beyond its own. */
const MAX_MILLISECONDS = 1000;
const MAX_BYTES = 64 * 2 ** 20;

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
  readonly change?: (bytes: Uint8Array<ArrayBuffer>, draw: Random) => Uint8Array<ArrayBuffer>;
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

/** A small model by a preset. */
function quantized(preset: "fbgemm" | "accurate") {
  const observed = prepare(float, getPreset(preset));
  observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
  return convert(observed);
}

const models = () => new Map((["fbgemm", "accurate"] as const).map((p) => [p, quantized(p)]));

/** Runs a step. */
function step(model: Program<Session> | QuantizedModel, session = model.createSession()): void {
  const { inputSize, vocabulary, outputs } = model;
  const x = vocabulary > 0 ? new Int32Array(1) : new Float32Array(inputSize);
  const arrays = outputs.map(({ name, size }) =>
    [name, new Float32Array(size * session.outputSteps(1, name))] as const
  );
  session.run(x, arrays.length > 1 ? Object.fromEntries(arrays) : arrays[0]![1]);
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

const text = (each: string) => encoder.encode(each);
const SHAPE = { size: 2, vocabulary: 0 };

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
      for (const { data } of parseSafetensors(bytes).tensors.values()) assert(data.length >= 0);
    },
    change: changeHeader,
  },
  {
    name: "model",
    files: () => new Map([...models()].map(([name, model]) => [name, saveModel(model)])),
    read: (bytes) => step(loadModel(bytes)),
    change: changeTree,
  },
  {
    name: "float",
    files: () => new Map([["float", saveFloatModel(float)]]),
    read(bytes) {
      loadFloatModel(bytes);
    },
    change: changeHeader,
  },
  {
    name: "program",
    files: () => new Map([...models()].map(([name, model]) => [name, compileModel(model)])),
    read: (bytes) => step(loadProgram(bytes)),
  },
  {
    name: "state",
    files: () => {
      const model = quantized("fbgemm");
      const session = model.createSession();
      step(model, session);
      return new Map([["state", session.state()]]);
    },
    read(bytes) {
      const model = quantized("fbgemm");
      const session = model.createSession();
      session.restore(bytes);
      step(model, session);
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
      for (const { data } of readTorch(bytes).tensors.values()) assert(data.length >= 0);
    },
  },
  {
    name: "keras",
    files: () => filesIn("keras-made/", /\.(keras|h5)$/),
    read(bytes) {
      importKeras(bytes, { masking: "lengths" });
    },
  },
  {
    name: "tfjs",
    files: tfjsFiles,
    read(bytes) {
      importTfjs(...halves(bytes));
    },
    change(bytes, draw) {
      const [json, shards] = halves(bytes);
      const model = JSON.parse(json);
      changeJson(model, draw);
      return joined(text(JSON.stringify(model)), shards);
    },
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
      importOnnx(bytes);
    },
    change: mutateMessage,
  },
  {
    name: "npy",
    files: () => new Map([["npy", Uint8Array.from(writeNpy(new Float32Array(12), [2, 3, 2]))]]),
    read(bytes) {
      parseData("data.npy", bytes, SHAPE);
    },
  },
  {
    name: "csv",
    files: () => new Map([["csv", text('sequence,x,y\na,1,2\na,0.5,-1\nb,3e2,"4"\n')]]),
    read(bytes) {
      parseData("data.csv", bytes, SHAPE);
    },
  },
  {
    name: "jsonl",
    files: () => new Map([["jsonl", text('[[1,2],[3,4]]\n{"x":[[0.5,1]],"id":1}\n[1,2]\n')]]),
    read(bytes) {
      parseData("data.jsonl", bytes, SHAPE);
    },
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
  const changed = change !== undefined && draw(2) === 0 ? change(valid, draw) : mutate(valid, draw);
  return { bytes: Uint8Array.from(changed), valid };
}

/** What reading a file came to, and what it cost. */
interface Reading {
  readonly outcome: string;
  readonly milliseconds: number;
  readonly bytes: number;
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
    const { name, message } = error as Error;
    // The command says in its own words what is no data file.
    const named = error instanceof CommandError ||
      (name === "RangeError" || name === "TypeError") && /: expected [^]+, got /.test(message);
    if (!named) throw new Error(`an error without a name: ${message}`, { cause: error });
    assert(message.length < LONGEST_MESSAGE, `a message of ${message.length} characters`);
  }
  const milliseconds = performance.now() - start;
  const after = Deno.memoryUsage();
  const more = after.heapUsed + after.external - before.heapUsed - before.external;
  return { outcome, milliseconds, bytes: more };
}

/** Requires that a file is read, or refused by a named error. */
function readOrRefuse(reader: Reader, bytes: Uint8Array<ArrayBuffer>): string {
  const within = ({ milliseconds, bytes: more }: Reading) =>
    milliseconds < MAX_MILLISECONDS && more < MAX_BYTES + bytes.length;
  let reading = measured(reader, bytes);
  // A machine that is busy, or memory that is cleared just then, is slow once.
  for (let again = 0; again < 2 && !within(reading); again++) reading = measured(reader, bytes);
  assert(within(reading), JSON.stringify(reading));
  return reading.outcome;
}

/** Puts back what makes no difference. */
function restored(
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
    run: (one) => readOrRefuse(reader, mutated(reader, one).bytes),
    smallest(one, fails) {
      const { bytes, valid } = mutated(reader, one);
      if (valid === null) return one;
      return caseOf(restored(bytes, valid, (each) => fails(caseOf(each))));
    },
  };
});
