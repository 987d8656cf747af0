/**
 * Writes output files whole or not at all: beside the old file, then renamed over it. A full disk,
 * a file-size limit or a kill leaves what was there before.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** What a file is made of: a string is written as UTF-8. */
export type Contents = string | Uint8Array | AsyncIterable<Uint8Array>;

/** How a file is written. */
export interface WriteOptions {
  /** Whether to make the file's folder where it is missing; false where not given. */
  readonly makeFolder?: boolean;
}

/**
 * A file could not be written; what was there before is as it was. The message names the file and
 * says why.
 */
export class WriteError extends Error {
  override readonly name = "WriteError";

  constructor(path: string, reason: string) {
    super(`${path}: could not be written: ${reason}`);
    // The message is for the person at the keyboard and says all.
    this.stack = `${this.name}: ${this.message}`;
  }
}

const onWindows = Deno.build.os === "windows";

/** Signals that end a process, with their numbers: what is half-written is removed first. */
const ENDING: readonly (readonly [Deno.Signal, number])[] = onWindows
  ? [["SIGINT", 2]]
  : [["SIGINT", 2], ["SIGTERM", 15], ["SIGHUP", 1]];

/** What a shell adds to the number of the signal that ended a process. */
const ENDED_BY_SIGNAL = 128;

const plain = (path: string | URL): string => typeof path === "string" ? path : fileURLToPath(path);

/**
 * Where a file is written before it is renamed. Always the same: what a killed run left is taken
 * over by the next.
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
 * Refuses an output that is one of the inputs, by whatever path or link.
 *
 * @param output Where a file is to be written; it need not exist.
 * @param inputs Files that are read for it.
 */
export async function checkOutput(output: string, inputs: readonly string[]): Promise<void> {
  for (const input of inputs) {
    if (await isSameFile(output, input) || await isSameFile(partOf(output), input)) {
      throw new RangeError(`output: expected another file than the input ${input}, got ${output}`);
    }
  }
}

/** Opens the unfinished file for this process alone, empty. */
async function openPart(part: string): Promise<Deno.FsFile> {
  for (;;) {
    // Not truncated yet: another process may be writing it.
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
      // Whoever held the lock has renamed or removed it meanwhile.
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

/** Gives the new file the mode and, where that is allowed, the owner of the old one. */
async function keepAttributes(part: string, file: Deno.FsFile, old: Deno.FileInfo): Promise<void> {
  if (onWindows) return;
  const { uid, gid } = await file.stat();
  if (uid !== old.uid || gid !== old.gid) {
    try {
      await Deno.chown(part, old.uid, old.gid);
    } catch (error) {
      // Only the superuser gives files away; whoever may write the folder owns the new file.
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
      // A device or a pipe keeps nothing that could be lost, and must not be renamed over.
      if (!old.isFile) return await writeAll(file, contents);
    } finally {
      file.close();
    }
  }
  // A symbolic link stays one, and what it points to is replaced.
  const target = old === null ? path : await Deno.realPath(path);
  const part = partOf(target);
  let own = false;
  const endings = ENDING.map(([signal, number]) =>
    [signal, () => {
      if (own) Deno.removeSync(part);
      Deno.exit(ENDED_BY_SIGNAL + number);
    }] as const
  );
  // A file-size limit ends processes that do not listen; for those that do, the write fails.
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
 * Writes a file whole, or leaves what was there. Mode and symbolic links of an old file are kept;
 * other hard links to it keep the old contents. Devices and pipes are written as they are. Throws a
 * {@linkcode WriteError}.
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
