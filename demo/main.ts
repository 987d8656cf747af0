/**
 * The demo: quantizes a word segmenter, saves it, loads it and measures what was lost and gained.
 *
 *     deno task demo [--language thai|lao|burmese] [--preset NAME] [--text "..."] [--json]
 *     deno task demo --model F.safetensors --dictionary F.json --calibration F.txt --test F.txt
 */
import { parseArgs } from "node:util";
import { SingleBar } from "cli-progress";
import {
  compileModel,
  convert,
  getPreset,
  loadModel,
  prepare,
  PRESET_NAMES,
  type QuantizedModel,
  saveModel,
} from "@splitgate/splitgate";
import { parseSafetensors } from "@splitgate/splitgate/safetensors";
import { checkOutput, WriteError, writeFile } from "../scripts/write_file.ts";
import { boundaryF1, cut, type Dictionary, type Run, scriptRuns, wordEnds } from "./segmenter.ts";
import { languageFiles, LANGUAGES, loadTask, sequence, type TaskFiles } from "./task.ts";

const FILES = ["model", "dictionary", "calibration", "test"] as const;

const USAGE = `Usage: deno task demo [options]

  --language NAME     ${LANGUAGES.join(", ")} (default thai)
  --preset NAME       ${PRESET_NAMES.join(", ")} (default accurate)
  --text TEXT         print TEXT segmented by the int8 model
  --json              print one JSON object and nothing else
  --output FILE       where the int8 model is written (default build/NAME.PRESET.safetensors)

A model of your own (see demo/data/README.md for the form of the files):
  --model F.safetensors --dictionary F.json --calibration F.txt --test F.txt`;

/** A mistake of the person at the keyboard: shown without a stack. */
class UsageError extends Error {}

interface Options {
  readonly name: string;
  readonly files: TaskFiles;
  readonly preset: string;
  readonly text: string | undefined;
  readonly json: boolean;
  readonly output: string;
}

function readOptions(args: string[]): Options | null {
  let given;
  try {
    const string = { type: "string" } as const;
    const boolean = { type: "boolean" } as const;
    const options = {
      language: string,
      preset: string,
      text: string,
      output: string,
      model: string,
      dictionary: string,
      calibration: string,
      test: string,
      json: boolean,
      help: boolean,
    };
    given = parseArgs({ args, options }).values;
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n\n${USAGE}`);
  }
  if (given.help) return null;
  const own = FILES.filter((key) => given[key] !== undefined);
  const language = given.language ?? "thai";
  const preset = given.preset ?? "accurate";
  if (own.length > 0 && own.length < FILES.length) {
    const missing = FILES.filter((key) => given[key] === undefined).map((key) => `--${key}`);
    throw new UsageError(`a model of your own also needs ${missing.join(", ")}`);
  }
  if (own.length > 0 && given.language !== undefined) {
    throw new UsageError("give --language or --model, not both");
  }
  if (own.length === 0 && !LANGUAGES.includes(language)) {
    throw new UsageError(`--language: expected ${LANGUAGES.join(", ")}, got ${language}`);
  }
  if (!PRESET_NAMES.includes(preset)) {
    throw new UsageError(`--preset: expected ${PRESET_NAMES.join(", ")}, got ${preset}`);
  }
  const name = own.length > 0
    ? given.model!.split(/[\\/]/).pop()!.replace(/\.safetensors$/, "")
    : language;
  return {
    name,
    files: own.length > 0
      ? {
        model: given.model!,
        dictionary: given.dictionary!,
        calibration: given.calibration!,
        test: given.test!,
      }
      : languageFiles(language),
    preset,
    text: given.text,
    json: given.json ?? false,
    output: given.output ?? `build/${name}.${preset}.safetensors`,
  };
}

/**
 * Calls `each` for every item, with a bar on standard error where that takes long enough to notice.
 */
function withProgress<T, U>(label: string, items: readonly T[], each: (item: T) => U): U[] {
  const bar = new SingleBar({
    format: `${label} [{bar}] {value}/{total}`,
    hideCursor: true,
    clearOnComplete: true,
    noTTYOutput: false,
  });
  const started = performance.now();
  let shown = false;
  const results = items.map((item, i) => {
    const result = each(item);
    if (!shown && performance.now() - started > 300) {
      bar.start(items.length, i);
      shown = true;
    }
    if (shown) bar.update(i + 1);
    return result;
  });
  if (shown) bar.stop();
  return results;
}

/**
 * Microseconds a character of a pass over all runs: the median of passes that take half a second
 * together.
 */
function microsPerChar(runs: readonly Run[], pass: (run: Run) => void): number {
  const characters = runs.reduce((sum, run) => sum + run.tokens.length, 0);
  const times: number[] = [];
  const started = performance.now();
  while (times.length < 3 || performance.now() - started < 500) {
    const from = performance.now();
    for (const run of runs) pass(run);
    times.push((performance.now() - from) * 1000 / characters);
  }
  return times.toSorted((a, b) => a - b)[times.length >> 1]!;
}

function equalBytes(a: Float32Array, b: Float32Array): boolean {
  const x = new Uint8Array(a.buffer);
  const y = new Uint8Array(b.buffer);
  return x.length === y.length && x.every((byte, i) => byte === y[i]);
}

/** Segments any text: runs of the language are cut into words, the rest stays as it is. */
function segment(text: string, model: QuantizedModel, dictionary: Dictionary): string {
  const pieces: string[] = [];
  for (const run of scriptRuns(text, dictionary)) {
    if (!run.segment) {
      pieces.push(run.text);
      continue;
    }
    const ids = dictionary.encode(run.text);
    const output = new Float32Array(ids.length * model.outputSize);
    model.createSession({ maxSteps: ids.length }).run(ids, output);
    pieces.push(cut(run.text, wordEnds(output, ids.length)).join("|"));
  }
  return pieces.join("");
}

function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join("\n");
}

async function main(options: Options): Promise<void> {
  const { name, files, preset, text, json, output } = options;
  await checkOutput(output, Object.values(files));
  const { model, modelBytes, dictionary, calibration, test } = loadTask(files);

  // Calibrated and converted twice, so that each form also stands for itself in the file.
  const [fusedBytes, splitBytes] = [false, true].map((splitGates) => {
    const observed = prepare(model, getPreset(preset), { splitGates });
    withProgress(
      `calibrating, ${splitGates ? "split" : "fused"}`,
      calibration,
      (run) => observed.forward(sequence(run)),
    );
    return saveModel(convert(observed));
  });
  await writeFile(output, splitBytes!, { makeFolder: true });
  const quantized = loadModel(await Deno.readFile(output));
  if (text !== undefined) {
    const segmented = segment(text, quantized, dictionary);
    console.log(json ? JSON.stringify({ language: name, preset, text: segmented }) : segmented);
    return;
  }

  const maxSteps = Math.max(...test.map((run) => run.tokens.length));
  const outputs = new Float32Array(maxSteps * quantized.outputSize);
  const forms = [false, true].map((splitGates) =>
    quantized.createSession({ maxSteps, splitGates })
  );
  const outputOf = (session: typeof forms[0], run: Run) => {
    const out = outputs.subarray(0, run.tokens.length * quantized.outputSize);
    session.run(run.tokens, out);
    return out;
  };
  const floatEnds = withProgress(
    "float model",
    test,
    (run) => wordEnds(model.forward(sequence(run)).data, run.tokens.length),
  );
  const int8 = withProgress("int8 model", test, (run) => {
    const fused = outputOf(forms[0]!, run).slice();
    const split = outputOf(forms[1]!, run).slice();
    return { equal: equalBytes(fused, split), ends: wordEnds(split, run.tokens.length) };
  });
  const ends = int8.map((run) => run.ends);
  const reference = test.map((run) => run.ends);
  const result = {
    language: name,
    preset,
    f1VsFloat: boundaryF1(ends, floatEnds),
    f1VsReference: boundaryF1(ends, reference),
    f1FloatVsReference: boundaryF1(floatEnds, reference),
    bytesFloat: modelBytes.length,
    bytesInt8: splitBytes!.length,
    bytesProgram: compileModel(quantized).length,
    microsPerCharFloat: microsPerChar(test, (run) => model.forward(sequence(run))),
    microsPerCharInt8: microsPerChar(test, (run) => outputOf(forms[1]!, run)),
    workingBytesFused: forms[0]!.workingBytes,
    workingBytesSplit: forms[1]!.workingBytes,
    fusedEqualsSplit: int8.every((run) => run.equal),
  };
  if (json) {
    console.log(JSON.stringify(result));
    return;
  }
  const wrong = test.flatMap((run, i) => {
    const own = cut(run.text, ends[i]!).join("|");
    const expected = cut(run.text, floatEnds[i]!).join("|");
    return own === expected ? [] : [[expected, own] as const];
  });
  const words = floatEnds.flat().filter(Boolean).length;
  const number = (value: number) => value.toLocaleString("en");
  const share = (bytes: number) =>
    `${number(bytes)} (${(100 * bytes / result.bytesFloat).toFixed(1)} %)`;
  console.log(
    `${name}: ${test.length} runs, ${words} words, preset ${preset}, written to ${output}\n`,
  );
  console.log(table([
    ["boundary F1, int8 against float", result.f1VsFloat.toFixed(4)],
    ["boundary F1, int8 against reference", result.f1VsReference.toFixed(4)],
    ["boundary F1, float against reference", result.f1FloatVsReference.toFixed(4)],
    ["model bytes, float", number(result.bytesFloat)],
    ["model bytes, int8", share(result.bytesInt8)],
    ["program bytes, as compiled for the runtime", share(result.bytesProgram)],
    ["µs a character, float", result.microsPerCharFloat.toFixed(2)],
    ["µs a character, int8", result.microsPerCharInt8.toFixed(2)],
    ["working bytes, fused", number(result.workingBytesFused)],
    ["working bytes, split", number(result.workingBytesSplit)],
    ["fused and split agree byte for byte", result.fusedEqualsSplit ? "yes" : "NO"],
    [
      "model calibrated fused = calibrated split",
      sameWeights(fusedBytes!, splitBytes!) ? "yes" : "no",
    ],
    ["runs cut otherwise than by the float model", `${wrong.length} of ${test.length}`],
  ]));
  for (const [expected, own] of wrong.slice(0, 3)) {
    console.log(`\n  float  ${expected}\n  int8   ${own}`);
  }
}

/** Whether two model files hold the same integers and parameters, the form they ask for apart. */
function sameWeights(a: Uint8Array, b: Uint8Array): boolean {
  const [x, y] = [a, b].map((bytes) => {
    const { tensors, metadata } = parseSafetensors(bytes);
    const tree = metadata.splitgate!.replace(/"splitGates":(true|false)|"crc32":"\w+"/g, "");
    return { tree, tensors: [...tensors].map(([key, { data }]) => `${key}:${data}`).join() };
  });
  return x!.tree === y!.tree && x!.tensors === y!.tensors;
}

try {
  const options = readOptions(Deno.args);
  if (options === null) console.log(USAGE);
  else await main(options);
} catch (error) {
  const expected = [UsageError, RangeError, TypeError, WriteError, ...Object.values(Deno.errors)]
    .some((kind) => error instanceof kind);
  if (!expected) throw error;
  console.error(`demo: ${(error as Error).message}`);
  Deno.exit(1);
}
