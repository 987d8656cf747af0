/**
 * Compiling: lowering a model and writing its program file.
 *
 * @module
 */
import { typedArrayKind } from "../../kernels/numeric/typed_array.ts";
import type { Bytes } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { checkGiven, failRange, failType, isObject } from "../core/errors.ts";
import { type LoweringOptions, QuantizedModel } from "../authoring/model.ts";
import { kindOf } from "../modules/kinds.ts";
import type { ProgramData, ProgramNode } from "../runtime/data.ts";
import type { Backend } from "../runtime/kind.ts";
import {
  checksum,
  PROGRAM_ARRAYS,
  PROGRAM_HEADER,
  PROGRAM_MAGIC,
  PROGRAM_VERSION,
  type ProgramText,
  type StoredArray,
} from "../runtime/program_file.ts";

const SPACE = 32;

/** Fields that are not written to a file. */
const NOT_STORED: readonly string[] = ["source", "byParts"];

type Numbers = InstanceType<typeof PROGRAM_ARRAYS[number]>;

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  let i = 0;
  if (a.length === b.length) { while (i < a.length && a[i] === b[i]) i++; }
  return i === a.length && i === b.length;
}

/** Deduplicated arrays of a file, each in the narrowest element type that holds its values. */
class Arrays {
  readonly parts: [at: number, bytes: Uint8Array][] = [];
  end = PROGRAM_HEADER;
  /** Stored arrays by checksum of their bytes. */
  readonly #known = new Map<number, [at: number, bytes: Uint8Array][]>();

  /**
   * Adds an array; returns its element type, its stored element type, its byte offset and its
   * length.
   */
  add(array: Numbers): [number, number, number, number] {
    const kind = PROGRAM_ARRAYS.findIndex(({ name }) => name === typedArrayKind(array));
    const holds = (stored: Numbers) => array.every((value, i) => Object.is(value, stored[i]));
    let stored: Numbers = array;
    let storedKind = kind;
    PROGRAM_ARRAYS.forEach((Kind, i) => {
      if (Kind.BYTES_PER_ELEMENT >= stored.BYTES_PER_ELEMENT) return;
      const smaller = new Kind(array as Float64Array);
      if (holds(smaller)) [stored, storedKind] = [smaller, i];
    });
    // Compared as bytes, since 0 === -0.
    const bytes = new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
    const checksum = crc32(bytes);
    const candidates = this.#known.get(checksum) ?? [];
    let part = candidates.find((candidate) => sameBytes(candidate[1], bytes));
    if (part === undefined) {
      part = [this.end, bytes];
      this.parts.push(part);
      this.#known.set(checksum, [...candidates, part]);
      this.end += Math.ceil(bytes.length / 8) * 8;
    }
    return [kind, storedKind, part[0], array.length];
  }
}

/**
 * Options of {@linkcode compileModel}.
 *
 * @example
 * ```ts
 * import { compileModel, type CompileOptions, LSTM, quantize } from "@splitgate/splitgate";
 * import { simdKernels } from "@splitgate/splitgate/simd";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
 * const { model } = await quantize(lstm, [new Float32Array(8)]);
 * const options: CompileOptions = { kernels: await simdKernels() }; // a program prepared for SIMD
 * compileModel(model, options);
 * ```
 */
export interface CompileOptions extends LoweringOptions {
  /**
   * Kernels for which data is precomputed, `simdKernels()`: the file then also holds their packed
   * LSTM weights, so that sessions start sooner. Other kernels, and engines with other
   * instructions, can still run it.
   */
  readonly kernels?: Backend | undefined;
}

/**
 * Compiles a model for `loadProgram` of the runtime: a file of everything that its steps need,
 * precomputed, so that it loads fast and with little code. It is larger than `saveModel`'s by a few
 * numbers a row.
 *
 * @param model A quantized model.
 * @param options.foldEmbedding As in {@linkcode QuantizedModel.lower}: the file holds the
 * Embedding's own table, and a token's row is projected on first use. Without folding, each step
 * projects its token's row again.
 * @param options.kernels With `simdKernels()` the file also holds their packed LSTM weights and
 * constants.
 * @returns The file's bytes, the same for the same model.
 * @throws {TypeError} If `model` is no QuantizedModel, or an option is of the wrong kind.
 * @throws {RangeError} If the fast step cannot run a module's part: the message names the part and
 * the remedy (`saveModel` can store such a model, and the main entry point can run it). Or if there
 * is nothing to fold.
 *
 * @example
 * ```ts
 * import { compileModel, convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed), program = loadProgram(compileModel(model));
 * const x = Float32Array.of(0.1, -0.4), here = new Float32Array(3), there = new Float32Array(3);
 * model.createSession().step(x, here);
 * program.createSession().step(x, there);
 * assertEquals(there, here);
 * ```
 */
export function compileModel(
  model: QuantizedModel,
  options: CompileOptions = {},
): Bytes {
  if (!(model instanceof QuantizedModel)) failType("model", "a QuantizedModel", model);
  checkGiven(options);
  const { kernels, ...lowering } = options;
  if (kernels !== undefined && typeof kernels?.image !== "function") {
    failType("kernels", "simdKernels()", kernels);
  }
  const { data } = model.lower(lowering);
  const nodes = data.nodes.map((node): ProgramNode => {
    const { name, program } = node;
    if (program.byParts !== undefined) {
      failRange(`modules.${name}`, "parts that the fast step runs", program.byParts.reason);
    }
    const complete = kindOf(name, model.modules.get(name)!).complete?.(program);
    const image = kernels?.image?.(complete ?? program);
    return { ...node, program: { ...complete ?? program, ...image && { image } } };
  });
  const arrays = new Arrays();
  const referring: (readonly [(string | number)[], StoredArray[]])[] = [];
  // A copy with null in place of arrays, and without fields that files cannot hold.
  const plain = (value: unknown, path: (string | number)[]): unknown => {
    if (!isObject(value)) return value;
    const own: StoredArray[] = [];
    referring.push([path, own]);
    const kept = Object.entries(value).filter(([key]) => !NOT_STORED.includes(key));
    const fields = kept.map(([name, each]) => {
      const key = Array.isArray(value) ? Number(name) : name;
      if (!ArrayBuffer.isView(each)) return [key, plain(each, [...path, key])];
      own.push([key, ...arrays.add(each as Numbers)]);
      return [key, null];
    });
    return Array.isArray(value) ? fields.map(([, each]) => each) : Object.fromEntries(fields);
  };
  const program = plain(
    { ...data, nodes },
    [],
  ) as ProgramData;
  const text = JSON.stringify(
    { data: program, arrays: referring.filter(([, own]) => own.length > 0) } satisfies ProgramText,
  );
  const ascii = text.replace(
    /[^\0-\x7f]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  const json = new TextEncoder().encode(ascii);
  const words = Math.ceil((arrays.end + json.length) / 4) + 1;
  const file = new Uint8Array(words * 4).fill(SPACE, arrays.end);
  for (const [at, bytes] of [...arrays.parts, [arrays.end, json] as const]) file.set(bytes, at);
  const whole = new Int32Array(file.buffer);
  whole.set([PROGRAM_MAGIC, PROGRAM_VERSION, file.length, arrays.end]);
  whole[words - 1] = checksum(whole.subarray(0, words - 1));
  return file;
}
