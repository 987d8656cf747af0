/**
 * The style of a report: light or dark like the reader's system, and readable on a phone.
 *
 * @module
 */

/** The colours of the light scheme, as CSS variables. */
const LIGHT = `--sg-back:#fff;--sg-text:#1c2128;--sg-faint:#59636e;--sg-line:#d1d9e0;` +
  `--sg-panel:#f6f8fa;--sg-main:#0b5cad;--sg-fill:#a9cdf2;--sg-range:#e3f1e6;--sg-limit:#1a7f37;` +
  `--sg-fault:#b3261e;--sg-hint:#8a5a00;--sg-good:#1a7f37;`;
const DARK = `--sg-back:#0d1117;--sg-text:#e6edf3;--sg-faint:#9aa5b1;--sg-line:#3d444d;` +
  `--sg-panel:#161b22;--sg-main:#79b8ff;--sg-fill:#2f5b8f;--sg-range:#15301d;--sg-limit:#56d364;` +
  `--sg-fault:#ff8a80;--sg-hint:#e3b341;--sg-good:#56d364;`;

/**
 * CSS of the sections; all rules apply below the class `splitgate-report`, which the containing
 * element must have.
 *
 * @example
 * ```ts
 * import { REPORT_STYLE } from "@splitgate/splitgate/report";
 * import { assertEquals } from "@std/assert";
 * const page = `<style>${REPORT_STYLE}</style><main class="splitgate-report"></main>`;
 * assertEquals(page.includes("prefers-color-scheme"), true);
 * ```
 */
export const REPORT_STYLE: string = `
.splitgate-report{${LIGHT}color-scheme:light dark;background:var(--sg-back);color:var(--sg-text);
font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
@media (prefers-color-scheme:dark){.splitgate-report{${DARK}}}
.splitgate-report main,.splitgate-report header{max-width:64rem;margin:0 auto;padding:0 1rem}
.splitgate-report section{margin:2rem 0}
.splitgate-report h1{font-size:1.7rem;line-height:1.2;margin:1.5rem 0 .5rem}
.splitgate-report h2{font-size:1.3rem;line-height:1.3;margin:0 0 .5rem}
.splitgate-report h3{font-size:1.05rem;margin:1.2rem 0 .4rem}
.splitgate-report p{margin:.4rem 0;max-width:44rem}
.splitgate-report nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1rem;padding:0;list-style:none}
.splitgate-report a{color:var(--sg-main)}
.splitgate-report .faint,.splitgate-report figcaption,.splitgate-report caption{color:var(--sg-faint);
font-size:.9rem;text-align:left}
.splitgate-report .figures{display:grid;gap:.8rem;padding:0;margin:1rem 0;list-style:none;
grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr))}
.splitgate-report .figures li{background:var(--sg-panel);border:1px solid var(--sg-line);
border-radius:.5rem;padding:.6rem .8rem}
.splitgate-report .figures strong{display:block;font-size:1.4rem;line-height:1.3}
.splitgate-report .advice{padding:0;list-style:none;max-width:48rem}
.splitgate-report .advice li{border-left:.3rem solid var(--sg-good);padding:.3rem .8rem;
margin:.5rem 0;background:var(--sg-panel)}
.splitgate-report .advice li.fault{border-color:var(--sg-fault)}
.splitgate-report .advice li.hint{border-color:var(--sg-hint)}
.splitgate-report .advice b{color:var(--sg-good)}
.splitgate-report .fault b{color:var(--sg-fault)}
.splitgate-report .hint b{color:var(--sg-hint)}
.splitgate-report .scroll{overflow-x:auto;max-width:100%}
.splitgate-report .scroll:focus-visible,.splitgate-report summary:focus-visible,
.splitgate-report a:focus-visible{outline:2px solid var(--sg-main);outline-offset:2px}
.splitgate-report table{border-collapse:collapse;font-size:.92rem;margin:.6rem 0}
.splitgate-report caption{padding:.2rem 0}
.splitgate-report th,.splitgate-report td{border-bottom:1px solid var(--sg-line);
padding:.3rem .6rem;text-align:left;vertical-align:top;overflow-wrap:normal}
.splitgate-report thead th{white-space:nowrap}
.splitgate-report tbody th{font-weight:500;min-width:12rem;overflow-wrap:anywhere}
.splitgate-report .number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.splitgate-report figure{margin:.8rem 0;min-width:0}
.splitgate-report .plots{display:grid;gap:0 1.2rem;
grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr))}
.splitgate-report svg{display:block;width:100%;max-width:36rem;height:auto;fill:currentColor;
font:11px system-ui,sans-serif}
.splitgate-report .scroll svg.graph{width:auto;max-width:none}
.splitgate-report details{border:1px solid var(--sg-line);border-radius:.5rem;margin:.6rem 0;
padding:0 .8rem}
.splitgate-report summary{cursor:pointer;padding:.5rem 0;font-weight:600;min-height:1.5rem}
.splitgate-report svg .tick text,.splitgate-report svg .axis{fill:var(--sg-faint)}
.splitgate-report svg .tick line{stroke:var(--sg-line)}
.splitgate-report svg .range{fill:var(--sg-range)}
.splitgate-report svg .limit{stroke:var(--sg-limit);stroke-width:1.5;stroke-dasharray:5 3}
.splitgate-report svg .bars,.splitgate-report svg .below{fill:var(--sg-fill)}
.splitgate-report svg .bars{stroke:var(--sg-main);stroke-width:.6}
.splitgate-report svg .line{fill:none;stroke:var(--sg-main);stroke-width:2}
.splitgate-report svg .bar rect{fill:var(--sg-fill);stroke:var(--sg-main);stroke-width:.6}
.splitgate-report svg .bar.marked rect{fill:var(--sg-main)}
.splitgate-report svg .node rect{fill:var(--sg-panel);stroke:var(--sg-line);stroke-width:1.2}
.splitgate-report svg .node.integers rect{fill:var(--sg-range);stroke:var(--sg-limit)}
.splitgate-report svg .node.outside rect{stroke-dasharray:4 3}
.splitgate-report svg .node .small{fill:var(--sg-faint);font-size:10px}
.splitgate-report svg .edge{fill:none;stroke:var(--sg-faint);stroke-width:1.2}
.splitgate-report svg .edge.later{stroke-dasharray:4 3}
.splitgate-report svg .tip{fill:var(--sg-faint)}
@media print{.splitgate-report{background:#fff;color:#000}}
`;
