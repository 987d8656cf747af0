/**
 * Mistakes of the person at the keyboard, or in front of the page.
 *
 * @module
 */

/** A mistake of a person: shown in one line. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** A command that is written wrongly. */
export class UsageError extends CommandError {}

/** Does something with a file, whose name stands before what is wrong with it. */
export function withPath<T>(path: string, use: () => T): T {
  try {
    return use();
  } catch (error) {
    if (error instanceof CommandError || !(error instanceof Error)) throw error;
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    const message = error.message.replace(/^bytes(?=: )/, path);
    const named = message.startsWith(path) ? message : `${path}: ${message}`;
    const older = /: expected version \d+, got/.test(named);
    throw new CommandError(
      older ? `${named}, another version's: make it again by splitgate compile` : named,
      { cause: error },
    );
  }
}
