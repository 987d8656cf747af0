/**
 * Compiles a quantized model's file for `./runtime`.
 *
 *     deno task compile MODEL.safetensors PROGRAM [--fold-embedding true|false|float32]
 */
import { compileModel, loadModel } from "@splitgate/splitgate";
import { readArguments } from "./arguments.ts";

const USAGE = "deno task compile MODEL.safetensors PROGRAM [--fold-embedding true|false|float32]";
const FOLDS: Record<string, boolean | "float32"> = { true: true, false: false, float32: "float32" };

const { values, positionals: [from, to] } = readArguments(USAGE, { "fold-embedding": { type: "string" } }, 2);
const fold = values["fold-embedding"];
try {
  if (from === undefined || to === undefined) throw new TypeError(`expected two files\nusage: ${USAGE}`);
  if (fold !== undefined && !Object.hasOwn(FOLDS, fold)) {
    throw new RangeError(`--fold-embedding: expected true, false or float32, got ${fold}`);
  }
  const file = await Deno.readFile(from), options = fold === undefined ? {} : { foldEmbedding: FOLDS[fold]! };
  const program = compileModel(loadModel(file), options);
  await Deno.writeFile(to, program);
  console.log(`${to}: ${program.length.toLocaleString("en-US")} bytes, from ${file.length.toLocaleString("en-US")}`);
} catch (error) {
  console.error(`compile: ${(error as Error).message}`);
  Deno.exit(1);
}
