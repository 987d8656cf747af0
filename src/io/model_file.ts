/**
 * Reading a quantized model: one safetensors file, with the module tree as JSON in its metadata.
 *
 * The tree says what the tensors do not: a list of modules, each with its name, type, flags and qparams; these by their
 * places in a list of all. Sizes are those of the tensors' shapes, and there is a bias, a second direction, a projected
 * hidden state where its tensors are.
 *
 * @module
 */
import type { Engine, LinearWeight } from "../../kernels/ops/linear.ts";
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import { DTYPES } from "../core/dtype.ts";
import {
  checkBoolean,
  checkEach,
  checkFinite,
  checkInteger,
  checkLength,
  checkObject,
  failRange,
  failType,
  parseJson,
} from "../core/errors.ts";
import { type CellQParams, GATED_PARTS, lstmParts, PART_NAMES } from "../cells/lstm_parts.ts";
import { perTensorAffine, type PerTensorQParams } from "../core/qparams.ts";
import type { QuantizedLstmCell } from "../modules/lstm/cell.ts";
import { QuantizedEmbedding } from "../modules/embedding/quantized.ts";
import { QuantizedLinear } from "../modules/linear/quantized.ts";
import { QuantizedLSTM } from "../modules/lstm/quantized.ts";
import { QuantizedModel } from "../authoring/model.ts";
import type { LstmModule, ModuleData } from "../authoring/modules.ts";
import { parseSafetensors } from "./safetensors.ts";

/** The metadata key that the module tree stands under. */
export const METADATA_KEY = "splitgate";

/** Version of the model file that is written, and the only one that is read. */
export const FORMAT_VERSION = 2;

/** What is expected of a safetensors file, and the way on for one of a float model. */
const FOREIGN =
  "what saveModel gave (float weights: parseSafetensors, loadStateDict, prepare and convert)";

/** Fields are taken out of their module's JSON as they are read, so that what is left was not expected. */
type Fields = Record<string, unknown>;

/** Gives the qparams that stand at a place of the file's list. */
type QParamsReader = (name: string, place: unknown) => PerTensorQParams | null;

/** Requires a list, of `length` elements if that is given. */
function checkList(name: string, value: unknown, length?: number): unknown[] {
  if (!Array.isArray(value)) return failType(name, "an array", value);
  checkLength(name, value.length, length ?? value.length);
  return value;
}

/** `[dtype, scale, zeroPoint]` or `[dtype, scale, zeroPoint, quantMin, quantMax]`, or null; a dtype by its place. */
function readQParams(name: string, value: unknown): PerTensorQParams | null {
  if (value === null) return null;
  const [dtype, scale, zeroPoint, quantMin, quantMax] = checkList(name, value) as number[];
  try {
    return perTensorAffine({
      dtype: DTYPES[dtype!]!,
      scale: scale!,
      zeroPoint: zeroPoint!,
      quantMin,
      quantMax,
    });
  } catch (error) {
    return failRange(name, "qparams", (error as Error).message);
  }
}

/** Gives the cells what their parts requantize before they read it: for some cells, for some parts, a list. */
function withInputs(
  module: LstmModule,
  name: string,
  fields: Fields,
  qparams: QParamsReader,
): LstmModule {
  if (fields.inputs === undefined) return module;
  const given = checkObject(`${name}.inputs`, fields.inputs);
  delete fields.inputs;
  const cells = module.cells.map((layer, l) =>
    layer.map((cell, d) => {
      const key = `${l}.${d}`;
      const at = `${name}.inputs.${key}`;
      if (!Object.hasOwn(given, key)) return cell;
      const parts = checkObject(at, given[key]);
      const inputs: Record<string, unknown> = {};
      delete given[key];
      for (const { name: part, inputs: { length } } of lstmParts(module.projSize > 0)) {
        if (!Object.hasOwn(parts, part)) continue;
        const each = `${at}.${part}`;
        inputs[part] = checkList(each, parts[part], length).map((place, i) =>
          qparams(`${each}[${i}]`, place)
        );
        delete parts[part];
      }
      for (const part in parts) failRange(at, "parts", part);
      return { ...cell, parts: { ...cell.parts, inputs } };
    })
  );
  for (const key in given) failRange(`${name}.inputs`, "cells", key);
  return { ...module, cells };
}

/** Gives an LSTM what a float32 initial state is quantized with. */
function withStateInput(
  module: LstmModule,
  name: string,
  fields: Fields,
  qparams: QParamsReader,
): LstmModule {
  if (fields.stateInput === undefined) return module;
  const at = `${name}.stateInput`;
  const [h, c] = checkList(at, fields.stateInput, 2).map((place, i) =>
    qparams(`${at}[${i}]`, place)
  );
  delete fields.stateInput;
  return { ...module, stateInput: [h!, c!] };
}

/** A module that can do more than run in sessions. */
function makeModule(
  module: ModuleData,
  name: string,
  fields: Fields,
  qparams: QParamsReader,
): ModuleData {
  if (module.kind === "Embedding") return new QuantizedEmbedding(module);
  const { dynamic = false } = fields;
  delete fields.dynamic;
  const all = { ...module, dynamic: checkBoolean(`${name}.dynamic`, dynamic) };
  return all.kind === "Linear" ? new QuantizedLinear(all) : new QuantizedLSTM(
    withStateInput(withInputs(all, name, fields, qparams), name, fields, qparams),
  );
}

/**
 * Reads a quantized model from the bytes of its file, which is taken to be hostile: everything is checked before it
 * is used. Tensors are copied, so that `bytes` may be used for something else. The modules have `forward`, and LSTMs that the fast
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
  const { tensors, metadata } = parseSafetensors(bytes);
  const modules = new Map<string, ModuleData>();
  const text = metadata[METADATA_KEY];
  if (text === undefined) {
    return failRange("bytes", FOREIGN, "a safetensors file of something else");
  }
  const json = parseJson(METADATA_KEY, () => text);
  if (json.version !== FORMAT_VERSION) failRange("version", `${FORMAT_VERSION}`, json.version);
  const all = checkList("qparams", json.qparams).map((value, i) =>
    readQParams(`qparams[${i}]`, value)
  );
  const qparams: QParamsReader = (name, place) =>
    all[checkInteger(name, place, 0, all.length - 1)]!;

  const readModule = (name: string, fields: Fields): ModuleData => {
    const at = (key: string) => `${name}.${key}`;
    const has = (key: string) => tensors.has(at(key));
    const tensor = (key: string) => tensors.get(at(key));
    const field = (key: string): unknown => {
      const value = fields[key];
      delete fields[key];
      return value;
    };
    const flag = (key: string) => checkBoolean(at(key), field(key));
    // Tensors are taken out, too. A size that is not given may be any.
    const take = <T>(
      key: string,
      dtypes: string,
      ...shape: (number | undefined)[]
    ): { data: T; shape: number[] } => {
      const entry = tensor(key);
      const { data, shape: sizes = [] } = entry ?? {};
      if (
        !dtypes.includes(entry?.dtype!) || sizes.length !== shape.length ||
        !sizes.every((size, i) => size > 0 && size === (shape[i] ?? size))
      ) {
        failRange(
          at(key),
          `a tensor ${dtypes} [${shape}]`,
          entry ? `${entry.dtype} [${sizes}]` : "none",
        );
      }
      tensors.delete(at(key));
      if (isFloat32Array(data)) checkFinite(at(key), data);
      return { data: data as T, shape: sizes };
    };
    const floats = (key: string, size?: number) => take<Float32Array>(key, "F32", size).data;
    // An int8 weight with its scales, and zero points where they are not all 0.
    const int8 = (key: string, rows?: number, columns?: number): LinearWeight => {
      const { data, shape: [outFeatures = 0, inFeatures = 0] } = take<Int8Array>(
        key,
        "I8",
        rows,
        columns,
      );
      const scaleKey = `${key}.scale`;
      const scales = floats(scaleKey);
      const { length } = scales;
      const points = `${key}.zero_point`;
      checkEach(at(scaleKey), scales, Number.MIN_VALUE, Infinity, "a positive number");
      if (outFeatures % length) failRange(at(scaleKey), `a divisor of ${outFeatures}`, length);
      const zeroPoints = has(points)
        ? take<Int32Array>(points, "I32", length).data
        : new Int32Array(length);
      checkEach(at(points), zeroPoints, -128, 127);
      return { data, outFeatures, inFeatures, perChannel, scales, zeroPoints };
    };
    const kind = field("type");
    if (kind === "Embedding") {
      const { data: weight, shape: [numEmbeddings = 0, embeddingDim = 0] } = take<
        Uint8Array | Uint16Array | Float32Array
      >("weight", "F32, U16 or U8", undefined, undefined);
      const rows = (key: string) =>
        isFloat32Array(weight) ? new Float32Array(0) : floats(key, numEmbeddings);
      return {
        kind,
        weight,
        numEmbeddings,
        embeddingDim,
        scales: rows("weight.scale"),
        biases: rows("weight.bias"),
      };
    }
    const engine = field("engine") as Engine;
    const perChannel = flag("perChannel");
    const input = qparams(at("input"), field("input"));
    if (engine !== "fbgemm" && engine !== "qnnpack") {
      failRange(at("engine"), "fbgemm or qnnpack", engine);
    }
    if (kind === "Linear") {
      const weight = int8("weight");
      const bias = has("bias") ? floats("bias", weight.outFeatures) : null;
      return { kind, engine, weight, bias, input, output: qparams(at("output"), field("output")) };
    }
    if (kind !== "LSTM") return failRange(at("type"), "Embedding, LSTM or Linear", kind);
    // The first cell says of which sizes all are.
    const shapeOf = (key: string) => tensor(`weight_${key}_l0`)?.shape ?? [];
    const [, inputSize = 0] = shapeOf("ih");
    const [, size = 0] = shapeOf("hh");
    const [projSize = 0, hiddenSize = size] = shapeOf("hr");
    const bias = has("bias_ih_l0");
    const bidirectional = has("weight_ih_l0_reverse");
    const directions = bidirectional ? 2 : 1;
    const rows = 4 * hiddenSize;
    const cells = checkList(at("cells"), field("cells")).map((layer, l) =>
      checkList(at(`cells[${l}]`), layer, directions).map((places, d): QuantizedLstmCell => {
        const cell = `cells[${l}][${d}]`;
        const suffix = `_l${l}${d ? "_reverse" : ""}`;
        const parts: Record<string, unknown> = {};
        // Four qparams, one a gate, for each of the gated parts; then one a part.
        const all = checkList(at(cell), places, projSize ? 22 : 21).map((q, i) =>
          qparams(at(`${cell}[${i}]`), q)
        );
        PART_NAMES.slice(0, all.length - 9).forEach((part, i) =>
          parts[part] = i < GATED_PARTS ? all.slice(4 * i, 4 * i + 4) : all[i + 9]
        );
        return {
          weightHh: int8(`weight_hh${suffix}`, rows, projSize || hiddenSize),
          weightIh: int8(`weight_ih${suffix}`, rows, l ? size * directions : inputSize),
          weightHr: projSize ? int8(`weight_hr${suffix}`, projSize, hiddenSize) : null,
          biasIh: bias ? floats(`bias_ih${suffix}`, rows) : null,
          biasHh: bias ? floats(`bias_hh${suffix}`, rows) : null,
          parts: parts as unknown as CellQParams,
        };
      })
    );
    const numLayers = cells.length;
    const batchFirst = flag("batchFirst");
    const splitGates = flag("splitGates");
    if (!numLayers) failRange(at("cells"), "at least one layer", numLayers);
    return {
      kind,
      inputSize,
      hiddenSize,
      projSize,
      numLayers,
      bias,
      bidirectional,
      batchFirst,
      engine,
      splitGates,
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
    modules.set(name, makeModule(readModule(name, fields), name, fields, qparams));
    for (const key in fields) {
      failRange(`${name}.${key}`, "no such field", fields[key]);
    }
  }
  for (const key of tensors.keys()) failRange("bytes", "no other tensors", key);
  return new QuantizedModel(modules);
}
