/**
 * The npm package, built, type-checked and laid out by dnt in build/npm:
 *
 *     deno task build:npm
 *
 * dnt is on JSR only. Where JSR is out of reach, `deno task pack` makes a tarball without it: that
 * one is what the tests install, unless the variable `SPLITGATE_TARBALL` names another.
 */
import { fileURLToPath } from "node:url";
import { stop } from "esbuild";
import config from "../deno.json" with { type: "json" };
import { joinModules } from "./modules.ts";
import { thirdPartyNotice } from "./npm_packages.ts";
import { BIN, BIN_TEXT, PACKAGE_FIELDS, packageExports } from "./package_fields.ts";

/** The used part of dnt 0.43. */
export interface Dnt {
  emptyDir(path: string): Promise<void>;
  build(options: {
    entryPoints: { name: string; path: string }[];
    outDir: string;
    shims: Record<string, never>;
    scriptModule: false;
    test: false;
    typeCheck: "single";
    declaration: "inline";
    skipSourceOutput: true;
    polyfills: false;
    configFile: string;
    compilerOptions: {
      target: "ES2022";
      lib: string[];
      skipLibCheck: boolean;
      noUncheckedIndexedAccess: boolean;
    };
    filterDiagnostic(diagnostic: { readonly code: number }): boolean;
    package: Record<string, unknown>;
    postBuild(): Promise<void>;
  }): Promise<void>;
}

// A variable, so that checking the repository does not need JSR.
const DNT = "jsr:@deno/dnt@0.43.2";

/** Version of Node's types, for the command's modules, which import `node:fs` and others. */
const NODE_TYPES = "24.10.1";

/**
 * TypeScript's error number for a module without declarations, such as jsfive; the reader declares
 * what it uses of it.
 */
const NO_DECLARATIONS = 7016;

async function importDnt(): Promise<Dnt> {
  try {
    return await import(DNT);
  } catch (error) {
    throw new Error(
      `build_npm: ${DNT} could not be loaded: it is on JSR, which must be in reach. ` +
        "Where it is not, use `deno task pack`.",
      { cause: error },
    );
  }
}

const path = (file: string): string => fileURLToPath(new URL(`../${file}`, import.meta.url));

/** Builds the package into a folder. */
export async function buildNpm({ build, emptyDir }: Dnt, outDir: string): Promise<void> {
  const entries = Object.entries(config.exports);
  const modules = entries.filter(([, file]) => file.endsWith(".ts"));
  const assets = entries.filter(([, file]) => !file.endsWith(".ts"));
  await emptyDir(outDir);
  await build({
    entryPoints: modules.map(([name, file]) => ({ name, path: path(file) })),
    outDir,
    shims: {},
    scriptModule: false,
    // The tests need Deno and files outside the package; they run on the tarball of deno pack.
    test: false,
    typeCheck: "single",
    declaration: "inline",
    // No source maps, because the sources are not published.
    skipSourceOutput: true,
    // A polyfill would declare Object.hasOwn for everybody who installs the package.
    polyfills: false,
    configFile: path("deno.json"),
    compilerOptions: {
      target: "ES2022",
      lib: ["ES2022", "DOM"],
      skipLibCheck: false,
      noUncheckedIndexedAccess: true,
    },
    filterDiagnostic: ({ code }) => code !== NO_DECLARATIONS,
    package: {
      name: config.name,
      version: config.version,
      license: config.license,
      ...PACKAGE_FIELDS,
      bin: { splitgate: BIN },
      devDependencies: { "@types/node": NODE_TYPES },
    },
    async postBuild() {
      const joined = await joinModules(
        `${outDir}/esm`,
        modules.map(([, file]) => file.slice(2).replace(/ts$/, "js")),
      );
      await stop();
      await Deno.writeTextFile(
        `${outDir}/THIRD_PARTY.md`,
        thirdPartyNotice(joined, `${outDir}/esm`),
      );
      await Deno.mkdir(`${outDir}/bin`);
      await Deno.writeTextFile(`${outDir}/${BIN}`, BIN_TEXT);
      await Deno.chmod(`${outDir}/${BIN}`, 0o755);
      for (const file of ["LICENSE", "README.md", "CHANGELOG.md"]) {
        await Deno.copyFile(path(file), `${outDir}/${file}`);
      }
      // Files that are imported unchanged: dnt only knows modules.
      for (const [, file] of assets) {
        const target = `${outDir}/esm/${file.slice(2)}`;
        await Deno.mkdir(target.replace(/[^/]*$/, ""), { recursive: true });
        await Deno.copyFile(path(file), target);
      }
      // Because of a second package.json, bundlers would not see that the package has no side
      // effects.
      await Deno.remove(`${outDir}/esm/package.json`);
      const manifest = `${outDir}/package.json`;
      const json = JSON.parse(await Deno.readTextFile(manifest));
      json.exports = packageExports(config.exports, "./esm/");
      // The dependencies of importers are bundled into the package.
      delete json.dependencies;
      delete json.devDependencies;
      await Deno.writeTextFile(manifest, `${JSON.stringify(json, null, 2)}\n`);
    },
  });
}

if (import.meta.main) await buildNpm(await importDnt(), path("build/npm"));
