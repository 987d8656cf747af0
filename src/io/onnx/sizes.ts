/**
 * Symbolic sizes of dimensions, as ONNX graphs compute with them: a number times names of sizes
 * that are only known at run time, such as `4 * batch`.
 *
 * @module
 */

/** A factor, and the sorted names it is multiplied with. */
export interface Size {
  readonly factor: number;
  readonly symbols: readonly string[];
}

/** A size from a number or a name. */
export function sizeOf(value: number | string): Size {
  return typeof value === "number"
    ? { factor: value, symbols: [] }
    : { factor: 1, symbols: [value] };
}

/** 1. */
export const ONE: Size = sizeOf(1);

/** The product of sizes. */
export function times(...sizes: readonly Size[]): Size {
  return {
    factor: sizes.reduce((product, { factor }) => product * factor, 1),
    symbols: sizes.flatMap(({ symbols }) => symbols).sort(),
  };
}

/** Whether two sizes are equal for all values of their names. */
export function same(a: Size, b: Size): boolean {
  return a.factor === b.factor && a.symbols.join() === b.symbols.join();
}

/** The quotient of sizes; undefined if `b` does not divide `a`. */
export function over(a: Size, b: Size): Size | undefined {
  const factor = a.factor / b.factor;
  const symbols = [...a.symbols];
  for (const each of b.symbols) {
    const at = symbols.indexOf(each);
    if (at < 0) return undefined;
    symbols.splice(at, 1);
  }
  return Number.isInteger(factor) ? { factor, symbols } : undefined;
}

/** A sum or difference; undefined if the names differ. */
export function plus(a: Size, b: Size, sign = 1): Size | undefined {
  if (a.factor === 0 || b.factor === 0 || a.symbols.join() === b.symbols.join()) {
    const factor = a.factor + sign * b.factor;
    return { factor, symbols: factor === 0 ? [] : (a.factor === 0 ? b : a).symbols };
  }
  return undefined;
}

/** The value of a size; undefined if it is symbolic. */
export function numberOf({ factor, symbols }: Size): number | undefined {
  return symbols.length === 0 ? factor : undefined;
}

/** A size for messages. */
export function showSize({ factor, symbols }: Size): string {
  return symbols.length === 0
    ? `${factor}`
    : [...factor === 1 ? [] : [factor], ...symbols].join(" * ");
}
