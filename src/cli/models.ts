/**
 * Opens model files of any format, recognized by their contents. This file needs no file system, so
 * that the page can use it as well.
 *
 * @module
 */
import type { QuantizedModel } from "../authoring/model.ts";
import { importSafetensors } from "../io/import_tensors.ts";
import { readConfig } from "../io/keras/config.ts";
import { importKeras, readKeras } from "../io/keras/mod.ts";
import { loadFloatModel } from "../io/float_model.ts";
import { loadModel } from "../io/model_file.ts";
import { ARCHITECTURE_KEY, METADATA_KEY } from "../io/metadata.ts";
import { importOnnx, parseOnnx } from "../io/onnx/mod.ts";
import { recognize } from "../io/recognize.ts";
import { parseSafetensors } from "../io/safetensors.ts";
import { importTfjs, readTfjs, shardPaths } from "../io/tfjs/mod.ts";
import { importTorch } from "../io/torch/mod.ts";
import { batchFirstOf, checkFlow, flatten, type Graph } from "../modules/graph.ts";
import { kindOf, RUNNING_KINDS } from "../modules/kinds.ts";
import { maskOf } from "../modules/mask.ts";
import type { Backend } from "../runtime/kind.ts";
import { loadProgram } from "../runtime/with_state.ts";
import type { Program } from "../runtime/program.ts";
import { PROGRAM_HEADER } from "../runtime/program_file.ts";
import type { OutputPort } from "../runtime/data.ts";
import type { Mask } from "../core/mask.ts";
import { INPUT } from "../core/topology.ts";
import { CommandError, UsageError, withPath } from "./error.ts";
import type { InputShape, Results, Sequence } from "./data.ts";
import { repeated, withoutMasked } from "./skip.ts";

/** The format of a model file. */
export type Format =
  | "float"
  | "int8"
  | "program"
  | "safetensors"
  | "torch"
  | "onnx"
  | "keras"
  | "tfjs";

/** A file and its format. */
export interface ModelFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly format: Format;
  /** Reads a file in the same folder, such as a shard of weights. */
  beside(name: string): Promise<Uint8Array>;
}

/** Offset and first byte of the JSON header of a safetensors file. */
const HEADER_AT = 8;
const BRACE = 0x7b;

/** Whether a file begins with the length of a header that fits into it, and a JSON object. */
function beginsWithHeader(bytes: Uint8Array): boolean {
  if (bytes.length <= HEADER_AT || bytes[HEADER_AT] !== BRACE) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_AT);
  return view.getBigUint64(0, true) <= BigInt(bytes.length - HEADER_AT);
}

function safetensorsFormat(path: string, bytes: Uint8Array): Format {
  const { metadata } = withPath(path, () => parseSafetensors(bytes));
  if (METADATA_KEY in metadata) return "int8";
  return ARCHITECTURE_KEY in metadata ? "float" : "safetensors";
}

/** The format of a file, by its contents; by its name if the contents are ambiguous. */
export function formatOf(path: string, bytes: Uint8Array): Format {
  // The header's length may look like the start of any other format, so it is checked first.
  if (beginsWithHeader(bytes)) return safetensorsFormat(path, bytes);
  const found = recognize(bytes);
  const kind = found?.kind ?? "";
  if (kind.includes("compileModel")) return "program";
  if (kind.includes("torch.save")) return "torch";
  if (kind.includes("ONNX") || /\.onnx$/i.test(path) && found === null) return "onnx";
  if (kind.includes("Keras")) return "keras";
  if (/\.(pt|pth|ckpt|bin)$/i.test(path) && kind === "a zip archive") return "torch";
  if (kind.includes("JSON")) return "tfjs";
  if (bytes[HEADER_AT] === BRACE) return safetensorsFormat(path, bytes);
  const wayOn = found?.wayOn ? ` (${found.wayOn})` : "";
  throw new CommandError(
    `${path}: expected a model of PyTorch, Keras, TensorFlow.js, ONNX or safetensors, int8 or ` +
      `float, or a program, got ${found?.kind ?? "something else"}${wayOn}`,
  );
}

/** Options for importing files of other libraries. */
export interface ImportFlags {
  /** The contents of an architecture file. */
  readonly architecture?: string | undefined;
  readonly prefix?: string | undefined;
  readonly key?: string | undefined;
  readonly cut?: string | undefined;
  /** The Keras layer that reads the model's input. */
  readonly from?: string | undefined;
  /** Whether to leave out the activation of the last layer. */
  readonly logits?: boolean | undefined;
  /** The tensors of an ONNX graph that are the model's outputs. */
  readonly outputs?: readonly string[] | undefined;
  /** The config of a Keras model, if its file holds only weights. */
  readonly config?: string | undefined;
  /** Accepts Keras models that mask steps: the caller removes masked steps from the data. */
  readonly masking?: "lengths" | undefined;
  readonly strict?: boolean | undefined;
}

/** Files whose modules are given by an architecture. */
const TENSORS = { formats: ["torch", "safetensors"], words: "files that hold no graph" };
const LAYERS = { formats: ["keras", "tfjs"], words: "files of Keras and TensorFlow.js" };

/** The file formats that each option applies to. */
const OPTIONS: Readonly<Record<string, { readonly formats: string[]; readonly words: string }>> = {
  architecture: { ...TENSORS, words: `${TENSORS.words} (torch, safetensors)` },
  prefix: { ...TENSORS, words: `${TENSORS.words} (torch, safetensors)` },
  strict: { ...TENSORS, words: `${TENSORS.words} (torch, safetensors)` },
  key: { formats: ["torch"], words: "files of torch" },
  cut: {
    formats: ["onnx", ...LAYERS.formats],
    words: "files of ONNX, Keras and TensorFlow.js",
  },
  outputs: { formats: ["onnx"], words: "files of ONNX" },
  from: LAYERS,
  logits: LAYERS,
  config: { formats: ["keras"], words: "files of Keras" },
};

/**
 * Rejects import options that apply to none of the files.
 *
 * @throws {UsageError} If there is one, so that no option is silently ignored.
 */
export function checkImportFlags(files: readonly ModelFile[], flags: ImportFlags): void {
  for (const [name, { formats, words }] of Object.entries(OPTIONS)) {
    if (flags[name as keyof ImportFlags] === undefined) continue;
    if (files.some(({ format }) => formats.includes(format))) continue;
    const paths = files.map(({ path }) => path).join(" or ");
    throw new UsageError(`--${name}: is for ${words}, not ${paths}`);
  }
}

/** A float model and its properties. */
export interface FloatSource {
  readonly model: Graph;
  readonly notes: readonly string[];
}

/** The files that a model.json names, in the same folder. */
async function shardsOf(file: ModelFile, text: string): Promise<Map<string, Uint8Array>> {
  const json = parseJson(file.path, text);
  if (Object(json).weightsManifest === undefined) {
    throw new CommandError(
      `${file.path}: expected the model.json of TensorFlow.js, got other JSON (an architecture is ` +
        "for --architecture, the config of Keras for --config, beside the file that it belongs to)",
    );
  }
  const paths = withPath(file.path, () => shardPaths(json));
  const shards = new Map<string, Uint8Array>();
  for (const shard of paths) shards.set(shard, await file.beside(shard));
  return shards;
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new CommandError(`${path}: expected JSON: the model.json of TensorFlow.js`);
  }
}

/** Opens a float model of any format. */
export async function floatModel(file: ModelFile, flags: ImportFlags): Promise<FloatSource> {
  const { path, bytes, format } = file;
  const { prefix, key, cut, from, logits, outputs, config, masking, strict } = flags;
  const layerOptions = {
    cut: {
      ...from !== undefined && { from },
      ...cut !== undefined && { to: cut },
      ...logits !== undefined && { activation: !logits },
    },
    ...masking !== undefined && { masking },
  };
  if (format === "float") {
    return { model: withPath(path, () => loadFloatModel(bytes)), notes: [] };
  }
  if (format === "onnx") {
    const options = {
      ...cut !== undefined && { cut },
      ...outputs !== undefined && { outputs },
    };
    return withPath(path, () => importOnnx(bytes, options));
  }
  if (format === "keras") {
    const own = config === undefined ? {} : { config };
    return withPath(path, () => importKeras(bytes, { ...own, ...layerOptions }));
  }
  if (format === "tfjs") {
    const text = new TextDecoder().decode(bytes);
    const shards = await shardsOf(file, text);
    return withPath(path, () => importTfjs(text, shards, layerOptions));
  }
  if (!TENSORS.formats.includes(format)) {
    throw new CommandError(`${path}: is a quantized model; a float one is needed here`);
  }
  if (flags.architecture === undefined) {
    throw new CommandError(
      `${path}: holds tensors and no graph: give --architecture A.json ` +
        `(\`splitgate inspect ${path} --draft A.json\` drafts one)`,
    );
  }
  const options = {
    architecture: flags.architecture,
    ...prefix !== undefined && { prefix },
    ...strict !== undefined && { strict },
  };
  return withPath(
    path,
    () =>
      format === "torch"
        ? importTorch(bytes, { ...options, ...key !== undefined && { key } })
        : importSafetensors(bytes, options),
  );
}

/** A node of an ONNX graph, or a layer. */
export interface FileNode {
  readonly name: string;
  /** Its operator or class. */
  readonly what: string;
  /** Its output tensors; for a layer, its own name. */
  readonly gives: string;
}

/** The nodes or layers of a file, even if they cannot be imported; empty for other formats. */
export async function nodesOf(file: ModelFile, { config }: ImportFlags): Promise<FileNode[]> {
  const { path, bytes, format } = file;
  if (format === "onnx") {
    return withPath(path, () => parseOnnx(bytes)).nodes.map(({ name, op, outputs }) => ({
      name,
      what: op,
      gives: outputs.filter((output) => output !== "").join(", "),
    }));
  }
  if (format !== "keras" && format !== "tfjs") return [];
  const text = new TextDecoder().decode(format === "tfjs" ? bytes : new Uint8Array());
  const shards = format === "tfjs" ? await shardsOf(file, text) : new Map();
  const read = withPath(
    path,
    () =>
      format === "tfjs"
        ? readTfjs(text, shards)
        : readKeras(bytes, config === undefined ? {} : { config }),
  );
  const { layers } = withPath(path, () => readConfig(read.config));
  return layers.map(({ name, className }) => ({ name, what: className, gives: name }));
}

/** Any model that can run. */
export interface Runnable {
  readonly path: string;
  readonly format: Format;
  readonly bytes: number;
  readonly input: InputShape;
  readonly outputs: readonly Pick<OutputPort, "name" | "size" | "time">[];
  readonly model: Graph | QuantizedModel | Program;
  readonly notes: readonly string[];
  /** The mask of steps that are removed before it runs; null for none. */
  readonly mask: Mask | null;
  /** The result of each output for a sequence. */
  run(sequence: Sequence): Map<string, Float32Array>;
}

/** The input and outputs of a float model. */
function floatPorts(model: Graph): Pick<Runnable, "input" | "outputs"> {
  const flat = flatten(model);
  const shapes = checkFlow(flat);
  const { size } = shapes.get(INPUT)!;
  let vocabulary = 0;
  for (const [name, module] of flat.modules) {
    if (!flat.topology.inputs.get(name)!.includes(INPUT)) continue;
    if (kindOf(name, module).inputSize(module) === null) {
      vocabulary = (module as unknown as { numEmbeddings: number }).numEmbeddings;
    }
  }
  const outputs = [...flat.topology.outputs].map(([name, module]) => ({
    name,
    size: shapes.get(module)!.size!,
    time: shapes.get(module)!.axis !== null,
  }));
  return { input: { size: size ?? 1, vocabulary }, outputs };
}

/** Makes a float model runnable. */
export function floatRunnable(
  { path, format, bytes }: Pick<ModelFile, "path" | "format" | "bytes">,
  { model, notes }: FloatSource,
): Runnable {
  const ports = floatPorts(model);
  const { size, vocabulary } = ports.input;
  const flat = flatten(model);
  const batchFirst = batchFirstOf(flat.modules);
  return {
    path,
    format,
    bytes: bytes.length,
    model,
    notes,
    mask: maskOf(flat),
    ...ports,
    run(sequence) {
      const steps = sequence.length / size;
      const outer = batchFirst ? [1, steps] : [steps, 1];
      const x = vocabulary > 0
        ? { data: sequence as Int32Array, shape: outer }
        : { data: sequence as Float32Array, shape: [...outer, size] };
      return new Map([...model.run(x)].map(([name, { data }]) => [name, data]));
    },
  };
}

/**
 * Makes a quantized model or a program runnable.
 *
 * @param kernels Kernels of its sessions; they return the same results. The portable ones by
 * default.
 */
export function quantizedRunnable(
  { path, format, bytes }: Pick<ModelFile, "path" | "format"> & {
    readonly bytes: { length: number };
  },
  model: QuantizedModel | Program,
  kernels?: Backend,
): Runnable {
  const { inputSize: size, vocabulary, outputs } = model;
  let session: ReturnType<QuantizedModel["createSession"]> | undefined;
  let room = 0;
  return {
    path,
    format,
    bytes: bytes.length,
    model,
    notes: [],
    mask: ("mask" in model ? model.mask : model.data.mask) ?? null,
    input: { size, vocabulary },
    outputs,
    run(sequence) {
      const steps = sequence.length / size;
      if (session === undefined || steps > room) {
        room = Math.max(steps, 2 * room);
        const options = { batch: 1, maxSteps: room, ...kernels !== undefined && { kernels } };
        session = model.createSession(options) as NonNullable<typeof session>;
      }
      const own = session;
      own.reset();
      const out = outputs.map(({ name, size, time }) =>
        [name, new Float32Array(time ? own.outputSteps(steps, name) * size : size)] as const
      );
      own.run(sequence, out.length === 1 ? out[0]![1] : Object.fromEntries(out));
      return new Map(out);
    },
  };
}

/** Opens any model file to run it. */
export async function runnable(
  file: ModelFile,
  flags: ImportFlags = {},
  kernels?: Backend,
): Promise<Runnable> {
  const own = <T>(read: (bytes: Uint8Array) => T) => withPath(file.path, () => read(file.bytes));
  if (file.format === "int8") return quantizedRunnable(file, own(loadModel), kernels);
  if (file.format === "program") {
    if (file.bytes.length < PROGRAM_HEADER) {
      throw new CommandError(
        `${file.path}: expected a whole program, got ${file.bytes.length} bytes`,
      );
    }
    const program = own((bytes) => loadProgram(bytes, { kinds: RUNNING_KINDS }));
    return quantizedRunnable(file, program, kernels);
  }
  return floatRunnable(file, await floatModel(file, flags));
}

/**
 * Runs a model on sequences. Masked steps repeat the output of the step before them.
 *
 * @throws {CommandError} If a sequence has masked steps for which there is no row to repeat, or if
 * all steps are masked and the model returns one row per sequence.
 */
export function runAll(
  model: Runnable,
  sequences: readonly Sequence[],
  onProgress: (done: number) => void,
): Map<string, Results> {
  const rows = new Map(model.outputs.map(({ name }) => [name, [] as Float32Array[]]));
  sequences.forEach((sequence, i) => {
    onProgress(i);
    const { sequence: own, used } = withoutMasked(sequence, model.input, model.mask);
    const given = own.length === 0 ? null : model.run(own);
    model.outputs.forEach(({ name, time }, o) => {
      const values = given?.get(name) ?? new Float32Array();
      if (used === null || !time && given !== null) {
        rows.get(name)!.push(values);
        return;
      }
      const { value, before } = model.mask!;
      const first = before[o] ?? null;
      if (first !== null) {
        rows.get(name)!.push(repeated(values, used, first));
        return;
      }
      const what = time
        ? `has masked steps, of nothing but ${value}, and no row of ${name} can be repeated there`
        : `every step is masked, since it holds nothing but ${value}`;
      throw new CommandError(
        `sequence ${i}: ${what}; leave them out of the data, or give --skip none to run them`,
      );
    });
  });
  return new Map(
    model.outputs.map(({ name, size, time }) => [name, { size, time, rows: rows.get(name)! }]),
  );
}
