/**
 * Files of the command: read as a whole; written as a whole or not at all.
 *
 * @module
 */
import { realpathSync, type Stats, statSync } from "node:fs";
import { open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { CommandError } from "./error.ts";

/** The reason why a file operation failed, in a few words. */
function reasonOf(error: unknown): string {
  const reasons: Record<string, string> = {
    ENOENT: "there is no such file or folder",
    EACCES: "permission denied",
    EPERM: "permission denied",
    EISDIR: "it is a folder",
    ENOTDIR: "part of its path is not a folder",
    ENOSPC: "the disk is full",
    EROFS: "the disk is read-only",
  };
  const { code, message } = error as { code?: string; message: string };
  return reasons[code ?? ""] ?? message;
}

/** Max bytes to read from a pipe, which does not tell its length: 1 GiB. */
const MAX_PIPE = 2 ** 30;

/** Reads a stream that may be endless. */
async function readPipe(path: string): Promise<Uint8Array> {
  const pipe = await open(path);
  try {
    const pieces: Uint8Array[] = [];
    let length = 0;
    for await (const piece of pipe.createReadStream({ autoClose: false })) {
      pieces.push(piece);
      length += piece.length;
      if (length > MAX_PIPE) throw new Error(`it gave ${MAX_PIPE} bytes and did not end`);
    }
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  } finally {
    await pipe.close();
  }
}

/** Reads a file or a pipe. */
export async function readBytes(path: string): Promise<Uint8Array> {
  const status = statusOf(path);
  try {
    if (status?.isCharacterDevice() || status?.isBlockDevice()) {
      throw new Error("it is a device, and a file is needed");
    }
    if (status?.isFIFO() || status?.isSocket()) return await readPipe(path);
    const bytes = await readFile(path);
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  } catch (error) {
    throw new CommandError(`${path}: cannot be read: ${reasonOf(error)}`);
  }
}

/** Reads a text file. */
export async function readText(path: string): Promise<string> {
  return new TextDecoder().decode(await readBytes(path));
}

function realPath(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}

/** Status of a path; null if nothing exists there. */
function statusOf(path: string): Stats | null {
  try {
    return statSync(path);
  } catch {
    return null;
  }
}

/** Throws an error that says why a file cannot be written. */
function failWrite(path: string, error: unknown): never {
  throw new CommandError(`${path}: cannot be written: ${reasonOf(error)}`);
}

/**
 * Rejects an output that is one of the inputs, another output, or a folder, or whose folder does
 * not exist, before anything is computed.
 */
export function checkOutputs(
  outputs: readonly (string | undefined)[],
  inputs: readonly (string | undefined)[],
): void {
  const named = outputs.filter((path) => path !== undefined);
  const read = new Set(inputs.filter((path) => path !== undefined).map(realPath));
  const taken = new Set<string>();
  for (const path of named) {
    const real = realPath(path);
    if (real !== null && read.has(real)) {
      throw new CommandError(`${path}: is an input; write to another file`);
    }
    const whole = real ?? resolve(path);
    if (taken.has(whole)) {
      throw new CommandError(`${path}: two outputs of one name; write to two files`);
    }
    taken.add(whole);
    if (statusOf(path)?.isDirectory()) failWrite(path, { code: "EISDIR" });
    const folder = statusOf(dirname(whole));
    if (folder === null) failWrite(path, { code: "ENOENT" });
    if (!folder.isDirectory()) failWrite(path, { code: "ENOTDIR" });
  }
}

/** A file to be written. */
export type Output = readonly [path: string, contents: string | Uint8Array];

/**
 * Writes all files under temporary names, then renames them, so that a failure leaves the old files
 * in place. Special files such as /dev/stdout are written directly.
 */
export async function writeWhole(...outputs: readonly Output[]): Promise<void> {
  const parts: { path: string; part: string; target: string }[] = [];
  try {
    for (const [path, contents] of outputs) {
      try {
        const status = statusOf(path);
        if (status !== null && !status.isFile()) {
          await writeFile(path, contents);
          continue;
        }
        // A symbolic link is kept: its target is replaced.
        const target = realPath(path) ?? path;
        const part = `${target}.${process.pid}.part`;
        parts.push({ path, part, target });
        await writeFile(part, contents);
      } catch (error) {
        failWrite(path, error);
      }
    }
    for (const { path, part, target } of parts) {
      await rename(part, target).catch((error) => failWrite(path, error));
    }
  } catch (error) {
    for (const { part } of parts) await rm(part, { force: true }).catch(() => {});
    throw error;
  }
}
