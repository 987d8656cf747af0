/**
 * Compiles a quantized model's file for `./runtime`.
 *
 *     deno task compile MODEL.safetensors PROGRAM [--fold-embedding true|false|float32] [--simd]
 */
import { compileModel, type CompileOptions, loadModel } from "@splitgate/splitgate";
import { simdKernels } from "@splitgate/splitgate/simd";
import { importsText, runningHalvesOf } from "../src/cli/running_halves.ts";
import { readArguments } from "./arguments.ts";
import { checkOutput, writeFile } from "./write_file.ts";

const USAGE =
  "deno task compile MODEL.safetensors PROGRAM [--fold-embedding true|false|float32] [--simd]";
const FOLDS: Record<string, boolean | "float32"> = { true: true, false: false, float32: "float32" };

const { values, positionals: [from, to] } = readArguments(USAGE, {
  "fold-embedding": { type: "string" },
  simd: { type: "boolean" },
}, 2);
const fold = values["fold-embedding"];
try {
  if (from === undefined || to === undefined) {
    throw new TypeError(`expected two files\nusage: ${USAGE}`);
  }
  if (fold !== undefined && !Object.hasOwn(FOLDS, fold)) {
    throw new RangeError(`--fold-embedding: expected true, false or float32, got ${fold}`);
  }
  await checkOutput(to, [from]);
  const options: CompileOptions = {
    ...fold !== undefined && { foldEmbedding: FOLDS[fold]! },
    ...values.simd && { kernels: await simdKernels() },
  };
  const file = await Deno.readFile(from);
  const model = loadModel(file);
  const program = compileModel(model, options);
  await writeFile(to, program);
  console.log(
    `${to}: ${program.length.toLocaleString("en-US")} bytes, from ${
      file.length.toLocaleString("en-US")
    }\n${importsText(runningHalvesOf(model))}`.trimEnd(),
  );
} catch (error) {
  console.error(`compile: ${(error as Error).message}`);
  Deno.exit(1);
}
