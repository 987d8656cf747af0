/**
 * The cases that `deno task fuzz:grow` keeps: each runs code that no other of them does.
 *
 * @module
 */

/** A case that is kept for what it runs. */
export interface Reaching {
  /** The target's name. */
  readonly target: string;
  /** The case. */
  readonly case: unknown;
}

/** Where they are. */
export const REACHING = new URL("reaching.json", import.meta.url);

/** All that are kept. */
export async function readReaching(): Promise<Reaching[]> {
  return JSON.parse(await Deno.readTextFile(REACHING));
}

/** The file's text: a case on each line, by target. */
export function textOf(cases: readonly Reaching[]): string {
  const lines = cases.toSorted((a, b) => a.target < b.target ? -1 : a.target > b.target ? 1 : 0)
    .map((each) => JSON.stringify(each));
  return `[\n${lines.join(",\n")}\n]\n`;
}
