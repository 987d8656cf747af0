/**
 * Draws reports from plain data. It is a separate worker, because the plots are needed only after a
 * model was quantized.
 *
 * @module
 */
import type { ReportData } from "../../src/report/data.ts";
import { reportHTML } from "../../src/report/page.ts";
import { type ReportSection, reportSections, summary } from "../../src/report/sections.ts";
import { REPORT_STYLE } from "../../src/report/style.ts";
import { serve } from "../calls.ts";

/** A drawn report. */
export interface DrawnReport {
  /** HTML of its summary and of its sections, and the style of both. */
  readonly summary: string;
  readonly sections: readonly ReportSection[];
  readonly style: string;
  /** The report as a separate page. */
  readonly page: Blob;
}

const methods = {
  /** Draws a result of `measureReport`, given as JSON. */
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

/** The methods that the page calls. */
export type ReportMethods = typeof methods;

serve(methods);
