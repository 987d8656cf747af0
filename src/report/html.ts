/**
 * Pieces of HTML. Every value that goes into one is escaped, since names come from files of
 * strangers: only what a piece was made of by {@linkcode html} goes in as it is.
 *
 * @module
 */
import { clean } from "../core/errors.ts";

/** Characters of a text that are shown: more than a sentence has, less than a hostile name. */
const SHOWN = 600;

/** Text in which nothing needs to be escaped any more. */
export class Markup {
  /** Called by {@linkcode html} alone. */
  constructor(readonly text: string) {}
}

/** What can be put into HTML; of false, null and undefined nothing is written. */
export type Piece =
  | Markup
  | string
  | number
  | false
  | null
  | undefined
  | readonly Piece[];

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** A text for HTML, in text and in quoted attributes; what steers the reader's screen is shown. */
export function escapeHTML(text: string): string {
  return clean(text, SHOWN).replace(/[&<>"']/g, (character) => ESCAPES[character]!);
}

function written(piece: Piece): string {
  if (piece instanceof Markup) return piece.text;
  if (Array.isArray(piece)) return piece.map(written).join("");
  if (piece === null || piece === undefined || piece === false) return "";
  return escapeHTML(String(piece));
}

/**
 * A piece of HTML out of a template. Space around it, and what indents its lines, is left out: what
 * must stand apart from its neighbours says so itself.
 */
export function html(strings: TemplateStringsArray, ...pieces: readonly Piece[]): Markup {
  const last = strings.length - 1;
  const texts = strings.map((each, i) => {
    const lines = each.replace(/\s*\n\s*/g, "\n");
    const begun = i === 0 ? lines.trimStart() : lines;
    return i === last ? begun.trimEnd() : begun;
  });
  return new Markup(texts.reduce((text, each, i) => text + written(pieces[i - 1]) + each));
}

/** What the paths of SVG are made of. */
const NO_PATH = /[^MLHVCZ0-9.,eE+\- ]/g;

/** The points of a path, of any length. */
export function pathData(d: string | null): Markup {
  return new Markup((d ?? "").replace(NO_PATH, ""));
}

/** A column of a table. */
export interface Column<T> {
  readonly title: string;
  /** Whether it holds numbers, which stand to the right. */
  readonly number?: boolean;
  value(row: T): Piece;
}

/** A table whose first column names its rows. */
export function table<T>(
  caption: string,
  columns: readonly Column<T>[],
  rows: readonly T[],
): Markup {
  const look = ({ number }: Column<T>) => number === true ? "number" : "text";
  const cell = (column: Column<T>, row: T, i: number): Markup =>
    i === 0
      ? html`<th scope="row">${column.value(row)}</th>`
      : html`<td class="${look(column)}">${column.value(row)}</td>`;
  const head = columns.map((column) =>
    html`<th scope="col" class="${look(column)}">${column.title}</th>`
  );
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label="${caption}">
      <table>
        <caption>${caption}</caption>
        <thead>
          <tr>${head}</tr>
        </thead>
        <tbody>
    ${rows.map((row) =>
      html`
        <tr>${columns.map((column, i) => cell(column, row, i))}</tr>
      `
    )}</tbody>
      </table>
    </div>
  `;
}

/** A picture with what it shows in words, for those who don't see it, and a line below. */
export function figure(picture: Markup, caption: string): Markup {
  return html`
    <figure>${picture}<figcaption>${caption}</figcaption></figure>
  `;
}
