/**
 * The size of each entry point in an esbuild bundle, minified and gzipped, and of single imports
 * from the packed package, compared with the last recorded figures.
 *
 *     deno task size            prints a table; fails if an entry point is over its budget
 *     deno task size --json     prints { entry: { minified, gzipped } } and nothing else
 *     deno task size --record   also writes the figures to bench/results/size.json
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type BuildOptions, stop } from "esbuild";
import config from "../deno.json" with { type: "json" };
import { readArguments } from "./arguments.ts";
import { npmPackages } from "./npm_packages.ts";
import { pack } from "./pack.ts";
import { writeFile } from "./write_file.ts";

/** Max gzipped bytes of entry points that edge workers import. */
const BUDGETS: Readonly<Record<string, number>> = {
  "./runtime": 10_240,
  "./runtime/conv": 2048,
  "./runtime/gru": 2560,
  "./import/onnx": 25600,
  "./import/keras": 35840,
  "./import/tfjs": 4096,
  "./import/torch": 8192,
};

/** The size of an entry point in bytes. */
interface Size {
  readonly minified: number;
  readonly gzipped: number;
}

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const RECORD = new URL("../bench/results/size.json", import.meta.url);

/** Names that programs may import alone, and the file that exports each. */
const SINGLE_IMPORTS: Readonly<Record<string, string>> = {
  tensor: "mod.js",
  parseSafetensors: "safetensors.js",
  perTensorAffine: "mod.js",
  Linear: "mod.js",
  LSTM: "mod.js",
};

/** Entry points that are used together with the main one. */
const BESIDE_MAIN = ["./modules", "./qconfig", "./reference", "./safetensors", "./tune"];

/**
 * Entry points that are used together with another: their size is what they add to its bundle. What
 * both share costs nothing; what only they need of a shared file is counted.
 */
function beside(entry: string): readonly string[] {
  // ./runtime/state replaces ./runtime.
  if (entry.startsWith("./runtime/") && entry !== "./runtime/state") return ["./runtime.ts"];
  if (BESIDE_MAIN.includes(entry)) return ["./mod.ts"];
  if (!entry.startsWith("./import/")) return [];
  // A state dict is also a file of tensors, and TensorFlow.js has the layers of Keras.
  if (entry === "./import/torch") return ["./mod.ts", "./safetensors.ts"];
  return entry === "./import/tfjs" ? ["./mod.ts", "./src/io/keras/mod.ts"] : ["./mod.ts"];
}

async function measure(options: BuildOptions): Promise<Size> {
  const { outputFiles } = await build({
    ...options,
    plugins: [npmPackages],
    external: ["node:*"],
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

/** Several entry points in one bundle. */
function measureTogether(paths: readonly string[]): Promise<Size> {
  const contents = paths.map((path, i) => `export * as entry${i} from ${JSON.stringify(path)};`);
  return measure({ stdin: { contents: contents.join("\n"), resolveDir: ROOT } });
}

/** The size that an entry point adds to a bundle of others. */
async function measureAdded(path: string, others: readonly string[]): Promise<Size> {
  const before = await measureTogether(others);
  const after = await measureTogether([...others, path]);
  return {
    minified: after.minified - before.minified,
    gzipped: after.gzipped - before.gzipped,
  };
}

/** The size of importing one name from the installed npm package. */
async function measureSingleImports(): Promise<Record<string, Size>> {
  const folder = await Deno.makeTempDir({ prefix: "splitgate-size-" });
  try {
    await pack(`${folder}/package.tgz`);
    await new Deno.Command("tar", { args: ["xzf", "package.tgz"], cwd: folder }).output();
    const sizes: Record<string, Size> = {};
    for (const [name, file] of Object.entries(SINGLE_IMPORTS)) {
      const contents = `export { ${name} } from "./package/${file}";`;
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
  const others = beside(entry);
  sizes[entry] = others.length > 0
    ? await measureAdded(path, others)
    : await measure({ entryPoints: [join(ROOT, path)] });
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
let over = false;
for (const [entry, budget] of Object.entries(BUDGETS)) {
  const { gzipped } = sizes[entry]!;
  if (gzipped <= budget) continue;
  console.error(`size: ${entry} is ${gzipped} bytes gzipped, ${gzipped - budget} over its budget`);
  over = true;
}
if (over) Deno.exit(1);
