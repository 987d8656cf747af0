/**
 * The report of what was made, the same as the command writes.
 *
 * @module
 */
/// <reference lib="dom" />
import { h } from "./dom.ts";
import type { Made } from "./workers/workbench.ts";

/** HTML of the report: every text in it is escaped where it was made. */
function fragment(html: string): DocumentFragment {
  const template = h("template");
  template.innerHTML = html;
  return template.content;
}

/** Lets the page draw and answer. */
const pause = () => new Promise((resolve) => setTimeout(resolve));

/** Shows a report, a section after the other, as long as it is the one that is wanted. */
export async function showReport(
  place: HTMLElement,
  { measuredOn, summary, sections, style }: Made,
  wanted: () => boolean,
): Promise<void> {
  place.className = "splitgate-report";
  place.replaceChildren(
    h("style", {}, style),
    measuredOn === "test" ? "" : h(
      "p",
      {},
      "Measured on the calibration data, which flatters: give test data to know more.",
    ),
    fragment(summary),
  );
  for (const { html } of sections) {
    await pause();
    if (!wanted()) return;
    place.append(fragment(html));
  }
}
