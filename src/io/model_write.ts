/**
 * Writing a quantized model: the same model gives the same bytes.
 *
 * @module
 */
import type { LinearWeight } from "../../kernels/ops/linear.ts";
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import { dtypeRange, DTYPES } from "../core/dtype.ts";
import { failType } from "../core/errors.ts";
import { lstmParts } from "../cells/lstm_parts.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { QuantizedModel } from "../authoring/model.ts";
import { FORMAT_VERSION, METADATA_KEY } from "./model_file.ts";
import type { SafetensorsInput } from "./safetensors_write.ts";
import { writeSafetensors } from "./safetensors_write.ts";

/** The qparams of a file, each once: its modules call them by their places. */
class QParamsList {
  readonly all: unknown[] = [];
  readonly #places = new Map<string, number>();

  place(q: PerTensorQParams | null): number {
    const json = q === null ? null : this.#json(q);
    const key = JSON.stringify(json);
    let place = this.#places.get(key);
    if (place === undefined) this.#places.set(key, place = this.all.push(json) - 1);
    return place;
  }

  #json({ dtype, scale, zeroPoint, quantMin, quantMax }: PerTensorQParams): number[] {
    const [min, max] = dtypeRange(dtype);
    // Nine digits name a float32 value.
    const out = [DTYPES.indexOf(dtype), Number(scale.toPrecision(9)), zeroPoint];
    return quantMin === min && quantMax === max ? out : [...out, quantMin, quantMax];
  }
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
  const addWeight = (
    name: string,
    { data, outFeatures, inFeatures, scales, zeroPoints }: LinearWeight,
  ) => {
    add(name, data, outFeatures, inFeatures);
    add(`${name}.scale`, scales, scales.length);
    if (zeroPoints.some((z) => z !== 0)) add(`${name}.zero_point`, zeroPoints, zeroPoints.length);
  };
  const list = new QParamsList();
  const place = (q: PerTensorQParams | null) => list.place(q);
  const modules = [...model.modules].map(([name, module]) => {
    if (module.kind === "Embedding") {
      const { weight, numEmbeddings, embeddingDim, scales, biases } = module;
      add(`${name}.weight`, weight, numEmbeddings, embeddingDim);
      if (!isFloat32Array(weight)) {
        add(`${name}.weight.scale`, scales, numEmbeddings);
        add(`${name}.weight.bias`, biases, numEmbeddings);
      }
      return { name, type: "Embedding" };
    }
    const dynamic = module.dynamic ? { dynamic: true } : {};
    if (module.kind === "Linear") {
      const { engine, weight, bias, input, output } = module;
      addWeight(`${name}.weight`, weight);
      if (bias !== null) add(`${name}.bias`, bias, bias.length);
      return {
        name,
        type: "Linear",
        engine,
        perChannel: weight.perChannel,
        input: place(input),
        output: place(output),
        ...dynamic,
      };
    }
    const read: { [cell: string]: { [part: string]: number[] } } = {};
    const cells = module.cells.map((layer, l) =>
      layer.map((cell, d) => {
        const suffix = `l${l}${d === 1 ? "_reverse" : ""}`;
        addWeight(`${name}.weight_ih_${suffix}`, cell.weightIh);
        addWeight(`${name}.weight_hh_${suffix}`, cell.weightHh);
        if (cell.weightHr !== null) addWeight(`${name}.weight_hr_${suffix}`, cell.weightHr);
        if (cell.biasIh !== null) add(`${name}.bias_ih_${suffix}`, cell.biasIh, cell.biasIh.length);
        if (cell.biasHh !== null) add(`${name}.bias_hh_${suffix}`, cell.biasHh, cell.biasHh.length);
        const { inputs } = cell.parts;
        for (const [part, q] of Object.entries(inputs ?? {})) {
          (read[`${l}.${d}`] ??= {})[part] = q.map(place);
        }
        return lstmParts(module.projSize > 0).flatMap(({ name: part }) => cell.parts[part]!).map(
          place,
        );
      })
    );
    const { engine, batchFirst, splitGates, torchInitialState, input, stateInput } = module;
    return {
      name,
      type: "LSTM",
      engine,
      perChannel: module.cells[0]![0]!.weightIh.perChannel,
      batchFirst,
      splitGates,
      torchInitialState,
      input: place(input),
      ...(stateInput === undefined ? {} : { stateInput: stateInput.map(place) }),
      ...dynamic,
      ...(Object.keys(read).length > 0 ? { inputs: read } : {}),
      cells,
    };
  });
  return writeSafetensors(tensors, {
    [METADATA_KEY]: JSON.stringify({ version: FORMAT_VERSION, qparams: list.all, modules }),
  });
}
