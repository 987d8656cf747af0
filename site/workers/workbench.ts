/**
 * The work of the workbench, outside of the page's thread: opens models and data, quantizes,
 * measures and writes files. It holds one model at a time; a failed call leaves it unchanged.
 *
 * @module
 */
import {
  compileModel,
  Generator,
  getPreset,
  PRESET_NAMES,
  type QConfig,
  QConfigMapping,
  quantize,
  type QuantizedModel,
  RECOMMENDED_PRESET,
  saveModel,
} from "@splitgate/splitgate";
import { MinMaxObserver, type PartObservers } from "@splitgate/splitgate/qconfig";
import {
  type Architecture,
  architectureOf,
  draftArchitecture,
  recognizeModules,
} from "@splitgate/splitgate/safetensors";
import { readTorch } from "@splitgate/splitgate/import/torch";
import { shardPaths } from "@splitgate/splitgate/import/tfjs";
import { PART_SLOTS } from "../../src/cells/names.ts";
import { batchesOf } from "../../src/cli/batches.ts";
import {
  type DataSet,
  firstRows,
  type InputShape,
  labelsBySequence,
  parseData,
  type Sequence,
} from "../../src/cli/data.ts";
import {
  floatModel,
  floatRunnable,
  type FloatSource,
  type Format,
  formatOf,
  type ModelFile,
  type Runnable,
  runnable,
} from "../../src/cli/models.ts";
import { runningHalvesOf } from "../../src/cli/running_halves.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { usedData, usedSequences } from "../../src/cli/skip.ts";
import { flatten, Graph } from "../../src/modules/graph.ts";
import { measureReport } from "../../src/report/measure.ts";
import { KIND_NAMES } from "../../src/modules/kinds.ts";
import { serve } from "../calls.ts";
import type { SnippetModel } from "../snippets.ts";

/** A file of the user. It is read when needed, so that no file is in memory twice. */
export interface GivenFile {
  readonly name: string;
  readonly contents: Blob;
}

/** How to import a file that is ambiguous. */
export interface OpenOptions {
  readonly architecture?: string;
  readonly cut?: string;
}

/** A module as the page shows it. */
export interface ShownModule {
  readonly name: string;
  readonly kind: string;
  readonly reads: readonly string[];
}

/** An opened model. */
export interface OpenedModel {
  readonly state: "float" | "quantized";
  readonly name: string;
  readonly format: Format;
  readonly bytes: number;
  readonly input: InputShape;
  readonly outputs: readonly { readonly name: string; readonly size: number; time: boolean }[];
  readonly modules: readonly ShownModule[];
  readonly notes: readonly string[];
  /** Whether parts of a cell can be given a dtype. */
  readonly recurrent: boolean;
}

/** A file of tensors without a graph. */
export interface OpenedTensors {
  readonly state: "tensors";
  readonly name: string;
  readonly format: Format;
  readonly bytes: number;
  readonly tensors: number;
  readonly recognized: readonly { readonly path: string; readonly what: string }[];
  readonly draft: Architecture;
}

/** Opened data. */
export interface TakenData {
  readonly name: string;
  readonly sequences: number;
  readonly steps: number;
  readonly labelled: boolean;
}

/** The user's choices for quantization. */
export interface QuantizeChoices {
  readonly preset: string;
  readonly splitGates: boolean;
  /** The preset of each module; null for float32. */
  readonly modules: Readonly<Record<string, string | null>>;
  /** The bits of each slot of the cells; 0 for float32. */
  readonly parts: Readonly<Record<string, 0 | 8 | 16>>;
}

/** Progress of the work. */
export interface WorkProgress {
  readonly stage: string;
  readonly done: number;
  readonly total: number | undefined;
}

/** The result of quantization. */
export interface Made {
  /** Duration of each stage in seconds. */
  readonly seconds: Readonly<Record<string, number>>;
  /** The report's data as JSON, which another worker draws. */
  readonly report: string;
  readonly files: MadeFiles;
}

/** The files to download. */
export interface MadeFiles {
  readonly model: Blob;
  readonly program: Blob;
  readonly architecture: Blob;
  /** The properties of the model that a snippet needs. */
  readonly snippet: Omit<SnippetModel, "file">;
}

/** The current model. */
interface Opened {
  readonly title: string;
  readonly source: FloatSource;
  readonly float: Runnable;
}

let opened: Opened | undefined;
const data: Partial<Record<"calibration" | "test", DataSet>> = {};
let stop: AbortController | undefined;

const MODEL_JSON = /\.json$/i;

/** The model file among several files that were dropped together. */
function mainFile(files: readonly GivenFile[]): GivenFile {
  const [first] = files;
  return files.find(({ name }) => MODEL_JSON.test(name)) ?? first!;
}

/** The contents of a file. */
async function bytesOf({ name, contents }: GivenFile): Promise<Uint8Array> {
  try {
    return new Uint8Array(await contents.arrayBuffer());
  } catch {
    // Browsers give no reason: the file was changed or moved, or memory is too low.
    throw new RangeError(
      `${name}: can no longer be read: it was changed or moved, or memory is too low; ` +
        "choose it again",
    );
  }
}

async function modelFile(files: readonly GivenFile[]): Promise<ModelFile> {
  const main = mainFile(files);
  const { name } = main;
  const bytes = await bytesOf(main);
  return {
    path: name,
    bytes,
    format: formatOf(name, bytes),
    beside(wanted) {
      const base = wanted.slice(wanted.lastIndexOf("/") + 1);
      const found = files.find((each) => each.name === base);
      if (found !== undefined) return bytesOf(found);
      return Promise.reject(
        new RangeError(`${name}: ${base} belongs to it; choose or drop both together`),
      );
    },
  };
}

function describeTensors(file: ModelFile): OpenedTensors {
  const { path, format, bytes } = file;
  const tensors = format === "torch" ? readTorch(bytes).tensors : parseSafetensors(bytes).tensors;
  return {
    state: "tensors",
    name: path,
    format,
    bytes: bytes.length,
    tensors: tensors.size,
    recognized: recognizeModules(tensors).map(({ path, what, tensors }) => ({
      path: path || tensors.join(", "),
      what,
    })),
    draft: draftArchitecture(tensors),
  };
}

function modulesOf(model: Runnable["model"]): ShownModule[] {
  if ("data" in model) {
    return model.data.nodes.map(({ name, program }) => ({ name, kind: program.kind, reads: [] }));
  }
  const { modules, topology } = model instanceof Graph ? flatten(model) : model;
  return [...modules].map(([name, { kind }]) => ({
    name,
    kind,
    reads: topology.inputs.get(name)!,
  }));
}

function describe(model: Runnable, state: OpenedModel["state"]): OpenedModel {
  const { path, format, bytes, input, outputs, notes } = model;
  const modules = modulesOf(model.model);
  return {
    state,
    name: path,
    format,
    bytes,
    input,
    outputs: outputs.map(({ name, size, time }) => ({ name, size, time })),
    modules,
    notes,
    recurrent: modules.some(({ kind }) => /LSTM|GRU/.test(kind)),
  };
}

/** Random sequences: uniform token ids, or normal values with mean 0 and variance 1. */
function generated({ size, vocabulary }: InputShape, count: number, steps: number): Sequence[] {
  const random = new Generator(1);
  return Array.from({ length: count }, () => {
    const values = new Float32Array(steps * size);
    if (vocabulary === 0) {
      random.normal(values);
      return values;
    }
    random.uniform(values, 0, vocabulary);
    return Int32Array.from(values, (value) => Math.min(Math.floor(value), vocabulary - 1));
  });
}

/**
 * Sequences from lines of text with a vocabulary: a JSON object of ids by token (possibly under
 * `dic`), or a list of tokens.
 */
function textSequences(text: string, vocabularyJson: string, vocabulary: number): Sequence[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(vocabularyJson);
  } catch {
    throw new RangeError(
      "vocabulary: expected JSON, an object of ids by token or a list of tokens",
    );
  }
  const table = (parsed as { dic?: unknown } | null)?.dic ?? parsed;
  const entries: [string, number][] = Array.isArray(table)
    ? table.map((token, id) => [String(token), id])
    : Object.entries(Object(table)).map(([token, id]) => [token, Number(id)]);
  const ids = new Map(entries);
  const unknown =
    ["<unk>", "[UNK]", "UNK"].map((name) => ids.get(name)).find((id) => id !== undefined) ??
      vocabulary - 1;
  for (const [token, id] of entries) {
    if (!Number.isInteger(id) || id < 0 || id >= vocabulary) {
      throw new RangeError(
        `vocabulary: expected ids in 0..${vocabulary - 1}, got ${id} for "${token}"`,
      );
    }
  }
  const words = entries.filter(([token]) => [...token].length > 1).length > entries.length / 2;
  const sequences = text.split("\n").map((line) => line.trim()).filter((line) => line !== "")
    .map((line) =>
      Int32Array.from(words ? line.split(/\s+/) : [...line], (token) => ids.get(token) ?? unknown)
    );
  if (sequences.length === 0) throw new RangeError("text: expected at least one line, got none");
  return sequences;
}

function stepsOf(sequences: readonly Sequence[], { size }: InputShape): number {
  return sequences.reduce((sum, { length }) => sum + length / size, 0);
}

function inputOf(): InputShape {
  if (opened === undefined) throw new RangeError("Choose a float model first.");
  return opened.float.input;
}

/** The observer of a part with the given bits. */
function observerOf(bits: 0 | 8 | 16) {
  if (bits === 0) return null;
  return bits === 8 ? MinMaxObserver.withArgs({ dtype: "quint8" }) : MinMaxObserver.withArgs({
    dtype: "qint32",
    qscheme: "perTensorSymmetric",
    quantMin: -32768,
    quantMax: 32767,
  });
}

function qconfigOf({ preset, modules, parts }: QuantizeChoices): QConfigMapping {
  const own: PartObservers = Object.fromEntries(
    Object.entries(parts).map(([slot, bits]) => [slot, observerOf(bits)]),
  );
  const withParts = (name: string): QConfig => {
    const qconfig = getPreset(name);
    return Object.keys(own).length === 0
      ? qconfig
      : { ...qconfig, parts: { ...qconfig.parts, ...own } };
  };
  let mapping = new QConfigMapping().setGlobal(withParts(preset));
  for (const [name, each] of Object.entries(modules)) {
    mapping = mapping.setModuleName(name, each === null ? null : withParts(each));
  }
  return mapping;
}

/** Min milliseconds between progress messages; one per unit of work would slow it down. */
const TOLD_MS = 50;

/** Labels of the test data, by sequence. */
function labelsOf(model: QuantizedModel, { sequences, labels }: DataSet) {
  if (labels === null) return null;
  const [{ name, size, time }] = model.outputs as [QuantizedModel["outputs"][number]];
  const session = model.createSession();
  const counts = sequences.map(({ length }) =>
    time ? session.outputSteps(length / model.inputSize, name) : 1
  );
  return labelsBySequence(labels.data, { size, time }, counts);
}

const blobOf = (contents: Uint8Array | string) => new Blob([contents as BlobPart]);

/** Replaces the current model. */
function replaceBy(next: Opened | undefined): void {
  stop?.abort(new Error("Another model was opened."));
  opened = next;
  delete data.calibration;
  delete data.test;
}

async function openModel(
  files: readonly GivenFile[],
  options: OpenOptions,
): Promise<OpenedModel | OpenedTensors> {
  const file = await modelFile(files);
  const { architecture } = options;
  const { format } = file;
  if ((format === "torch" || format === "safetensors") && architecture === undefined) {
    return describeTensors(file);
  }
  if (format === "int8" || format === "program") {
    const model = await runnable(file);
    replaceBy(undefined);
    return describe(model, "quantized");
  }
  if (format === "tfjs") shardPaths(JSON.parse(new TextDecoder().decode(file.bytes)));
  // Masked steps are removed from the data, as the command does.
  const source = await floatModel(file, { ...options, masking: "lengths" });
  const float = floatRunnable(file, source);
  replaceBy({ title: file.path, source, float });
  return describe(float, "float");
}

const methods = {
  /** The available choices. */
  choices(): {
    presets: readonly string[];
    recommended: string;
    kinds: readonly string[];
    slots: readonly string[];
  } {
    return {
      presets: PRESET_NAMES,
      recommended: RECOMMENDED_PRESET,
      kinds: ["Graph", "Sequential", ...KIND_NAMES],
      slots: PART_SLOTS,
    };
  },

  /** Opens a model, which replaces the current one. */
  async open(
    { files, options }: { readonly files: readonly GivenFile[]; readonly options: OpenOptions },
  ): Promise<OpenedModel | OpenedTensors> {
    const { name } = mainFile(files);
    try {
      return await openModel(files, options);
    } catch (error) {
      if (error instanceof SyntaxError) {
        throw new RangeError(`${name}: expected a model, got text that is not JSON`);
      }
      // Readers name the argument bytes, not the file.
      const { message } = error as Error;
      throw new RangeError(message.replace(/^bytes: /, `${name}: `), { cause: error });
    }
  },

  /** Opens data from a file. */
  async takeData(
    { role, file }: { readonly role: "calibration" | "test"; readonly file: GivenFile },
  ): Promise<TakenData> {
    const bytes = await bytesOf(file);
    const input = inputOf();
    try {
      return keep(role, file.name, parseData(file.name, bytes, input));
    } catch (error) {
      const rows = firstRows(file.name, bytes);
      if (rows.length === 0) throw error;
      const { message } = error as Error;
      throw new RangeError(`${message}. Its first rows: ${rows.join(" | ")}`, { cause: error });
    }
  },

  /** Opens data from lines of text. */
  takeText(
    { role, text, vocabulary }: {
      readonly role: "calibration" | "test";
      readonly text: string;
      readonly vocabulary: string;
    },
  ): TakenData {
    const sequences = textSequences(text, vocabulary, inputOf().vocabulary);
    return keep(role, "text", { sequences, labels: null });
  },

  /** Generates random data. */
  generate({ count, steps }: { readonly count: number; readonly steps: number }): TakenData {
    const all = generated(inputOf(), 2 * count, steps);
    keep("test", "generated", { sequences: all.slice(count), labels: null });
    return keep("calibration", "generated", { sequences: all.slice(0, count), labels: null });
  },

  /** Quantizes the model and measures the result. */
  async quantize(
    choices: QuantizeChoices,
    progress: (value: WorkProgress) => void,
  ): Promise<Made> {
    const calibration = data.calibration?.sequences;
    if (opened === undefined || calibration === undefined) {
      throw new RangeError("Choose a model and calibration data first.");
    }
    stop?.abort(new Error("Begun anew."));
    const own = stop = new AbortController();
    const { signal } = own;
    // The model that is being quantized; meanwhile another one may be opened.
    const from = opened;
    let told = 0;
    let stage = "calibrate";
    let since = performance.now();
    const seconds: Record<string, number> = {};
    // Marks appear in the browser's performance tools.
    performance.mark(stage);
    const begin = (next: string, now: number) => {
      seconds[stage] = (now - since) / 1000;
      [stage, since] = [next, now];
      performance.mark(next);
    };
    const onProgress = (value: WorkProgress) => {
      const now = performance.now();
      if (value.stage !== stage) begin(value.stage, now);
      if (now - told < TOLD_MS && value.done !== value.total) return;
      told = now;
      progress(value);
    };
    const measuredOn = data.test === undefined ? "calibration" : "test";
    const tested = data[measuredOn]!;
    const { source: { model: float }, float: { input, mask } } = from;
    const used = usedSequences(calibration, input, mask);
    const result = await quantize(float, batchesOf(used, float, input), {
      qconfig: qconfigOf(choices),
      splitGates: choices.splitGates,
      signal,
      onProgress,
    });
    const { model } = result;
    const { time } = model.outputs[0]!;
    const { sequences, labels } = usedData(tested.sequences, labelsOf(model, tested), {
      input,
      mask,
      time,
    });
    const report = await measureReport(float, result, sequences, {
      title: from.title,
      measuredOn,
      ...labels !== null && { labels },
      signal,
      onProgress,
    });
    signal.throwIfAborted();
    begin("files", performance.now());
    return {
      seconds,
      report: JSON.stringify(report),
      files: {
        model: blobOf(saveModel(model)),
        program: blobOf(compileModel(model)),
        architecture: blobOf(`${JSON.stringify(architectureOf(float), null, 2)}\n`),
        snippet: {
          inputSize: model.inputSize,
          outputSize: model.outputSize,
          tokens: model.vocabulary > 0,
          time,
          kinds: runningHalvesOf(model),
        },
      },
    };
  },

  /** Stops the current work. */
  stop(): void {
    stop?.abort(new Error("Stopped."));
  },
};

function keep(role: "calibration" | "test", name: string, taken: DataSet): TakenData {
  data[role] = taken;
  const { sequences, labels } = taken;
  return {
    name,
    sequences: sequences.length,
    steps: stepsOf(sequences, inputOf()),
    labelled: labels !== null,
  };
}

/** The methods that the page calls. */
export type WorkbenchMethods = typeof methods;

serve(methods);
