/**
 * What mutation testing found, as it is recorded and as `docs/mutation.md` shows it, with the reason
 * that somebody wrote for each survivor.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

/** What became of a mutant. */
export interface MutantResult {
  readonly key: string;
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** What the line says. */
  readonly code: string;
  readonly mutator: string;
  readonly from: string;
  readonly to: string;
  readonly status: "killed" | "endless" | "survived" | "uncovered";
  /** The test that noticed it. */
  readonly by: string;
}

/** A mutant that no test noticed. */
export interface Survivor {
  readonly file: string;
  readonly line: number;
  readonly code: string;
  readonly mutator: string;
  readonly from: string;
  readonly to: string;
  /** Whether a test ran its code. */
  readonly covered: boolean;
}

/** How many mutants were tried, and found. */
interface Score {
  readonly tried: number;
  readonly found: number;
}

/** What a run of a group came to. */
export interface RecordedGroup {
  /** Mutants in all. */
  readonly mutants: number;
  readonly seed: string;
  readonly tried: number;
  /** Found by a failing test. */
  readonly killed: number;
  /** Found by a test that did not end. */
  readonly endless: number;
  readonly folders: Readonly<Record<string, Score>>;
  readonly survivors: readonly Survivor[];
}

/** What is recorded, by group. */
export type Recorded = Record<string, RecordedGroup>;

/** Why it is right that a mutant survives: by file, then by {@linkcode changeOf}. */
export type Reasons = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Of how many mutants some test notices at least, in percent. */
export const WANTED: Readonly<Record<string, number>> = { kernels: 90, runtime: 85, readers: 85 };

const MAX_TEXT = 100;
const shorten = (text: string): string =>
  text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT - 3)}...`;

/** What a survivor changes, whatever line it stands in: the key of its reason. */
export function changeOf({ code, from, to }: Survivor): string {
  const shown = shorten(from);
  const where = shown === code || shown.startsWith(code) ? "" : `${shorten(code)} : `;
  return `${where}${shown} => ${shorten(to)}`;
}

const folderOf = (file: string): string => file.slice(0, file.lastIndexOf("/"));

/** What is recorded of a group's results. */
export function recordGroup(
  results: readonly MutantResult[],
  mutants: number,
  seed: string,
): RecordedGroup {
  const isFound = ({ status }: MutantResult) => status === "killed" || status === "endless";
  const count = (status: string) => results.filter((each) => each.status === status).length;
  const byFolder = Map.groupBy(results, ({ file }) => folderOf(file));
  return {
    mutants,
    seed,
    tried: results.length,
    killed: count("killed"),
    endless: count("endless"),
    folders: Object.fromEntries(
      [...byFolder].sort(([a], [b]) => a < b ? -1 : 1).map(([folder, own]) => [
        folder,
        { tried: own.length, found: own.filter(isFound).length },
      ]),
    ),
    survivors: results.filter((each) => !isFound(each))
      .map(({ file, line, code, mutator, from, to, status }) => ({
        ...{ file, line, code: shorten(code), mutator, from: shorten(from), to: shorten(to) },
        covered: status === "survived",
      }))
      .sort((a, b) => a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1),
  };
}

/** The committed reasons. */
export async function readReasons(): Promise<Reasons> {
  const path = fileURLToPath(new URL("reasons.json", import.meta.url));
  return JSON.parse(await Deno.readTextFile(path));
}

const percent = ({ tried, found }: Score): string => `${(100 * found / tried).toFixed(1)} %`;

/** What is wrong with a record: survivors without a reason, and scores that are too low. */
export function problemsOf(recorded: Recorded, reasons: Reasons): string[] {
  return Object.entries(recorded).flatMap(([name, group]) => {
    const found = group.killed + group.endless;
    const isLow = 100 * found / group.tried < WANTED[name]!;
    return [
      ...isLow ? [`${name}: expected ${WANTED[name]} %, got ${percent({ ...group, found })}`] : [],
      ...group.survivors.filter((each) => !reasons[each.file]?.[changeOf(each)]).map((each) =>
        `${each.file}:${each.line}: no reason for ${JSON.stringify(changeOf(each))}`
      ),
    ];
  });
}

/** Reasons of mutants that did not survive. */
export function unusedReasons(recorded: Recorded, reasons: Reasons): string[] {
  const survivors = Object.values(recorded).flatMap((group) => group.survivors);
  const used = new Set(survivors.map((each) => `${each.file}: ${changeOf(each)}`));
  return Object.entries(reasons).flatMap(([file, own]) =>
    Object.keys(own).map((change) => `${file}: ${change}`)
  ).filter((each) => !used.has(each));
}

const inCode = (text: string): string => `\`${text.replaceAll("|", "\\|").replaceAll("`", "'")}\``;

const inTable = (rows: readonly (readonly string[])[]): string =>
  rows.map((row) => `| ${row.join(" | ")} |`).join("\n");

/** The generated part of the page. */
export function renderMutation(recorded: Recorded, reasons: Reasons): string {
  const groups = Object.entries(recorded).sort(([a], [b]) => a < b ? -1 : 1);
  const scores = inTable([
    ["group", "mutants", "tried", "seed", "failing test", "endless", "survived", "score", "wanted"],
    Array<string>(9).fill("---"),
    ...groups.map(([name, { mutants, seed, tried, killed, endless, survivors }]) => [
      ...[name, mutants.toLocaleString("en"), String(tried), seed, String(killed)],
      ...[String(endless), String(survivors.length)],
      ...[percent({ tried, found: killed + endless }), `${WANTED[name]} %`],
    ]),
  ]);
  const folders = inTable([
    ["folder", "tried", "found", "score"],
    ["---", "---", "---", "---"],
    ...groups.flatMap(([, group]) =>
      Object.entries(group.folders).map(([folder, score]) => [
        ...[`\`${folder}\``, String(score.tried), String(score.found), percent(score)],
      ])
    ),
  ]);
  const survivors = groups.map(([name, group]) =>
    `### Survivors of ${name}\n\n${
      inTable([
        ["where, when it was tried", "was", "became", "why it survives"],
        ["---", "---", "---", "---"],
        ...group.survivors.map((each) => [
          ...[`\`${each.file}:${each.line}\``, inCode(each.from), inCode(each.to)],
          reasons[each.file]?.[changeOf(each)] ?? "no reason yet",
        ]),
      ])
    }`
  );
  return ["", scores, folders, ...survivors, ""].join("\n\n")
    .replace(/^\n/, "").replace(/\n$/, "");
}
