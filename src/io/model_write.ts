/**
 * Writing a quantized model: the same model gives the same bytes.
 *
 * @module
 */
import type { LinearWeight } from "../../kernels/linear.ts";
import { dtypeRange } from "../dtype.ts";
import { failType } from "../errors.ts";
import { lstmParts } from "../lstm_parts.ts";
import { type PerTensorQParams, sameQParams } from "../qparams.ts";
import { QuantizedModel } from "../quantized/model.ts";
import { FORMAT_VERSION, METADATA_KEY } from "./model_file.ts";
import type { SafetensorsInput } from "./safetensors_write.ts";
import { writeSafetensors } from "./safetensors_write.ts";

type QJson = (string | number)[] | null;

function qparams(q: PerTensorQParams | null): QJson {
  if (q === null) return null;
  const [min, max] = dtypeRange(q.dtype);
  // Nine digits name a float32 value.
  const out = [q.dtype, Number(q.scale.toPrecision(9)), q.zeroPoint];
  return q.quantMin === min && q.quantMax === max ? out : [...out, q.quantMin, q.quantMax];
}

/**
 * Writes a quantized model as one safetensors file: int8 weights, float32 scales and biases under PyTorch's names,
 * everything else as JSON in the metadata.
 *
 * @param model What `convert` or `loadModel` gave.
 * @returns The file's bytes, the same for the same model.
 * @throws {TypeError} If `model` is no QuantizedModel.
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
export function saveModel(model: QuantizedModel): Uint8Array<ArrayBuffer> {
  if (!(model instanceof QuantizedModel)) failType("model", "a QuantizedModel", model);
  const tensors: [string, SafetensorsInput][] = [];
  const add = (name: string, data: SafetensorsInput["data"], ...shape: number[]) =>
    tensors.push([name, { data, shape }]);
  const addWeight = (name: string, { data, outFeatures, inFeatures, scales, zeroPoints }: LinearWeight) => {
    add(name, data, outFeatures, inFeatures);
    add(`${name}.scale`, scales, scales.length);
    if (zeroPoints.some((z) => z !== 0)) add(`${name}.zero_point`, zeroPoints, zeroPoints.length);
  };
  // The first engine stands for all; a module of another one says so.
  const engine = [...model.modules.values()].find((module) => "engine" in module)?.engine ?? "fbgemm";
  const own = (module: { engine: string }) => module.engine === engine ? {} : { engine: module.engine };
  const modules = [...model.modules].map(([name, module]) => {
    if (module.kind === "Embedding") {
      const { weight, numEmbeddings, embeddingDim, scales, biases } = module;
      const bits = weight.BYTES_PER_ELEMENT * 8;
      add(`${name}.weight`, weight, numEmbeddings, embeddingDim);
      if (bits < 32) {
        add(`${name}.weight.scale`, scales, numEmbeddings);
        add(`${name}.weight.bias`, biases, numEmbeddings);
      }
      return { name, type: "Embedding", numEmbeddings, embeddingDim, bits };
    }
    const dynamic = module.dynamic ? { dynamic: true } : {};
    if (module.kind === "Linear") {
      const { weight, bias, input, output } = module, { inFeatures, outFeatures, perChannel } = weight;
      addWeight(`${name}.weight`, weight);
      if (bias !== null) add(`${name}.bias`, bias, outFeatures);
      return {
        name,
        type: "Linear",
        ...own(module),
        inFeatures,
        outFeatures,
        bias: bias !== null,
        perChannel,
        input: qparams(input),
        output: qparams(output),
        ...dynamic,
      };
    }
    const cells = module.cells.map((layer, l) =>
      layer.map((cell, d) => {
        const suffix = `l${l}${d === 1 ? "_reverse" : ""}`;
        addWeight(`${name}.weight_ih_${suffix}`, cell.weightIh);
        addWeight(`${name}.weight_hh_${suffix}`, cell.weightHh);
        if (cell.weightHr !== null) addWeight(`${name}.weight_hr_${suffix}`, cell.weightHr);
        if (cell.biasIh !== null) add(`${name}.bias_ih_${suffix}`, cell.biasIh, cell.biasIh.length);
        if (cell.biasHh !== null) add(`${name}.bias_hh_${suffix}`, cell.biasHh, cell.biasHh.length);
        const all = lstmParts(module.projSize > 0), { inputs } = cell.parts;
        const parts: unknown[] = all.map(({ name: part }) => {
          const q = cell.parts[part];
          if (!Array.isArray(q)) return qparams(q as PerTensorQParams | null);
          const [first] = q as (PerTensorQParams | null)[];
          const same = q.every((other) => other === first || (other && first && sameQParams(other, first)));
          return same ? qparams(first!) : q.map(qparams);
        });
        if (inputs !== undefined) {
          const read = all.filter(({ name: part }) => inputs[part] !== undefined);
          parts.push(Object.fromEntries(read.map(({ name: part }) => [part, inputs[part]!.map(qparams)])));
        }
        return parts;
      })
    );
    const {
      inputSize,
      hiddenSize,
      projSize,
      numLayers,
      bias,
      batchFirst,
      bidirectional,
      splitGates,
      torchInitialState,
      input,
    } = module;
    return {
      name,
      type: "LSTM",
      ...own(module),
      inputSize,
      hiddenSize,
      projSize,
      numLayers,
      bias,
      batchFirst,
      bidirectional,
      perChannel: module.cells[0]![0]!.weightIh.perChannel,
      splitGates,
      torchInitialState,
      input: qparams(input),
      ...dynamic,
      cells,
    };
  });
  return writeSafetensors(tensors, { [METADATA_KEY]: JSON.stringify({ version: FORMAT_VERSION, engine, modules }) });
}
