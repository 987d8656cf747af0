/**
 * Files of the command: read whole, written whole or not at all.
 *
 * @module
 */
import { realpathSync } from "node:fs";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { CommandError } from "./error.ts";

/** Why a file operation failed, in a few words. */
function reasonOf(error: unknown): string {
  const reasons: Record<string, string> = {
    ENOENT: "there is no such file or folder",
    EACCES: "permission denied",
    EPERM: "permission denied",
    EISDIR: "it is a folder",
    ENOTDIR: "a part of its path is no folder",
    ENOSPC: "the disk is full",
    EROFS: "the disk is read-only",
  };
  const { code, message } = error as { code?: string; message: string };
  return reasons[code ?? ""] ?? message;
}

/** The bytes of a file. */
export async function readBytes(path: string): Promise<Uint8Array> {
  try {
    const bytes = await readFile(path);
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  } catch (error) {
    throw new CommandError(`${path}: cannot be read: ${reasonOf(error)}`);
  }
}

/** The text of a file. */
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

/** Refuses an output that is one of the inputs, or another output, before anything is computed. */
export function checkOutputs(
  outputs: readonly (string | undefined)[],
  inputs: readonly (string | undefined)[],
): void {
  const named = outputs.filter((path) => path !== undefined);
  const read = new Set(inputs.filter((path) => path !== undefined).map(realPath));
  for (const path of named) {
    const real = realPath(path);
    if (real !== null && read.has(real)) {
      throw new CommandError(`${path}: is an input; write to another file`);
    }
  }
  if (new Set(named).size < named.length) {
    throw new CommandError(`${named[0]}: two outputs of one name; write to two files`);
  }
}

/** Writes a file beside the old one and renames it: a failure leaves what was there. */
export async function writeWhole(path: string, contents: string | Uint8Array): Promise<void> {
  const part = `${path}.part`;
  try {
    await writeFile(part, contents);
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true }).catch(() => {});
    throw new CommandError(`${path}: cannot be written: ${reasonOf(error)}`);
  }
}
