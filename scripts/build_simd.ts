/**
 * Writes kernels/simd/layout.as from layout.ts, compiles it, lstm.as and gru.as to plain.wasm
 * and relaxed.wasm, and embeds both as base64 in src/simd/embedded.ts; compiles kernels/float/vector.as
 * and embeds it in kernels/float/vector_wasm.ts.
 *
 * The compiler's version is pinned, so that the same source gives the same bytes: with `--check`
 * nothing is written, and the command fails where what is committed differs from what would be
 * built.
 */
import asc from "npm:assemblyscript@0.28.20/asc";
import { readArguments } from "./arguments.ts";
import { layoutSource } from "./simd_layout.ts";
import { writeFile } from "./write_file.ts";

const { check } =
  readArguments("deno task build:simd [--check]", { check: { type: "boolean" } }).values;

const root = new URL("../", import.meta.url);
const LIMIT = 14336;

const layout = layoutSource();
const source = layout + await Deno.readTextFile(new URL("kernels/simd/lstm.as", root)) +
  await Deno.readTextFile(new URL("kernels/simd/gru.as", root));

async function compile(source: string, features: string): Promise<Uint8Array> {
  let wasm: Uint8Array | null = null;
  const { error, stderr } = await asc.main([
    "lstm.ts", // asc knows no other extension
    "--outFile",
    "lstm.wasm",
    "--runtime",
    "stub",
    "-O3",
    "--converge",
    "--noAssert",
    "--noColors",
    "--initialMemory",
    "1",
    "--enable",
    features,
  ], {
    readFile: (name) => name === "lstm.ts" ? source : null,
    writeFile: (_name, contents) => {
      wasm = contents as Uint8Array;
    },
    listFiles: () => [],
  });
  if (error !== null || wasm === null) throw new Error(`asc failed: ${error?.message}\n${stderr}`);
  return wasm;
}

const plain = await compile(source, "simd");
const relaxed = await compile(source, "simd,relaxed-simd");
const float = await Deno.readTextFile(new URL("kernels/float/vector.as", root));
const vector = await compile(float, "simd");
const relaxedVector = await compile(float, "simd,relaxed-simd");
const literal = (bytes: Uint8Array): string => {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return `"${btoa(text)}"`;
};
const embedded = `// Written by scripts/build_simd.ts from kernels/simd/*.wasm.
// deno-fmt-ignore-file

/** kernels/simd/plain.wasm in base64. */
export const PLAIN: string = ${literal(plain)};

/** kernels/simd/relaxed.wasm in base64. */
export const RELAXED: string = ${literal(relaxed)};
`;
const embeddedVector = `// Written by scripts/build_simd.ts from kernels/float/vector.as.
// deno-fmt-ignore-file

/** kernels/float/vector.as, compiled for SIMD, in base64. */
export const VECTOR: string = ${literal(vector)};

/** The same for relaxed SIMD. */
export const VECTOR_RELAXED: string = ${literal(relaxedVector)};
`;
const encoder = new TextEncoder();
const files: [string, Uint8Array][] = [
  ["kernels/simd/layout.as", encoder.encode(layout)],
  ["kernels/simd/plain.wasm", plain],
  ["kernels/simd/relaxed.wasm", relaxed],
  ["src/simd/embedded.ts", encoder.encode(embedded)],
  ["kernels/float/vector_wasm.ts", encoder.encode(embeddedVector)],
];
let failed = false;
for (const [path, bytes] of files) {
  if (path.endsWith(".wasm")) {
    console.log(`${path}: ${bytes.length} bytes of at most ${LIMIT}`);
    if (bytes.length > LIMIT) failed = true;
  }
  const url = new URL(path, root);
  if (!check) {
    await writeFile(url, bytes);
    continue;
  }
  const committed = await Deno.readFile(url).catch(() => new Uint8Array());
  if (committed.length !== bytes.length || committed.some((byte, i) => byte !== bytes[i])) {
    console.error(`${path}: not what its source builds to`);
    failed = true;
  }
}
if (failed) Deno.exit(1);
