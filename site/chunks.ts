/**
 * Parts of the page that are loaded on demand. Each is a classic script that passes its value to a
 * global function. This also works if the page is opened as a file, where browsers refuse `fetch`,
 * modules, and worker files.
 *
 * @module
 */
/// <reference lib="dom" />
import { Calls, type Methods } from "./calls.ts";
import { HAND_OVER } from "./names.ts";

const loading = new Map<string, Promise<unknown>>();
const waiting = new Map<string, (value: unknown) => void>();

Object.assign(globalThis, {
  [HAND_OVER]: (name: string, value: unknown): void => {
    waiting.get(name)?.(value);
    waiting.delete(name);
  },
});

/** Loads the script `NAME.js` beside the page once, and returns its value. */
export function loadChunk<T>(name: string): Promise<T> {
  let chunk = loading.get(name);
  if (chunk === undefined) {
    chunk = new Promise((resolve, reject) => {
      waiting.set(name, resolve);
      const script = document.createElement("script");
      script.src = `${name}.js`;
      script.async = true;
      script.onload = () => script.remove();
      script.onerror = () => {
        script.remove();
        waiting.delete(name);
        // The next attempt may succeed.
        loading.delete(name);
        reject(new Error(`${name}.js, a file of this page, could not be loaded. Try again.`));
      };
      document.head.append(script);
    });
    loading.set(name, chunk);
  }
  return chunk as Promise<T>;
}

/** The base64 text of each file in a chunk, by name. */
export type ChunkFiles = Readonly<Record<string, string>>;

/** Loads the files of a chunk. */
export async function loadFiles(name: string): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const files = await loadChunk<ChunkFiles>(name);
  const bytes = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const [file, base64] of Object.entries(files)) bytes.set(file, await decode(base64));
  return bytes;
}

/** Max characters of base64 to decode at a time; a multiple of 4. */
const PIECE = 1 << 17;

/** Decodes base64 in pieces; the page may draw in between. */
async function decode(base64: string): Promise<Uint8Array<ArrayBuffer>> {
  const padding = base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0;
  const bytes = new Uint8Array(base64.length / 4 * 3 - padding);
  let at = 0;
  for (let from = 0; from < base64.length; from += PIECE) {
    if (from > 0) await new Promise((resolve) => setTimeout(resolve));
    const piece = atob(base64.slice(from, from + PIECE));
    for (let i = 0; i < piece.length; i++) bytes[at++] = piece.charCodeAt(i);
  }
  return bytes;
}

/** Starts the worker whose source is in a chunk. */
export async function startWorker(name: string): Promise<Worker> {
  const source = await loadChunk<string>(name);
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url);
  // After its first message the worker no longer needs the URL.
  worker.addEventListener("message", () => URL.revokeObjectURL(url), { once: true });
  return worker;
}

/** A worker that starts with the first call. */
export function startsWhenAsked<M extends Methods>(name: string): () => Calls<M> {
  let calls: Calls<M> | undefined;
  return () => {
    if (calls === undefined) {
      const started = startWorker(name);
      calls = new Calls(started);
      // The next attempt may succeed.
      started.catch(() => calls = undefined);
    }
    return calls;
  };
}
