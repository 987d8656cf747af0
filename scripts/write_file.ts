/**
 * Writes output files as a whole or not at all: a temporary file beside the old one is renamed over
 * it. A full disk, a file-size limit or a kill leaves the old file in place.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The contents of a file; a string is written as UTF-8. */
export type Contents = string | Uint8Array | AsyncIterable<Uint8Array>;

/** Options for writing a file. */
export interface WriteOptions {
  /** Whether to create the file's folder if it does not exist; false by default. */
  readonly makeFolder?: boolean;
}

/**
 * A file could not be written, and the old one is unchanged. The message names the file and the
 * reason.
 */
export class WriteError extends Error {
  override readonly name = "WriteError";

  constructor(path: string, reason: string) {
    super(`${path}: could not be written: ${reason}`);
    // The message is for the user and complete, so there is no stack.
    this.stack = `${this.name}: ${this.message}`;
  }
}

const onWindows = Deno.build.os === "windows";

/** Signals that end a process, with their numbers: the temporary file is removed first. */
const ENDING: readonly (readonly [Deno.Signal, number])[] = onWindows
  ? [["SIGINT", 2]]
  : [["SIGINT", 2], ["SIGTERM", 15], ["SIGHUP", 1]];

/** Shells add this to the number of the signal that ended a process. */
const ENDED_BY_SIGNAL = 128;

const plain = (path: string | URL): string => typeof path === "string" ? path : fileURLToPath(path);

/**
 * The temporary file. Its name is always the same, so that a run takes over the file that a killed
 * run left.
 */
const partOf = (path: string): string => join(dirname(path), `.${basename(path)}.part`);

async function orNull<T>(found: Promise<T>): Promise<T | null> {
  try {
    return await found;
  } catch (error) {
    const { NotFound, NotADirectory } = Deno.errors;
    if (error instanceof NotFound || error instanceof NotADirectory) return null;
    throw error;
  }
}

async function isSameFile(a: string, b: string): Promise<boolean> {
  const [x, y] = await Promise.all([orNull(Deno.stat(a)), orNull(Deno.stat(b))]);
  if (x === null || y === null) return false;
  if (x.ino !== null && y.ino !== null) return x.ino === y.ino && x.dev === y.dev;
  return await Deno.realPath(a) === await Deno.realPath(b);
}

/**
 * Rejects an output that is the same file as one of the inputs, under any path or link.
 *
 * @param output The file to write; it need not exist.
 * @param inputs Files that are read for it.
 */
export async function checkOutput(output: string, inputs: readonly string[]): Promise<void> {
  for (const input of inputs) {
    if (await isSameFile(output, input) || await isSameFile(partOf(output), input)) {
      throw new RangeError(`output: expected another file than the input ${input}, got ${output}`);
    }
  }
}

/** Opens the temporary file for this process alone, and empties it. */
async function openPart(part: string): Promise<Deno.FsFile> {
  for (;;) {
    // Not truncated yet, because another process may be writing it.
    const file = await Deno.open(part, { write: true, create: true });
    try {
      await file.lock(true);
      const own = await file.stat();
      const there = await orNull(Deno.lstat(part));
      if (there?.isSymlink) throw new Error(`${part} is a symbolic link`);
      if (there !== null && there.ino === own.ino && there.dev === own.dev) {
        await file.truncate(0);
        return file;
      }
      // The process that held the lock has renamed or removed the file.
    } catch (error) {
      file.close();
      throw error;
    }
    file.close();
  }
}

async function writeAll(file: Deno.FsFile, contents: Contents): Promise<void> {
  if (typeof contents === "string") contents = new TextEncoder().encode(contents);
  if (contents instanceof Uint8Array) {
    for (let at = 0; at < contents.length;) at += await file.write(contents.subarray(at));
    return;
  }
  for await (const chunk of contents) await writeAll(file, chunk);
}

/** Gives the new file the mode and, if allowed, the owner of the old one. */
async function keepAttributes(part: string, file: Deno.FsFile, old: Deno.FileInfo): Promise<void> {
  if (onWindows) return;
  const { uid, gid } = await file.stat();
  if (uid !== old.uid || gid !== old.gid) {
    try {
      await Deno.chown(part, old.uid, old.gid);
    } catch (error) {
      // Only the superuser may change a file's owner; otherwise this process owns the new file.
      if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    }
  }
  if (old.mode !== null) await Deno.chmod(part, old.mode & 0o7777);
}

async function replace(path: string, contents: Contents): Promise<void> {
  const old = await orNull(Deno.stat(path));
  if (old?.isDirectory) throw new Error("it is a folder");
  if (old === null && (await orNull(Deno.lstat(path)))?.isSymlink) {
    throw new Error("it is a symbolic link to a file that is not there");
  }
  if (old !== null) {
    const file = await Deno.open(path, { write: true });
    try {
      // A device or a pipe has no contents to lose, and must not be renamed over.
      if (!old.isFile) return await writeAll(file, contents);
    } finally {
      file.close();
    }
  }
  // A symbolic link is kept: its target is replaced.
  const target = old === null ? path : await Deno.realPath(path);
  const part = partOf(target);
  let own = false;
  const endings = ENDING.map(([signal, number]) =>
    [signal, () => {
      if (own) Deno.removeSync(part);
      Deno.exit(ENDED_BY_SIGNAL + number);
    }] as const
  );
  // A file-size limit ends processes that do not listen for its signal; for others, the write
  // fails.
  const listeners = onWindows ? endings : [...endings, ["SIGXFSZ", () => {}] as const];
  for (const [signal, listener] of listeners) Deno.addSignalListener(signal, listener);
  try {
    const file = await openPart(part);
    own = true;
    try {
      await writeAll(file, contents);
      if (old !== null) await keepAttributes(part, file, old);
      await file.sync();
      await Deno.rename(part, target);
      own = false;
    } finally {
      if (own) await Deno.remove(part);
      own = false;
      file.close();
    }
  } finally {
    for (const [signal, listener] of listeners) Deno.removeSignalListener(signal, listener);
  }
}

/**
 * Writes a file as a whole, or leaves the old one in place. Mode and symbolic links of an old file
 * are kept; other hard links to it keep the old contents. Devices and pipes are written directly.
 * Throws a {@linkcode WriteError}.
 *
 * Needs read and write permission for the file and for `.NAME.part` beside it.
 */
export async function writeFile(
  path: string | URL,
  contents: Contents,
  { makeFolder = false }: WriteOptions = {},
): Promise<void> {
  const name = plain(path);
  try {
    if (makeFolder) await Deno.mkdir(dirname(name), { recursive: true });
    await replace(name, contents);
  } catch (error) {
    throw new WriteError(name, (error as Error).message);
  }
}
