/**
 * Errors caused by the user's input.
 *
 * @module
 */

/** An error caused by the user's input; shown in one line. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** A wrongly typed command. */
export class UsageError extends CommandError {}

/** Calls a function on a file; its errors begin with the file's name. */
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
