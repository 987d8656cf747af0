/**
 * The JavaScript of the installed npm package: few files, which engines compile eagerly.
 *
 * @module
 */
import { dirname, join, relative, resolve } from "node:path";
import { parse } from "acorn";
import { build, type Metafile, type Plugin } from "esbuild";
import MagicString from "magic-string";
import { npmPackages } from "./npm_packages.ts";

/**
 * Entry points that must start fast, those of the runtime: everything that they import is compiled
 * on load.
 */
const FAST = /^(runtime\w*|simd)\.js$/;

/** The entry point that every program needs. */
const RUNTIME = "runtime.js";

/**
 * Turns a module's functions into constants in parentheses, before everything else: engines then
 * compile them eagerly, with the module. Otherwise V8 pre-parses them on load and compiles them at
 * their first call, and Deno's code cache, which is written right after loading, does not contain
 * them.
 */
export function eager(module: string): string {
  const text = new MagicString(module);
  const { body } = parse(module, { ecmaVersion: "latest", sourceType: "module" });
  const front = body.findLast(({ type }) => type === "ImportDeclaration")?.end ?? 0;
  for (const node of body) {
    if (node.type !== "FunctionDeclaration" || node.id === null) continue;
    // The constant has the name; a name of the function's own would cost another look-up.
    text.remove(node.id.start, node.id.end);
    text.prependRight(node.start, `${front > 0 ? "\n" : ""}const ${node.id.name} = (`);
    text.appendLeft(node.end, `);${front > 0 ? "" : "\n"}`);
    text.move(node.start, node.end, front);
  }
  return text.toString();
}

/** Removes imports without names: no module here has side effects. */
function withoutBareImports(module: string): string {
  const text = new MagicString(module);
  for (const node of parse(module, { ecmaVersion: "latest", sourceType: "module" }).body) {
    if (node.type === "ImportDeclaration" && node.specifiers.length === 0) {
      text.remove(node.start, node.end);
    }
  }
  return text.toString().trimStart();
}

/** A node of acorn's tree, with the properties that a walk needs. */
interface AnyNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
}

/** Nodes whose body runs later, if at all. */
const FUNCTIONS = /^(Function|ArrowFunction|Class)Expression$/;

/** Nodes that a bundler must assume to have side effects. */
const IMPURE = /^(Call|New|Member|Binary)Expression$|^SpreadElement$/;

/** `Math.fround` and the like, which bundlers and engines know to be pure. */
function isMath(node: AnyNode & { readonly object?: { readonly name?: string } }): boolean {
  return node.type === "MemberExpression" && node.object?.name === "Math";
}

/** The outermost nodes below a node that a bundler cannot remove by itself. */
function* impureParts(node: AnyNode): Generator<AnyNode> {
  if (FUNCTIONS.test(node.type) || isMath(node)) return;
  if (IMPURE.test(node.type)) yield node;
  for (const child of Object.values(node).flat()) {
    if (typeof child?.type === "string") yield* impureParts(child);
  }
}

/**
 * Marks the initial values of a module's constants as pure, so that bundlers remove unused ones:
 * modules here have no side effects, but a bundler cannot know that for `pointwise("ReLU")` or
 * `[...PRESETS.keys()]`.
 */
export function pure(module: string): string {
  const text = new MagicString(module);
  for (const node of parse(module, { ecmaVersion: "latest", sourceType: "module" }).body) {
    if (node.type !== "VariableDeclaration") continue;
    for (const { init } of node.declarations) {
      if (init == null) continue;
      const [first, ...others] = impureParts(init);
      if (first === undefined) continue;
      if (first === init && others.length === 0 && /^(Call|New)Expression$/.test(init.type)) {
        text.appendLeft(init.start, "/* @__PURE__ */ ");
      } else {
        // A mark applies to a single call, so an expression with several is wrapped in one.
        text.appendLeft(init.start, "/* @__PURE__ */ (() => (");
        text.appendRight(init.end, "))()");
      }
    }
  }
  return text.toString();
}

/** The files that an output imports, directly or not, and the output itself. */
function reached(
  outputs: Metafile["outputs"],
  path: string,
  found = new Set<string>(),
): Set<string> {
  if (found.has(path)) return found;
  found.add(path);
  for (const { path: imported } of outputs[path]!.imports) reached(outputs, imported, found);
  return found;
}

/**
 * Makes every entry point import the runtime. A bundler creates one file for each set of entry
 * points that share something; with this, the runtime's modules are in one file, even if others use
 * parts of them.
 */
function importRuntime(folder: string, entries: readonly string[]): Plugin {
  const paths = new Set(entries.map((entry) => resolve(folder, entry)));
  const runtime = JSON.stringify(resolve(folder, RUNTIME));
  return {
    name: "import-runtime",
    setup({ onLoad }) {
      onLoad({ filter: /\.js$/ }, async ({ path }) =>
        paths.has(path)
          ? {
            contents: `${await Deno.readTextFile(path)}\nimport ${runtime};\n`,
            resolveDir: dirname(path),
          }
          : null);
    },
  };
}

/** All `.js` files below a folder. */
async function modulesIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) found.push(...await modulesIn(path));
    else if (name.endsWith(".js")) found.push(path);
  }
  return found;
}

/**
 * Replaces a folder's modules by few equivalent ones: one for each entry point, and shared ones, so
 * that programs read few files. Declarations stay as they are.
 *
 * @param folder The folder of the package's modules.
 * @param entries Paths of the entry points in it.
 * @returns Paths of the modules that were joined, including those of npm packages.
 */
export async function joinModules(
  folder: string,
  entries: readonly string[],
): Promise<string[]> {
  const { outputFiles, metafile: { inputs, outputs } } = await build({
    absWorkingDir: folder,
    entryPoints: [...entries],
    outdir: folder,
    outbase: folder,
    chunkNames: "shared/[hash]",
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    write: false,
    allowOverwrite: true,
    metafile: true,
    logLevel: "error",
    plugins: [npmPackages, importRuntime(folder, entries)],
    external: ["node:*"],
  });
  const fast = new Set<string>();
  for (const path of entries.filter((entry) => FAST.test(entry))) reached(outputs, path, fast);
  // All of them, because modules that only declare types are imported by none.
  for (const path of await modulesIn(folder)) await Deno.remove(path);
  for (const { path, text } of outputFiles) {
    await Deno.mkdir(dirname(path), { recursive: true });
    const module = pure(withoutBareImports(text));
    await Deno.writeTextFile(path, fast.has(relative(folder, path)) ? eager(module) : module);
  }
  return Object.keys(inputs).map((path) => resolve(folder, path));
}
