/**
 * The weight of each entry point as esbuild bundles it, minified and gzipped, and of single
 * imports from the packed package, beside the last recorded figure.
 *
 *     deno task size            prints a table; fails if ./runtime is over its budget
 *     deno task size --json     prints { entry: { minified, gzipped } } and nothing else
 *     deno task size --record   also writes the figures to bench/results/size.json
 */
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type BuildOptions, stop } from "esbuild";
import config from "../deno.json" with { type: "json" };
import { readArguments } from "./arguments.ts";
import { pack } from "./pack.ts";
import { writeFile } from "./write_file.ts";

/** Bytes gzipped that an edge worker's import may weigh. */
const RUNTIME_BUDGET = 12288;

/** What an entry point weighs, in bytes. */
interface Size {
  readonly minified: number;
  readonly gzipped: number;
}

const RECORD = new URL("../bench/results/size.json", import.meta.url);

/** What somebody may import alone, with what should come along: next to nothing. */
const SINGLE_IMPORTS = ["tensor", "parseSafetensors", "perTensorAffine", "Linear", "LSTM"];

async function measure(options: BuildOptions): Promise<Size> {
  const { outputFiles } = await build({
    ...options,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    legalComments: "none",
    loader: { ".wasm": "binary" },
  });
  const { contents } = outputFiles[0]!;
  return { minified: contents.length, gzipped: gzipSync(contents, { level: 9 }).length };
}

/** The weight of importing one name from the package as npm installs it. */
async function measureSingleImports(): Promise<Record<string, Size>> {
  const folder = await Deno.makeTempDir({ prefix: "splitgate-size-" });
  try {
    await pack(`${folder}/package.tgz`);
    await new Deno.Command("tar", { args: ["xzf", "package.tgz"], cwd: folder }).output();
    const sizes: Record<string, Size> = {};
    for (const name of SINGLE_IMPORTS) {
      const contents = `export { ${name} } from "./package/mod.js";`;
      sizes[`{ ${name} }`] = await measure({ stdin: { contents, resolveDir: folder } });
    }
    return sizes;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function recorded(): Record<string, Size> {
  try {
    return JSON.parse(Deno.readTextFileSync(RECORD));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    throw error;
  }
}

const { json, record } = readArguments("deno task size [--json] [--record]", {
  json: { type: "boolean" },
  record: { type: "boolean" },
}).values;
const sizes: Record<string, Size> = {};
const before = recorded();
for (const [entry, path] of Object.entries(config.exports)) {
  if (!path.endsWith(".ts")) continue;
  sizes[entry] = await measure({
    entryPoints: [fileURLToPath(new URL(`../${path}`, import.meta.url))],
  });
}
Object.assign(sizes, await measureSingleImports());
await stop();
if (json) {
  console.log(JSON.stringify(sizes));
} else {
  console.log("entry                 minified   gzipped   since the last record");
  for (const [entry, { minified, gzipped }] of Object.entries(sizes)) {
    const change = before[entry] === undefined ? "new" : `${gzipped - before[entry].gzipped} bytes`;
    console.log(
      `${entry.padEnd(20)}${String(minified).padStart(10)}${
        String(gzipped).padStart(10)
      }   ${change}`,
    );
  }
}
if (record) {
  await writeFile(RECORD, `${JSON.stringify(sizes, null, 2)}\n`, { makeFolder: true });
}
const { gzipped } = sizes["./runtime"]!;
if (gzipped > RUNTIME_BUDGET) {
  console.error(
    `size: ./runtime is ${gzipped} bytes gzipped, ${gzipped - RUNTIME_BUDGET} over its budget`,
  );
  Deno.exit(1);
}
