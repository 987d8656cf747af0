/**
 * Mutants of sources: Stryker's instrumenter makes them, a seed and their own text draw a sample,
 * and sources are written with that sample alone built in.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join, relative } from "node:path";
import { Instrumenter } from "@stryker-mutator/instrumenter";

/** Mutators that are left out: what a message says is read by people, not by tests. */
const EXCLUDED = ["StringLiteral"];

/** A change of a source. */
export interface Mutant {
  /** The name by which instrumented sources ask for it; another one in each run. */
  readonly id: string;
  /** Path below the root. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** What the first line says, without its indentation. */
  readonly code: string;
  readonly mutator: string;
  /** What is replaced, and by what, each in one line. */
  readonly from: string;
  readonly to: string;
  /** What tells it from all others, whatever lines it moves to. */
  readonly key: string;
}

/** All mutants of some sources, and these with all of them built in. */
export interface Instrumented {
  readonly mutants: readonly Mutant[];
  readonly contents: ReadonlyMap<string, string>;
}

interface Position {
  readonly line: number;
  readonly column: number;
}

/** A mutant as Stryker describes it; lines and columns count from 0. */
interface StrykerMutant {
  readonly id: string;
  readonly fileName: string;
  readonly mutatorName: string;
  readonly replacement: string;
  readonly location: { readonly start: Position; readonly end: Position };
}

const oneLine = (text: string): string => text.replace(/\s+/g, " ").trim();

/** Where a position is in a text. */
function offsetOf(text: string, { line, column }: Position): number {
  let at = 0;
  for (let i = 0; i < line; i++) at = text.indexOf("\n", at) + 1;
  return at + column;
}

/** Makes all mutants of some files below a root. */
export async function instrument(root: string, files: readonly string[]): Promise<Instrumented> {
  const silent = () => {};
  const logger = {
    ...{ trace: silent, debug: silent, info: silent, warn: silent, error: silent, fatal: silent },
    isDebugEnabled: () => false,
  };
  const instrumenter = new Instrumenter(logger as unknown as never);
  const texts = new Map(
    await Promise.all(
      files.map(async (file) => [file, await Deno.readTextFile(join(root, file))] as const),
    ),
  );
  const input = files.map((file) => ({
    name: join(root, file),
    mutate: true,
    content: texts.get(file)!,
  }));
  const result = await instrumenter.instrument(input, {
    plugins: null,
    excludedMutations: EXCLUDED,
    ignorers: [],
  });
  const seen = new Map<string, number>();
  // Stryker lists what it is told to leave out, but does not build it in.
  const made = (result.mutants as unknown as StrykerMutant[])
    .filter(({ mutatorName }) => !EXCLUDED.includes(mutatorName));
  const mutants = made.map((mutant): Mutant => {
    const { id, fileName, mutatorName: mutator, location: { start, end } } = mutant;
    const file = relative(root, fileName);
    const text = texts.get(file)!;
    const code = text.split("\n")[start.line]!.trim();
    const from = oneLine(text.slice(offsetOf(text, start), offsetOf(text, end)));
    const to = oneLine(mutant.replacement);
    const plain = [file, code, mutator, from, to].join("\n");
    const count = seen.get(plain) ?? 0;
    seen.set(plain, count + 1);
    return { id, file, line: start.line + 1, code, mutator, from, to, key: `${plain}\n${count}` };
  });
  return {
    mutants,
    contents: new Map(result.files.map(({ name, content }) => [relative(root, name), content])),
  };
}

/**
 * Draws mutants: those whose text and the seed have the smallest hashes. A change of one source
 * draws others in that source alone, so that what is known of the rest stays known.
 */
export function sampleOf(mutants: readonly Mutant[], count: number, seed: string): Mutant[] {
  const ranked = mutants.map((mutant) => ({
    mutant,
    rank: createHash("sha256").update(`${seed}\n${mutant.key}`).digest("hex"),
  }));
  ranked.sort((a, b) => a.rank < b.rank ? -1 : 1);
  return ranked.slice(0, count).map(({ mutant }) => mutant);
}

/** An instrumented source in which only some mutants are left: the others cost nothing then. */
export function keepMutants(content: string, ids: ReadonlySet<string>): string {
  return content
    .replace(/stryMutAct_9fa48\("(\d+)"\)/g, (call, id) => ids.has(id) ? call : "false")
    .replace(/stryCov_9fa48\(((?:"\d+"(?:, )?)+)\)/g, (_, list: string) => {
      const kept = list.split(", ").filter((each) => ids.has(each.slice(1, -1)));
      return kept.length === 0 ? "0" : `stryCov_9fa48(${kept.join(", ")})`;
    });
}
