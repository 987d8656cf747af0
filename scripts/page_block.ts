/**
 * Blocks of a page that are generated, between markers.
 *
 * @module
 */

/**
 * A page with the block of a name replaced, which stands between `<!-- name:begin -->` and
 * `<!-- name:end -->`; as it was where there is nothing to put there.
 *
 * @throws {Error} If the page lacks the markers.
 */
export function replaceBlock(
  page: string,
  text: string,
  name: string,
  block: string | undefined,
): string {
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
  const from = text.indexOf(begin), to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${page}: expected the markers ${begin} and ${end}`);
  if (block === undefined) return text;
  return `${text.slice(0, from + begin.length)}\n${block}\n${text.slice(to)}`;
}
