/**
 * Compiling: a model lowered, and written as it is to run.
 *
 * @module
 */
import { activationTable, lookup } from "../../kernels/numeric/activation.ts";
import type { ActivationProgram } from "../../kernels/packed/program.ts";
import { isUint8Array, typedArrayKind } from "../../kernels/numeric/typed_array.ts";
import { checkGiven, failRange, failType, isObject } from "../core/errors.ts";
import { type LoweringOptions, QuantizedModel } from "../authoring/model.ts";
import { foldedBytes } from "../authoring/lower.ts";
import type { LstmBackend } from "../runtime/backend.ts";
import type { LstmProgram, ProgramData, StageProgram } from "../runtime/program.ts";
import {
  PROGRAM_ARRAYS,
  PROGRAM_HEADER,
  PROGRAM_MAGIC,
  PROGRAM_VERSION,
  type ProgramText,
  type StoredArray,
} from "../runtime/program_file.ts";

/** Bytes that projected rows of tokens may add to a file where nothing is said. */
const FOLDED = 2 ** 20;

/** Inputs of an activation up to which its outputs are stored. */
const TABULATED = 256;

type Numbers = InstanceType<typeof PROGRAM_ARRAYS[number]>;

/** The arrays of a file, each once, in as few bytes as hold its values. */
class Arrays {
  readonly parts: [at: number, bytes: Uint8Array][] = [];
  end = PROGRAM_HEADER;
  readonly #known = new Map<string, number>();

  /** What it becomes, what it is stored as, from which byte on, and its length. */
  add(array: Numbers): [number, number, number, number] {
    const kind = PROGRAM_ARRAYS.findIndex(({ name }) => name === typedArrayKind(array));
    const holds = (stored: Numbers) => array.every((value, i) => Object.is(value, stored[i]));
    let stored: Numbers = array;
    let place = kind;
    PROGRAM_ARRAYS.forEach((Kind, i) => {
      if (Kind.BYTES_PER_ELEMENT >= stored.BYTES_PER_ELEMENT) return;
      const smaller = new Kind(array as Float64Array);
      if (holds(smaller)) [stored, place] = [smaller, i];
    });
    // By bytes, which tell 0 from -0.
    const bytes = new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
    const key = bytes.join();
    let at = this.#known.get(key);
    if (at === undefined) {
      this.#known.set(key, at = this.end);
      this.parts.push([at, bytes]);
      this.end += Math.ceil(bytes.length / 8) * 8;
    }
    return [kind, place, at, array.length];
  }
}

/** Whether bytes begin as a program does. */
export function isProgram(bytes: Uint8Array): boolean {
  return isUint8Array(bytes) && bytes.length >= 4 &&
    new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, true) === PROGRAM_MAGIC;
}

/** All that can be known beforehand: every token's rows, and the outputs of short activation tables. */
function complete(
  name: string,
  program: LstmProgram,
  vocabulary: number,
  kernels: LstmBackend | undefined,
): LstmProgram {
  if (program.layers === null) failRange(name, "parts that the fast step runs", "others");
  if (program.fill) { for (let token = 0; token < vocabulary; token++) program.fill(token); }
  const tables = program.tables.map((program): ActivationProgram => {
    const { activation, from, to } = program;
    const table = activationTable(activation, from, to);
    const { size, first } = table;
    if (size === 0 || size > TABULATED) return program;
    return {
      ...program,
      outputs: Float32Array.from({ length: size }, (_, i) => lookup(table, first + i)),
    };
  });
  const image = kernels?.image?.(program);
  return { ...program, tables, ...image && { image } };
}

/** Options of {@linkcode compileModel}. */
export interface CompileOptions extends LoweringOptions {
  /**
   * What is going to run the program, `simdKernels()`: what these make of its LSTMs is then part of the file, so that
   * sessions start sooner. Other kernels run it too, and so do these where the engine's instructions are others.
   */
  readonly kernels?: LstmBackend | undefined;
}

/**
 * Compiles a model for `loadProgram` of the runtime: a file of all numbers that its steps need, computed beforehand,
 * so that it is loaded by little code in little time. It is larger than `saveModel`'s by a few numbers a row, and by the
 * projected rows of tokens.
 *
 * @param model What `convert` or `loadModel` gave.
 * @param options.foldEmbedding As in {@linkcode QuantizedModel.lower}, but by default where the rows take at most 1 MB.
 * Without folding each step computes its token's row anew.
 * @param options.kernels What is going to run it, if that is `simdKernels()`: the file then also holds what these make
 * of it, the weights of its LSTMs once more and their constants.
 * @returns The file's bytes, the same for the same model.
 * @throws {TypeError} If `model` is no QuantizedModel, or an option is of the wrong kind.
 * @throws {RangeError} If a module is quantized dynamically, or has parts that the fast step does not run: such a model
 * takes the full entry point and `saveModel`. Or if there is nothing to fold.
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
): Uint8Array<ArrayBuffer> {
  if (!(model instanceof QuantizedModel)) failType("model", "a QuantizedModel", model);
  checkGiven(options);
  const {
    foldEmbedding = foldedBytes([...model.modules.values()]) <= FOLDED,
    kernels,
    ...unknown
  } = options;
  if (kernels !== undefined && typeof kernels?.image !== "function") {
    failType("kernels", "simdKernels()", kernels);
  }
  const { data, vocabulary, batchFirst } = model.lower({ foldEmbedding, ...unknown });
  // A folded Embedding, the first module, is no stage.
  const names = [...model.modules.keys()].slice(-data.stages.length);
  const stages = data.stages.map((stage, i): StageProgram => {
    const name = `modules.${names[i]}`;
    if (stage.kind === "LSTM") return complete(name, stage, vocabulary, kernels);
    if (stage.kind === "Linear" && stage.projector === null) {
      failRange(name, "no dynamic module", "one");
    }
    return stage;
  });
  const arrays = new Arrays();
  const places: (readonly [(string | number)[], StoredArray[]])[] = [];
  // A copy with null for arrays of numbers, and without what no file can hold.
  const plain = (value: unknown, path: (string | number)[]): unknown => {
    if (!isObject(value)) return value;
    const own: StoredArray[] = [];
    places.push([path, own]);
    const fields = Object.entries(value).filter(([key]) => key !== "source" && key !== "fill").map(
      ([name, each]) => {
        const key = Array.isArray(value) ? Number(name) : name;
        if (!ArrayBuffer.isView(each)) return [key, plain(each, [...path, key])];
        own.push([key, ...arrays.add(each as Numbers)]);
        return [key, null];
      },
    );
    return Array.isArray(value) ? fields.map(([, each]) => each) : Object.fromEntries(fields);
  };
  const program = plain(
    { vocabulary, batchFirst, fingerprint: data.fingerprint, stages },
    [],
  ) as ProgramData;
  const text = JSON.stringify(
    { data: program, arrays: places.filter(([, own]) => own.length > 0) } satisfies ProgramText,
  );
  const ascii = text.replace(
    /[^\0-\x7f]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  const json = new TextEncoder().encode(ascii);
  const file = new Uint8Array(arrays.end + json.length);
  for (const [at, bytes] of [...arrays.parts, [arrays.end, json] as const]) file.set(bytes, at);
  new Int32Array(file.buffer, 0, PROGRAM_HEADER / 4).set([
    PROGRAM_MAGIC,
    PROGRAM_VERSION,
    file.length,
    arrays.end,
  ]);
  return file;
}
