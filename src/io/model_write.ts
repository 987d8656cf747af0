/**
 * Writing a quantized model: the same model gives the same bytes.
 *
 * @module
 */
import type { LinearWeight } from "../../kernels/ops/linear.ts";
import type { Bytes } from "../core/bytes.ts";
import { dtypeRange, DTYPES } from "../core/dtype.ts";
import { failType } from "../core/errors.ts";
import type { Mask } from "../core/mask.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { QuantizedModel } from "../authoring/model.ts";
import { chainOf } from "../core/topology.ts";
import type { FileArray, ModuleWriter } from "../modules/file.ts";
import { kindOf } from "../modules/kinds.ts";
import { withChecksum } from "./checksum.ts";
import { METADATA_KEY } from "./metadata.ts";
import { FORMAT_VERSION } from "./model_file.ts";
import type { SafetensorsInput } from "./safetensors_write.ts";
import { writeSafetensors } from "./safetensors_write.ts";

/** Deduplicated qparams of a file; modules refer to them by index. */
class QParamsList {
  readonly all: unknown[] = [];
  readonly #indices = new Map<string, number>();

  indexOf(q: PerTensorQParams | null): number {
    const json = q === null ? null : this.#json(q);
    const key = JSON.stringify(json);
    let index = this.#indices.get(key);
    if (index === undefined) this.#indices.set(key, index = this.all.push(json) - 1);
    return index;
  }

  #json({ dtype, scale, zeroPoint, quantMin, quantMax }: PerTensorQParams): number[] {
    const [min, max] = dtypeRange(dtype);
    // Nine decimal digits identify a float32 value.
    const out = [DTYPES.indexOf(dtype), Number(scale.toPrecision(9)), zeroPoint];
    return quantMin === min && quantMax === max ? out : [...out, quantMin, quantMax];
  }
}

/** A mask as JSON; nine decimal digits identify a float32 value. */
function maskFields({ value, before }: Mask): object {
  const rows = before.map((row) => row && Array.from(row, (each) => Number(each.toPrecision(9))));
  return { value, before: rows };
}

/** Writes one module. */
class Writer implements ModuleWriter {
  readonly #name: string;
  readonly #tensors: [string, SafetensorsInput][];
  readonly #list: QParamsList;

  constructor(name: string, tensors: [string, SafetensorsInput][], list: QParamsList) {
    this.#name = name;
    this.#tensors = tensors;
    this.#list = list;
  }

  tensor(key: string, data: FileArray, ...shape: number[]): void {
    this.#tensors.push([`${this.#name}.${key}`, { data, shape }]);
  }

  weight(key: string, { data, outFeatures, inFeatures, scales, zeroPoints }: LinearWeight): void {
    this.tensor(key, data, outFeatures, inFeatures);
    this.tensor(`${key}.scale`, scales, scales.length);
    if (zeroPoints.some((z) => z !== 0)) {
      this.tensor(`${key}.zero_point`, zeroPoints, zeroPoints.length);
    }
  }

  qparams(qparams: PerTensorQParams | null): number {
    return this.#list.indexOf(qparams);
  }
}

/**
 * Writes a quantized model as one safetensors file: int8 weights, float32 scales and biases under
 * PyTorch's names, everything else as JSON in the metadata.
 *
 * @param model A quantized model.
 * @returns The file's bytes, the same for the same model.
 * @throws {TypeError} If `model` is no QuantizedModel.
 *
 * @example
 * ```ts
 * import { convert, loadModel, LSTM, prepare, saveModel, tensor } from "@splitgate/splitgate";
 * import { fbgemmQConfig } from "../qconfig/qconfig.ts";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), fbgemmQConfig);
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * const bytes = saveModel(model);
 * assertEquals(saveModel(loadModel(bytes)), bytes); // same model, same bytes
 * ```
 */
export function saveModel(model: QuantizedModel): Bytes {
  if (!(model instanceof QuantizedModel)) failType("model", "a QuantizedModel", model);
  const tensors: [string, SafetensorsInput][] = [];
  const list = new QParamsList();
  const { topology } = model;
  const chain = chainOf(topology.inputs.keys());
  const modules = [...model.modules].map(([name, module]) => {
    const file = new Writer(name, tensors, list);
    const fields = kindOf(name, module).write(module, file);
    const reads = topology.inputs.get(name)!;
    const follows = reads.length === 1 && reads[0] === chain.inputs.get(name)![0];
    return { name, type: module.kind, ...!follows && { reads }, ...fields };
  });
  const outputs = [...topology.outputs];
  const [output] = chain.outputs.keys();
  const last = outputs.length === 1 && outputs[0]!.every((name) => name === output);
  const tree = JSON.stringify({
    version: FORMAT_VERSION,
    qparams: list.all,
    modules,
    ...!last && { outputs },
    ...topology.mask && { mask: maskFields(topology.mask) },
  });
  return writeSafetensors(tensors, { [METADATA_KEY]: withChecksum(tree, tensors) });
}
