/**
 * The package as a user gets it: packed, installed by npm into a folder of its own, type-checked
 * and run there.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { pathToFileURL } from "node:url";
import { createContext, runInContext } from "node:vm";
import { stop } from "esbuild";
import { compileModel, loadModel } from "@splitgate/splitgate";
import { loadProgram } from "@splitgate/splitgate/runtime/state";
import { bundle } from "../bundle.ts";
import { modelFile } from "../cases.ts";
import { packModelFiles } from "../model_files.ts";
import config from "../../../deno.json" with { type: "json" };
import expected from "../expected.json" with { type: "json" };
import { BUN, installPacked, NAME, succeed } from "../install.ts";

const DATA = ["thai.safetensors", "thai.json", "thai.calibration.txt", "thai.test.txt"];
/** Every minor version from the oldest that is promised to the current one. */
const TYPESCRIPTS = [
  "5.0.4",
  "5.1.6",
  "5.2.2",
  "5.3.2",
  "5.4.3",
  "5.5.2",
  "5.6.3",
  "5.7.3",
  "5.8.3",
  "5.9.3",
  "6.0.3",
  "7.0.2",
];

/** Where modules are found, without and with the DOM library. */
const RESOLUTIONS = [
  { module: "node16", moduleResolution: "node16", lib: ["es2022"] },
  { module: "nodenext", moduleResolution: "nodenext", lib: ["es2022", "dom"] },
  { module: "esnext", moduleResolution: "bundler", lib: ["es2022"] },
  { module: "esnext", moduleResolution: "bundler", lib: ["es2022", "dom"] },
];

/** What users' projects set, but for where modules are found. */
const TYPE_OPTIONS = { target: "es2022", types: [], strict: true, skipLibCheck: false };

/** What users who fuzz have beside it. */
const FAST_CHECK = config.imports["fast-check"].replace("npm:", "");

/** What sources import, and its declarations. */
const SOURCE_PACKAGES = [
  ...["csv-parse/sync", "fflate/browser", "@bufbuild/protobuf", "@dagrejs/dagre"],
  ...["d3-scale", "d3-shape", "jsfive"],
].map((name) => {
  const [, packed] = /^npm:(@?[^@]+@[^/]+)/.exec(Reflect.get(config.imports, name))!;
  return packed!;
}).concat("@types/d3-scale@4.0.9", "@types/d3-shape@3.2.0", "@types/node@24.10.1");

/** A test of a model of the user's, but for where `test` comes from. */
const FUZZ = `
import { readFileSync } from "node:fs";
import { loadModel } from "${NAME}";
import { assertModel } from "${NAME}/testing";
test("our model keeps its invariants", async () => {
  await assertModel(loadModel(readFileSync("model.safetensors")), { runs: 5, seed: 1 });
});
`;

/** Bytes, not minified, that a bundle of one function must stay below. */
const SINGLE_IMPORTS: readonly [name: string, entry: string, limit: number][] = [
  ["tensor", NAME, 8000],
  ["parseSafetensors", `${NAME}/safetensors`, 24_000],
  ["perTensorAffine", NAME, 12_000],
];

/** Sources of the entry points, by the names that users import. */
const ENTRIES = new Map(
  Object.entries(config.exports)
    .filter(([, path]) => path.endsWith(".ts"))
    .map(([name, path]) => [NAME + name.slice(1), path.slice(2)]),
);

/**
 * What else may be in it, and nothing more: what the entry points share, types, kernels and texts.
 */
const BESIDES =
  /^(package\.json|LICENSE|bin\/splitgate\.js|(README|CHANGELOG|THIRD_PARTY)\.md|(esm\/)?(shared\/\w+\.js|[\w/]+\.d\.ts|kernels\/simd\/\w+\.wasm))$/;

/** Every file under a folder, as paths from it. */
async function files(folder: string, prefix = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(`${folder}/${prefix}`)) {
    if (isDirectory) found.push(...await files(folder, `${prefix}${name}/`));
    else found.push(prefix + name);
  }
  return found;
}

Deno.test("the packed tarball works where a user installs it", async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "splitgate-consumer-" });
  const installed = `${folder}/node_modules/${NAME}`;
  try {
    await installPacked(folder);

    await t.step("it holds what a user needs and nothing else", async () => {
      const found = await files(installed);
      const { exports, sideEffects, license, type, dependencies } = JSON.parse(
        await Deno.readTextFile(`${installed}/package.json`),
      );
      // dnt's lie in a folder of their own.
      const root = exports["."].import.slice(2).replace("mod.js", "");
      const modules = [...ENTRIES.values()].map((path) => root + path.replace(/ts$/, "js"));
      assertEquals(found.filter((file) => !BESIDES.test(file) && !modules.includes(file)), []);
      for (const file of ["LICENSE", "README.md", ...modules]) {
        assert(found.includes(file), file);
      }
      assertEquals({ sideEffects, license, type, dependencies }, {
        sideEffects: false,
        license: "MIT",
        type: "module",
        dependencies: undefined,
      });
      assertEquals(Object.keys(exports), [...Object.keys(config.exports), "./package.json"]);
      for (const entry of Object.values(exports)) {
        const targets = typeof entry === "string"
          ? [entry]
          : Object.values(entry as Record<string, string>);
        for (const target of targets) assert(found.includes(target.replace("./", "")), target);
      }
    });

    await t.step("its runtime runs where there is nothing but the language", async () => {
      await Deno.writeTextFile(`${folder}/entry.mjs`, `export * from "${NAME}/runtime/state";`);
      await bundle(pathToFileURL(`${folder}/entry.mjs`), folder, "bare.js", {
        format: "iife",
        globalName: "runtime",
      });
      const file = compileModel(loadModel(modelFile("two layers", "fbgemm", true)));
      const expected = loadProgram(file).createSession();
      const input = Float32Array.of(0.5, -1, 0, 2, 0.25);
      const output = new Float32Array(13);
      expected.step(input, output);
      const context = createContext({}, { codeGeneration: { strings: false, wasm: false } });
      runInContext(await Deno.readTextFile(`${folder}/bare.js`), context);
      const state = runInContext(
        `const session = runtime.loadProgram(Uint8Array.from([${file}])).createSession();
        session.step(Float32Array.from([${input}]), new Float32Array(13));
        JSON.stringify([...session.state()]);`,
        context,
      );
      assertEquals(JSON.parse(state), [...expected.state()]);
    });

    const typeScript = (version: string) => {
      const compiler = `npm:typescript@${version}/tsc`;
      return succeed(folder, Deno.execPath(), "run", "--no-config", "-A", compiler, "-p", ".");
    };
    const check = async (
      files: string[],
      version: string,
      options: Record<string, unknown>,
      include: string[] = [],
    ) => {
      const compilerOptions = { ...TYPE_OPTIONS, ...options };
      await Deno.writeTextFile(
        `${folder}/tsconfig.json`,
        JSON.stringify({ compilerOptions, files, include }),
      );
      await typeScript(version);
    };

    // What ./testing is a peer of.
    await succeed(folder, "npm", "install", "--no-audit", "--no-fund", FAST_CHECK);

    await t.step("a user's program is checked by its types and runs", async () => {
      await Deno.copyFile(new URL("consumer.ts", import.meta.url), `${folder}/consumer.ts`);
      for (const version of ["5.9.3", "7.0.2"]) {
        await check(["consumer.ts"], version, { ...RESOLUTIONS[1], outDir: "checked" });
        await succeed(folder, "node", "checked/consumer.js");
      }
    });

    await t.step("its entry points hold the names of their sources", async () => {
      const names = `
        import { writeFileSync } from "node:fs";
        const names = {};
        for (const entry of ${JSON.stringify([...ENTRIES.keys()])}) {
          names[entry] = Object.keys(await import(entry)).sort();
        }
        writeFileSync("names.json", JSON.stringify(names));`;
      await Deno.writeTextFile(`${folder}/names.mjs`, names);
      await succeed(folder, "node", "names.mjs");
      const packed = JSON.parse(await Deno.readTextFile(`${folder}/names.json`));
      for (const [entry, path] of ENTRIES) {
        const source = await import(new URL(`../../../${path}`, import.meta.url).href);
        assertEquals(packed[entry], Object.keys(source).sort(), entry);
      }
    });

    for (const version of TYPESCRIPTS) {
      await t.step(`TypeScript ${version} reads the types of all entry points`, async () => {
        const lines = [...ENTRIES.keys()].map((entry, i) => `export * as e${i} from "${entry}";\n`);
        await Deno.writeTextFile(`${folder}/types.ts`, lines.join(""));
        await Deno.writeTextFile(`${folder}/types.cts`, `import("${NAME}");\n`);
        // The oldest, the last in JavaScript and the current one see all of them.
        const all = ["5.0.4", "6.0.3", "7.0.2"].includes(version);
        for (const resolution of all ? RESOLUTIONS : [RESOLUTIONS[0]!, RESOLUTIONS[3]!]) {
          const { moduleResolution } = resolution;
          const files = moduleResolution === "bundler" ? ["types.ts"] : ["types.ts", "types.cts"];
          await check(files, version, { ...resolution, noEmit: true });
        }
      });
    }

    await t.step(
      "the sources need no library beyond ES2022, the DOM and Node, and their types none of these two",
      async () => {
        const root = new URL("../../../", import.meta.url);
        const sources = `${folder}/sources`;
        const copy = async (from: URL, to: string) => {
          await Deno.mkdir(to, { recursive: true });
          for await (const { name, isDirectory } of Deno.readDir(from)) {
            if (isDirectory) await copy(new URL(`${name}/`, from), `${to}/${name}`);
            else if (name.endsWith(".ts")) {
              await Deno.copyFile(new URL(name, from), `${to}/${name}`);
            }
          }
        };
        for (const part of ["src/", "kernels/"]) {
          await copy(new URL(part, root), `${sources}/${part}`);
        }
        for (const path of ENTRIES.values()) {
          await Deno.copyFile(new URL(path, root), `${sources}/${path}`);
        }
        // It has no declarations: what is taken of it is declared where it is taken.
        await Deno.writeTextFile(`${sources}/jsfive.d.ts`, 'declare module "jsfive";\n');
        await succeed(folder, "npm", "install", "--no-audit", "--no-fund", ...SOURCE_PACKAGES);
        const options = {
          module: "esnext",
          moduleResolution: "bundler",
          allowImportingTsExtensions: true,
          noUncheckedIndexedAccess: true,
        };
        const entries = [...ENTRIES.values()];
        await check(entries.map((path) => `sources/${path}`), "5.9.3", {
          ...options,
          lib: ["es2022", "dom"],
          types: ["node"],
          declaration: true,
          emitDeclarationOnly: true,
          rootDir: "sources",
          outDir: "declared",
        }, ["sources/*.d.ts"]);
        // What TypeScript says of them, as dnt publishes it, has types of modules that deno pack
        // leaves out: these must not need the DOM either.
        const declared = entries.map((path) => `declared/${path.replace(/ts$/, "d.ts")}`);
        await check(declared, "5.9.3", { ...options, lib: ["es2022"], noEmit: true });
      },
    );

    for (const [name, entry, limit] of SINGLE_IMPORTS) {
      await t.step(`bundlers keep nothing but ${name} for who imports only that`, async () => {
        await Deno.writeTextFile(`${folder}/single.mjs`, `export { ${name} } from "${entry}";`);
        await bundle(pathToFileURL(`${folder}/single.mjs`), folder, "single.js", {});
        const { size } = await Deno.stat(`${folder}/single.js`);
        assert(size < limit, `${size} bytes`);
      });
    }

    await Deno.mkdir(`${folder}/data`);
    for (const name of DATA) {
      await Deno.copyFile(
        new URL(`../../../demo/data/${name}`, import.meta.url),
        `${folder}/data/${name}`,
      );
    }
    await Deno.writeFile(`${folder}/data/models.safetensors`, packModelFiles());
    const count = Object.keys(expected.cases).length + 1;
    await Deno.writeFile(
      `${folder}/model.safetensors`,
      modelFile("two layers", "fbgemm", true),
    );
    const fuzzers: [from: string, command: string, ...args: string[]][] = [
      ["const { test } = Deno;", Deno.execPath(), "test", "--no-check", "-A"],
      ['import { test } from "node:test";', "node", "--test"],
      ['import { test } from "bun:test";', "npx", "-y", BUN, "test"],
    ];
    for (const [from, command, ...args] of fuzzers) {
      await t.step(`a model is fuzzed: ${from}`, async () => {
        await Deno.writeTextFile(`${folder}/fuzz.test.mjs`, from + FUZZ);
        await succeed(folder, command, ...args, "./fuzz.test.mjs");
        await Deno.remove(`${folder}/fuzz.test.mjs`);
      });
    }

    const suites: [runtime: string, passed: RegExp, command: string, ...args: string[]][] = [
      ["deno", /(\d+) passed \| 0 failed/, Deno.execPath(), "test", "--no-check", "--allow-read"],
      ["node", /pass (\d+)\n[^]*fail 0/, "node", "--test"],
      ["bun", /(\d+) pass\n\s*0 fail/, "npx", "-y", BUN, "test"],
    ];
    for (const [runtime, passed, command, ...args] of suites) {
      await t.step(`every case digests alike in ${runtime}`, async () => {
        const file = `${runtime}.test.mjs`;
        await bundle(new URL(`${runtime}.ts`, import.meta.url), folder, file, {
          external: [NAME, `${NAME}/*`, "node:*"],
        });
        const text = await succeed(folder, command, ...args, `./${file}`);
        assertMatch(text, passed);
        assertEquals(Number(passed.exec(text)![1]), count);
      });
    }
  } finally {
    await stop();
    await Deno.remove(folder, { recursive: true });
  }
});
