/**
 * Draws reports, of plain data: a worker of its own, since its plots are needed only when a model was
 * quantized.
 *
 * @module
 */
import type { ReportData } from "../../src/report/data.ts";
import { reportHTML } from "../../src/report/page.ts";
import { type ReportSection, reportSections, summary } from "../../src/report/sections.ts";
import { REPORT_STYLE } from "../../src/report/style.ts";
import { serve } from "../calls.ts";

/** A report, drawn. */
export interface DrawnReport {
  /** HTML of its summary and of its sections, and the style of both. */
  readonly summary: string;
  readonly sections: readonly ReportSection[];
  readonly style: string;
  /** The report as a page of its own. */
  readonly page: Blob;
}

const methods = {
  /** Draws what `measureReport` gave, as JSON. */
  draw(json: string): DrawnReport {
    const data: ReportData = JSON.parse(json);
    return {
      summary: summary(data).text,
      sections: reportSections(data),
      style: REPORT_STYLE,
      page: new Blob([reportHTML(data)]),
    };
  },
};

/** What the page calls. */
export type ReportMethods = typeof methods;

serve(methods);
