/**
 * Reading a quantized model: one safetensors file, with the module tree as JSON in its metadata.
 *
 * @module
 */
import type { Engine, LinearWeight } from "../../kernels/linear.ts";
import type { DType } from "../dtype.ts";
import { checkBoolean, checkFinite, checkInteger, failRange, failType } from "../errors.ts";
import { type CellQParams, lstmParts } from "../lstm_parts.ts";
import { perTensorAffine, type PerTensorQParams } from "../qparams.ts";
import type { QuantizedLstmCell } from "../quantized/cell.ts";
import { QuantizedModel } from "../quantized/model.ts";
import type { LstmModule, ModuleData } from "../quantized/modules.ts";
import { parseSafetensors, type SafetensorsDType, type SafetensorsEntry } from "./safetensors.ts";

/** The metadata key that the module tree stands under. */
export const METADATA_KEY = "splitgate";

/** Version of the model file that is written, and the only one that is read. */
export const FORMAT_VERSION = 1;

type Json = Record<string, unknown>;

const DIMENSION = 2 ** 20;

function object(name: string, value: unknown): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) failType(name, "an object", value);
  return value as Json;
}

function list(name: string, value: unknown, length?: number): unknown[] {
  if (!Array.isArray(value)) return failType(name, "an array", value);
  if (length !== undefined && value.length !== length) failRange(name, `${length} elements`, value.length);
  return value;
}

/** `[dtype, scale, zeroPoint]` or `[dtype, scale, zeroPoint, quantMin, quantMax]`, or null. */
function readQParams(name: string, value: unknown): PerTensorQParams | null {
  if (value === null) return null;
  const [dtype, scale, zeroPoint, quantMin, quantMax] = list(name, value);
  try {
    return perTensorAffine({
      dtype: dtype as DType,
      scale: scale as number,
      zeroPoint: zeroPoint as number,
      quantMin: quantMin as number | undefined,
      quantMax: quantMax as number | undefined,
    });
  } catch (error) {
    return failRange(name, "qparams", (error as Error).message);
  }
}

function readEngine(name: string, value: unknown): Engine {
  return value === "fbgemm" || value === "qnnpack" ? value : failRange(name, "fbgemm or qnnpack", value);
}

/** Tensors are taken out as they are read, so that what is left was not expected. */
class Tensors {
  constructor(readonly left: Map<string, SafetensorsEntry>) {}

  take<T>(name: string, dtype: SafetensorsDType, shape: readonly number[]): T {
    const entry = this.left.get(name);
    if (entry === undefined) return failRange(name, `a tensor ${dtype} [${shape}]`, "none");
    if (entry.dtype !== dtype || entry.shape.join() !== shape.join()) {
      failRange(name, `${dtype} [${shape}]`, `${entry.dtype} [${entry.shape}]`);
    }
    this.left.delete(name);
    if (entry.data instanceof Float32Array) checkFinite(name, entry.data);
    return entry.data as T;
  }

  /** An int8 weight with its scales, and zero points where they are not all 0. */
  weight(name: string, outFeatures: number, inFeatures: number, perChannel: unknown): LinearWeight {
    const data = this.take<Int8Array>(name, "I8", [outFeatures, inFeatures]);
    const count = this.left.get(`${name}.scale`)?.shape[0] ?? 1;
    if (count < 1 || outFeatures % count !== 0) {
      failRange(`${name}.scale`, `a number of scales that divides ${outFeatures}`, count);
    }
    const scales = this.take<Float32Array>(`${name}.scale`, "F32", [count]);
    scales.forEach((scale, i) => scale > 0 || failRange(`${name}.scale[${i}]`, "a positive number", scale));
    const points = `${name}.zero_point`;
    const zeroPoints = this.left.has(points) ? this.take<Int32Array>(points, "I32", [count]) : new Int32Array(count);
    zeroPoints.forEach((point, i) => checkInteger(`${points}[${i}]`, point, -128, 127));
    return {
      data,
      outFeatures,
      inFeatures,
      perChannel: checkBoolean(`${name}.perChannel`, perChannel),
      scales,
      zeroPoints,
    };
  }
}

function readLstm(name: string, json: Json, engine: Engine, tensors: Tensors): LstmModule {
  const size = (key: string, max = DIMENSION, min = 1): number => checkInteger(`${name}.${key}`, json[key], min, max);
  const flag = (key: string): boolean => checkBoolean(`${name}.${key}`, json[key]);
  const inputSize = size("inputSize"), hiddenSize = size("hiddenSize"), numLayers = size("numLayers", 1024);
  const projSize = size("projSize", hiddenSize - 1, 0), output = projSize || hiddenSize, all = lstmParts(projSize > 0);
  const bias = flag("bias"), bidirectional = flag("bidirectional"), directions = bidirectional ? 2 : 1;
  const cells = list(`${name}.cells`, json.cells, numLayers).map((layer, l) =>
    list(`${name}.cells[${l}]`, layer, directions).map((values, d): QuantizedLstmCell => {
      const suffix = `l${l}${d === 1 ? "_reverse" : ""}`, at = `${name}.cells[${l}][${d}]`;
      // What parts requantize before they read it stands behind the parts, where there is any.
      const given = list(at, values), extra = given.length > all.length;
      list(at, values, all.length + (extra ? 1 : 0));
      const parts: Record<string, unknown> = {};
      all.forEach((part, i) => {
        const value = given[i], each = `${at}.${part.name}`;
        if (!part.gated) parts[part.name] = readQParams(each, value);
        else if (Array.isArray(value) && (value[0] === null || Array.isArray(value[0]))) {
          parts[part.name] = list(each, value, 4).map((q, g) => readQParams(`${each}[${g}]`, q));
        } else parts[part.name] = Array(4).fill(readQParams(each, value));
      });
      if (extra) {
        const inputs: Json = object(`${at}.inputs`, given[all.length]), read: Record<string, unknown> = {};
        for (const { name: part, inputs: { length } } of all) {
          const each = `${at}.${part}.inputs`;
          if (Object.hasOwn(inputs, part)) {
            read[part] = list(each, inputs[part], length).map((q, i) => readQParams(`${each}[${i}]`, q));
            delete inputs[part];
          }
        }
        for (const key in inputs) failRange(`${at}.inputs`, "parts", key);
        parts.inputs = read;
      }
      const rows = 4 * hiddenSize, width = l === 0 ? inputSize : output * directions;
      const weight = (kind: string, columns: number, outFeatures = rows) =>
        tensors.weight(`${name}.weight_${kind}_${suffix}`, outFeatures, columns, json.perChannel);
      const biasOf = (kind: string) =>
        bias ? tensors.take<Float32Array>(`${name}.bias_${kind}_${suffix}`, "F32", [rows]) : null;
      return {
        weightIh: weight("ih", width),
        weightHh: weight("hh", output),
        weightHr: projSize > 0 ? weight("hr", hiddenSize, projSize) : null,
        biasIh: biasOf("ih"),
        biasHh: biasOf("hh"),
        parts: parts as unknown as CellQParams,
      };
    })
  );
  return {
    kind: "LSTM",
    inputSize,
    hiddenSize,
    projSize,
    numLayers,
    bias,
    bidirectional,
    batchFirst: flag("batchFirst"),
    engine,
    splitGates: flag("splitGates"),
    input: readQParams(`${name}.input`, json.input),
    torchInitialState: flag("torchInitialState"),
    dynamic: json.dynamic !== undefined && checkBoolean(`${name}.dynamic`, json.dynamic),
    cells,
  };
}

function readModule(name: string, json: Json, engine: Engine, tensors: Tensors): ModuleData {
  const size = (key: string): number => checkInteger(`${name}.${key}`, json[key], 1, DIMENSION);
  if (json.type === "LSTM") return readLstm(name, json, engine, tensors);
  if (json.type === "Linear") {
    const inFeatures = size("inFeatures"), outFeatures = size("outFeatures");
    return {
      kind: "Linear",
      engine,
      weight: tensors.weight(`${name}.weight`, outFeatures, inFeatures, json.perChannel),
      bias: checkBoolean(`${name}.bias`, json.bias)
        ? tensors.take<Float32Array>(`${name}.bias`, "F32", [outFeatures])
        : null,
      input: readQParams(`${name}.input`, json.input),
      output: readQParams(`${name}.output`, json.output),
      dynamic: json.dynamic !== undefined && checkBoolean(`${name}.dynamic`, json.dynamic),
    };
  }
  if (json.type === "Embedding") {
    const numEmbeddings = size("numEmbeddings"),
      embeddingDim = size("embeddingDim"),
      shape = [numEmbeddings, embeddingDim];
    const { bits } = json;
    if (bits !== 8 && bits !== 16 && bits !== 32) return failRange(`${name}.bits`, "8, 16 or 32", bits);
    if (bits === 32) {
      const weight = tensors.take<Float32Array>(`${name}.weight`, "F32", shape), none = new Float32Array(0);
      return { kind: "Embedding", numEmbeddings, embeddingDim, weight, scales: none, biases: none };
    }
    return {
      kind: "Embedding",
      numEmbeddings,
      embeddingDim,
      weight: tensors.take<Uint8Array | Uint16Array>(`${name}.weight`, bits === 8 ? "U8" : "U16", shape),
      scales: tensors.take<Float32Array>(`${name}.weight.scale`, "F32", [numEmbeddings]),
      biases: tensors.take<Float32Array>(`${name}.weight.bias`, "F32", [numEmbeddings]),
    };
  }
  return failRange(`${name}.type`, "Embedding, LSTM or Linear", json.type);
}

/**
 * Reads a quantized model from the bytes of its file. The file is taken to be hostile: everything is checked
 * before it is used. Tensors are views of `bytes` where alignment allows.
 *
 * @param bytes What `saveModel` gave.
 * @param make What becomes of each module's data.
 * @returns The model, ready for sessions.
 * @throws {TypeError} If `bytes` is no Uint8Array, or a metadata value is of the wrong kind.
 * @throws {RangeError} If the file is cut off or malformed, of another version, or a tensor is missing,
 * unexpected, or of the wrong dtype or shape.
 */
export function readModel(bytes: Uint8Array, make: (module: ModuleData, name: string) => ModuleData): QuantizedModel {
  const { tensors: entries, metadata } = parseSafetensors(bytes);
  const text = metadata[METADATA_KEY];
  if (text === undefined) {
    failRange("bytes", `a quantized model, with "${METADATA_KEY}" in its metadata`, Object.keys(metadata));
  }
  let json: Json;
  try {
    json = object(METADATA_KEY, JSON.parse(text));
  } catch {
    return failRange(METADATA_KEY, "a JSON object", text.slice(0, 40));
  }
  if (json.version !== FORMAT_VERSION) failRange("version", `${FORMAT_VERSION}`, json.version);
  const engine = readEngine("engine", json.engine);
  const tensors = new Tensors(entries), modules = new Map<string, ModuleData>();
  for (const value of list("modules", json.modules)) {
    const module = object("modules[]", value), { name } = module;
    if (typeof name !== "string") failType("name", "a string", name);
    if (modules.has(name)) failRange("name", "a name of its own for each module", name);
    const own = "engine" in module ? readEngine(`${name}.engine`, module.engine) : engine;
    modules.set(name, make(readModule(name, module, own, tensors), name));
  }
  if (entries.size > 0) failRange("bytes", "no other tensors", [...entries.keys()]);
  return new QuantizedModel(modules, () => bytes);
}

/**
 * {@linkcode readModel} with modules as plain data: all that sessions need.
 *
 * @throws {TypeError} If `bytes` is no Uint8Array, or a metadata value is of the wrong kind.
 * @throws {RangeError} If the file is malformed, or a module is quantized dynamically.
 */
export function loadModel(bytes: Uint8Array): QuantizedModel {
  return readModel(
    bytes,
    (module, name) =>
      module.kind !== "Embedding" && module.dynamic
        ? failRange(name, "no dynamic module (the full entry point runs it)", "one")
        : module,
  );
}
