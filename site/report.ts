/**
 * Shows the report of a quantized model, the same as the command writes.
 *
 * @module
 */
/// <reference lib="dom" />
import { h, pause } from "./dom.ts";
import type { DrawnReport } from "./workers/report.ts";

/** Max characters of HTML to parse at a time. */
const PIECE = 8192;

/**
 * Parses HTML into an element, piece by piece; the page draws and handles events in between. All
 * text in the HTML was escaped by the report.
 */
async function stream(parent: HTMLElement, html: string, wanted: () => boolean): Promise<void> {
  // The parser continues to fill an element even after it moves to another document.
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

/** Shows a report section by section, as long as it is the wanted one. */
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
