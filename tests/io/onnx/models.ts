/**
 * The model files that tests import, with the outputs that onnxruntime gives for them.
 *
 * @module
 */
import { parseSafetensors, type SafetensorsEntry } from "@splitgate/splitgate/safetensors";
import { type OnnxImportOptions, parseOnnx } from "@splitgate/splitgate/import/onnx";

const MODELS = new URL("../../models/", import.meta.url);

/** A model file, and what it was run with. */
export interface ModelFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly reference: ReadonlyMap<string, SafetensorsEntry>;
  /** How it is imported for its output to be the reference's `y`. */
  readonly options: OnnxImportOptions;
}

function fileOf(path: string, reference: string, options: OnnxImportOptions = {}): ModelFile {
  const { tensors } = parseSafetensors(Deno.readFileSync(new URL(reference, MODELS)));
  const name = path.replace(/^.*\/|\.onnx$/g, "");
  return { name, bytes: Deno.readFileSync(new URL(path, MODELS)), reference: tensors, options };
}

/** Names of the files in a folder of model files. */
function onnxIn(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, MODELS))].map(({ name }) => name)
    .filter((name) => name.endsWith(".onnx")).sort();
}

/** Every file of onnx-made that is a model, and brainmaze after its convolutions. */
export function modelFiles(): ModelFile[] {
  const made = onnxIn("onnx-made").map((name) => {
    const path = `onnx-made/${name}`;
    const { nodes } = parseOnnx(Deno.readFileSync(new URL(path, MODELS)));
    // The reference's y is the input of a final Softmax.
    const softmax = nodes.find(({ op }) => op === "Softmax");
    const options = softmax === undefined ? {} : { outputs: softmax.inputs };
    return fileOf(path, path.replace(/onnx$/, "reference.safetensors"), options);
  });
  const brainmaze = fileOf(
    "brainmaze/modelA_paper.without_conv.onnx",
    "brainmaze/brainmaze.reference.safetensors",
    { cut: "/Transpose_output_0", outputs: ["logits"] },
  );
  return [...made, brainmaze];
}

/** Files that an exporter wrote without a part of the network. */
export function invalidFiles(): { name: string; bytes: Uint8Array }[] {
  return onnxIn("onnx-made/invalid").map((name) => ({
    name,
    bytes: Deno.readFileSync(new URL(`onnx-made/invalid/${name}`, MODELS)),
  }));
}
