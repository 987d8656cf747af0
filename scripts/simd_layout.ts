/**
 * Generates kernels/simd/layout.as from the table in kernels/simd/layout.ts.
 *
 * @module
 */
import {
  ACTIVATION,
  BIAS,
  BINDING,
  BLOCK_ROWS,
  BOUNDS,
  CELL,
  FIXED,
  FORM,
  GAP,
  GRU,
  type Layout,
  MAGIC_BITS,
  PRODUCT,
  PROJECTION,
  PROJECTION_UNIT,
  ROW,
  SECOND,
  SHARED,
  SUM,
  TILE_GROUPS,
  UNQUANTIZED,
} from "../kernels/simd/layout.ts";

/** Layouts by the prefix of their fields' names; {@linkcode SHARED} has no prefix. */
const LAYOUTS: { readonly [prefix: string]: Layout } = {
  CELL,
  SECOND,
  GRU,
  BINDING,
  SUM,
  PRODUCT,
  BOUNDS,
  ACTIVATION,
  PROJECTION,
  UNIT: PROJECTION_UNIT,
  ROW,
};

/** Enumerations by the prefix of their names. */
const CHOICES = { FORM, BIAS, FIXED, UNQUANTIZED };

const BYTES = 4;

/** The contents of kernels/simd/layout.as. */
export function layoutSource(): string {
  const lines = [
    "// Written by `deno task build:simd` from kernels/simd/layout.ts, which says what each is.",
    "",
    `const MAGIC_BITS: i32 = ${MAGIC_BITS};`,
    `const TILE_GROUPS: i32 = ${TILE_GROUPS};`,
    "// Bytes of a block's sums, and of a group of its weights.",
    `const BLOCK: usize = ${BLOCK_ROWS * BYTES};`,
    `const GAP: usize = ${GAP * BYTES};`,
  ];
  for (const [prefix, choices] of Object.entries(CHOICES)) {
    lines.push("");
    for (const [name, value] of Object.entries(choices)) {
      lines.push(`const ${prefix}_${name}: i32 = ${value};`);
    }
  }
  lines.push("");
  for (const [name, word] of Object.entries(SHARED)) {
    if (name !== "SIZE") lines.push(`const ${name}: usize = ${word * BYTES};`);
  }
  for (const [prefix, layout] of Object.entries(LAYOUTS)) {
    lines.push("");
    for (const [name, word] of Object.entries(layout)) {
      lines.push(`const ${prefix}_${name}: usize = ${word * BYTES};`);
    }
  }
  return `${lines.join("\n")}\n`;
}
