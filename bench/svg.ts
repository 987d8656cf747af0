/**
 * Charts as SVG, on a white ground: legible wherever a page shows them, be it light or dark.
 *
 * @module
 */
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";

/** Draws a Vega-Lite specification. */
export async function svgOf(spec: TopLevelSpec): Promise<string> {
  const whole: TopLevelSpec = { background: "white", padding: 8, ...spec };
  return `${await new View(parse(compile(whole).spec), { renderer: "none" }).toSVG()}\n`;
}
