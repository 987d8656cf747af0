/**
 * What a kind of golden file is to the runner.
 *
 * @module
 */
import type { Check } from "./check.ts";
import type { Field } from "./read.ts";

/** A kind of golden file: which files are of it and how one of their cases is run. */
export interface Kind {
  /** Matches the names of its files. */
  readonly files: RegExp;
  /** A case's name: its own, or one that is unique in its file. */
  nameOf(golden: Field): string;
  /**
   * Computes a case's results and compares them.
   *
   * @throws If the case is malformed, of an operation that the kind does not know, or refused here.
   */
  run(golden: Field, check: Check): void | Promise<void>;
}

/** Where an operation's cases are run, by the operation's name. */
export type Operations = Record<string, (golden: Field, check: Check) => void>;

/** Runs a case by its `op`. */
export function runOperation(operations: Operations, golden: Field, check: Check): void {
  const op = golden.get("op");
  const run = Object.hasOwn(operations, op.string()) ? operations[op.string()] : undefined;
  (run ?? op.fail(`one of ${Object.keys(operations).join(", ")}`))(golden, check);
}

/** Short names of operations: the operation and the given members, as far as the case has them. */
export function describe(golden: Field, members: readonly string[]): string {
  const parts = [golden.get("op").string()];
  for (const member of members) {
    const value = golden.maybe(member)?.value;
    if (typeof value === "object" && value !== null && "shape" in value) {
      parts.push(`${member} [${(value as { shape: unknown }).shape}]`);
    } else if (value !== undefined) {
      parts.push(
        member === "engine" || member === "dtype"
          ? String(value)
          : `${member} ${JSON.stringify(value)}`,
      );
    }
  }
  return parts.join(" ");
}
