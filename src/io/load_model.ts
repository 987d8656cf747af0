/**
 * Loading a quantized model with modules that can do more than run in sessions.
 *
 * @module
 */
import { checkBoolean, checkObject, failRange } from "../errors.ts";
import { lstmParts } from "../lstm_parts.ts";
import { QuantizedEmbedding } from "../quantized/embedding.ts";
import { QuantizedLinear } from "../quantized/linear.ts";
import { QuantizedLSTM } from "../quantized/lstm.ts";
import type { QuantizedModel } from "../quantized/model.ts";
import type { LstmModule } from "../quantized/modules.ts";
import { checkList, type Fields, type QParamsReader, readModel } from "./model_file.ts";
import { parseSafetensors } from "./safetensors.ts";

/** Gives the cells what their parts requantize before they read it: for some cells, for some parts, a list. */
function withInputs(module: LstmModule, name: string, fields: Fields, qparams: QParamsReader): LstmModule {
  if (fields.inputs === undefined) return module;
  const given = checkObject(`${name}.inputs`, fields.inputs);
  delete fields.inputs;
  const cells = module.cells.map((layer, l) =>
    layer.map((cell, d) => {
      const key = `${l}.${d}`, at = `${name}.inputs.${key}`;
      if (!Object.hasOwn(given, key)) return cell;
      const parts = checkObject(at, given[key]), inputs: Record<string, unknown> = {};
      delete given[key];
      for (const { name: part, inputs: { length } } of lstmParts(module.projSize > 0)) {
        if (!Object.hasOwn(parts, part)) continue;
        const each = `${at}.${part}`;
        inputs[part] = checkList(each, parts[part], length).map((place, i) => qparams(`${each}[${i}]`, place));
        delete parts[part];
      }
      for (const part in parts) failRange(at, "parts", part);
      return { ...cell, parts: { ...cell.parts, inputs } };
    })
  );
  for (const key in given) failRange(`${name}.inputs`, "cells", key);
  return { ...module, cells };
}

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
  // For what the runtime's reader leaves out, as it can do no harm: overlaps, unused bytes, repeated names.
  parseSafetensors(bytes);
  return readModel(bytes, (module, name, fields, qparams) => {
    if (module.kind === "Embedding") return new QuantizedEmbedding(module);
    const { dynamic = false } = fields;
    delete fields.dynamic;
    const all = { ...module, dynamic: checkBoolean(`${name}.dynamic`, dynamic) };
    return all.kind === "Linear" ? new QuantizedLinear(all) : new QuantizedLSTM(withInputs(all, name, fields, qparams));
  });
}
