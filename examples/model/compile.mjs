// Compiles the model file for the runtime, into the folder that this is called from. A program belongs to the version
// of the package that made it, so it is made when a project is built, and the model file is what is kept.
//
//     node ../model/compile.mjs
import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The package is installed where this is called from.
const { resolve } = createRequire(`${process.cwd()}/package.json`);
const { compileModel, loadModel } = await import(
  pathToFileURL(resolve("@splitgate/splitgate")).href
);
const model = loadModel(await readFile(new URL("motion.safetensors", import.meta.url)));
await writeFile("motion.bin", compileModel(model));
