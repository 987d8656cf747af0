/**
 * Pieces of HTML. Every value in a template is escaped, since names come from untrusted files; only
 * pieces made by {@linkcode html} are inserted as they are.
 *
 * @module
 */
import { clean } from "../core/errors.ts";

/** Max characters of a text: enough for a sentence, but not for a hostile name. */
const SHOWN = 600;

/** Text that is already escaped. */
export class Markup {
  /** Called by {@linkcode html} only. */
  constructor(readonly text: string) {}
}

/** A value in a template; false, null and undefined produce nothing. */
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

/** Escapes a text for HTML content and quoted attributes, and makes control characters visible. */
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
 * A piece of HTML from a template. Surrounding space and indentation are removed: where space
 * between neighbours matters, the template writes it explicitly.
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

/** Characters that do not occur in SVG paths. */
const NO_PATH = /[^MLHVCZ0-9.,eE+\- ]/g;

/** The data of an SVG path, of any length. */
export function pathData(d: string | null): Markup {
  return new Markup((d ?? "").replace(NO_PATH, ""));
}

/** A column of a table. */
export interface Column<T> {
  readonly title: string;
  /** Whether it holds numbers, which are right-aligned. */
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

/** A figure with a text alternative for readers who cannot see it, and a caption. */
export function figure(picture: Markup, caption: string): Markup {
  return html`
    <figure>${picture}<figcaption>${caption}</figcaption></figure>
  `;
}
