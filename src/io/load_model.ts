/**
 * Loading a quantized model with modules that can do more than run in sessions.
 *
 * @module
 */
import { QuantizedEmbedding } from "../quantized/embedding.ts";
import { QuantizedLinear } from "../quantized/linear.ts";
import { QuantizedLSTM } from "../quantized/lstm.ts";
import type { QuantizedModel } from "../quantized/model.ts";
import { readModel } from "./model_file.ts";

/**
 * Reads a quantized model from the bytes of its file, which is taken to be hostile: everything is checked before it
 * is used. Tensors are views of `bytes` where alignment allows. The modules have `forward`, and LSTMs that the fast
 * step does not run are run by parts.
 *
 * @param bytes What `saveModel` gave.
 * @returns The model, ready for sessions.
 * @throws {TypeError} If `bytes` is no Uint8Array, or a metadata value is of the wrong kind.
 * @throws {RangeError} If the file is cut off or malformed, of another version, or a tensor is missing,
 * unexpected, or of the wrong dtype or shape.
 *
 * @example
 * ```ts
 * import { convert, fbgemmQConfig, loadModel, LSTM, prepare, saveModel, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), fbgemmQConfig);
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * const bytes = saveModel(model);
 * assertEquals(saveModel(loadModel(bytes)), bytes); // same model, same bytes
 * ```
 */
export function loadModel(bytes: Uint8Array): QuantizedModel {
  return readModel(
    bytes,
    (module) =>
      module.kind === "LSTM"
        ? new QuantizedLSTM(module)
        : module.kind === "Linear"
        ? new QuantizedLinear(module)
        : new QuantizedEmbedding(module),
  );
}
