import { assert, assertEquals, assertThrows } from "@std/assert";
import { loadModel } from "../../src/io/model_file.ts";
import { saveModel } from "../../src/io/model_write.ts";
import { compileModel } from "../../src/io/program_write.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { writeSafetensors } from "../../src/io/safetensors_write.ts";
import { loadProgram } from "../../src/runtime/load.ts";
import { modelOf, plainCase } from "../../src/testing/quantized_models.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const base64 = (value: string): Uint8Array =>
  Uint8Array.from(atob(value), (character) => character.charCodeAt(0));

/** A zip archive's beginning: a local header, and the first entry's name. */
function zip(name: string): Uint8Array {
  const bytes = new Uint8Array(30 + name.length + 40);
  bytes.set([0x50, 0x4b, 3, 4, 20]);
  bytes[26] = name.length;
  bytes.set(text(name), 30);
  return bytes;
}

const EXPORT =
  "importTorch makes a float model of it, scripts/export_torch.py a model file of a quantized one";

/**
 * Beginnings of files, as written by torch 2.8 and NumPy or as their formats define, and the
 * answers about them.
 */
const files: [bytes: Uint8Array, kind: string, wayOn: string][] = [
  [
    base64(
      "UEsDBAAACAgAAAAAAAAAAAAAAAAAAAAAAAAQABIAYXJjaGl2ZS9kYXRhLnBrbEZCDgBaWlpaWlpaWlpaWlpaWoACY3RvcmNo",
    ),
    "what torch.save wrote",
    EXPORT,
  ],
  [
    base64(
      "gAKKCmz8nEb5IGqoUBkugAJN6QMugAJ9cQAoWBAAAABwcm90b2NvbF92ZXJzaW9ucQFN6QNYDQAAAGxpdHRsZQ==",
    ),
    "a pickle, as torch.save wrote before torch 1.6",
    EXPORT,
  ],
  [
    base64("UEsDBC0AAAAAAAAAIQA7GwF1//////////8FABQAYS5ucHkBABAAiAAAAAAAAACIAAAAAAAAAJNOVU1QWQ=="),
    "a NumPy archive (.npz)",
    "",
  ],
  [base64("k05VTVBZAQB2AHsnZGVzY3InOiAnPGY4JywgJ2ZvcnRyYW4="), "a NumPy array (.npy)", ""],
  [base64("H4sIACHBDWsC/8tIzcnJBwCGphA2BQAAAA=="), "gzip's output", "decompress it first"],
  [zip("metadata.json"), "a Keras model", "importKeras makes a float model of it"],
  [zip("readme.txt"), "a zip archive", ""],
  [
    Uint8Array.of(0x89, 72, 68, 70, 13, 10, 26, 10, 0, 0),
    "an HDF5 file, as Keras writes (.h5)",
    "importKeras makes a float model of it",
  ],
  [Uint8Array.of(28, 0, 0, 0, 0x54, 0x46, 0x4c, 0x33, 0, 0), "a TensorFlow Lite model", ""],
  [
    Uint8Array.of(8, 7, 0x12, 7, 0x70, 0x79, 0x74, 0x6f, 0x72, 0x63, 0x68),
    "an ONNX model",
    "importOnnx makes a float model of it",
  ],
  [text("GGUF\x03\0\0\0"), "a GGUF model", ""],
  [text("<!DOCTYPE html>\n<title>404</title>"), "an HTML page", "is the address right?"],
  [text("\ufeff\n <html lang=en>"), "an HTML page", "is the address right?"],
  [text('<?xml version="1.0"?><Error><Code>AccessDenied</Code>'), "an XML document", ""],
  [text('{"error": "not found"}'), "a JSON text", ""],
  [
    text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
    "a Git LFS pointer",
    "`git lfs pull` fetches the file itself",
  ],
  [new Uint8Array(0), "an empty file", "was it written to the end?"],
];

for (const [bytes, kind, wayOn] of files) {
  Deno.test(`loadModel() and parseSafetensors() say that they were given ${kind} (${bytes.length} bytes)`, () => {
    for (const read of [loadModel, parseSafetensors]) {
      const { message } = assertThrows(() => read(bytes), RangeError);
      assertEquals(
        message,
        `bytes: expected a safetensors file${wayOn && ` (${wayOn})`}, got ${JSON.stringify(kind)}`,
      );
    }
  });
}

Deno.test("loadProgram() shows how another file begins", () => {
  for (const [bytes] of files) {
    const { message } = assertThrows(() => loadProgram(bytes), RangeError);
    const start =
      "bytes: expected a program that compileModel gave (loadModel takes what saveModel gave), got ";
    assert(message.startsWith(start) && message.length < 220, message);
  }
  assertThrows(
    () => loadProgram(files.find(([, kind]) => kind === "a Git LFS pointer")![0]),
    RangeError,
    'got "version https://',
  );
});

Deno.test("readers say which one a file is for", () => {
  const model = modelOf(plainCase, "none", false);
  assertThrows(
    () => loadModel(compileModel(model)),
    RangeError,
    "loadProgram reads a program",
  );
  assertThrows(
    () => parseSafetensors(compileModel(model)),
    RangeError,
    "loadProgram reads a program",
  );
  assertThrows(
    () => loadProgram(saveModel(model)),
    RangeError,
    "(loadModel takes what saveModel gave)",
  );
  const float = writeSafetensors([["w", { data: new Float32Array(1), shape: [1] }]]);
  assertThrows(() => loadModel(float), RangeError, "(float weights: importSafetensors");
});

Deno.test("A model that is cut off says how long it should be at least", () => {
  const bytes = saveModel(modelOf(plainCase, "none", false));
  const header = 8 + new DataView(bytes.buffer).getUint32(0, true);
  for (const length of [1, 7, 8, 9, header - 1]) {
    const least = length < 8 ? 8 : header;
    assertThrows(
      () => loadModel(bytes.subarray(0, length)),
      RangeError,
      `bytes: expected a whole safetensors file of at least ${length < 8 ? "" : least}`,
    );
  }
});
