/**
 * Pages of the repository, and the commands that they show.
 *
 * @module
 */
const ROOT = new URL("../", import.meta.url);

/** The text of a file of the repository. */
export const read = (path: string): string => Deno.readTextFileSync(new URL(path, ROOT));

function pagesIn(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].flatMap(({ name, isDirectory }) =>
    isDirectory ? pagesIn(`${folder}${name}/`) : name.endsWith(".md") ? [folder + name] : []
  );
}

/** Every page of the repository that people read. */
export const ALL_PAGES: readonly string[] = [
  "README.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  "CHANGELOG.md",
  ...pagesIn("docs/"),
  ...pagesIn("examples/"),
];

/** A fenced block of a page. */
export interface Block {
  /** The text after the fence: a language and, for excerpts, the file. */
  readonly info: string;
  readonly text: string;
}

/** The fenced blocks of a page, in their order. */
export function blocksOf(page: string): Block[] {
  return [...page.matchAll(/^```(.*)\n([^]*?)^```$/gm)].map(([, info, text]) => ({
    info: info!,
    text: text!,
  }));
}

/** The commands of a block for a shell, each in one line, without comments. */
export function commandsIn({ info, text }: Block): string[] {
  if (info !== "sh") return [];
  return text.replaceAll(/\\\n\s*/g, "").split("\n")
    .map((line) => line.replace(/(^|\s+)# .*$/, "").trim())
    .filter((line) => line !== "");
}
