/**
 * Float models out of files of torch.save.
 *
 * @module
 */
import type { BytesSource } from "../../core/bytes.ts";
import { checkOptions } from "../../core/check.ts";
import { importTensors, type ImportTensorsOptions, listed } from "../import_tensors.ts";
import type { ImportedModel } from "../imported_model.ts";
import { readTorch, type ReadTorchOptions } from "./state_dict.ts";

/**
 * Options of {@linkcode importTorch}.
 *
 * @example
 * ```ts
 * import { importTorch, type ImportTorchOptions } from "@splitgate/splitgate/import/torch";
 * const bytes = await Deno.readFile("tests/io/torch/files/checkpoint.pt");
 * const options: ImportTorchOptions = {
 *   architecture: { modules: [{ name: "embedding", kind: "Embedding" }] },
 * };
 * importTorch(bytes, options);
 * ```
 */
export interface ImportTorchOptions extends ImportTensorsOptions, ReadTorchOptions {
  /** Whether unused tensors and opaque values are errors; false by default. */
  readonly strict?: boolean;
}

/**
 * Makes a float model from a file of torch.save and an architecture, since a state dict holds
 * neither the kinds of its modules nor how they are connected. `draftArchitecture` drafts one.
 *
 * @param bytes A whole .pt, .pth, .bin or .ckpt file.
 * @param options.architecture The architecture of the model.
 * @param options.prefix The prefix to remove from names.
 * @param options.key Path of the state dict in the checkpoint.
 * @param options.strict Whether unused tensors and opaque values are errors.
 * @throws {TypeError} If `bytes` is neither a buffer nor a view, or an option is of the wrong kind.
 * @throws {RangeError} If the file cannot be read, or modules and tensors do not fit together: the
 * message names the module.
 *
 * @example
 * ```ts
 * import { importTorch } from "@splitgate/splitgate/import/torch";
 * import { assertEquals } from "@std/assert";
 * const { model, notes } = importTorch(await Deno.readFile("tests/io/torch/files/checkpoint.pt"), {
 *   architecture: { version: 1, modules: [{ name: "embedding", kind: "Embedding" }] },
 * });
 * assertEquals(model.kind, "Graph");
 * assertEquals(notes.length > 0, true); // The file holds more than that.
 * ```
 */
export function importTorch(bytes: BytesSource, options: ImportTorchOptions): ImportedModel {
  checkOptions("options", options, ["architecture", "prefix", "strict", "key"]);
  const { key, strict, ...rest } = options;
  const file = readTorch(bytes, {
    ...key !== undefined && { key },
    ...strict !== undefined && { strict },
  });
  const { model, notes } = importTensors(file.tensors, {
    ...rest,
    ...strict !== undefined && { strict },
  });
  const beside = file.others.map(({ path, what }) => path || what);
  return {
    model,
    notes: beside.length === 0
      ? notes
      : [...notes, `beside the state dict, and left out: ${listed(beside)}`],
  };
}
