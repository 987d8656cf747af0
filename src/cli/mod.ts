/**
 * The `splitgate` command: model files of any library in, quantized ones and answers out.
 *
 * @module
 */
import { parseArgs } from "node:util";
import {
  benchFile,
  compareFiles,
  compileFile,
  type Flags,
  graphFile,
  importFile,
  inspect,
  type Invocation,
  quantizeFile,
  type Report,
  runFile,
  tuneFile,
} from "./commands.ts";
import { CommandError } from "./error.ts";
import { type Host, processHost } from "./host.ts";

export type { Host };

/** An option of a command. */
interface Option {
  /** What its value is called; absent where it is a switch. */
  readonly value?: string;
  readonly what: string;
  readonly short?: string;
  readonly required?: true;
}

/** A command of `splitgate`. */
interface Command {
  /** What its files are called; those that may be left out in brackets. */
  readonly files: readonly string[];
  readonly what: string;
  readonly options: Readonly<Record<string, Option>>;
  /** More that its help says. */
  readonly help?: string;
  run(invocation: Invocation): Promise<Report>;
}

const OUTPUT: Option = { value: "FILE", short: "o", what: "where it is written", required: true };
const JSON_OPTION: Option = { what: "one JSON object on standard output, and nothing else" };

const IMPORT_OPTIONS: Readonly<Record<string, Option>> = {
  architecture: {
    value: "A.json",
    what: "what a file of tensors (torch, safetensors) is a model of; inspect --draft drafts one",
  },
  prefix: { value: "P", what: "what names of tensors begin with, which is left out" },
  key: { value: "K", what: "where the state dict stands in a checkpoint of torch" },
  cut: {
    value: "NAME",
    what: "a tensor of an ONNX graph where the model begins, or a layer of Keras where it ends",
  },
  config: { value: "C.json", what: "the config of a file of Keras that holds weights only" },
  masking: {
    value: "lengths",
    what: "steps that a file of Keras masks are padding, which you leave out of sequences",
  },
  strict: { what: "tensors that are left over, and what is opaque in a pickle, are errors" },
};

const DATA_HELP =
  `Data: .npy or .npz (array x), .safetensors (tensor x), batch first: [batch, steps, values] or
[batch, steps] of token ids, with lengths [batch] where they differ; .csv, a step a row, with a
column "sequence" where there are several (of token ids, a sequence a row); .jsonl, a sequence a
line, as an array of steps or of token ids.`;

const COMMANDS: Readonly<Record<string, Command>> = {
  inspect: {
    files: ["FILE"],
    what: "says what a file is, and what is in it",
    options: {
      draft: { value: "A.json", what: "write a drafted architecture of a file of tensors" },
      key: IMPORT_OPTIONS.key!,
      cut: IMPORT_OPTIONS.cut!,
      config: IMPORT_OPTIONS.config!,
      masking: IMPORT_OPTIONS.masking!,
    },
    run: inspect,
  },
  import: {
    files: ["FILE"],
    what: "makes a float model of a file of torch, Keras, TensorFlow.js, ONNX or safetensors",
    options: { output: OUTPUT, ...IMPORT_OPTIONS },
    help: `A file of torch or safetensors holds no graph, and needs an architecture:
  splitgate inspect model.pt --draft A.json     then fill in each "?" in A.json
  splitgate import model.pt --architecture A.json -o model.safetensors`,
    run: importFile,
  },
  quantize: {
    files: ["FILE"],
    what: "calibrates a float model and makes it int8",
    options: {
      calibration: { value: "DATA", what: "data like that it is to meet", required: true },
      test: { value: "DATA", what: "data to compare int8 with float on; y in it are labels" },
      preset: { value: "NAME", what: "accurate (the default), int8x16, fbgemm, x86, qnnpack" },
      qconfig: {
        value: "Q.json",
        what: '{ "global": PRESET, "kinds": { KIND: PRESET }, "modules": {...} }; null is float32',
      },
      "split-gates": { what: "each gate has a Linear and an add of its own" },
      program: { value: "FILE", what: "also compile it for ./runtime" },
      output: OUTPUT,
      ...IMPORT_OPTIONS,
    },
    help: DATA_HELP,
    run: quantizeFile,
  },
  run: {
    files: ["MODEL", "[DATA]"],
    what: "runs a float or int8 model or a program on data, or on lines of standard input",
    options: {
      output: {
        value: "FILE",
        short: "o",
        what: "results as .safetensors (y), .npy, .csv or .jsonl; printed without it",
      },
      ...IMPORT_OPTIONS,
    },
    help: `${DATA_HELP}
Without DATA each line of standard input is a sequence of JSON, answered by a line of JSON.`,
    run: runFile,
  },
  compare: {
    files: ["A", "B"],
    what: "how near the results of two models are",
    options: { data: { value: "DATA", what: "what both are run on", required: true } },
    help: DATA_HELP,
    run: compareFiles,
  },
  graph: {
    files: ["MODEL"],
    what: "the dq -> op -> q graph of a quantized model",
    options: { format: { value: "F", what: "table (the default), json, dot, mermaid" } },
    run: graphFile,
  },
  tune: {
    files: ["FILE"],
    what: "chooses 8 or 16 bits for each part of an LSTM, for a budget",
    options: {
      calibration: { value: "DATA", what: "data like that it is to meet", required: true },
      budget: { value: "DB", what: "signal to noise to reach, in decibels", required: true },
      "split-gates": { what: "each gate has a Linear and an add of its own" },
      output: OUTPUT,
      ...IMPORT_OPTIONS,
    },
    help: DATA_HELP,
    run: tuneFile,
  },
  bench: {
    files: ["MODEL"],
    what: "microseconds a step, on this machine",
    options: {
      steps: { value: "N", what: "steps of a sequence (100)" },
      seconds: { value: "S", what: "how long it runs (1)" },
    },
    run: benchFile,
  },
  compile: {
    files: ["MODEL"],
    what: "compiles a quantized model for ./runtime",
    options: {
      output: OUTPUT,
      simd: { what: "for SIMD kernels too" },
      "fold-embedding": { value: "F", what: "true, false or float32" },
    },
    run: compileFile,
  },
};

const NAMES = Object.keys(COMMANDS);

function overview(): string {
  const width = Math.max(...NAMES.map(({ length }) => length)) + 2;
  return `usage: splitgate COMMAND [options]

${NAMES.map((name) => `  ${name.padEnd(width)}${COMMANDS[name]!.what}`).join("\n")}

\`splitgate COMMAND --help\` lists a command's options. A model from file to int8:

  splitgate inspect model.onnx
  splitgate quantize model.onnx --calibration data.npy -o model.safetensors --program model.bin
  splitgate run model.safetensors test.npy -o y.npy

Exit codes: 0 done, 1 a file or data is wrong, 2 the command is.
`;
}

function optionText(name: string, { value, short }: Option): string {
  const names = short === undefined ? `--${name}` : `-${short}, --${name}`;
  return value === undefined ? names : `${names} ${value}`;
}

function helpOf(name: string): string {
  const { files, what, options, help } = COMMANDS[name]!;
  const all = Object.entries({ ...options, json: JSON_OPTION });
  const required = all.filter(([, option]) => option.required)
    .map(([each, { value, short }]) => `${short ? `-${short}` : `--${each}`} ${value}`);
  const width = Math.max(...all.map(([each, option]) => optionText(each, option).length)) + 2;
  const lines = all.map(([each, option]) =>
    `  ${optionText(each, option).padEnd(width)}${option.what}${option.required ? " (needed)" : ""}`
  );
  return `usage: splitgate ${[name, ...files, ...required, "[options]"].join(" ")}

${what}

${lines.join("\n")}
${help === undefined ? "" : `\n${help}\n`}`;
}

/** A command that is written wrongly. */
class UsageError extends Error {}

interface Parsed {
  readonly files: readonly string[];
  readonly flags: Flags;
}

/** Reads a command's arguments; null where help is asked for. */
function parse(name: string, args: readonly string[]): Parsed | null {
  const { files, options } = COMMANDS[name]!;
  const all = { ...options, json: JSON_OPTION };
  const types = Object.entries(all).map(([each, { value, short }]) => [each, {
    type: value === undefined ? "boolean" : "string",
    ...short !== undefined && { short },
  }]);
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args],
      options: {
        ...Object.fromEntries(types),
        help: { type: "boolean", short: "h" },
      } as NonNullable<Parameters<typeof parseArgs>[0]>["options"] & object,
      allowPositionals: true,
    });
  } catch (error) {
    throw new UsageError((error as Error).message.split(". To specify")[0]);
  }
  const { values, positionals } = parsed;
  if (values.help === true) return null;
  const needed = files.filter((each) => !each.startsWith("["));
  if (positionals.length < needed.length || positionals.length > files.length) {
    throw new UsageError(`expected ${files.join(" ")}, got ${positionals.length} files`);
  }
  for (const [each, option] of Object.entries(all)) {
    if (option.required && values[each] === undefined) {
      throw new UsageError(`${optionText(each, option)} is needed: ${option.what}`);
    }
  }
  return { files: positionals, flags: values as Flags };
}

/** A message in one line. */
function lineOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/\s*\n\s*/g, " ");
}

/**
 * Runs the command.
 *
 * @param args What stands behind `splitgate`.
 * @param host What it reads and writes; the process by default.
 * @returns The exit code: 0 done, 1 a file or data is wrong, 2 the command is.
 */
export async function main(args: readonly string[], host: Host = processHost): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    const about = name === "help" ? rest[0] : undefined;
    const known = about !== undefined && Object.hasOwn(COMMANDS, about);
    host.write(known ? helpOf(about) : overview());
    return name === undefined ? 2 : 0;
  }
  if (!Object.hasOwn(COMMANDS, name)) {
    host.error(`splitgate: ${name} is no command: ${NAMES.join(", ")}\n`);
    return 2;
  }
  try {
    const parsed = parse(name, rest);
    if (parsed === null) {
      host.write(helpOf(name));
      return 0;
    }
    const { json, text } = await COMMANDS[name]!.run({ ...parsed, host });
    if (parsed.flags.json !== true) host.write(text);
    else if (json !== undefined) host.write(`${JSON.stringify(json)}\n`);
    return 0;
  } catch (error) {
    const usage = error instanceof UsageError;
    const named = usage || error instanceof CommandError || error instanceof RangeError ||
      error instanceof TypeError;
    if (!named) host.error(`${(error as Error)?.stack ?? error}\n`);
    else {
      const wayOn = usage ? ` (splitgate ${name} --help)` : "";
      host.error(`splitgate ${name}: ${lineOf(error)}${wayOn}\n`);
    }
    return usage ? 2 : 1;
  }
}
