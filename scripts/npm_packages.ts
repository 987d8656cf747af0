/**
 * The npm packages that importers use: resolved for esbuild from Deno's cache, and bundled into the
 * built package, so that its users install nothing else.
 *
 * @module
 */
import { createRequire } from "node:module";
import { dirname, isAbsolute, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { Plugin } from "esbuild";
import config from "../deno.json" with { type: "json" };
import { PACKAGE_FIELDS } from "./package_fields.ts";

/**
 * jsfive as published, before it was bundled with pako. pako inflates compressed chunks, which the
 * reader of Keras files rejects, and is twice as large as the rest.
 */
const BUNDLED = /jsfive([^]*)dist\/esm\/index\.mjs$/;
const SOURCE = "jsfive$1esm/high-level.js";

/** Stands for an excluded module. */
const UNUSED = "unused";

/** The file of a package, in the version of deno.json or of the package that depends on it. */
function fileOf(path: string, importer: string): string {
  const [name] = /^(@[^/]+\/)?[^/]+/.exec(path)!;
  return Object.hasOwn(config.imports, path) || Object.hasOwn(config.imports, name)
    ? fileURLToPath(import.meta.resolve(path))
    : createRequire(importer).resolve(path);
}

/** Resolves package names with deno.json, for all importing modules. */
export const npmPackages: Plugin = {
  name: "npm packages",
  setup(build) {
    build.onResolve({ filter: /^(@[\w-]+\/)?[a-z][\w.-]*(\/|$)/ }, ({ path, kind, importer }) => {
      if (kind === "entry-point" || path.startsWith("@splitgate/")) return undefined;
      if (path in PACKAGE_FIELDS.peerDependencies) return { path, external: true };
      const found = fileOf(path, importer).replace(BUNDLED, SOURCE);
      return { path: found, sideEffects: false };
    });
    build.onResolve({ filter: /\/pako\.esm\.mjs$/ }, () => ({ path: "pako", namespace: UNUSED }));
    build.onLoad(
      { filter: /^pako$/, namespace: UNUSED },
      () => ({ contents: "export const inflate = undefined;" }),
    );
  },
};

/** A package whose code is bundled. */
interface Included {
  readonly title: string;
  /**
   * The name of its licence, the text of its licence file, and the header comments of its modules.
   */
  readonly texts: Set<string>;
}

/** The comment at the beginning of a module, if any. */
function headerOf(file: string): string {
  const [header] = /^(\s*\/\/.*\n)*/.exec(Deno.readTextFileSync(file))!;
  return header.replace(/^\s*\/\/ ?/gm, "").trim();
}

/** The root of the package that a file belongs to, with its name, version and licence. */
function packageOf(file: string): { root: string; name: string; version: string; license: string } {
  for (let root = dirname(file); root !== dirname(root); root = dirname(root)) {
    try {
      const manifest = JSON.parse(Deno.readTextFileSync(join(root, "package.json")));
      // Nested folders may have a package.json that only gives the module format.
      if (manifest.name !== undefined && manifest.version !== undefined) {
        return { ...manifest, root };
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  throw new Error(`no package.json above ${file}`);
}

/** The packages that the given files belong to. */
function includedIn(files: Iterable<string>): Included[] {
  const found = new Map<string, Included>();
  for (const file of files) {
    const { root, name, version, license } = packageOf(file);
    let included = found.get(root);
    if (included === undefined) {
      included = { title: `${name} ${version}`, texts: new Set([`License: ${license}`]) };
      found.set(root, included);
      for (const each of Deno.readDirSync(root)) {
        if (!/^(licen[cs]e|notice)/i.test(each.name)) continue;
        included.texts.add(Deno.readTextFileSync(join(root, each.name)).trim());
      }
    }
    included.texts.add(headerOf(file));
  }
  return [...found.values()].sort((a, b) => a.title < b.title ? -1 : 1);
}

/** Whether a file belongs to another package than the one in a folder. */
function isForeign(file: string, own: string): boolean {
  const path = relative(own, file);
  return path.startsWith("..") || isAbsolute(path) || path.includes("node_modules");
}

/**
 * The notice about other packages whose code is in a package.
 *
 * @param files Absolute paths of the modules in the bundle.
 * @param own The folder of the package's own modules.
 */
export function thirdPartyNotice(files: readonly string[], own: string): string {
  const sections = includedIn(files.filter((file) => isForeign(file, own))).map((
    { title, texts },
  ) => [`## ${title}`, ...[...texts].filter((text) => text !== "")].join("\n\n"));
  return [
    "# Third-party code",
    "What reads other libraries' files holds code of these packages.",
    ...sections,
  ].join("\n\n") + "\n";
}
