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

/** What is used of dnt 0.43's build(). */
interface Dnt {
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

// Held in a variable, so that checking the repository needs no JSR.
const DNT = "jsr:@deno/dnt@0.43.2";

/** What the command's modules, which import `node:fs` and the like, are checked against. */
const NODE_TYPES = "24.10.1";

/**
 * TypeScript's number for a module without declarations: jsfive is one, and what its reader takes
 * from it is declared there.
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

const { build, emptyDir } = await importDnt();
const entries = Object.entries(config.exports);
const outDir = path("build/npm");
const modules = entries.filter(([, file]) => file.endsWith(".ts"));
const assets = entries.filter(([, file]) => !file.endsWith(".ts"));
await emptyDir(outDir);
await build({
  entryPoints: modules.map(([name, file]) => ({ name, path: path(file) })),
  outDir,
  shims: {},
  scriptModule: false,
  // The tests need Deno and files that the package does not have: they run over the tarball of deno
  // pack.
  test: false,
  typeCheck: "single",
  declaration: "inline",
  // No maps to sources that are not published.
  skipSourceOutput: true,
  // One would declare Object.hasOwn for everybody who installs the package.
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
    await Deno.writeTextFile(`${outDir}/THIRD_PARTY.md`, thirdPartyNotice(joined, `${outDir}/esm`));
    await Deno.mkdir(`${outDir}/bin`);
    await Deno.writeTextFile(`${outDir}/${BIN}`, BIN_TEXT);
    await Deno.chmod(`${outDir}/${BIN}`, 0o755);
    for (const file of ["LICENSE", "README.md", "CHANGELOG.md"]) {
      await Deno.copyFile(path(file), `${outDir}/${file}`);
    }
    // Files that are imported as they are: dnt knows modules only.
    for (const [, file] of assets) {
      const target = `${outDir}/esm/${file.slice(2)}`;
      await Deno.mkdir(target.replace(/[^/]*$/, ""), { recursive: true });
      await Deno.copyFile(path(file), target);
    }
    // A second package.json would hide from bundlers that the package has no side effects.
    await Deno.remove(`${outDir}/esm/package.json`);
    const manifest = `${outDir}/package.json`;
    const json = JSON.parse(await Deno.readTextFile(manifest));
    json.exports = packageExports(config.exports, "./esm/");
    // What importers are built on is part of the package.
    delete json.dependencies;
    delete json.devDependencies;
    await Deno.writeTextFile(manifest, `${JSON.stringify(json, null, 2)}\n`);
  },
});
