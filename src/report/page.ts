/**
 * A report as a static page: one file without external resources.
 *
 * @module
 */
import { failRange, failType, isObject } from "../core/errors.ts";
import type { ReportData } from "./data.ts";
import { html, Markup } from "./html.ts";
import { reportSections, summary } from "./sections.ts";
import { REPORT_STYLE } from "./style.ts";

/** Requires report data of this version. */
function checkData(data: unknown): asserts data is ReportData {
  if (!isObject(data) || !("version" in data)) failType("data", "what measureReport gave", data);
  if (data.version !== 1) failRange("data.version", "1", data.version);
}

/**
 * Draws a report as a page: one HTML file that works offline, needs no scripts, and follows the
 * reader's light or dark colour scheme.
 *
 * @param data The result of `measureReport`, or the same from JSON.
 * @throws {RangeError} If it has another version.
 * @throws {RangeError} If it is of another version.
 *
 * @example
 * ```ts
 * import { LSTM, quantize } from "@splitgate/splitgate";
 * import { measureReport, reportHTML } from "@splitgate/splitgate/report";
 * import { assert } from "@std/assert";
 * const model = new LSTM({ inputSize: 2, hiddenSize: 3 });
 * const data = [Float32Array.of(0.5, -1, 1, 0.25)];
 * const report = await measureReport(model, await quantize(model, data), data, {
 *   title: "A <model>",
 *   speed: false,
 * });
 * assert(reportHTML(report).includes("<title>A &lt;model&gt;: int8 beside float</title>"));
 * ```
 */
export function reportHTML(data: ReportData): string {
  checkData(data);
  const sections = reportSections(data);
  const { title } = data;
  return html`
    <!DOCTYPE html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <meta http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
        <link rel="icon" href="data:,">
        <title>${title}: int8 beside float</title>
        <style>body{margin:0}${new Markup(REPORT_STYLE)}</style>
      </head>
      <body class="splitgate-report">
        <header>
    <h1>${title}: int8 beside float</h1>
    ${summary(data)}<nav aria-label="Sections"><ul>
    ${sections.map(({ id, title }) =>
      html`
        <li><a href="#report-${id}">${title}</a></li>
      `
    )}</ul></nav>
        </header>
        <main>
    ${sections.map((section) => new Markup(section.html))}</main>
      </body>
    </html>
  `.text;
}
