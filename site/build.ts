/**
 * Builds the page: three static files that need no server and no network.
 *
 *     deno task site [FOLDER]       build/site where nothing else is said
 */
import { encodeBase64 } from "./base64.ts";
import { fileURLToPath } from "node:url";
import { build, stop } from "esbuild";
import { convert, getPreset, prepare, saveModel } from "@splitgate/splitgate";
import { languageFiles, LANGUAGES, loadTask, sequence } from "../demo/task.ts";
import config from "../deno.json" with { type: "json" };
import { readArguments } from "../scripts/arguments.ts";
import { writeFile } from "../scripts/write_file.ts";
import type { BuiltInTask } from "./tasks.ts";

/** Name of each language in English and of its writing, as BCP 47 has them. */
const NAMES: Record<string, { title: string; lang: string }> = {
  thai: { title: "Thai", lang: "th" },
  lao: { title: "Lao", lang: "lo" },
  burmese: { title: "Burmese", lang: "my" },
};

/** Runs of the test text that the page starts with. */
const EXAMPLE_RUNS = 5;

function task(language: string): BuiltInTask {
  const files = languageFiles(language);
  const { model, modelBytes, calibration, test } = loadTask(files);
  const observed = prepare(model, getPreset("accurate"), { splitGates: true });
  for (const run of calibration) observed.forward(sequence(run));
  return {
    ...NAMES[language]!,
    id: language,
    model: encodeBase64(saveModel(convert(observed))),
    dictionary: Deno.readTextFileSync(files.dictionary),
    floatBytes: modelBytes.length,
    example: test.slice(0, EXAMPLE_RUNS).map(({ text }) => text).join("\n"),
  };
}

/** Builds the page into a folder. */
export async function buildSite(folder: string): Promise<void> {
  const source = (file: string) => fileURLToPath(new URL(file, import.meta.url));
  const imports: Record<string, string> = config.imports;
  const { outputFiles } = await build({
    entryPoints: [source("main.ts")],
    write: false,
    bundle: true,
    minify: true,
    // A classic script: modules are not loaded where the page is opened as a file.
    format: "iife",
    target: "es2022",
    logLevel: "error",
    plugins: [{
      name: "site",
      setup(build) {
        build.onResolve(
          { filter: /^@splitgate\/splitgate/ },
          ({ path }) => ({ path: source(`../${imports[path]}`) }),
        );
        build.onResolve(
          { filter: /^built-in-tasks$/ },
          ({ path }) => ({ path, namespace: "built" }),
        );
        build.onLoad({ filter: /.*/, namespace: "built" }, () => ({
          contents: JSON.stringify(LANGUAGES.map(task)),
          loader: "json",
        }));
      },
    }],
  });
  const notices = ["../LICENSE", "../demo/data/README.md", "../demo/data/LICENSE-Unicode-3.0.txt"]
    .map((file) => Deno.readTextFileSync(source(file)));
  const files: Record<string, Uint8Array | string> = {
    "main.js": outputFiles[0]!.contents,
    "index.html": Deno.readFileSync(source("index.html")),
    "style.css": Deno.readFileSync(source("style.css")),
    "notices.txt": notices.join(`\n${"-".repeat(80)}\n\n`),
  };
  for (const [name, contents] of Object.entries(files)) {
    await writeFile(`${folder}/${name}`, contents, { makeFolder: true });
  }
}

if (import.meta.main) {
  const { positionals } = readArguments("deno task site [FOLDER]", {}, 1);
  const folder = positionals[0] ?? fileURLToPath(new URL("../build/site", import.meta.url));
  await buildSite(folder);
  await stop();
  console.log(`${folder}/index.html`);
}
