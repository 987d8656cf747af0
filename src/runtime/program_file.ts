/**
 * Reading a program: what a model was compiled to, as it runs. Four 32-bit words, little-endian:
 * what the file is, its version, how long it is, and where a JSON text begins. Then the arrays that
 * the text places, each from a multiple of eight bytes on; the text, in ASCII, filled up with
 * spaces to whole words; and, as the last word, a checksum.
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
export const PROGRAM_VERSION = 8;

const EXPECTED = "a program that compileModel gave (loadModel takes what saveModel gave)";

/** Bytes before the arrays. */
export const PROGRAM_HEADER = 16;

/** The arrays that are read and written, by their places here. */
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
  /** The program, but for its arrays, in whose places there are null. */
  readonly data: ProgramData;
  /**
   * Of each object that has arrays where it is, and of each of them its place there and in the
   * file.
   */
  readonly arrays:
    readonly (readonly [path: readonly (string | number)[], arrays: readonly StoredArray[]])[];
}

/** Its key, what it becomes, what it is stored as, from which byte on, and its length. */
export type StoredArray = readonly [
  key: string | number,
  kind: number,
  stored: number,
  from: number,
  length: number,
];

/**
 * An odd number, so that multiplying by it loses no bit; of 2^32 / golden ratio, so that it moves
 * each bit far.
 */
const FACTOR = 0x9e3779b1 | 0;

/**
 * The checksum of words. No step loses anything of the sum or of a word, so that a change within
 * one word always shows, and another one once in 2^32 does not. A third of the time of a CRC, and
 * no tables to be made at a start.
 */
export function checksum(words: Int32Array): number {
  // Locals: most of it runs before an engine has compiled it.
  const { imul } = Math;
  const { length } = words;
  let sum = 0;
  for (let i = 0; i < length; i++) {
    sum = imul(sum ^ words[i]!, FACTOR);
    sum ^= sum >>> 15;
  }
  return sum;
}

/** Options of `loadProgram`. */
export interface LoadOptions {
  /**
   * Whether the checksum is compared; true by default. It takes about a millisecond of a cold start
   * for a program of 75 KB, a tenth of it: false is for files that were verified before, by a
   * signature for one.
   */
  readonly verify?: boolean;
  /**
   * Running halves of kinds besides those that every program can have, each imported by itself;
   * none by default.
   */
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
  // Not slice, which copies nothing where bytes are a Buffer.
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
    // ASCII, for which asking for a TextDecoder takes longer where one has to be loaded.
    let text = "";
    for (let at = start!; at < end; at += 4096) {
      const codes = new Uint8Array(buffer, at, Math.min(4096, end - at));
      text += String.fromCharCode.apply(null, codes as unknown as number[]);
    }
    // Walking to a few places takes a third of the time of a reviver, which is called for every
    // value.
    const whole: ProgramText = JSON.parse(text);
    for (const [path, arrays] of whole.arrays) {
      // deno-lint-ignore no-explicit-any
      let place: any = whole.data;
      for (const key of path) place = place[key];
      for (const [key, kind, stored, from, length] of arrays) {
        if (place[key] !== null) throw key;
        const view = new PROGRAM_ARRAYS[stored]!(buffer, from, length);
        place[key] = kind === stored ? view : new PROGRAM_ARRAYS[kind]!(view);
      }
    }
    data = whole.data;
    return new Program(data, all, Session);
  } catch (error) {
    // Of a program that could be read, a RangeError says which kind is not there.
    if (data && error instanceof RangeError) throw error;
    return failRange("bytes", EXPECTED, `${error}`);
  }
}
