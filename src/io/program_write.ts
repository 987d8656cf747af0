/**
 * Compiling: a model lowered, and written as it is to run.
 *
 * @module
 */
import { activationTable, lookup } from "../../kernels/numeric/activation.ts";
import type { ActivationProgram } from "../../kernels/packed/program.ts";
import { typedArrayKind } from "../../kernels/numeric/typed_array.ts";
import { crc32 } from "../core/crc32.ts";
import { slowPart } from "../modules/lstm/cell.ts";
import type { LstmModule } from "../authoring/modules.ts";
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

/** The way on for a model that no program can hold. */
const FULL = "saveModel keeps it, and loadModel of the full entry point runs it";

/** Inputs of an activation up to which its outputs are stored. */
const TABULATED = 256;

type Numbers = InstanceType<typeof PROGRAM_ARRAYS[number]>;

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  let i = 0;
  if (a.length === b.length) { while (i < a.length && a[i] === b[i]) i++; }
  return i === a.length && i === b.length;
}

/** The arrays of a file, each once, in as few bytes as hold its values. */
class Arrays {
  readonly parts: [at: number, bytes: Uint8Array][] = [];
  end = PROGRAM_HEADER;
  /** What is stored, by its checksum. */
  readonly #known = new Map<number, [at: number, bytes: Uint8Array][]>();

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
    const checksum = crc32(bytes);
    const candidates = this.#known.get(checksum) ?? [];
    let part = candidates.find((candidate) => sameBytes(candidate[1], bytes));
    if (part === undefined) {
      part = [this.end, bytes];
      this.parts.push(part);
      this.#known.set(checksum, [...candidates, part]);
      this.end += Math.ceil(bytes.length / 8) * 8;
    }
    return [kind, place, part[0], array.length];
  }
}

/** Refuses an LSTM that the fast step does not run. */
function failSlow(name: string, { cells }: LstmModule): never {
  cells.forEach((layer, l) =>
    layer.forEach((cell, d) => {
      const part = slowPart(cell);
      const at = `${name}.cells[${l}][${d}]`;
      if (part !== null) failRange(at, `parts that the fast step runs (${FULL})`, part);
    })
  );
  return failRange(name, `an input that the fast step runs (${FULL})`, "more than 24 bits");
}

/** All that can be known beforehand: every token's rows, and the outputs of short activation tables. */
function complete(
  program: LstmProgram,
  vocabulary: number,
  kernels: LstmBackend | undefined,
): LstmProgram {
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
  for (const [name, module] of model.modules) {
    if (module.kind !== "Embedding" && module.dynamic) {
      failRange(
        `modules.${name}`,
        `a module that is not quantized dynamically (${FULL})`,
        `a dynamic ${module.kind}`,
      );
    }
  }
  // A folded Embedding, the first module, is no stage.
  const names = [...model.modules.keys()].slice(-data.stages.length);
  const stages = data.stages.map((stage, i): StageProgram => {
    if (stage.kind !== "LSTM") return stage;
    if (stage.layers === null) failSlow(`modules.${names[i]}`, stage.source!.module);
    return complete(stage, vocabulary, kernels);
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
