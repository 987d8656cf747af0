/**
 * Files of other libraries that every runtime must read and import alike. Nothing here knows which
 * runtime it is in, nor where the files come from.
 *
 * @module
 */
import {
  convert,
  getPreset,
  type Graph,
  loadModel,
  prepare,
  saveModel,
  type Tensor,
  tensor,
  tokens,
  type TokenTensor,
} from "@splitgate/splitgate";
import {
  type Architecture,
  draftArchitecture,
  parseSafetensors,
  type SafetensorsEntry,
} from "@splitgate/splitgate/safetensors";
import {
  importKeras,
  type ImportKerasOptions,
  skipMasked,
} from "@splitgate/splitgate/import/keras";
import { importOnnx, type OnnxImportOptions } from "@splitgate/splitgate/import/onnx";
import { importTfjs, shardPaths } from "@splitgate/splitgate/import/tfjs";
import { importTorch, readTorch } from "@splitgate/splitgate/import/torch";
import type { Case } from "./cases.ts";

/** Model files and what belongs to them, by their paths. */
export type Files = ReadonlyMap<string, Uint8Array>;

/** Rows of a file's reference that its model is run on. */
const ROWS = 12;

/** Lengths at which a file is cut off. */
const CUTS = 32;

/** One file a format that is also cut off everywhere. */
const CUT_OFF = [
  "torch/checkpoint.pt",
  "torch/checkpoint_legacy.pt",
  "keras-made/lstm.keras",
  "keras-made/lstm.h5",
  "onnx-operators/lstm-plain.onnx",
];

/** Published models, which also run in integers. */
const PUBLISHED =
  /^(ao_gru_a|astrorapid|brainmaze|network_intrusion|parsernaam|uzmorph_bigru|tfjs-made)\//;

const KERAS_OPTIONS: Readonly<Record<string, ImportKerasOptions>> = {
  "ao_gru_a/gru_model.keras": { cut: "dense" },
};

const ONNX_OPTIONS: Readonly<Record<string, OnnxImportOptions>> = {
  "brainmaze/modelA_paper.without_conv.onnx": { cut: "/Transpose_output_0", outputs: ["logits"] },
};

/** What takes the place of an architecture's blanks, in order. */
const BLANKS: Readonly<Record<string, readonly object[]>> = {
  "parsernaam/parsernaam.pt": [
    { kind: "LastStep", options: { batchFirst: true } },
    { kind: "LogSoftmax" },
  ],
};

const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
  new Uint8Array(buffer, byteOffset, byteLength);
const decoded = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** A model out of a file, and what its importer has to say. */
interface Imported {
  readonly model: Graph;
  readonly notes: readonly string[];
}

/** Files that are refused. */
const REFUSED = /\/invalid\/|unrolled|dense-chunked|^torch\/nested\.pt$/;

/** Gives what a call gives, or the kind of error that it refuses with, never its words. */
function outcome<T>(call: () => T): T | string {
  try {
    return call();
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) return error.name;
    throw error;
  }
}

/** Requires a file to be none that is to be refused. */
function checkTaken(path: string): void {
  if (REFUSED.test(path)) throw new Error(`${path}: was taken`);
}

/** An architecture's draft without blanks; activations stand for those that are not known. */
function architectureOf(path: string, bytes: Uint8Array): Architecture {
  const draft = draftArchitecture(readTorch(bytes).tensors);
  const blanks = [...BLANKS[path] ?? []];
  return {
    ...draft,
    modules: draft.modules.map((each) =>
      each.kind === "?" ? { ...each, kind: "Identity", ...blanks.shift() } : each
    ),
  };
}

function importFile(path: string, bytes: Uint8Array, files: Files): Imported {
  const folder = path.slice(0, path.lastIndexOf("/"));
  if (path.endsWith(".onnx")) return importOnnx(bytes, ONNX_OPTIONS[path] ?? {});
  if (path.endsWith("/model.json")) {
    const json = decoded(bytes);
    const paths = shardPaths(JSON.parse(json));
    const shards = new Map(paths.map((each) => [each, files.get(`${folder}/${each}`)!]));
    return importTfjs(json, shards, { masking: "lengths" });
  }
  if (/\.(pt|pth|ckpt)$/.test(path)) {
    return importTorch(bytes, { architecture: architectureOf(path, bytes) });
  }
  const config = path.endsWith(".weights.h5")
    ? { config: decoded(files.get(path.replace(".weights.h5", ".json"))!) }
    : {};
  return importKeras(bytes, { masking: "lengths", ...config, ...KERAS_OPTIONS[path] });
}

/** What a file's model is run on, if something is known of it. */
function referenceOf(path: string, files: Files): SafetensorsEntry | undefined {
  const [, folder, name] = /^(.*)\/([^/]*)$/.exec(path)!;
  const own = name!.replace(/\.(onnx|keras|h5|json)$/, "");
  const found = [
    `${folder}/${own}.reference.safetensors`,
    `${folder}/${own}.safetensors`,
    `${folder}/${folder!.replace(/^.*\//, "")}.reference.safetensors`,
  ].map((each) => files.get(each)).find((each) => each !== undefined);
  if (found !== undefined) {
    const { tensors } = parseSafetensors(found);
    return tensors.get("x") ?? tensors.get("cut");
  }
  const made = files.get(`${folder}/references.safetensors`);
  return made && parseSafetensors(made).tensors.get(`${own.replace(".weights", "")}.x`);
}

/** The first rows of a reference, as a model takes them. */
function inputOf(
  { data, shape }: SafetensorsEntry,
  notes: readonly string[],
): Tensor | TokenTensor {
  const rows = Math.min(ROWS, shape[0]!);
  const values = data.slice(0, data.length / shape[0]! * rows);
  const channels = notes.some((note) => note.includes("[batch, features, time] in the file"));
  const [, a, b] = shape as [number, number, number];
  const own = channels ? [rows, b, a] : [rows, ...shape.slice(1)];
  return values instanceof Float32Array
    ? tensor(values, own)
    : tokens(Int32Array.from(values as Int32Array, Number), own);
}

/** The model's weights and, on an input, its results. */
function* computed(
  path: string,
  { model, notes, ...more }: Imported,
  files: Files,
): Iterable<Uint8Array> {
  yield text([notes, model.maskValue, Object.keys(more)]);
  for (const [name, { data, shape }] of model.stateDict()) {
    yield text([name, shape]);
    yield bytesOf(data);
  }
  const reference = referenceOf(path, files);
  if (reference === undefined) throw new Error(`${path}: nothing to run it on`);
  const given = inputOf(reference, notes);
  // Some files have steps without a batch.
  const x = given.shape.length === 2 && given.data instanceof Float32Array
    ? { ...given, shape: [given.shape[0]!, 1, given.shape[1]!] } as Tensor
    : given;
  const used = model.maskValue === null ? { x } : skipMasked(x as Tensor, model.maskValue);
  const options = "lengths" in used ? { lengths: used.lengths } : {};
  for (const [name, { data, shape }] of model.run(used.x, options)) {
    yield text([name, shape]);
    yield bytesOf(data);
  }
  if (!PUBLISHED.test(path)) return;
  const observed = prepare(model, getPreset("fbgemm"));
  observed.run(used.x, options);
  const file = saveModel(convert(observed));
  yield file;
  const quantized = loadModel(file);
  const [a, b] = used.x.shape as [number, number];
  const [batch, maxSteps] = quantized.batchFirst ? [a, b] : [b, a];
  const session = quantized.createSession({ batch, maxSteps });
  const out = Object.fromEntries(
    quantized.outputs.map(({ name, size, time }) => [
      name,
      new Float32Array((time ? session.outputSteps(maxSteps, name) : 1) * batch * size),
    ]),
  );
  const [only, ...others] = Object.values(out);
  session.run(used.x.data as never, others.length === 0 ? only! : out);
  for (const each of Object.values(out)) yield bytesOf(each);
}

/**
 * What every runtime reads and imports.
 *
 * @param files All of them; those that are no models are what others are run on.
 */
export function readerCases(files: Files): Case[] {
  const models = [...files.keys()].sort().filter((path) =>
    /\.(onnx|keras|h5|hdf5|pt|pth|ckpt)$|\/model\.json$/.test(path)
  );
  const cases = models.map((path): Case => ({
    name: `imports ${path}`,
    *run() {
      const bytes = files.get(path)!;
      if (path.startsWith("torch/")) {
        const read = REFUSED.test(path) ? outcome(() => readTorch(bytes)) : readTorch(bytes);
        if (typeof read === "string") return yield text(read);
        checkTaken(path);
        yield text([read.format, read.key, read.others]);
        for (const [name, { dtype, shape, data }] of read.tensors) {
          yield text([name, dtype, shape]);
          yield bytesOf(data);
        }
        return;
      }
      const load = () => importFile(path, bytes, files);
      const imported = REFUSED.test(path) ? outcome(load) : load();
      if (typeof imported === "string") return yield text(imported);
      checkTaken(path);
      yield* computed(path, imported, files);
    },
  }));
  const cutOff = CUT_OFF.map((path): Case => ({
    name: `refuses or reads ${path} cut off`,
    *run() {
      const bytes = files.get(path)!;
      for (let i = 0; i < CUTS; i++) {
        const part = bytes.subarray(0, Math.floor(i * bytes.length / CUTS));
        const got = outcome(() => importFile(path, part, files));
        yield text(typeof got === "string" ? got : "read");
      }
    },
  }));
  return [...cases, ...cutOff];
}
