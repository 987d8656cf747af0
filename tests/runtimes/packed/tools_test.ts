/**
 * The package as bundlers and test runners take it, set up as their own documentation says.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import config from "../../../deno.json" with { type: "json" };
import { installPacked, NAME, succeed } from "../install.ts";

const TOOLS = [
  "@rollup/plugin-node-resolve@16.0.3",
  "jest@30.5.2",
  "rollup@4.68.8",
  "vite@8.4.0",
  "vitest@5.1.2",
  "webpack-cli@7.3.1",
  "webpack@5.113.0",
  ...[config.imports.esbuild, config.imports["fast-check"]].map((name) => name.replace("npm:", "")),
];

/** Bytes that a bundle of `tensor` alone must stay below, whichever tool made it. */
const TENSOR_SIZE = 4000;

const FILES = {
  "app.mjs": `
import { compileModel, LSTM, quantize } from "${NAME}";
import { loadProgram } from "${NAME}/runtime";
import { simdKernels } from "${NAME}/simd";
const x = Float32Array.of(0.1, -0.4, 0.9, 0.3);
const { model } = await quantize(new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 }), [x]);
const options = { maxSteps: 2, kernels: await simdKernels() };
const session = loadProgram(compileModel(model)).createSession(options);
const output = new Float32Array(6);
session.run(x, output);
console.log(JSON.stringify([...output]));
`,
  "single.mjs": `import { tensor } from "${NAME}";
console.log(tensor([1, 2, 3, 4], [2, 2]).shape.join());
`,
  "webpack.config.mjs": `
import { resolve } from "node:path";
export default ["app", "single"].map((name) => ({
  mode: "production",
  entry: "./" + name + ".mjs",
  target: "node",
  experiments: { outputModule: true },
  output: { path: resolve("webpack"), filename: name + ".mjs", module: true },
}));
`,
  "rollup.config.mjs": `
import { nodeResolve } from "@rollup/plugin-node-resolve";
export default ["app", "single"].map((name) => ({
  input: name + ".mjs",
  plugins: [nodeResolve()],
  external: [/^node:/],
  output: { file: "rollup/" + name + ".mjs", inlineDynamicImports: true },
}));
`,
  // Each by itself: what two entries share would go into a third file.
  "vite.config.mjs": `
export default ({ mode }) => ({
  build: {
    target: "es2022",
    outDir: "vite",
    emptyOutDir: false,
    lib: { entry: mode + ".mjs", formats: ["es"], fileName: () => mode + ".mjs" },
  },
});
`,
  "model.test.mjs": `
import { convert, getPreset, loadModel, LSTM, prepare, saveModel, tensor } from "${NAME}";
import { assertModel } from "${NAME}/testing";
test("our model keeps its invariants", async () => {
  const float = new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 });
  const observed = prepare(float, getPreset("accurate"));
  observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
  await assertModel(loadModel(saveModel(convert(observed))), { runs: 5, seed: 1 });
});
`,
};

const BUNDLERS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  esbuild: [[
    "esbuild",
    "app.mjs",
    "single.mjs",
    "--bundle",
    "--format=esm",
    "--outdir=esbuild",
    "--out-extension:.js=.mjs",
    "--log-level=error",
  ]],
  rollup: [["rollup", "--config", "--silent"]],
  vite: ["app", "single"].map((mode) => ["vite", "build", "--mode", mode]),
  webpack: [["webpack"]],
};

Deno.test("bundlers and test runners take the package as it is", async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "splitgate-tools-" });
  const npx = (args: readonly string[]) => succeed(folder, "npx", "--no-install", ...args);
  try {
    await installPacked(folder);
    await succeed(folder, "npm", "install", "--no-audit", "--no-fund", ...TOOLS);
    for (const [name, text] of Object.entries(FILES)) {
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    const expected = await succeed(folder, "node", "app.mjs");

    for (const [bundler, commands] of Object.entries(BUNDLERS)) {
      await t.step(
        `${bundler}: its bundles give what the package gives, and no more than is used`,
        async () => {
          for (const command of commands) await npx(command);
          assertEquals(await succeed(folder, "node", `${bundler}/app.mjs`), expected);
          assertEquals(await succeed(folder, "node", `${bundler}/single.mjs`), "2,2\n");
          const { size } = await Deno.stat(`${folder}/${bundler}/single.mjs`);
          assert(size < TENSOR_SIZE, `${size} bytes`);
        },
      );
    }

    await t.step("Vitest: a model is fuzzed", async () => {
      const imported = 'import { test } from "vitest";\n' + FILES["model.test.mjs"];
      await Deno.writeTextFile(`${folder}/vitest.test.mjs`, imported);
      assertMatch(await npx(["vitest", "run", "vitest.test.mjs"]), /Tests\s+1 passed/);
    });

    await t.step("Jest: a model is fuzzed, in a context with arrays of its own", async () => {
      const flag = "--node-options=--experimental-vm-modules";
      const jest = ["jest", "--testMatch", "**/model.test.mjs"];
      assertMatch(
        await succeed(folder, "npx", "--no-install", flag, ...jest),
        /Tests:\s+1 passed, 1 total/,
      );
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
