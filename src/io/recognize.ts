// deno-lint-ignore-file no-control-regex -- bytes are matched as characters
/**
 * Recognizes foreign file formats by their first bytes, for error messages that say what to do.
 * Nothing is parsed.
 *
 * @module
 */

/** A foreign format, for error messages. */
export interface Recognized {
  /** For instance "an ONNX model". */
  readonly kind: string;
  /** Advice for the user, or empty. */
  readonly wayOn: string;
}

const TORCH =
  "importTorch makes a float model of it, scripts/export_torch.py a model file of a quantized one";

const KERAS = "importKeras makes a float model of it";

/** Formats by their first bytes, one character a byte. */
const MAGIC: readonly (readonly [start: RegExp, kind: string, wayOn: string])[] = [
  [/^SGPR/, "what compileModel gave", "loadProgram reads a program"],
  [/^version https:\/\/git-lfs/, "a Git LFS pointer", "`git lfs pull` fetches the file itself"],
  // The first entry's name follows 30 bytes of an archive.
  [
    /^PK\x03\x04[^]{26}[^]*?\/(data\.pkl|\.format_version|byteorder)/,
    "what torch.save wrote",
    TORCH,
  ],
  [/^PK\x03\x04[^]{26}(metadata|config)\.json/, "a Keras model", KERAS],
  [/^PK\x03\x04[^]{26}[^]*?\.npy/, "a NumPy archive (.npz)", ""],
  [/^PK\x03\x04/, "a zip archive", ""],
  [/^\x80[\x02-\x05]/, "a pickle, as torch.save wrote before torch 1.6", TORCH],
  [/^\x89HDF\r\n/, "an HDF5 file, as Keras writes (.h5)", KERAS],
  [/^[^]{4}TFL3/, "a TensorFlow Lite model", ""],
  [/^\x93NUMPY/, "a NumPy array (.npy)", ""],
  [/^GGUF/, "a GGUF model", ""],
  [/^\0asm/, "a WebAssembly module", ""],
  [/^\x1f\x8b/, "gzip's output", "decompress it first"],
  [/^\x28\xb5\x2f\xfd/, "Zstandard's output", "decompress it first"],
  // The first field, ir_version, and then producer_name, a domain, a docstring, the graph or the
  // opset.
  [
    /^\x08[\x01-\x1f][\x12\x1a\x22\x2a\x32\x3a\x42]/,
    "an ONNX model",
    "importOnnx makes a float model of it",
  ],
  [/^(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)/i, "an HTML page", "is the address right?"],
  [/^(\xef\xbb\xbf)?\s*</, "an XML document", ""],
  [/^(\xef\xbb\xbf)?\s*[[{]/, "a JSON text", ""],
];

/** Number of bytes that are matched. */
const LOOKED_AT = 256;

/** The format of a file that is not a safetensors file; null if unknown. */
export function recognize(bytes: Uint8Array): Recognized | null {
  if (bytes.length === 0) return { kind: "an empty file", wayOn: "was it written to the end?" };
  const start = String.fromCharCode(...bytes.subarray(0, LOOKED_AT));
  const found = MAGIC.find(([pattern]) => pattern.test(start));
  return found === undefined ? null : { kind: found[1], wayOn: found[2] };
}
