/**
 * Mistakes of the person at the keyboard, or in front of the page.
 *
 * @module
 */

/** A mistake of a person: shown in one line. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}
