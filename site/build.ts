/**
 * Builds the page: static files that need no server and no network, in any folder.
 *
 *     deno task site [FOLDER]       build/site by default
 *
 * Parts that are loaded later (workers, samples, languages) are classic scripts that pass a value
 * to the page (chunks.ts), so that everything works if the page is opened as a file.
 */
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin, stop } from "esbuild";
import {
  convert,
  getPreset,
  Linear,
  LSTM,
  prepare,
  saveFloatModel,
  saveModel,
  Sequential,
} from "@splitgate/splitgate";
import { parseSafetensors, writeSafetensors } from "@splitgate/splitgate/safetensors";
import { languageFiles, loadTask, sequence } from "../demo/task.ts";
import config from "../deno.json" with { type: "json" };
import { readArguments } from "../scripts/arguments.ts";
import { npmPackages, thirdPartyNotice } from "../scripts/npm_packages.ts";
import { writeFile } from "../scripts/write_file.ts";
import { encodeBase64 } from "./base64.ts";
import { HAND_OVER, LANGUAGE_FILES, LANGUAGES, SIGNAL_FILES } from "./names.ts";
import { type Figure, recordedFigures } from "./figures.ts";
import { type Sample, SAMPLE_DATA, SAMPLES } from "./samples.ts";

/** Number of runs of the test text in the segmenter's example. */
const EXAMPLE_RUNS = 5;

/** Number of utterances in the signal demo: one per speaker. */
const SPEAKERS = 9;

/** Files by name. */
type Files = Record<string, Uint8Array | string>;

const source = (file: string) => fileURLToPath(new URL(`../${file}`, import.meta.url));

/** A script that passes a value to the page. */
function chunk(name: string, value: unknown): string {
  return `${HAND_OVER}(${JSON.stringify(name)},${JSON.stringify(value)});\n`;
}

/** A script that passes files to the page. */
function filesChunk(name: string, files: Readonly<Files>): string {
  const encoder = new TextEncoder();
  const all = Object.entries(files).map(([file, contents]) => [
    file,
    encodeBase64(typeof contents === "string" ? encoder.encode(contents) : contents),
  ]);
  return chunk(name, Object.fromEntries(all));
}

function languageChunk(id: string): string {
  const files = languageFiles(id);
  const { model, calibration, test } = loadTask(files);
  const observed = prepare(model, getPreset("accurate"), { splitGates: true });
  for (const run of calibration) observed.forward(sequence(run));
  return filesChunk(`languages/${id}`, {
    [LANGUAGE_FILES.model]: saveModel(convert(observed)),
    [LANGUAGE_FILES.float]: saveFloatModel(model),
    [LANGUAGE_FILES.dictionary]: Deno.readTextFileSync(files.dictionary),
    [LANGUAGE_FILES.example]: test.slice(0, EXAMPLE_RUNS).map(({ text }) => text).join("\n"),
  });
}

/** The sequences of one part of JapaneseVowels. */
function* utterances(part: string): Iterable<{ speaker: number; values: Float32Array }> {
  const { tensors } = parseSafetensors(
    Deno.readFileSync(source("demo/data/japanese_vowels.data.safetensors")),
  );
  const data = tensors.get(`${part}.x`)!.data as Float32Array;
  const lengths = tensors.get(`${part}.lengths`)!.data as Int32Array;
  const speakers = tensors.get(`${part}.speakers`)!.data as Int32Array;
  const [, channels] = tensors.get(`${part}.x`)!.shape as [number, number];
  let at = 0;
  for (const [i, length] of lengths.entries()) {
    const to = at + length * channels;
    yield { speaker: speakers[i]!, values: data.slice(at, to) };
    at = to;
  }
}

/**
 * The model that recognizes the speaker, with an answer at every step, and one utterance of each
 * speaker.
 */
function signalChunk(): string {
  const { tensors } = parseSafetensors(
    Deno.readFileSync(source("demo/data/japanese_vowels.safetensors")),
  );
  const [, channels] = tensors.get("lstm.weight_ih_l0")!.shape as [number, number];
  const [speakers, hiddenSize] = tensors.get("out.weight")!.shape as [number, number];
  const model = new Sequential({
    lstm: new LSTM({ inputSize: channels, hiddenSize, numLayers: 2 }),
    out: new Linear({ inFeatures: hiddenSize, outFeatures: speakers }),
  });
  model.loadStateDict(tensors);
  const observed = prepare(model, getPreset("accurate"), { splitGates: true });
  for (const { values } of utterances("train")) {
    observed.forward({ data: values, shape: [values.length / channels, 1, channels] });
  }
  const first = new Map<number, Float32Array>();
  for (const { speaker, values } of utterances("test")) {
    if (!first.has(speaker) && first.size < SPEAKERS) first.set(speaker, values);
  }
  const shown = [...first].sort(([a], [b]) => a - b).map(([speaker, values]) => ({
    // People count speakers from 1.
    speaker: speaker + 1,
    steps: Array.from({ length: values.length / channels }, (_, t) => [
      ...values.subarray(t * channels, (t + 1) * channels),
    ]),
  }));
  return filesChunk("signal", {
    [SIGNAL_FILES.model]: saveModel(convert(observed)),
    [SIGNAL_FILES.utterances]: JSON.stringify(shown),
  });
}

function sampleChunk({ id, files, data }: Sample): string {
  const all: Files = {};
  for (const file of files) {
    all[file.slice(file.lastIndexOf("/") + 1)] = Deno.readFileSync(source(file));
  }
  if ("tensors" in data) {
    const { tensors } = parseSafetensors(Deno.readFileSync(source(data.tensors)));
    const only = (name: string) => {
      const { data, shape } = tensors.get(name)!;
      return writeSafetensors([["x", { data: data as Float32Array, shape }]]);
    };
    all[SAMPLE_DATA.calibration] = only("x_calibration");
    all[SAMPLE_DATA.test] = only("x");
  } else {
    // In these files, words are separated by bars.
    const textOf = (file: string) => Deno.readTextFileSync(source(file)).replaceAll("|", "");
    all[SAMPLE_DATA.calibration] = textOf(data.calibration);
    all[SAMPLE_DATA.test] = textOf(data.test);
    all[SAMPLE_DATA.vocabulary] = Deno.readTextFileSync(source(data.vocabulary));
  }
  return filesChunk(`samples/${id}`, all);
}

/** Resolves the package itself, and picks the browser variants of packages. */
const sitePackages: Plugin = {
  name: "site",
  setup(build) {
    const imports: Record<string, string> = config.imports;
    build.onResolve(
      { filter: /^@splitgate\/splitgate/ },
      ({ path }) => ({ path: source(imports[path]!) }),
    );
    // The variant that includes polyfills for browsers.
    build.onResolve({ filter: /^csv-parse\/sync$/ }, ({ path }) => ({
      path: fileURLToPath(import.meta.resolve(path)).replace(/(lib|dist)[^]*$/, "dist/esm/sync.js"),
    }));
  },
};

/** Bundles a module into one classic script, and lists the modules in it. */
async function bundle(entry: string): Promise<{ code: string; inputs: string[] }> {
  const { outputFiles, metafile } = await build({
    entryPoints: [source(entry)],
    absWorkingDir: source(""),
    write: false,
    metafile: true,
    bundle: true,
    minify: true,
    // Modules cannot be loaded if the page is opened as a file.
    format: "iife",
    target: "es2022",
    logLevel: "error",
    plugins: [sitePackages, npmPackages],
  });
  return {
    code: outputFiles[0]!.text,
    // An excluded module, which is not a file, is listed like one of this repository.
    inputs: Object.keys(metafile.inputs).map((path) => resolve(source(""), path)),
  };
}

const ESCAPES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };

const escaped = (text: string) => text.replace(/[&<>]/g, (each) => ESCAPES[each]!);

function figureHtml({ title, value, note }: Figure): string {
  return `<div><dt>${escaped(title)}</dt><dd>${escaped(value)}<small>${
    escaped(note)
  }</small></dd></div>`;
}

/** The documents as text files, and a page that lists them. */
function documents(): Files {
  const files: Files = {};
  const entries: string[] = [];
  const add = (path: string, name: string) => {
    const text = Deno.readTextFileSync(source(path));
    files[`documents/${name}.txt`] = text;
    const [, title] = /^# (.*)$/m.exec(text) ?? [];
    entries.push(`<li><a href="documents/${name}.txt">${escaped(title ?? name)}</a></li>`);
  };
  add("README.md", "readme");
  const names = [...Deno.readDirSync(source("docs"))].map(({ name }) => name)
    .filter((name) => name.endsWith(".md")).sort();
  for (const name of names) add(`docs/${name}`, name.slice(0, -".md".length));
  files["documents.html"] = Deno.readTextFileSync(source("site/documents.html"))
    .replace("ENTRIES", entries.join("\n        "));
  return files;
}

/** Builds the page into a folder. */
export async function buildSite(folder: string): Promise<void> {
  const [main, live, workbench, report] = [
    await bundle("site/main.ts"),
    await bundle("site/workers/live.ts"),
    await bundle("site/workers/workbench.ts"),
    await bundle("site/workers/report.ts"),
  ];
  const licenses = [
    "LICENSE",
    "demo/data/README.md",
    "demo/data/LICENSE-Unicode-3.0.txt",
    "tests/models/parsernaam/LICENSE",
    "tests/models/network_intrusion/LICENSE",
  ];
  const notices = licenses.map((file) => `${file}\n\n${Deno.readTextFileSync(source(file))}`);
  const inputs = [main, live, workbench, report].flatMap((script) => script.inputs);
  notices.push(thirdPartyNotice(inputs, source("")));
  const page = Deno.readTextFileSync(source("site/index.html"));
  const files: Files = {
    "main.js": main.code,
    "live.js": chunk("live", live.code),
    "workbench.js": chunk("workbench", workbench.code),
    "report.js": chunk("report", report.code),
    "signal.js": signalChunk(),
    ...Object.fromEntries(LANGUAGES.map(({ id }) => [`languages/${id}.js`, languageChunk(id)])),
    ...Object.fromEntries(
      SAMPLES.map((sample) => [`samples/${sample.id}.js`, sampleChunk(sample)]),
    ),
    "index.html": page.replace("FIGURES", recordedFigures().map(figureHtml).join("")),
    "style.css": Deno.readFileSync(source("site/style.css")),
    "notices.txt": notices.join(`\n${"-".repeat(80)}\n\n`),
    ...documents(),
  };
  for (const [name, contents] of Object.entries(files)) {
    await writeFile(`${folder}/${name}`, contents, { makeFolder: true });
  }
}

if (import.meta.main) {
  const { positionals } = readArguments("deno task site [FOLDER]", {}, 1);
  const folder = positionals[0] ?? source("build/site");
  await buildSite(folder);
  await stop();
  console.log(`${folder}/index.html`);
}
