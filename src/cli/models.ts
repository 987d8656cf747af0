/**
 * Model files of any kind, known by their contents. Knows no file system: a page opens models by
 * this too.
 *
 * @module
 */
import type { QuantizedModel } from "../authoring/model.ts";
import { importSafetensors } from "../io/import_tensors.ts";
import { importKeras } from "../io/keras/mod.ts";
import { loadFloatModel } from "../io/float_model.ts";
import { loadModel } from "../io/model_file.ts";
import { ARCHITECTURE_KEY, METADATA_KEY } from "../io/metadata.ts";
import { importOnnx } from "../io/onnx/mod.ts";
import { recognize } from "../io/recognize.ts";
import { parseSafetensors } from "../io/safetensors.ts";
import { importTfjs, shardPaths } from "../io/tfjs/mod.ts";
import { importTorch } from "../io/torch/mod.ts";
import { checkFlow, flatten, type Graph } from "../modules/graph.ts";
import { kindOf, RUNNING_KINDS } from "../modules/kinds.ts";
import { loadProgram } from "../runtime/with_state.ts";
import type { Program } from "../runtime/program.ts";
import type { OutputPort } from "../runtime/data.ts";
import { INPUT } from "../core/topology.ts";
import { CommandError } from "./error.ts";
import type { InputShape, Results, Sequence } from "./data.ts";

/** What a file is. */
export type Format =
  | "float"
  | "int8"
  | "program"
  | "safetensors"
  | "torch"
  | "onnx"
  | "keras"
  | "tfjs";

/** A file, and what it is. */
export interface ModelFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly format: Format;
  /** Bytes of a file that stands beside it, such as a shard of its weights. */
  beside(name: string): Promise<Uint8Array>;
}

/** What a file is, by its contents; its name where these leave it open. */
export function formatOf(path: string, bytes: Uint8Array): Format {
  const kind = recognize(bytes)?.kind ?? "";
  if (kind.includes("compileModel")) return "program";
  if (kind.includes("torch.save")) return "torch";
  if (kind.includes("ONNX")) return "onnx";
  if (kind.includes("Keras")) return "keras";
  if (/\.(pt|pth|ckpt|bin)$/i.test(path) && kind === "a zip archive") return "torch";
  if (kind.includes("JSON")) return "tfjs";
  const { metadata } = parseSafetensors(bytes);
  if (METADATA_KEY in metadata) return "int8";
  return ARCHITECTURE_KEY in metadata ? "float" : "safetensors";
}

/** How another library's file is imported. */
export interface ImportFlags {
  /** The text of an architecture file. */
  readonly architecture?: string | undefined;
  readonly prefix?: string | undefined;
  readonly key?: string | undefined;
  readonly cut?: string | undefined;
  /** The text of a Keras model's config, where its file holds weights only. */
  readonly config?: string | undefined;
  readonly masking?: string | undefined;
  readonly strict?: boolean | undefined;
}

/** A float model, and what is to be known about it. */
export interface FloatSource {
  readonly model: Graph;
  readonly notes: readonly string[];
}

/** A float model out of any file that holds one. */
export async function floatModel(file: ModelFile, flags: ImportFlags): Promise<FloatSource> {
  const { path, bytes, format } = file;
  const { prefix, key, cut, config, masking, strict } = flags;
  const refuse = (option: string, given: unknown, where: string) => {
    if (given !== undefined) throw new CommandError(`--${option}: is for ${where}, not ${path}`);
  };
  const tensors = format === "torch" || format === "safetensors";
  if (!tensors) {
    refuse("architecture", flags.architecture, "files that hold no graph (torch, safetensors)");
    refuse("prefix", prefix, "files that hold no graph (torch, safetensors)");
    refuse("strict", strict, "files that hold no graph (torch, safetensors)");
  }
  if (format !== "torch") refuse("key", key, "files of torch");
  const layers = format === "keras" || format === "tfjs";
  if (!layers && format !== "onnx") refuse("cut", cut, "files of ONNX, Keras and TensorFlow.js");
  if (!layers) refuse("masking", masking, "files of Keras and TensorFlow.js");
  if (format !== "keras") refuse("config", config, "files of Keras");
  if (masking !== undefined && masking !== "lengths") {
    throw new CommandError(`--masking: expected lengths, got ${masking}`);
  }
  const layerOptions = {
    ...cut !== undefined && { cut },
    ...masking !== undefined && { masking: "lengths" as const },
  };
  if (format === "float") return { model: loadFloatModel(bytes), notes: [] };
  if (format === "onnx") return importOnnx(bytes, cut === undefined ? {} : { cut });
  if (format === "keras") {
    const own = config === undefined ? {} : { config };
    return importKeras(bytes, { ...own, ...layerOptions });
  }
  if (format === "tfjs") {
    const text = new TextDecoder().decode(bytes);
    const shards = new Map<string, Uint8Array>();
    for (const shard of shardPaths(JSON.parse(text))) {
      shards.set(shard, await file.beside(shard));
    }
    return importTfjs(text, shards, layerOptions);
  }
  if (!tensors) {
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
  return format === "torch"
    ? importTorch(bytes, { ...options, ...key !== undefined && { key } })
    : importSafetensors(bytes, options);
}

/** A model that can be run, whatever it is. */
export interface Runnable {
  readonly path: string;
  readonly format: Format;
  readonly bytes: number;
  readonly input: InputShape;
  readonly outputs: readonly Pick<OutputPort, "name" | "size" | "time">[];
  readonly model: Graph | QuantizedModel | Program;
  readonly notes: readonly string[];
  /** What each output gives for a sequence. */
  run(sequence: Sequence): Map<string, Float32Array>;
}

/** What a float model takes and gives. */
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

/** A float model as something that runs. */
export function floatRunnable(
  { path, format, bytes }: Pick<ModelFile, "path" | "format" | "bytes">,
  { model, notes }: FloatSource,
): Runnable {
  const ports = floatPorts(model);
  const { size, vocabulary } = ports.input;
  const batchFirst = [...flatten(model).modules].some(([name, module]) =>
    kindOf(name, module).batchFirst(module) === true
  );
  return {
    path,
    format,
    bytes: bytes.length,
    model,
    notes,
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

/** A quantized model or a program as something that runs. */
export function quantizedRunnable(
  { path, format, bytes }: Pick<ModelFile, "path" | "format"> & {
    readonly bytes: { length: number };
  },
  model: QuantizedModel | Program,
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
    input: { size, vocabulary },
    outputs,
    run(sequence) {
      const steps = sequence.length / size;
      if (session === undefined || steps > room) {
        room = steps;
        session = model.createSession({ batch: 1, maxSteps: steps }) as NonNullable<typeof session>;
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

/** Any model file as something that runs. */
export async function runnable(file: ModelFile, flags: ImportFlags = {}): Promise<Runnable> {
  if (file.format === "int8") return quantizedRunnable(file, loadModel(file.bytes));
  if (file.format === "program") {
    return quantizedRunnable(file, loadProgram(file.bytes, { kinds: RUNNING_KINDS }));
  }
  return floatRunnable(file, await floatModel(file, flags));
}

/** Runs a model over sequences. */
export function runAll(
  model: Runnable,
  sequences: readonly Sequence[],
  onProgress: (done: number) => void,
): Map<string, Results> {
  const rows = new Map(model.outputs.map(({ name }) => [name, [] as Float32Array[]]));
  sequences.forEach((sequence, i) => {
    onProgress(i);
    for (const [name, values] of model.run(sequence)) rows.get(name)!.push(values);
  });
  return new Map(
    model.outputs.map(({ name, size, time }) => [name, { size, time, rows: rows.get(name)! }]),
  );
}
