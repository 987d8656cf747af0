/**
 * The commands.
 *
 * @module
 */
import { basename } from "node:path";
import { QuantizedModel } from "../authoring/model.ts";
import { quantize, type QuantizeResult } from "../authoring/quantize.ts";
import { saveFloatModel } from "../io/float_model.ts";
import { architectureOf } from "../io/architecture.ts";
import { draftArchitecture, recognizeModules } from "../io/recognize_modules.ts";
import { loadModel } from "../io/model_file.ts";
import { saveModel } from "../io/model_write.ts";
import { compileModel } from "../io/program_write.ts";
import { parseSafetensors } from "../io/safetensors.ts";
import { readTorch } from "../io/torch/mod.ts";
import { flatten, Graph } from "../modules/graph.ts";
import { QConfigMapping } from "../qconfig/mapping.ts";
import { getPreset, PRESET_NAMES, type PresetName } from "../qconfig/presets.ts";
import { convertToReference } from "../reference/reference.ts";
import { type MeasureOptions, measureReport, reportHTML } from "../report/mod.ts";
import type { Backend } from "../runtime/kind.ts";
import { simdKernels, SimdUnavailableError } from "../simd/load.ts";
import { textTable } from "../tune/report.ts";
import { tune } from "../tune/tune.ts";
import { batchesOf } from "./batches.ts";
import {
  type DataSet,
  jsonLines,
  jsonSequence,
  labelsBySequence,
  type Results,
  resultsFile,
  type Sequence,
} from "./data.ts";
import { CommandError, UsageError, withPath } from "./error.ts";
import { checkOutputs, readText, writeWhole } from "./files.ts";
import { type Host, Progress } from "./host.ts";
import {
  checkImportFlags,
  type FileNode,
  floatModel,
  floatRunnable,
  type ImportFlags,
  type ModelFile,
  nodesOf,
  quantizedRunnable,
  runAll,
  type Runnable,
  runnable,
} from "./models.ts";
import { readData, readModelFile } from "./read.ts";
import { importsText, runningHalvesOf } from "./running_halves.ts";
import { maskOf, withMaskValue } from "../modules/mask.ts";
import { usedData, usedSequences } from "./skip.ts";

/** Values of a command's options. */
export type Flags = Readonly<Record<string, string | boolean | undefined>>;

/** Arguments of a command. */
export interface Invocation {
  readonly files: readonly string[];
  readonly flags: Flags;
  readonly host: Host;
}

/** Result of a command: an object for --json, and text for people. */
export interface Report {
  readonly json: unknown;
  readonly text: string;
}

/** Describes the input of a model. */
const INPUT_WORDS = ({ input }: Pick<Runnable, "input">) =>
  input.vocabulary > 0 ? `token ids below ${input.vocabulary}` : `${input.size} values a step`;

const OUTPUT_WORDS = ({ outputs }: Pick<Runnable, "outputs">) =>
  outputs.map(({ name, size, time }) =>
    `${name}: ${size} value${size > 1 ? "s" : ""} ${time ? "a step" : "a sequence"}`
  ).join(", ");

const text = (flags: Flags, name: string) => flags[name] as string | undefined;

/** Rejects a file that is not an architecture at all, and names it. */
function checkArchitecture(path: string, contents: string): void {
  let value;
  try {
    value = JSON.parse(contents);
  } catch (error) {
    throw new CommandError(`${path}: is not JSON: ${(error as Error).message}`);
  }
  if (Array.isArray(Object(value).modules)) return;
  throw new CommandError(
    `${path}: expected an architecture, { "version": 1, "modules": [...] }; inspect --draft makes one`,
  );
}

async function importFlags(flags: Flags): Promise<ImportFlags> {
  const contents = async (name: string) => {
    const path = text(flags, name);
    return path === undefined ? undefined : await readText(path);
  };
  const architecture = await contents("architecture");
  if (architecture !== undefined) checkArchitecture(text(flags, "architecture")!, architecture);
  return {
    architecture,
    prefix: text(flags, "prefix"),
    key: text(flags, "key"),
    cut: text(flags, "cut"),
    from: text(flags, "from"),
    outputs: text(flags, "outputs")?.split(","),
    config: await contents("config"),
    // Masked steps are removed here, wherever data is read.
    masking: "lengths",
    ...flags.logits === true && { logits: true },
    ...flags.strict === true && { strict: true },
  };
}

/** The value of masked steps given by `--skip`; null for none, undefined to use the file's own. */
function skipFlag(flags: Flags): number | null | undefined {
  const given = text(flags, "skip");
  if (given === undefined) return undefined;
  if (given === "none") return null;
  const value = Number(given);
  if (given.trim() === "" || !Number.isFinite(value)) {
    throw new UsageError(`--skip: expected a number or none, got ${given}`);
  }
  return Math.fround(value);
}

/** Opens a file that will become a float model. */
async function openFloat(path: string, flags: Flags) {
  const file = await readModelFile(path);
  const own = await importFlags(flags);
  checkImportFlags([file], own);
  const skip = skipFlag(flags);
  const { model, notes } = await floatModel(file, own);
  const source = skip === undefined ? { model, notes } : {
    model: withMaskValue(model, skip),
    notes: [
      ...notes,
      `--skip: ${skip === null ? "no step is" : `steps of nothing but ${skip} are`} masked`,
    ],
  };
  return { source, float: floatRunnable(file, source) };
}

let kernels: Promise<Backend | undefined> | undefined;

/** SIMD kernels, which return the same results; undefined if the engine has no SIMD. */
function fastKernels(): Promise<Backend | undefined> {
  return kernels ??= simdKernels().catch((error) => {
    if (error instanceof SimdUnavailableError) return undefined;
    throw error;
  });
}

/** A model with another mask value than in its file. */
function withMask(model: Runnable, value: number | null): Runnable {
  if (value === null) return { ...model, mask: null };
  if (model.model instanceof Graph) {
    return { ...model, mask: maskOf({ ...flatten(model.model), maskValue: value }) };
  }
  // The rows before the first used step do not depend on the value of masked steps.
  const before = model.mask?.before ?? model.outputs.map(() => null);
  return { ...model, mask: { value, before } };
}

/** Opens model files to run. */
async function openRunnables(paths: readonly string[], flags: Flags): Promise<Runnable[]> {
  const files: ModelFile[] = [];
  for (const path of paths) files.push(await readModelFile(path));
  const own = await importFlags(flags);
  checkImportFlags(files, own);
  const skip = skipFlag(flags);
  const models: Runnable[] = [];
  for (const file of files) models.push(await runnable(file, own, await fastKernels()));
  return skip === undefined ? models : models.map((model) => withMask(model, skip));
}

/** The number given by an option. */
function number(flags: Flags, name: string, otherwise: number, min: number): number {
  const given = text(flags, name);
  const value = given === undefined ? otherwise : Number(given);
  if (given?.trim() === "" || !(value >= min) || value === Infinity) {
    throw new UsageError(`--${name}: expected a number from ${min} on, got ${given}`);
  }
  return value;
}

const notesText = (notes: readonly string[]) => notes.map((note) => `note: ${note}\n`).join("");

/** The modules of a model: names, kinds, and inputs. */
function modulesTable(model: Graph | QuantizedModel): string[][] {
  const { modules, topology } = model instanceof Graph ? flatten(model) : model;
  return [...modules].map((
    [name, { kind }],
  ) => [name, kind, topology.inputs.get(name)!.join(", ")]);
}

function inspectTensors(
  { path, format }: ModelFile,
  tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly dtype: string }>,
  more: Readonly<Record<string, unknown>>,
): Report {
  const modules = recognizeModules(tensors);
  const known = modules.map(({ path, what, tensors }) => [path || tensors.join(" "), what]);
  const values = [...tensors.values()].reduce(
    (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
    0,
  );
  const dtypes = [...new Set([...tensors.values()].map(({ dtype }) => dtype))];
  const json = { format, tensors: tensors.size, values, dtypes, modules, ...more };
  const others = (more.others ?? []) as { path: string; what: string; opaque: boolean }[];
  const listed = others.filter(({ path, opaque }) => opaque || !path.includes(".")).slice(0, 20);
  return {
    json,
    text: [
      `${path}: ${format}, ${tensors.size} tensors of ${values} values, ${dtypes.join(", ")}`,
      ...more.key ? [`the state dict stands at ${more.key}`] : [],
      "",
      textTable([["module", "what it is"], ...known]).trimEnd(),
      ...listed.length === 0 ? [] : [
        "",
        textTable([
          ["beside it", "what it is"],
          ...listed.map(({ path, what, opaque }) => [
            path || "all of it",
            opaque ? `${what} (not executed)` : what,
          ]),
        ]).trimEnd(),
      ],
      "",
      "The file holds no graph. `--draft A.json` drafts an architecture; fill in its blanks, then:",
      `  splitgate import ${path} --architecture A.json -o MODEL.safetensors`,
      "",
    ].join("\n"),
  };
}

/** Lists the nodes of a file that cannot be imported as a whole: a part of it may be. */
function inspectNodes({ path, format }: ModelFile, nodes: FileNode[], reason: string): Report {
  const heads = format === "onnx" ? ["node", "operator", "gives"] : ["layer", "class", ""];
  const rows = nodes.map(({ name, what, gives }) => [name, what, format === "onnx" ? gives : ""]);
  const wayOn = format === "onnx"
    ? "--cut TENSOR begins the model at one of these tensors, --outputs A,B ends it"
    : "--from LAYER and --cut LAYER are where the model begins and ends";
  return {
    json: { format, importable: false, reason, nodes },
    text: `${path}: ${format}, which cannot be imported whole:\n${reason}\n\n${
      textTable([heads, ...rows])
    }\n${wayOn}.\n`,
  };
}

/** Options that select a part of a file. */
const PART_FLAGS = ["cut", "from", "outputs"];

/** inspect FILE */
export async function inspect({ files: [path], flags }: Invocation): Promise<Report> {
  const file = await readModelFile(path!);
  const draft = text(flags, "draft");
  checkOutputs([draft], [path]);
  const { format, bytes } = file;
  checkImportFlags([file], await importFlags(flags));
  if (format === "torch" || format === "safetensors") {
    const key = text(flags, "key");
    const torch = format === "torch"
      ? withPath(path!, () => readTorch(bytes, key === undefined ? {} : { key }))
      : undefined;
    const tensors = torch?.tensors ?? parseSafetensors(bytes).tensors;
    const more = torch === undefined
      ? {}
      : { container: torch.format, key: torch.key, others: torch.others };
    if (draft !== undefined) {
      await writeWhole([draft, `${JSON.stringify(draftArchitecture(tensors), null, 2)}\n`]);
    }
    const report = inspectTensors(file, tensors, more);
    return draft === undefined ? report : { ...report, text: `${report.text}${draft}: a draft\n` };
  }
  if (draft !== undefined) {
    throw new UsageError(`--draft: is for files that hold no graph, and ${path} holds one`);
  }
  let model: Runnable;
  try {
    [model] = await openRunnables([path!], flags) as [Runnable];
  } catch (error) {
    // A rejected part is an error, as in any other command.
    const isPart = PART_FLAGS.some((name) => flags[name] !== undefined);
    const nodes = error instanceof CommandError && !isPart
      ? await nodesOf(file, await importFlags(flags))
      : [];
    if (nodes.length === 0) throw error;
    return inspectNodes(file, nodes, (error as CommandError).message);
  }
  const { input, outputs, notes, mask } = model;
  const masked = mask === null ? "" : `leaves out steps that hold nothing but ${mask.value}\n`;
  const modules = model.model instanceof Graph || model.model instanceof QuantizedModel
    ? modulesTable(model.model)
    : model.model.data.nodes.map(({ name, program }) => [name, program.kind, ""]);
  const json = {
    format,
    bytes: bytes.length,
    input,
    outputs,
    modules: modules.map(([name, kind, reads]) => ({ name, kind, reads })),
    masked: mask?.value ?? null,
    notes,
  };
  const heads = ["module", "kind", format === "program" ? "" : "reads"];
  return {
    json,
    text: `${file.path}: ${format}, ${bytes.length} bytes\ntakes ${INPUT_WORDS(model)}, gives ${
      OUTPUT_WORDS(model)
    }\n${masked}\n${textTable([heads, ...modules])}${notesText(notes)}`,
  };
}

/** import FILE -o MODEL.safetensors */
export async function importFile({ files: [path], flags }: Invocation): Promise<Report> {
  const output = text(flags, "output")!;
  const architecture = text(flags, "architecture");
  checkOutputs([output], [path, architecture, text(flags, "config")]);
  const { source, float: model } = await openFloat(path!, flags);
  const bytes = saveFloatModel(source.model);
  await writeWhole([output, bytes]);
  const { notes } = model;
  return {
    json: {
      output,
      bytes: bytes.length,
      input: model.input,
      outputs: model.outputs,
      architecture: architectureOf(source.model),
      notes,
    },
    text: `${output}: ${bytes.length} bytes; takes ${INPUT_WORDS(model)}, gives ${
      OUTPUT_WORDS(model)
    }\n${notesText(notes)}`,
  };
}

/** The QConfig of a JSON file: presets by name, null for float32. */
async function readQConfig(path: string): Promise<QConfigMapping> {
  let value;
  try {
    value = JSON.parse(await readText(path));
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(`${path}: is not JSON`);
  }
  const preset = (at: string, name: unknown) => {
    if (name === null) return null;
    if (!(PRESET_NAMES as readonly unknown[]).includes(name)) {
      throw new CommandError(`${path}: ${at}: expected null or one of ${PRESET_NAMES.join(", ")}`);
    }
    return getPreset(name as PresetName);
  };
  const { global, kinds = {}, modules = {}, ...unknown } = Object(value);
  const [other] = Object.keys(unknown);
  if (other !== undefined || global === undefined) {
    throw new CommandError(
      `${path}: expected { "global": PRESET, "kinds": {...}, "modules": {...} }` +
        (other === undefined ? ", without global" : `, got ${other}`),
    );
  }
  let mapping = new QConfigMapping().setGlobal(preset("global", global));
  for (const [kind, name] of Object.entries(kinds)) {
    mapping = mapping.setObjectType(kind, preset(`kinds.${kind}`, name));
  }
  for (const [module, name] of Object.entries(modules)) {
    mapping = mapping.setModuleName(module, preset(`modules.${module}`, name));
  }
  return mapping;
}

/** The agreement of two models on one output. */
export interface Agreement {
  readonly output: string;
  /** Signal-to-noise ratio in dB; null if the results are equal. */
  readonly sqnr: number | null;
  readonly maxDifference: number;
  /** Share of rows with the same largest value; null if a row has one value. */
  readonly sameLargest: number | null;
}

const largest = (row: Float32Array) => row.reduce((at, value, i) => value > row[at]! ? i : at, 0);

/** The rows of results. */
function* rowsOf({ size, rows }: Results): Iterable<Float32Array> {
  for (const row of rows) {
    for (let at = 0; at < row.length; at += size) yield row.subarray(at, at + size);
  }
}

function agreementOf(output: string, a: Results, b: Results): Agreement {
  if (a.size !== b.size || a.time !== b.time) {
    throw new CommandError(`${output}: the models give rows of ${a.size} and of ${b.size} values`);
  }
  let signal = 0;
  let noise = 0;
  let maxDifference = 0;
  let rows = 0;
  let same = 0;
  const others = rowsOf(b)[Symbol.iterator]();
  for (const row of rowsOf(a)) {
    const other = others.next().value as Float32Array;
    rows++;
    if (largest(row) === largest(other)) same++;
    row.forEach((value, i) => {
      const difference = Math.abs(value - other[i]!);
      signal += value ** 2;
      noise += difference ** 2;
      maxDifference = Math.max(maxDifference, difference);
    });
  }
  return {
    output,
    sqnr: noise === 0 ? null : 10 * Math.log10(signal / noise),
    maxDifference,
    sameLargest: a.size === 1 ? null : same / rows,
  };
}

function agreements(a: ReadonlyMap<string, Results>, b: ReadonlyMap<string, Results>): Agreement[] {
  const others = [...b];
  if (a.size !== others.length) {
    throw new CommandError(`the models have ${a.size} and ${others.length} outputs`);
  }
  return [...a].map(([name, results], i) =>
    agreementOf(name, results, b.get(name) ?? others[i]![1])
  );
}

const percent = (share: number) => `${(100 * share).toFixed(2)}%`;

function agreementTable(rows: readonly Agreement[]): string {
  return textTable([
    ["output", "SQNR dB", "largest difference", "same largest value"],
    ...rows.map(({ output, sqnr, maxDifference, sameLargest }) => [
      output,
      sqnr === null ? "equal" : sqnr.toFixed(1),
      maxDifference.toPrecision(3),
      sameLargest === null ? "" : percent(sameLargest),
    ]),
  ]);
}

/** The labels of each sequence in results. */
function labelsOf(results: Results, labels: ArrayLike<number>): number[][] | null {
  const { size, rows } = results;
  return labelsBySequence(labels, results, rows.map(({ length }) => length / size));
}

/** Share of rows whose largest value is at the label; null if there are no labels for the rows. */
function accuracyOf(results: Results, { labels }: DataSet, labelsPath?: string): number | null {
  if (labels === null) return null;
  const own = labelsOf(results, labels.data);
  if (own === null) {
    // `y` of a data file may also hold other values than labels.
    if (labelsPath === undefined) return null;
    const rows = results.rows.reduce((sum, { length }) => sum + length / results.size, 0);
    throw new CommandError(
      `${labelsPath}: expected the index of a class, below ${results.size}, for each of ${rows} ` +
        `rows of results, got ${labels.data.length} values, which are not such indices`,
    );
  }
  if (results.size === 1) return null;
  const classes = own.flat();
  const right = [...rowsOf(results)].filter((row, i) => largest(row) === classes[i]).length;
  return right / classes.length;
}

/** Measures a report, and shows progress. */
async function measureShown(
  host: Host,
  model: Graph,
  result: QuantizeResult,
  sequences: readonly Sequence[],
  options: MeasureOptions,
) {
  const progress = new Progress(host);
  try {
    return await measureReport(model, result, sequences, {
      ...options,
      onProgress: ({ stage, done, total }) => progress.show(stage, done, total),
    });
  } finally {
    progress.end();
  }
}

/** Runs a model, and shows progress. */
function runShown(host: Host, label: string, model: Runnable, { sequences }: DataSet) {
  const progress = new Progress(host);
  try {
    return runAll(model, sequences, (done) => progress.show(label, done, sequences.length));
  } finally {
    progress.end();
  }
}

/** quantize FILE --calibration DATA -o OUT */
export async function quantizeFile({ files: [path], flags, host }: Invocation): Promise<Report> {
  const output = text(flags, "output")!;
  const program = text(flags, "program");
  const [calibration, test] = [text(flags, "calibration")!, text(flags, "test")];
  const labels = text(flags, "labels");
  const qconfigPath = text(flags, "qconfig");
  const preset = text(flags, "preset");
  const report = text(flags, "report");
  const inputs = [path, calibration, test, labels, qconfigPath, text(flags, "architecture")];
  checkOutputs([output, program, report], inputs);
  if (test === undefined && labels !== undefined) {
    throw new UsageError("--labels: are those of test data: give --test DATA too");
  }
  if (preset !== undefined && qconfigPath !== undefined) {
    throw new UsageError("--preset and --qconfig: give one of the two");
  }
  if (preset !== undefined && !(PRESET_NAMES as readonly string[]).includes(preset)) {
    throw new UsageError(`--preset: expected one of ${PRESET_NAMES.join(", ")}, got ${preset}`);
  }
  const { source, float } = await openFloat(path!, flags);
  const data = await readData(calibration, float.input);
  const measuredOn = test === undefined ? "calibration" : "test";
  const tested = test !== undefined
    ? await readData(test, float.input, labels)
    : report !== undefined
    ? data
    : null;
  const qconfig = qconfigPath === undefined ? undefined : await readQConfig(qconfigPath);
  const sequences = usedSequences(data.sequences, float.input, float.mask);
  const batches = batchesOf(sequences, source.model, float.input);
  const progress = new Progress(host);
  let made;
  try {
    made = await quantize(source.model, batches, {
      ...preset !== undefined && { preset: preset as PresetName },
      ...qconfig !== undefined && { qconfig },
      splitGates: flags["split-gates"] === true,
      onProgress: ({ stage, done, total }) => progress.show(stage, done, total),
    });
  } finally {
    progress.end();
  }
  const bytes = saveModel(made.model);
  const compiled = program === undefined ? undefined : compileModel(made.model);
  const halves = program === undefined ? [] : runningHalvesOf(made.model);
  const file = { path: output, format: "int8", bytes } as const;
  const quantized = quantizedRunnable(file, made.model, await fastKernels());
  let agreement: Agreement[] | null = null;
  let accuracy: { float: number | null; int8: number | null } | null = null;
  let page: string | undefined;
  if (tested !== null) {
    const a = runShown(host, "float", float, tested);
    const b = runShown(host, "int8", quantized, tested);
    agreement = agreements(a, b);
    const [first] = [...a.values()];
    const [second] = [...b.values()];
    accuracy = {
      float: accuracyOf(first!, tested, labels),
      int8: accuracyOf(second!, tested, labels),
    };
    if (report !== undefined) {
      const own = tested.labels === null ? null : labelsOf(first!, tested.labels.data);
      const { sequences, labels } = usedData(tested.sequences, own, {
        ...float,
        time: first!.time,
      });
      page = reportHTML(
        await measureShown(host, source.model, made, sequences, {
          title: basename(path!),
          measuredOn,
          ...labels !== null && { labels },
        }),
      );
    }
  }
  await writeWhole(
    [output, bytes],
    ...compiled === undefined ? [] : [[program!, compiled] as const],
    ...page === undefined ? [] : [[report!, page] as const],
  );
  const { notes } = float;
  const warnings = made.warnings.map(({ message }) => message);
  const right = accuracy?.float == null
    ? ""
    : `right: float ${percent(accuracy.float)}, int8 ${percent(accuracy.int8!)}\n`;
  return {
    json: {
      output,
      bytes: bytes.length,
      ...compiled !== undefined && { program, programBytes: compiled.length, kinds: halves },
      ...report !== undefined && { report },
      calibration: data.sequences.length,
      measuredOn: tested === null ? null : measuredOn,
      agreement,
      accuracy,
      warnings,
      notes,
    },
    text: [
      `${output}: ${bytes.length} bytes, calibrated on ${data.sequences.length} sequences\n`,
      compiled === undefined
        ? ""
        : `${program}: ${compiled.length} bytes, for ./runtime\n${importsText(halves)}`,
      report === undefined ? "" : `${report}: the report, for a browser\n`,
      agreement === null
        ? ""
        : `\nint8 beside float, on the ${measuredOn} data:\n${agreementTable(agreement)}${right}`,
      warnings.map((message) => `warning: ${message}\n`).join(""),
      notesText(notes),
    ].join(""),
  };
}

/** run MODEL DATA, or line by line from standard input */
export async function runFile({ files: [path, data], flags, host }: Invocation): Promise<Report> {
  const output = text(flags, "output");
  const labels = text(flags, "labels");
  checkOutputs([output], [path, data, labels]);
  const [model] = await openRunnables([path!], flags) as [Runnable];
  if (data === undefined || data === "-") {
    if (output !== undefined) throw new UsageError("-o: standard input is answered line by line");
    if (labels !== undefined) {
      throw new UsageError("--labels: are those of DATA, which is needed");
    }
    let line = 0;
    for await (const given of host.lines()) {
      line++;
      if (given.trim() === "") continue;
      const sequence: Sequence = jsonSequence(`line ${line}`, given, model.input);
      host.write(`${jsonLines(runAll(model, [sequence], () => {}))[0]}\n`);
    }
    return { json: undefined, text: "" };
  }
  const given = await readData(data, model.input, labels);
  const results = runShown(host, "run", model, given);
  const [[, first]] = results as unknown as [[string, Results]];
  const accuracy = accuracyOf(first, given, labels);
  if (output === undefined) {
    const lines = jsonLines(results);
    const rows = lines.map((each) => JSON.parse(each));
    const text = `${lines.join("\n")}\n`;
    if (labels === undefined) return { json: rows, text };
    // Standard output has only results, for pipes.
    if (flags.json !== true && accuracy !== null) host.error(`right: ${percent(accuracy)}\n`);
    return { json: { results: rows, accuracy }, text };
  }
  await writeWhole([output, resultsFile(output, results)]);
  return {
    json: { output, sequences: given.sequences.length, accuracy },
    text: `${output}: ${given.sequences.length} sequences, ${OUTPUT_WORDS(model)}\n${
      accuracy === null ? "" : `right: ${percent(accuracy)}\n`
    }`,
  };
}

/** compare A B --data D */
export async function compareFiles({ files: [a, b], flags, host }: Invocation): Promise<Report> {
  const [first, second] = await openRunnables([a!, b!], flags) as [Runnable, Runnable];
  const path = text(flags, "data")!;
  if (first.input.vocabulary > 0 !== second.input.vocabulary > 0) {
    throw new CommandError(
      `${b}: takes ${INPUT_WORDS(second)}, and ${a} takes ${INPUT_WORDS(first)}`,
    );
  }
  const data = await readData(path, first.input);
  const rows = agreements(
    runShown(host, "first", first, data),
    runShown(host, "second", second, data),
  );
  return {
    json: { sequences: data.sequences.length, agreement: rows },
    text: agreementTable(rows),
  };
}

/** graph MODEL */
export async function graphFile({ files: [path], flags }: Invocation): Promise<Report> {
  const file = await readModelFile(path!);
  const format = text(flags, "format") ?? "table";
  if (file.format !== "int8") {
    throw new CommandError(
      `${path}: the graph is that of a quantized model (\`splitgate quantize\` makes one)`,
    );
  }
  if (flags.json === true && format !== "json" && flags.format !== undefined) {
    throw new UsageError(`--json: prints the graph as JSON; leave --format ${format} out`);
  }
  const reference = convertToReference(withPath(path!, () => loadModel(file.bytes)));
  const drawn: Record<string, () => string> = {
    table: () => reference.toTable(),
    json: () => reference.toJSONText(),
    dot: () => reference.toDot(),
    mermaid: () => reference.toMermaid(),
  };
  if (!Object.hasOwn(drawn, format)) {
    throw new UsageError(
      `--format: expected one of ${Object.keys(drawn).join(", ")}, got ${format}`,
    );
  }
  const own = drawn[format]!();
  const json = flags.json === true ? JSON.parse(reference.toJSONText()) : undefined;
  return { json, text: own.endsWith("\n") ? own : `${own}\n` };
}

/** tune FILE --calibration DATA --budget DB -o OUT */
export async function tuneFile({ files: [path], flags }: Invocation): Promise<Report> {
  const output = text(flags, "output")!;
  const calibration = text(flags, "calibration")!;
  checkOutputs([output], [path, calibration, text(flags, "architecture")]);
  const budget = number(flags, "budget", NaN, 0);
  const { source, float } = await openFloat(path!, flags);
  const data = await readData(calibration, float.input);
  const sequences = usedSequences(data.sequences, float.input, float.mask);
  const batches = batchesOf(sequences, source.model, float.input);
  const splitGates = flags["split-gates"] === true;
  const result = tune(source.model, batches, { budget, splitGates });
  const bytes = saveModel(result.model);
  await writeWhole([output, bytes]);
  const { outputSqnr, outputSqnr16, parts } = result;
  const { notes } = float;
  return {
    json: { output, bytes: bytes.length, outputSqnr, outputSqnr16, parts, notes },
    text: `${result.toTable()}\n${output}: ${bytes.length} bytes, ${
      outputSqnr.toFixed(1)
    } dB against the float model (${outputSqnr16.toFixed(1)} with every part in 16 bits)\n${
      notesText(notes)
    }`,
  };
}

/** Default duration of a bench in seconds, and duration of its warm-up in milliseconds. */
const BENCH_SECONDS = 1;
const WARM_UP_MS = 100;

/** bench MODEL */
export async function benchFile({ files: [path], flags }: Invocation): Promise<Report> {
  const seconds = number(flags, "seconds", BENCH_SECONDS, 0.01);
  const steps = Math.round(number(flags, "steps", 100, 1));
  const simd = flags.simd === true;
  const file = await readModelFile(path!);
  const own = await importFlags(flags);
  checkImportFlags([file], own);
  const model = await runnable(file, own, simd ? await simdKernels() : undefined);
  const { size, vocabulary } = model.input;
  // Any values will do: the time of a kernel does not depend on them.
  const sequence: Sequence = vocabulary > 0
    ? Int32Array.from({ length: steps }, (_, i) => i % vocabulary)
    : Float32Array.from({ length: steps * size }, (_, i) => Math.sin(i));
  const until = (end: number) => {
    let runs = 0;
    const start = performance.now();
    do {
      model.run(sequence);
      runs++;
    } while (performance.now() < end);
    return { runs, took: performance.now() - start };
  };
  until(performance.now() + WARM_UP_MS);
  const { runs, took } = until(performance.now() + seconds * 1000);
  const microseconds = took * 1000 / runs / steps;
  return {
    json: {
      format: model.format,
      kernels: simd ? "simd" : "portable",
      bytes: model.bytes,
      steps,
      runs,
      microsecondsPerStep: microseconds,
    },
    text: `${model.format}, ${model.bytes} bytes: ${
      microseconds.toPrecision(4)
    } µs a step, in sequences of ${steps} (${runs} of them in ${(took / 1000).toFixed(2)} s)\n`,
  };
}

/** compile MODEL -o PROGRAM */
export async function compileFile({ files: [path], flags }: Invocation): Promise<Report> {
  const output = text(flags, "output")!;
  checkOutputs([output], [path]);
  const fold = text(flags, "fold-embedding");
  const folds: Record<string, boolean | "float32"> = {
    true: true,
    false: false,
    float32: "float32",
  };
  if (fold !== undefined && !Object.hasOwn(folds, fold)) {
    throw new UsageError(`--fold-embedding: expected true, false or float32, got ${fold}`);
  }
  const file = await readModelFile(path!);
  if (file.format !== "int8") {
    throw new CommandError(
      `${path}: expected a quantized model (\`splitgate quantize\` makes one)`,
    );
  }
  const model = withPath(path!, () => loadModel(file.bytes));
  const halves = runningHalvesOf(model);
  const program = compileModel(model, {
    ...fold !== undefined && { foldEmbedding: folds[fold]! },
    ...flags.simd === true && { kernels: await simdKernels() },
  });
  await writeWhole([output, program]);
  return {
    json: { output, bytes: program.length, from: file.bytes.length, kinds: halves },
    text: `${output}: ${program.length} bytes, from ${file.bytes.length}\n${importsText(halves)}`,
  };
}
