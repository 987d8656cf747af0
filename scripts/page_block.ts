/**
 * Generated blocks of a page, between markers.
 *
 * @module
 */

/**
 * Replaces the block of a page between `<!-- name:begin -->` and `<!-- name:end -->`. Without new
 * contents, the page is unchanged.
 *
 * @throws {Error} If the page does not have the markers.
 */
export function replaceBlock(
  page: string,
  text: string,
  name: string,
  block: string | undefined,
): string {
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${page}: expected the markers ${begin} and ${end}`);
  if (block === undefined) return text;
  return `${text.slice(0, from + begin.length)}\n${block}\n${text.slice(to)}`;
}
