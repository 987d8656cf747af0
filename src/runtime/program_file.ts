/**
 * Reading a program file. It begins with four 32-bit little-endian words: magic, version, length,
 * and offset of a JSON text. Then come the arrays, whose positions the text gives, each aligned to
 * eight bytes; the text, in ASCII, padded with spaces to whole words; and a checksum as the last
 * word.
 *
 * @module
 */
import { bytesOf, type BytesSource } from "../core/bytes.ts";
import { checkBoolean, checkGiven, checkNoMore, failRange, failType } from "../core/errors.ts";
import type { BasicSession } from "./basic_session.ts";
import type { ProgramData } from "./data.ts";
import type { RunningKind } from "./kind.ts";
import { BASE_KINDS } from "./kinds.ts";
import { Program, type SessionClass } from "./program.ts";

/** "SGPR": the first four bytes of a program. */
export const PROGRAM_MAGIC = 0x52504753;
/** Version of the program file that is written, and the only one that is read. */
export const PROGRAM_VERSION = 9;

const EXPECTED = "a program that compileModel gave (loadModel takes what saveModel gave)";

/** Bytes before the arrays. */
export const PROGRAM_HEADER = 16;

/** Types of arrays in a file; the text refers to them by index. */
export const PROGRAM_ARRAYS = [
  Int8Array,
  Uint8Array,
  Int16Array,
  Uint16Array,
  Int32Array,
  Float32Array,
  Float64Array,
] as const;

/** The JSON text. */
export interface ProgramText {
  /** The program with null in place of its arrays. */
  readonly data: ProgramData;
  /** For each object with arrays: the path to it, and each array's key and position in the file. */
  readonly arrays:
    readonly (readonly [path: readonly (string | number)[], arrays: readonly StoredArray[]])[];
}

/** Its key, its type in memory, its type in the file, its first byte, and its length. */
export type StoredArray = readonly [
  key: string | number,
  kind: number,
  stored: number,
  from: number,
  length: number,
];

/**
 * Odd, so that multiplying by it is invertible; 2^32 / golden ratio, so that each bit spreads far.
 */
const FACTOR = 0x9e3779b1 | 0;

/**
 * The checksum of words. Every step is invertible, so that a change within one word is always
 * detected; other changes are missed once in 2^32. It takes a third of a CRC's time and needs no
 * tables at startup.
 */
export function checksum(words: Int32Array): number {
  // Local variables: most of it runs before an engine has optimized it.
  const { imul } = Math;
  const { length } = words;
  let sum = 0;
  for (let i = 0; i < length; i++) {
    sum = imul(sum ^ words[i]!, FACTOR);
    sum ^= sum >>> 15;
  }
  return sum;
}

/**
 * Options of `loadProgram`.
 *
 * @example
 * ```ts
 * import { compileModel, GRU, quantize } from "@splitgate/splitgate";
 * import { type LoadOptions, loadProgram } from "@splitgate/splitgate/runtime";
 * import { gru } from "@splitgate/splitgate/runtime/gru";
 * const float = new GRU({ inputSize: 2, hiddenSize: 3 });
 * const { model } = await quantize(float, [new Float32Array(8)]);
 * const options: LoadOptions = { kinds: [gru] }; // what the program takes beside ./runtime
 * loadProgram(compileModel(model), options);
 * ```
 */
export interface LoadOptions {
  /**
   * Whether the checksum is compared; true by default. For a program of 75 KB this takes about a
   * millisecond, a tenth of a cold start: false is for files that are verified otherwise, such as
   * by a signature.
   */
  readonly verify?: boolean;
  /** Running halves of further kinds, imported from their own entries; none by default. */
  readonly kinds?: readonly RunningKind<never>[];
}

/** Reads a program, as `loadProgram` documents it, whose sessions are of the class given. */
export function readProgram<S extends BasicSession>(
  bytes: BytesSource,
  options: LoadOptions,
  Session: SessionClass<S>,
): Program<S> {
  checkGiven(options);
  const { kinds = [], verify = true, ...unknown } = options;
  checkNoMore(unknown);
  checkBoolean("verify", verify);
  if (!Array.isArray(kinds)) failType("options.kinds", "an array of kinds", kinds);
  kinds.forEach((each, i) => {
    if (typeof each?.instantiate !== "function") failType(`options.kinds[${i}]`, "a kind", each);
  });
  // Not slice: for a Node Buffer it shares memory instead of copying.
  const own = new Uint8Array(bytesOf("bytes", bytes));
  const { buffer, length } = own;
  const words = new Int32Array(buffer, 0, length >> 2);
  const [magic, version, size, start] = words;
  if (magic !== PROGRAM_MAGIC) {
    failRange("bytes", EXPECTED, String.fromCharCode(...own.subarray(0, 24)));
  }
  if (version !== PROGRAM_VERSION) failRange("bytes", `version ${PROGRAM_VERSION}`, version);
  if (length !== size) failRange("bytes", `${size} bytes`, length);
  const last = words.length - 1;
  if (verify && checksum(words.subarray(0, last)) !== words[last]) {
    failRange("bytes", "a program as it was written", "another checksum");
  }
  const end = last * 4;
  const all = [...BASE_KINDS, ...kinds as readonly unknown[] as readonly RunningKind[]];
  let data: ProgramData | undefined;
  try {
    // Decoded by hand: the text is ASCII, and loading a TextDecoder takes longer in some engines.
    let text = "";
    for (let at = start!; at < end; at += 4096) {
      const codes = new Uint8Array(buffer, at, Math.min(4096, end - at));
      text += String.fromCharCode.apply(null, codes as unknown as number[]);
    }
    // Following a few paths takes a third of the time of a JSON reviver, which is called for every
    // value.
    const whole: ProgramText = JSON.parse(text);
    for (const [path, arrays] of whole.arrays) {
      // deno-lint-ignore no-explicit-any
      let owner: any = whole.data;
      for (const key of path) owner = owner[key];
      for (const [key, kind, stored, from, length] of arrays) {
        if (owner[key] !== null) throw key;
        const view = new PROGRAM_ARRAYS[stored]!(buffer, from, length);
        owner[key] = kind === stored ? view : new PROGRAM_ARRAYS[kind]!(view);
      }
    }
    data = whole.data;
    return new Program(data, all, Session);
  } catch (error) {
    // The program was read: a RangeError says which kind is missing.
    if (data && error instanceof RangeError) throw error;
    return failRange("bytes", EXPECTED, `${error}`);
  }
}
