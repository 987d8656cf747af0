/**
 * The npm package, built, type-checked and laid out by dnt in build/npm:
 *
 *     deno task build:npm
 *
 * dnt is on JSR only. Where JSR is out of reach, `deno task pack` makes a tarball without it: that
 * one is what the tests install.
 */
import { fileURLToPath } from "node:url";
import { stop } from "esbuild";
import config from "../deno.json" with { type: "json" };
import { joinModules } from "./modules.ts";
import { PACKAGE_FIELDS } from "./package_fields.ts";

/** What is used of dnt 0.42's build(). */
interface Dnt {
  emptyDir(path: string): Promise<void>;
  build(options: {
    entryPoints: { name: string; path: string }[];
    outDir: string;
    shims: Record<string, never>;
    scriptModule: false;
    test: false;
    typeCheck: "single";
    importMap: string;
    compilerOptions: { target: "ES2022"; lib: string[]; skipLibCheck: boolean };
    package: Record<string, unknown>;
    postBuild(): Promise<void>;
  }): Promise<void>;
}

// Held in a variable, so that checking the repository needs no JSR.
const DNT = "jsr:@deno/dnt@0.42.3";

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
  importMap: path("deno.json"),
  compilerOptions: { target: "ES2022", lib: ["ES2022", "DOM"], skipLibCheck: false },
  package: {
    name: config.name,
    version: config.version,
    license: config.license,
    ...PACKAGE_FIELDS,
  },
  async postBuild() {
    await joinModules(
      `${outDir}/esm`,
      modules.map(([, file]) => file.slice(2).replace(/ts$/, "js")),
    );
    await stop();
    for (const file of ["LICENSE", "README.md", "CHANGELOG.md"]) {
      await Deno.copyFile(path(file), `${outDir}/${file}`);
    }
    if (assets.length === 0) return;
    // Files that are imported as they are: dnt knows modules only.
    const manifest = `${outDir}/package.json`;
    const json = JSON.parse(await Deno.readTextFile(manifest));
    for (const [name, file] of assets) {
      const target = `esm/${file.slice(2)}`;
      await Deno.mkdir(`${outDir}/${target}`.replace(/[^/]*$/, ""), { recursive: true });
      await Deno.copyFile(path(file), `${outDir}/${target}`);
      json.exports[name] = `./${target}`;
    }
    await Deno.writeTextFile(manifest, `${JSON.stringify(json, null, 2)}\n`);
  },
});
