/**
 * The `splitgate` command: imports models of other libraries, quantizes them, and runs them.
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
import { CommandError, UsageError } from "./error.ts";
import { endWithReader, type Host, processHost } from "./host.ts";

export type { Host };

/** An option of a command. */
interface Option {
  /** Name of its value in the help; absent for a switch. */
  readonly value?: string;
  readonly what: string;
  readonly short?: string;
  readonly required?: true;
}

/** A command of `splitgate`. */
interface Command {
  /** Names of its files in the help; optional ones are in brackets. */
  readonly files: readonly string[];
  readonly what: string;
  /** An example, without `splitgate`. */
  readonly example: string;
  readonly options: Readonly<Record<string, Option>>;
  /** Further lines of its help. */
  readonly help?: string;
  run(invocation: Invocation): Promise<Report>;
}

const OUTPUT: Option = { value: "FILE", short: "o", what: "where to write", required: true };
const JSON_OPTION: Option = { what: "print JSON on standard output, and nothing else" };

/** Options for files whose layers or nodes are known. */
const GRAPH_OPTIONS: Readonly<Record<string, Option>> = {
  cut: {
    value: "NAME",
    what: "the tensor of an ONNX graph where the model begins, or the Keras layer where it ends",
  },
  from: { value: "LAYER", what: "the Keras layer where the model begins" },
  logits: { what: "leave out the activation of the last Keras layer" },
  outputs: { value: "A,B", what: "the tensors of an ONNX graph that the model gives" },
  config: { value: "C.json", what: "the config of a Keras file that holds weights only" },
};

const KEY: Option = { value: "K", what: "where the state dict is in a PyTorch checkpoint" };

const SKIP: Option = {
  value: "V",
  what: "leave out steps that hold nothing but V; none: no step. Default: what the file masks",
};

const IMPORT_OPTIONS: Readonly<Record<string, Option>> = {
  architecture: {
    value: "A.json",
    what: "what a file of tensors (torch, safetensors) is a model of; inspect --draft drafts one",
  },
  prefix: { value: "P", what: "a prefix of tensor names to leave out" },
  key: KEY,
  strict: { what: "fail on tensors that are left over and on unknown objects in a pickle" },
  ...GRAPH_OPTIONS,
};

const DATA_HELP = `DATA: .npy or .npz (array x), .safetensors (tensor x), batch first:
[batch, steps, values] or [batch, steps] of token ids, with lengths [batch]
where they differ; .csv, a step per row, with a column "sequence" where there
are several (of token ids, a sequence per row); .jsonl, a sequence per line, as
an array of steps or of token ids.`;

const CALIBRATION: Option = {
  value: "DATA",
  what: "typical input, from which ranges are taken",
  required: true,
};

const LABELS: Option = {
  value: "FILE",
  what:
    "the right classes (.npy): of each sequence, or of each step where there are rows for steps",
};

const SPLIT_GATES: Option = { what: "give each gate a Linear and an add of its own" };

const COMMANDS: Readonly<Record<string, Command>> = {
  inspect: {
    files: ["FILE"],
    what: "shows the format and contents of a file",
    example: "inspect model.pt --draft architecture.json",
    options: {
      draft: { value: "A.json", what: "write a draft of the architecture of a file of tensors" },
      key: KEY,
      ...GRAPH_OPTIONS,
    },
    run: inspect,
  },
  import: {
    files: ["FILE"],
    what: "makes a float model of a file of another library",
    example: "import model.onnx -o float.safetensors",
    options: { output: OUTPUT, ...IMPORT_OPTIONS, skip: SKIP },
    help: `A PyTorch or safetensors file holds tensors and no graph: it needs an
architecture.
  splitgate inspect model.pt --draft A.json     then replace each "?" in A.json
  splitgate import model.pt --architecture A.json -o float.safetensors`,
    run: importFile,
  },
  quantize: {
    files: ["FILE"],
    what: "calibrates a float model and makes it int8",
    example: "quantize model.onnx --calibration train.npy -o int8.safetensors",
    options: {
      calibration: CALIBRATION,
      test: { value: "DATA", what: "compare int8 with float on this; y in it are labels" },
      labels: LABELS,
      preset: { value: "NAME", what: "accurate (the default), int8x16, fbgemm, x86, qnnpack" },
      qconfig: {
        value: "Q.json",
        what: '{ "global": PRESET, "kinds": { KIND: PRESET }, "modules": {...} }; null is float32',
      },
      "split-gates": SPLIT_GATES,
      program: { value: "FILE", what: "also compile it for ./runtime" },
      report: { value: "R.html", what: "also write a page that shows int8 beside float" },
      output: OUTPUT,
      ...IMPORT_OPTIONS,
      skip: SKIP,
    },
    help: DATA_HELP,
    run: quantizeFile,
  },
  run: {
    files: ["MODEL", "[DATA]"],
    what: "runs a model of any kind on data, or on lines of standard input",
    example: "run int8.safetensors test.npy -o y.npy",
    options: {
      output: {
        value: "FILE",
        short: "o",
        what: "results as .safetensors (y), .npy, .csv or .jsonl; without it they are printed",
      },
      labels: LABELS,
      ...IMPORT_OPTIONS,
      skip: SKIP,
    },
    help: `${DATA_HELP}
Without DATA, or with -, each line of standard input is a sequence in JSON, and
is answered by a line:
  echo '[[0.1, 0.2], [0.3, 0.4]]' | splitgate run model.bin`,
    run: runFile,
  },
  compare: {
    files: ["A", "B"],
    what: "compares the results of two models",
    example: "compare model.onnx int8.safetensors --data test.npy",
    options: {
      data: { value: "DATA", what: "what both are run on", required: true },
      ...IMPORT_OPTIONS,
      skip: SKIP,
    },
    help: `An option goes to the file, or both files, that it is for.
${DATA_HELP}`,
    run: compareFiles,
  },
  graph: {
    files: ["MODEL"],
    what: "prints the dq -> op -> q graph of a quantized model",
    example: "graph int8.safetensors --format dot | dot -Tsvg > graph.svg",
    options: { format: { value: "F", what: "table (the default), json, dot, mermaid" } },
    run: graphFile,
  },
  tune: {
    files: ["FILE"],
    what: "chooses 8 or 16 bits for each part of a cell, within an error",
    example: "tune float.onnx --calibration train.npy --budget 35 -o q.safetensors",
    options: {
      calibration: CALIBRATION,
      budget: { value: "DB", what: "signal-to-noise ratio to reach, in decibels", required: true },
      "split-gates": SPLIT_GATES,
      output: OUTPUT,
      ...IMPORT_OPTIONS,
      skip: SKIP,
    },
    help: DATA_HELP,
    run: tuneFile,
  },
  bench: {
    files: ["MODEL"],
    what: "measures microseconds per step on this machine",
    example: "bench int8.safetensors --simd",
    options: {
      steps: { value: "N", what: "steps in a sequence (100)" },
      seconds: { value: "S", what: "how long it runs (1)" },
      simd: { what: "with the SIMD kernels; without it, the portable ones" },
      ...IMPORT_OPTIONS,
    },
    run: benchFile,
  },
  compile: {
    files: ["MODEL"],
    what: "compiles a quantized model for ./runtime",
    example: "compile int8.safetensors -o model.bin",
    options: {
      output: OUTPUT,
      simd: { what: "also lay weights out for the SIMD kernels" },
      "fold-embedding": {
        value: "F",
        what: "true, false or float32: make a table of what an Embedding's reader multiplies",
      },
    },
    run: compileFile,
  },
};

const NAMES = Object.keys(COMMANDS);

function overview(): string {
  const width = Math.max(...NAMES.map(({ length }) => length)) + 2;
  return `usage: splitgate COMMAND [options]

${NAMES.map((name) => `  ${name.padEnd(width)}${COMMANDS[name]!.what}`).join("\n")}

\`splitgate COMMAND --help\` lists the options of a command, \`splitgate --version\`
says which version this is. From a model file to int8:

  splitgate inspect model.onnx
  splitgate quantize model.onnx --calibration data.npy -o int8.safetensors
  splitgate run int8.safetensors test.npy -o y.npy

Exit codes: 0 done, 1 a file or data is wrong, 2 the command is.
`;
}

function optionText(name: string, { value, short }: Option): string {
  const names = short === undefined ? `--${name}` : `-${short}, --${name}`;
  return value === undefined ? names : `${names} ${value}`;
}

/** Width of the help: that of a default terminal. */
const COLUMNS = 80;

/** Wraps a text into lines; all but the first are indented. */
function wrapped(text: string, indent: number): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line === "") lines[lines.length - 1] = word;
    else if (indent + line.length + 1 + word.length <= COLUMNS) {
      lines[lines.length - 1] = `${line} ${word}`;
    } else lines.push(word);
  }
  return lines.join(`\n${" ".repeat(indent)}`);
}

function helpOf(name: string): string {
  const { files, what, example, options, help } = COMMANDS[name]!;
  const all = Object.entries({ ...options, json: JSON_OPTION });
  const required = all.filter(([, option]) => option.required)
    .map(([each, { value, short }]) => `${short ? `-${short}` : `--${each}`} ${value}`);
  const width = Math.max(...all.map(([each, option]) => optionText(each, option).length)) + 2;
  const lines = all.map(([each, option]) => {
    const what = wrapped(option.what + (option.required ? " (needed)" : ""), width + 2);
    return `  ${optionText(each, option).padEnd(width)}${what}`;
  });
  return `usage: splitgate ${[name, ...files, ...required, "[options]"].join(" ")}

${what}, for example:

  splitgate ${example}

${lines.join("\n")}
${help === undefined ? "" : `\n${help}\n`}`;
}

interface Parsed {
  readonly files: readonly string[];
  readonly flags: Flags;
}

/** Reads a command's arguments; null if help is requested. */
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

/** An error message in one line, which names options as they are typed. */
function lineOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/\s*\n\s*/g, " ")
    .replace(/\boptions\.(?:cut\.)?(?=[a-z])/g, "--")
    .replace(/\bfoldEmbedding(?=:)/, "--fold-embedding")
    .replace(/got undefined$/, "got none");
}

/**
 * Runs the command.
 *
 * @param args The arguments after `splitgate`.
 * @param host The streams to use; those of the process by default.
 * @param version The version that `--version` prints.
 * @returns The exit code: 0 for success, 1 if a file or data is wrong, 2 if the command line is
 * wrong.
 *
 * @example
 * ```ts
 * import { main } from "@splitgate/splitgate/cli";
 * import { assertEquals } from "@std/assert";
 * let printed = "";
 * const host = {
 *   write: (text: string) => void (printed += text),
 *   error: () => {},
 *   async *lines() {},
 *   isTerminal: false,
 * };
 * assertEquals(await main(["--version"], host, "1.2.3"), 0);
 * assertEquals(printed.includes("1.2.3"), true);
 * ```
 */
export async function main(
  args: readonly string[],
  host: Host = processHost,
  version = "unknown",
): Promise<number> {
  if (host === processHost) endWithReader();
  const [name, ...rest] = args;
  if (name === "--version") {
    host.write(`${version}\n`);
    return 0;
  }
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    const about = name === "help" ? rest[0] : undefined;
    const known = about !== undefined && Object.hasOwn(COMMANDS, about);
    host.write(known ? helpOf(about) : overview());
    return name === undefined ? 2 : 0;
  }
  if (!Object.hasOwn(COMMANDS, name)) {
    host.error(`splitgate: ${name} is not a command: ${NAMES.join(", ")}\n`);
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
