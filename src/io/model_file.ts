/**
 * Reading a quantized model: one safetensors file, with the module tree as JSON in its metadata.
 *
 * The tree says what the tensors do not: a list of modules, each with its name, type, flags and qparams; these by their
 * places in a list of all. Sizes are those of the tensors' shapes, and there is a bias, a second direction, a projected
 * hidden state where its tensors are.
 *
 * @module
 */
import type { Engine, LinearWeight } from "../../kernels/linear.ts";
import { DTYPES } from "../dtype.ts";
import {
  checkBoolean,
  checkEach,
  checkFinite,
  checkInteger,
  checkObject,
  failRange,
  failType,
  parseJson,
} from "../errors.ts";
import { type CellQParams, GATED_PARTS, PART_NAMES } from "../lstm_parts.ts";
import { perTensorAffine, type PerTensorQParams } from "../qparams.ts";
import type { QuantizedLstmCell } from "../quantized/cell.ts";
import { QuantizedModel } from "../quantized/model.ts";
import type { ModuleData } from "../quantized/modules.ts";
import { parseSafetensors } from "./safetensors.ts";

/** The metadata key that the module tree stands under. */
export const METADATA_KEY = "splitgate";

/** Version of the model file that is written, and the only one that is read. */
export const FORMAT_VERSION = 2;

/** Fields are taken out of their module's JSON as they are read, so that what is left was not expected. */
export type Fields = Record<string, unknown>;

/** Gives the qparams that stand at a place of the file's list. */
export type QParamsReader = (name: string, place: unknown) => PerTensorQParams | null;

/** Requires a list, of `length` elements if that is given. */
export function checkList(name: string, value: unknown, length?: number): unknown[] {
  if (!Array.isArray(value)) return failType(name, "an array", value);
  if (value.length !== (length ?? value.length)) failRange(name, `${length} elements`, value.length);
  return value;
}

/** `[dtype, scale, zeroPoint]` or `[dtype, scale, zeroPoint, quantMin, quantMax]`, or null; a dtype by its place. */
function readQParams(name: string, value: unknown): PerTensorQParams | null {
  if (value === null) return null;
  const [dtype, scale, zeroPoint, quantMin, quantMax] = checkList(name, value) as number[];
  try {
    return perTensorAffine({ dtype: DTYPES[dtype!]!, scale: scale!, zeroPoint: zeroPoint!, quantMin, quantMax });
  } catch (error) {
    return failRange(name, "qparams", (error as Error).message);
  }
}

/**
 * Reads a quantized model from the bytes of its file. The file is taken to be hostile: everything is checked
 * before it is used. Tensors are views of `bytes` where alignment allows.
 *
 * @param bytes What `saveModel` gave.
 * @param make What becomes of each module's data, and of the fields that are left.
 * @returns The model, ready for sessions.
 * @throws {TypeError} If `bytes` is no Uint8Array, or a metadata value is of the wrong kind.
 * @throws {RangeError} If the file is cut off or malformed, of another version, or a tensor is missing,
 * unexpected, or of the wrong dtype or shape.
 */
export function readModel(
  bytes: Uint8Array,
  make: (module: ModuleData, name: string, fields: Fields, qparams: QParamsReader) => ModuleData,
): QuantizedModel {
  const { tensors, metadata } = parseSafetensors(bytes), modules = new Map<string, ModuleData>();
  const json = parseJson(METADATA_KEY, () => metadata[METADATA_KEY]!);
  if (json.version !== FORMAT_VERSION) failRange("version", `${FORMAT_VERSION}`, json.version);
  const all = checkList("qparams", json.qparams).map((value, i) => readQParams(`qparams[${i}]`, value));
  const qparams: QParamsReader = (name, place) => all[checkInteger(name, place, 0, all.length - 1)]!;

  // Tensors are taken out, too. A size that is undefined may be any.
  const take = <T>(name: string, dtypes: string, ...shape: (number | undefined)[]): { data: T; shape: number[] } => {
    const entry = tensors.get(name), given = entry?.shape;
    if (
      !dtypes.includes(entry?.dtype!) || given!.length !== shape.length ||
      !given!.every((size, i) => size > 0 && size === (shape[i] ?? size))
    ) failRange(name, `a tensor ${dtypes} [${shape}]`, entry ? `${entry.dtype} [${given}]` : "none");
    tensors.delete(name);
    if (entry!.data instanceof Float32Array) checkFinite(name, entry!.data);
    return entry as unknown as { data: T; shape: number[] };
  };
  const takeFloats = (name: string, length: number) => take<Float32Array>(name, "F32", length).data;
  // An int8 weight with its scales, and zero points where they are not all 0.
  const takeWeight = (name: string, perChannel: boolean, rows?: number, columns?: number): LinearWeight => {
    const { data, shape: [outFeatures, inFeatures] } = take<Int8Array>(name, "I8", rows, columns);
    const points = `${name}.zero_point`, scaleName = `${name}.scale`;
    const scales = take<Float32Array>(scaleName, "F32", undefined).data, count = scales.length;
    checkEach(scaleName, scales, Number.MIN_VALUE, Infinity, "a positive number");
    if (outFeatures! % count) failRange(scaleName, `a divisor of ${outFeatures}`, count);
    const zeroPoints = tensors.has(points) ? take<Int32Array>(points, "I32", count).data : new Int32Array(count);
    checkEach(points, zeroPoints, -128, 127);
    return { data, outFeatures: outFeatures!, inFeatures: inFeatures!, perChannel, scales, zeroPoints };
  };

  const readModule = (name: string, fields: Fields): ModuleData => {
    const field = (key: string): unknown => {
      const value = fields[key];
      delete fields[key];
      return value;
    };
    const flag = (key: string) => checkBoolean(`${name}.${key}`, field(key));
    const kind = field("type");
    if (kind === "Embedding") {
      const { data: weight, shape: [numEmbeddings, embeddingDim] } = take<Uint8Array | Uint16Array | Float32Array>(
        `${name}.weight`,
        "F32, U16 or U8",
        undefined,
        undefined,
      );
      const floats = (what: string) =>
        weight instanceof Float32Array ? new Float32Array(0) : takeFloats(`${name}.weight.${what}`, numEmbeddings!);
      return {
        kind,
        weight,
        numEmbeddings: numEmbeddings!,
        embeddingDim: embeddingDim!,
        scales: floats("scale"),
        biases: floats("bias"),
      };
    }
    const engine = field("engine") as Engine,
      perChannel = flag("perChannel"),
      input = qparams(`${name}.input`, field("input"));
    if (engine !== "fbgemm" && engine !== "qnnpack") failRange(`${name}.engine`, "fbgemm or qnnpack", engine);
    if (kind === "Linear") {
      const weight = takeWeight(`${name}.weight`, perChannel), at = `${name}.bias`;
      return {
        kind,
        engine,
        weight,
        bias: tensors.has(at) ? takeFloats(at, weight.outFeatures) : null,
        input,
        output: qparams(`${name}.output`, field("output")),
      };
    }
    if (kind !== "LSTM") return failRange(`${name}.type`, "Embedding, LSTM or Linear", kind);
    const has = (tensor: string) => tensors.has(`${name}.${tensor}`);
    const bias = has("bias_ih_l0"), bidirectional = has("weight_ih_l0_reverse"), directions = bidirectional ? 2 : 1;
    // The first cell says of which sizes all are.
    const shapeOf = (kind: string) => tensors.get(`${name}.weight_${kind}_l0`)?.shape ?? [];
    const [, inputSize] = shapeOf("ih"), [, size] = shapeOf("hh");
    const [projSize = 0, hiddenSize = size] = shapeOf("hr"), rows = 4 * hiddenSize!;
    const cells = checkList(`${name}.cells`, field("cells")).map((layer, l) =>
      checkList(`${name}.cells[${l}]`, layer, directions).map((places, d): QuantizedLstmCell => {
        const suffix = `_l${l}${d ? "_reverse" : ""}`, at = `${name}.cells[${l}][${d}]`;
        const weight = (kind: string, rows: number, columns?: number) =>
          takeWeight(`${name}.weight_${kind}${suffix}`, perChannel, rows, columns);
        const biasOf = (kind: string) => bias ? takeFloats(`${name}.bias_${kind}${suffix}`, rows) : null;
        // Four qparams, one a gate, for each of the gated parts; then one a part.
        const list = checkList(at, places, projSize ? 22 : 21).map((place, i) => qparams(`${at}[${i}]`, place));
        const parts: Record<string, unknown> = {};
        for (let i = 0; i < list.length - 9; i++) {
          parts[PART_NAMES[i]!] = i < GATED_PARTS ? list.slice(4 * i, 4 * i + 4) : list[i + 9];
        }
        return {
          weightHh: weight("hh", rows, projSize || hiddenSize),
          weightIh: weight("ih", rows, l ? size! * directions : inputSize),
          weightHr: projSize ? weight("hr", projSize, hiddenSize) : null,
          biasIh: biasOf("ih"),
          biasHh: biasOf("hh"),
          parts: parts as unknown as CellQParams,
        };
      })
    );
    if (!cells.length) failRange(`${name}.cells`, "at least one layer", cells);
    return {
      kind,
      inputSize: inputSize!,
      hiddenSize: hiddenSize!,
      projSize,
      numLayers: cells.length,
      bias,
      bidirectional,
      batchFirst: flag("batchFirst"),
      engine,
      splitGates: flag("splitGates"),
      input,
      torchInitialState: flag("torchInitialState"),
      cells,
    };
  };

  for (const value of checkList("modules", json.modules)) {
    const { name, ...fields } = checkObject("modules[]", value);
    if (typeof name !== "string" || modules.has(name)) {
      return failRange("name", "a name of its own", name);
    }
    modules.set(name, make(readModule(name, fields), name, fields, qparams));
    for (const key in fields) {
      failRange(`${name}.${key}`, "no such field (the full entry point has more)", fields[key]);
    }
  }
  if (tensors.size > 0) failRange("bytes", "no other tensors", [...tensors.keys()]);
  return new QuantizedModel(modules, () => bytes);
}

/**
 * {@linkcode readModel} with modules as plain data: all that sessions need.
 *
 * @throws {TypeError} If `bytes` is no Uint8Array, or a metadata value is of the wrong kind.
 * @throws {RangeError} If the file is malformed, or has what only the full entry point runs: a module that is
 * quantized dynamically, a part that requantizes what it reads.
 */
export function loadModel(bytes: Uint8Array): QuantizedModel {
  return readModel(bytes, (module) => module);
}
