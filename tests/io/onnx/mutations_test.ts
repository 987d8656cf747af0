import { assert } from "@std/assert";
import { Generator } from "@splitgate/splitgate";
import { importOnnx, parseOnnx } from "@splitgate/splitgate/import/onnx";
import { mutateMessage } from "./mutations.ts";

const MODELS = new URL("../../models/", import.meta.url);

/** Mutated files, half of them changed as bytes, half as messages. */
const FILES = 4000;

/** What a file may cost: milliseconds, and bytes beyond its own. */
const MAX_MILLISECONDS = 1000;
const MAX_BYTES = 64 * 2 ** 20;

const generator = new Generator(19);
const drawn = new Float32Array(1);

/** An integer in 0..below - 1. */
function draw(below: number): number {
  generator.uniform(drawn, 0, 1);
  return Math.min(below - 1, Math.floor(drawn[0]! * below));
}

const pick = <T>(list: readonly T[]): T => list[draw(list.length)]!;

function filesIn(folder: string): Uint8Array<ArrayBuffer>[] {
  return [...Deno.readDirSync(new URL(folder, MODELS))].map(({ name }) => name).sort()
    .filter((name) => name.endsWith(".onnx") && !name.includes("unrolled"))
    .map((name) => Deno.readFileSync(new URL(folder + name, MODELS)));
}

/** Numbers that are easily taken wrongly. */
const EDGES = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff];

function mutateBytes(file: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  let bytes = file.slice();
  for (let times = 1 + draw(4); times > 0; times--) {
    const at = draw(bytes.length);
    const kind = draw(5);
    if (kind === 0) bytes[at] = pick(EDGES);
    else if (kind === 1) bytes[at]! ^= 1 << draw(8);
    else if (kind === 2) bytes = bytes.slice(0, at);
    else {
      const size = draw(64);
      const from = draw(bytes.length);
      const piece = kind === 3 ? bytes.slice(from, from + size) : new Uint8Array(0);
      bytes = Uint8Array.of(...bytes.subarray(0, at), ...piece, ...bytes.subarray(at + size));
    }
    if (bytes.length === 0) return bytes;
  }
  return bytes;
}

/** Imports a file, and gives whether it was taken; throws where the error has no name. */
function tryImport(bytes: Uint8Array): boolean {
  try {
    for (const { data } of parseOnnx(bytes).tensors.values()) assert(data.length >= 0);
  } catch (error) {
    assertNamed(error);
  }
  try {
    importOnnx(bytes);
    return true;
  } catch (error) {
    assertNamed(error);
    return false;
  }
}

function assertNamed(error: unknown): void {
  const { name, message } = error as Error;
  const named = (name === "RangeError" || name === "TypeError") && message.includes(": expected ");
  if (!named) throw new Error(`an error without a name: ${message}`, { cause: error });
}

Deno.test(`${FILES} mutated files are taken or refused by name, within a second and 64 MB each`, () => {
  const sources = [...filesIn("onnx-operators/"), ...filesIn("onnx-made/")];
  let taken = 0;
  let slowest = 0;
  let largest = 0;
  for (let i = 0; i < FILES; i++) {
    const source = pick(sources);
    const bytes = i % 2 === 0 ? mutateBytes(source) : mutateMessage(source, draw);
    const { heapUsed, external } = Deno.memoryUsage();
    const start = performance.now();
    if (tryImport(bytes)) taken++;
    slowest = Math.max(slowest, performance.now() - start);
    const after = Deno.memoryUsage();
    largest = Math.max(
      largest,
      after.heapUsed + after.external - heapUsed - external - bytes.length,
    );
  }
  assert(slowest < MAX_MILLISECONDS, `${slowest} ms`);
  assert(largest < MAX_BYTES, `${largest} bytes`);
  // Both ends: mutations reach beyond the reader, and are not all harmless.
  assert(taken > FILES / 20 && taken < FILES * 0.8, `${taken} taken`);
});
