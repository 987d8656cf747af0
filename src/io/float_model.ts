/**
 * The file of a float model: safetensors under PyTorch's names, with the architecture in its
 * metadata.
 *
 * @module
 */
import type { Bytes, BytesSource } from "../core/bytes.ts";
import { failRange } from "../core/errors.ts";
import type { Graph } from "../modules/graph.ts";
import type { Module } from "../modules/module.ts";
import { architectureOf, asGraph, buildModel, readArchitecture } from "./architecture.ts";
import { takeChecksum, withChecksum } from "./checksum.ts";
import { ARCHITECTURE_KEY, METADATA_KEY } from "./metadata.ts";
import { parseSafetensors } from "./safetensors.ts";
import { type SafetensorsInput, writeSafetensors } from "./safetensors_write.ts";

/**
 * Writes a float model as one safetensors file: float32 tensors under PyTorch's names, the
 * architecture as JSON in the metadata. Python's safetensors reads the tensors.
 *
 * @param model A Graph, a Sequential, or a single module, which is named after its kind.
 * @returns The file's bytes, the same for the same model.
 * @throws {TypeError} If `model` is no module.
 *
 * @example
 * ```ts
 * import { Linear, loadFloatModel, saveFloatModel, Sequential } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const model = new Sequential({ out: new Linear({ inFeatures: 2, outFeatures: 3, seed: 1 }) });
 * const bytes = saveFloatModel(model);
 * assertEquals(loadFloatModel(bytes).stateDict(), model.stateDict());
 * ```
 */
export function saveFloatModel(model: Module): Bytes {
  const graph = asGraph(model);
  const tensors: [string, SafetensorsInput][] = [...graph.stateDict()];
  const architecture = withChecksum(JSON.stringify(architectureOf(graph)), tensors);
  return writeSafetensors(tensors, { [ARCHITECTURE_KEY]: architecture });
}

/**
 * Reads a float model that `saveFloatModel` wrote. The file is treated as hostile; its checksum
 * detects any change.
 *
 * @param bytes A file of `saveFloatModel`.
 * @returns A Graph of new modules, for `forward`, `prepare` or `quantizeDynamic`.
 * @throws {TypeError} If `bytes` is neither a buffer nor a view of one, or a field is of the wrong
 * kind.
 * @throws {RangeError} If the file is cut off, changed, malformed or of another version, holds no
 * architecture, or modules and tensors do not fit together.
 *
 * @example
 * ```ts
 * import { Linear, loadFloatModel, saveFloatModel, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const linear = new Linear({ inFeatures: 2, outFeatures: 1, seed: 1 });
 * const model = loadFloatModel(saveFloatModel(linear));
 * const x = tensor([0.5, -1], [1, 2]);
 * assertEquals(model.forward(x), linear.forward(x));
 * ```
 */
export function loadFloatModel(bytes: BytesSource): Graph {
  const { tensors, metadata } = parseSafetensors(bytes);
  const text = metadata[ARCHITECTURE_KEY];
  if (text === undefined) {
    const got = METADATA_KEY in metadata
      ? "a quantized model, which loadModel reads"
      : "a safetensors file without an architecture, which importSafetensors takes beside it";
    return failRange("bytes", "what saveFloatModel gave", got);
  }
  const architecture = readArchitecture(takeChecksum(text, tensors));
  const { model, unused } = buildModel(architecture, tensors);
  if (unused.length > 0) failRange("bytes", "no other tensors", unused[0]);
  return model;
}
