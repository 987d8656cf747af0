/**
 * The report of what was made, the same as the command writes.
 *
 * @module
 */
/// <reference lib="dom" />
import { h, pause } from "./dom.ts";
import type { DrawnReport } from "./workers/report.ts";

/** Characters of HTML that are parsed at a time. */
const PIECE = 8192;

/**
 * Parses HTML into an element, piece by piece, between which the page draws and answers. Every text
 * in it is escaped where it was made.
 */
async function stream(parent: HTMLElement, html: string, wanted: () => boolean): Promise<void> {
  // A parser goes on to fill an element of its document wherever that has been moved.
  const parsing = document.implementation.createHTMLDocument("");
  parsing.write("<div>");
  const element = parsing.body.firstElementChild!;
  parent.append(element);
  for (let at = 0; at < html.length && wanted(); at += PIECE) {
    await pause();
    parsing.write(html.slice(at, at + PIECE));
  }
  parsing.close();
}

/** Shows a report, a section after the other, as long as it is the one that is wanted. */
export async function showReport(
  parent: HTMLElement,
  { summary, sections, style }: DrawnReport,
  wanted: () => boolean,
): Promise<void> {
  parent.className = "splitgate-report";
  parent.replaceChildren(h("style", {}, style));
  for (const html of [summary, ...sections.map(({ html }) => html)]) {
    if (!wanted()) return;
    await stream(parent, html, wanted);
  }
}
