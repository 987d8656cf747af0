/**
 * Packages of npm that importers are built on: found for esbuild where Deno keeps them, and put
 * into the package that is built, whose users install nothing else.
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
 * jsfive as it was before it was bundled with pako, which inflates arrays in compressed chunks:
 * the reader of Keras' files refuses these, and pako weighs twice as much as the rest.
 */
const BUNDLED = /jsfive([^]*)dist\/esm\/index\.mjs$/;
const SOURCE = "jsfive$1esm/high-level.js";

/** What stands for a module that is left out. */
const UNUSED = "unused";

/** The file of a package: deno.json's, or the one that another package depends on. */
function fileOf(path: string, importer: string): string {
  const [name] = /^(@[^/]+\/)?[^/]+/.exec(path)!;
  return Object.hasOwn(config.imports, path) || Object.hasOwn(config.imports, name)
    ? fileURLToPath(import.meta.resolve(path))
    : createRequire(importer).resolve(path);
}

/** Resolves names of packages by deno.json, for whichever module imports them. */
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

/** A package whose code is part of another one. */
interface Included {
  readonly title: string;
  /** Its licence by name, its licence's text where it is a file, and what its modules begin with. */
  readonly texts: Set<string>;
}

/** The comment that a module begins with, or nothing. */
function headerOf(file: string): string {
  const [header] = /^(\s*\/\/.*\n)*/.exec(Deno.readTextFileSync(file))!;
  return header.replace(/^\s*\/\/ ?/gm, "").trim();
}

/** The folder of the package that a file belongs to, with the name and version it gives itself. */
function packageOf(file: string): { root: string; name: string; version: string; license: string } {
  for (let root = dirname(file); root !== dirname(root); root = dirname(root)) {
    try {
      const manifest = JSON.parse(Deno.readTextFileSync(join(root, "package.json")));
      // Folders within a package may have one that says no more than how its modules are written.
      if (manifest.name !== undefined && manifest.version !== undefined) {
        return { ...manifest, root };
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  throw new Error(`no package.json above ${file}`);
}

/** The packages that modules belong to. */
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

/** Whether a file belongs to a package that is not the one in a folder. */
function isForeign(file: string, own: string): boolean {
  const path = relative(own, file);
  return path.startsWith("..") || isAbsolute(path) || path.includes("node_modules");
}

/**
 * What a package says of others whose code it holds.
 *
 * @param files Absolute paths of the modules that it was made of.
 * @param own The folder of its own modules.
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
