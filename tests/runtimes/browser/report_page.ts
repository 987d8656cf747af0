/**
 * A page's script that quantizes a small model and makes its report.
 *
 * @module
 */
import { makeReport } from "../report_case.ts";

Object.assign(globalThis, { makeReport });
