/**
 * PyTorch's files without Python: state dicts and checkpoints of torch.save, read and never
 * executed.
 *
 * @example A state dict, and what its modules are
 * ```ts ignore
 * import { draftArchitecture } from "@splitgate/splitgate/safetensors";
 * import { importTorch, readTorch } from "@splitgate/splitgate/import/torch";
 * const bytes = await Deno.readFile("model.pt");
 * const draft = draftArchitecture(readTorch(bytes).tensors); // fill in its blanks
 * const { model, notes } = importTorch(bytes, { architecture: filled });
 * ```
 *
 * @module
 */
export { importTorch, type ImportTorchOptions } from "./import.ts";
export { readTorch, type ReadTorchOptions, type TorchFile, type TorchValue } from "./state_dict.ts";
export type { TorchTensor } from "./checkpoint.ts";
