/**
 * Checks the layers of the package (docs/architecture.md): reads the graph of imports, including
 * types, and fails on a circle, on an import from a layer further to the right, on a path from the
 * runtime to authoring, and on a file that no entry point imports.
 *
 *     deno task layers [--print]
 *
 * @module
 */
import process from "node:process";
import config from "../deno.json" with { type: "json" };
import { readArguments } from "./arguments.ts";

/** Every entry point. */
const ENTRIES = Object.values(config.exports).filter((path) => path.endsWith(".ts"))
  .map((path) => path.slice(2));

/** Layers that modules, authoring, and the layers above them may import. */
const BELOW_MODULES = [
  "kernels",
  "src/core",
  "src/cells",
  "src/runtime",
  "src/observer",
  "src/qconfig",
];
const BELOW_AUTHORING = [...BELOW_MODULES, "src/modules"];
const BELOW_FILES = [...BELOW_AUTHORING, "src/authoring"];

/**
 * The layers, and the other layers that each may import. A folder belongs to the layer with the
 * longest matching path.
 */
export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  "kernels": [],
  "src/core": ["kernels"],
  "src/cells": ["kernels", "src/core"],
  "src/runtime": ["kernels", "src/core"],
  "src/simd": ["kernels", "src/core", "src/runtime"],
  "src/observer": ["kernels", "src/core"],
  "src/qconfig": ["kernels", "src/core", "src/cells", "src/observer"],
  "src/modules": BELOW_MODULES,
  "src/authoring": BELOW_AUTHORING,
  "src/reference": BELOW_FILES,
  "src/io": BELOW_FILES,
  "src/tune": [...BELOW_FILES, "src/reference"],
  "src/report": [...BELOW_FILES, "src/simd", "src/reference", "src/io", "src/tune"],
  "src/cli": [...BELOW_FILES, "src/reference", "src/io", "src/tune", "src/simd", "src/report"],
  "src/testing": [...BELOW_FILES, "src/simd", "src/reference", "src/io", "src/tune"],
};

/** Layers that the runtime must not import. */
const UNUSED_BY_RUNTIME = Object.keys(LAYERS).filter((layer) =>
  !["kernels", "src/core", "src/runtime", "src/simd"].includes(layer)
);

/** Layers that an entry point must not reach on any path. */
function closedTo(entry: string): readonly string[] {
  if (entry === "kernels/mod.ts") return ["src"];
  if (entry === "simd.ts") return UNUSED_BY_RUNTIME;
  return /^(runtime|src\/runtime|backend)/.test(entry) ? [...UNUSED_BY_RUNTIME, "src/simd"] : [];
}

/** The imports of each file, by path from the root. */
export type ImportGraph = ReadonlyMap<string, readonly string[]>;

/** The longest of the given paths that contains a file. */
function below(file: string, paths: Iterable<string>): string | undefined {
  let best: string | undefined;
  for (const path of paths) {
    if (file.startsWith(`${path}/`) && path.length > (best?.length ?? 0)) best = path;
  }
  return best;
}

/** One circle for each file, unless an earlier circle contains the file. */
function circles(graph: ImportGraph): string[][] {
  const found: string[][] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    const at = path.indexOf(file);
    if (at >= 0) found.push([...path.slice(at), file]);
    if (at >= 0 || done.has(file)) return;
    path.push(file);
    for (const next of graph.get(file) ?? []) visit(next);
    path.pop();
    done.add(file);
  };
  for (const file of graph.keys()) visit(file);
  return found;
}

/** A path of imports from a file into one of the given layers. */
function wayInto(graph: ImportGraph, from: string, layers: readonly string[]): string[] | null {
  const came = new Map<string, string | null>([[from, null]]);
  for (const file of came.keys()) {
    if (below(file, layers) !== undefined) {
      const way: string[] = [];
      for (let each: string | null = file; each !== null; each = came.get(each)!) way.unshift(each);
      return way;
    }
    for (const next of graph.get(file) ?? []) if (!came.has(next)) came.set(next, file);
  }
  return null;
}

/** The faults of an import graph, one line each. */
export function faultsOf(graph: ImportGraph): string[] {
  const faults = circles(graph).map((circle) => `circle: ${circle.join(" -> ")}`);
  const layers = Object.keys(LAYERS);
  for (const [file, imports] of graph) {
    const own = below(file, layers);
    if (own === undefined) {
      if (file.startsWith("src/")) faults.push(`no layer: ${file}`);
      continue;
    }
    for (const imported of imports) {
      const layer = below(imported, layers);
      if (layer === own || (layer !== undefined && LAYERS[own]!.includes(layer))) continue;
      faults.push(`${own} must not import ${layer ?? imported}: ${file} -> ${imported}`);
    }
  }
  for (const entry of ENTRIES) {
    const way = wayInto(graph, entry, closedTo(entry));
    if (way !== null) faults.push(`no way from ${entry} to there: ${way.join(" -> ")}`);
  }
  return faults;
}

/** The used part of a module in `deno info --json`. */
interface ModuleInfo {
  readonly specifier: string;
  readonly dependencies?: readonly {
    readonly code?: { readonly specifier?: string };
    readonly type?: { readonly specifier?: string };
  }[];
}

/** The imports of all files that entry points reach. */
async function readGraph(root: URL): Promise<ImportGraph> {
  const graph = new Map<string, readonly string[]>();
  const local = (specifier: string | undefined) =>
    specifier?.startsWith(root.href) ? decodeURI(specifier.slice(root.href.length)) : undefined;
  for (const entry of ENTRIES) {
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", entry],
      cwd: root,
    }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    const { modules } = JSON.parse(new TextDecoder().decode(stdout));
    for (const { specifier, dependencies = [] } of modules as readonly ModuleInfo[]) {
      const file = local(specifier);
      if (file === undefined) continue;
      const imports = dependencies.map(({ code, type }) =>
        local(code?.specifier ?? type?.specifier)
      );
      graph.set(file, imports.filter((each) => each !== undefined));
    }
  }
  return graph;
}

/** Every module below a folder, by path from the root. */
function modulesIn(root: URL, folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, root))].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return modulesIn(root, `${folder}${name}/`);
    return name.endsWith(".ts") ? [folder + name] : [];
  });
}

if (import.meta.main) {
  const { values: { print } } = readArguments("deno task layers [--print]", {
    print: { type: "boolean" },
  });
  const root = new URL("../", import.meta.url);
  const graph = await readGraph(root);
  if (print) {
    for (const [file, imports] of graph) console.log(`${file}: ${imports.join(", ")}`);
  }
  const files = [...modulesIn(root, "kernels/"), ...modulesIn(root, "src/")];
  const unused = files.filter((file) => !graph.has(file));
  const faults = [...faultsOf(graph), ...unused.map((file) => `no entry point imports ${file}`)];
  for (const fault of faults) console.error(fault);
  console.log(`${graph.size} files, ${faults.length} faults`);
  process.exit(faults.length > 0 ? 1 : 0);
}
