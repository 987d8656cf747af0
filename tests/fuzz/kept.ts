/** The cases of `tests/corpus`. */
import type { Kept } from "./target.ts";

/** Where they are. */
export const CORPUS = new URL("../corpus/", import.meta.url);

/** The names of their files. */
export function keptFiles(): string[] {
  return [...Deno.readDirSync(CORPUS)].map(({ name }) => name).sort();
}

/** One of them. */
export async function readKeptFile(name: string): Promise<Kept> {
  return JSON.parse(await Deno.readTextFile(new URL(name, CORPUS)));
}

/** All of them. */
export function readKept(): Promise<Kept[]> {
  return Promise.all(keptFiles().map(readKeptFile));
}
