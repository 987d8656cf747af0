/**
 * Reading a quantized model: one safetensors file, with the modules as JSON in its metadata.
 *
 * The JSON holds what the tensors do not: a list of modules, each with its name, kind, inputs,
 * flags and qparams, which are indices into a list of all qparams. Sizes follow from the tensors'
 * shapes.
 *
 * @module
 */
import type { Engine, LinearWeight } from "../../kernels/ops/linear.ts";
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import { QuantizedModel } from "../authoring/model.ts";
import type { BytesSource } from "../core/bytes.ts";
import { checkFloat32 } from "../core/check.ts";
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
import type { Mask } from "../core/mask.ts";
import { perTensorAffine, type PerTensorQParams } from "../core/qparams.ts";
import { INPUT, orderedTopology, outputsOf } from "../core/topology.ts";
import type { FileArray, FileTensor, ModuleReader } from "../modules/file.ts";
import type { QuantizedModule } from "../modules/kind.ts";
import { kindNamed } from "../modules/kinds.ts";
import { takeChecksum } from "./checksum.ts";
import { ARCHITECTURE_KEY, METADATA_KEY } from "./metadata.ts";
import { parseSafetensors, type SafetensorsEntry } from "./safetensors.ts";

/** Version of the model file that is written, and the only one that is read. */
export const FORMAT_VERSION = 2;

/** The expectation in messages about other safetensors files, with advice for float models. */
const FOREIGN = "what saveModel gave (float weights: importSafetensors, prepare and convert)";

/** Requires a list, of `length` elements if that is given. */
function checkList(name: string, value: unknown, length?: number): unknown[] {
  if (!Array.isArray(value)) return failType(name, "an array", value);
  checkLength(name, value.length, length ?? value.length);
  return value;
}

/**
 * `[dtype, scale, zeroPoint]` or `[dtype, scale, zeroPoint, quantMin, quantMax]`, or null; a dtype
 * by its index.
 */
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

/** A mask; that its rows fit the outputs is for the model to check. */
function readMask(json: unknown): Mask {
  const { value, before, ...unknown } = checkObject("mask", json);
  for (const key in unknown) failRange(`mask.${key}`, "no such field", unknown[key]);
  return {
    value: checkFloat32("mask.value", value),
    before: checkList("mask.before", before).map((row, i) =>
      row === null ? null : Float32Array.from(
        checkList(`mask.before[${i}]`, row),
        (each, j) => checkFloat32(`mask.before[${i}][${j}]`, each),
      )
    ),
  };
}

/** Reads one module. Fields are removed as they are read: what remains at the end is unexpected. */
class Reader implements ModuleReader {
  readonly name: string;
  readonly #fields: Record<string, unknown>;
  readonly #tensors: Map<string, SafetensorsEntry>;
  readonly #qparams: readonly (PerTensorQParams | null)[];

  constructor(
    name: string,
    fields: Record<string, unknown>,
    tensors: Map<string, SafetensorsEntry>,
    qparams: readonly (PerTensorQParams | null)[],
  ) {
    this.name = name;
    this.#fields = fields;
    this.#tensors = tensors;
    this.#qparams = qparams;
  }

  #at(key: string): string {
    return `${this.name}.${key}`;
  }

  field(key: string): unknown {
    const value = this.#fields[key];
    delete this.#fields[key];
    return value;
  }

  flag(key: string): boolean {
    return checkBoolean(this.#at(key), this.field(key));
  }

  option(key: string): boolean {
    const value = this.field(key);
    return value !== undefined && checkBoolean(this.#at(key), value);
  }

  engine(key: string): Engine {
    const engine = this.field(key);
    if (engine !== "fbgemm" && engine !== "qnnpack") {
      return failRange(this.#at(key), "fbgemm or qnnpack", engine);
    }
    return engine;
  }

  shapeOf(key: string): readonly number[] | undefined {
    return this.#tensors.get(this.#at(key))?.shape;
  }

  tensor<T extends FileArray>(
    key: string,
    dtypes: string,
    ...shape: (number | undefined)[]
  ): FileTensor<T> {
    const at = this.#at(key);
    const entry = this.#tensors.get(at);
    const { data, shape: sizes = [] } = entry ?? {};
    if (
      !dtypes.includes(entry?.dtype!) || sizes.length !== shape.length ||
      !sizes.every((size, i) => size > 0 && size === (shape[i] ?? size))
    ) {
      failRange(at, `a tensor ${dtypes} [${shape}]`, entry ? `${entry.dtype} [${sizes}]` : "none");
    }
    this.#tensors.delete(at);
    if (isFloat32Array(data)) checkFinite(at, data);
    return { data: data as unknown as T, shape: sizes };
  }

  floats(key: string, size?: number): Float32Array {
    return this.tensor<Float32Array>(key, "F32", size).data;
  }

  weight(key: string, rows?: number, columns?: number, perChannel = true): LinearWeight {
    const { data, shape } = this.tensor<Int8Array>(key, "I8", rows, columns);
    const [outFeatures = 0, inFeatures = 0] = shape;
    const scaleKey = `${key}.scale`;
    const pointKey = `${key}.zero_point`;
    const scales = this.floats(scaleKey);
    const { length } = scales;
    checkEach(this.#at(scaleKey), scales, Number.MIN_VALUE, Infinity, "a positive number");
    if (outFeatures % length) {
      failRange(this.#at(scaleKey), `a divisor of ${outFeatures}`, length);
    }
    const zeroPoints = this.shapeOf(pointKey) === undefined
      ? new Int32Array(length)
      : this.tensor<Int32Array>(pointKey, "I32", length).data;
    checkEach(this.#at(pointKey), zeroPoints, -128, 127);
    return { data, outFeatures, inFeatures, perChannel, scales, zeroPoints };
  }

  qparams(name: string, index: unknown): PerTensorQParams | null {
    const all = this.#qparams;
    return all[checkInteger(this.#at(name), index, 0, all.length - 1)]!;
  }

  list(name: string, value: unknown, length?: number): unknown[] {
    return checkList(this.#at(name), value, length);
  }

  /** Requires that no field is left. */
  finish(): void {
    for (const key in this.#fields) failRange(this.#at(key), "no such field", this.#fields[key]);
  }
}

/** Requires a list of names, of `length` if that is given. */
function checkNames(name: string, value: unknown, length?: number): string[] {
  return checkList(name, value, length).map((each, i) =>
    typeof each === "string" ? each : failType(`${name}[${i}]`, "a name", each)
  );
}

/**
 * Reads a quantized model from the bytes of its file. The file is treated as hostile: everything is
 * checked before it is used. Files of `saveModel` and scripts/export_torch.py have a checksum,
 * which detects any change; files of other writers may lack it. Tensors are copied, so that `bytes`
 * may be reused. The modules have `forward`; LSTMs that the fast step does not support run part by
 * part.
 *
 * @param bytes A file of `saveModel`.
 * @returns The model, ready for sessions.
 * @throws {TypeError} If `bytes` is neither a buffer nor a view of one, or a metadata value is of
 * the wrong kind.
 * @throws {RangeError} If the file is cut off, changed or malformed, of another version, or a
 * tensor is missing, unexpected, or of the wrong dtype or shape.
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
export function loadModel(bytes: BytesSource): QuantizedModel {
  const { tensors, metadata } = parseSafetensors(bytes);
  const text = metadata[METADATA_KEY];
  if (text === undefined) {
    const got = ARCHITECTURE_KEY in metadata
      ? "a float model, which loadFloatModel reads"
      : "a safetensors file of something else";
    return failRange("bytes", FOREIGN, got);
  }
  const json = takeChecksum(text, tensors);
  const { version, qparams: list, modules: tree, outputs: named, mask, ...unknown } = parseJson(
    METADATA_KEY,
    () => json,
  );
  if (version !== FORMAT_VERSION) failRange("version", `${FORMAT_VERSION}`, version);
  for (const key in unknown) failRange(`${METADATA_KEY}.${key}`, "no such field", unknown[key]);
  const qparams = checkList("qparams", list)
    .map((value, i) => readQParams(`qparams[${i}]`, value));
  const modules = new Map<string, QuantizedModule>();
  const inputs: [string, readonly string[]][] = [];
  let last = INPUT;
  for (const value of checkList("modules", tree)) {
    const { name, type, reads = [last], ...fields } = checkObject("modules[]", value);
    if (typeof name !== "string" || modules.has(name)) {
      return failRange("name", "a name of its own", name);
    }
    const kind = kindNamed(`${name}.type`, type);
    const reader = new Reader(name, fields, tensors, qparams);
    modules.set(name, kind.read(reader));
    reader.finish();
    inputs.push([name, checkNames(`${name}.reads`, reads)]);
    last = name;
  }
  for (const key of tensors.keys()) failRange("bytes", "no other tensors", key);
  const outputs = named === undefined
    ? outputsOf([last])
    : checkList("outputs", named).map((each, i): readonly [string, string] => {
      const [name, module] = checkNames(`outputs[${i}]`, each, 2);
      return [name!, module!];
    });
  const topology = {
    ...orderedTopology("modules", inputs, outputs, true),
    ...mask !== undefined && { mask: readMask(mask) },
  };
  const ordered = [...topology.inputs.keys()].map((name) => [name, modules.get(name)!] as const);
  return new QuantizedModel(new Map(ordered), topology);
}
