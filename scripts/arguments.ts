/**
 * Command-line arguments of benches and scripts: `--help` prints the usage; unknown arguments are
 * errors before anything is measured or written.
 *
 * @module
 */
import process from "node:process";
import { parseArgs, type ParseArgsConfig } from "node:util";

/** The type of an option's value. */
type Value<O> = O extends { multiple: true } ? string[]
  : O extends { type: "boolean" } ? boolean
  : string;

/** Values of options, undefined where one is not given and has no default. */
export type Values<O> = {
  readonly [K in keyof O]: O[K] extends { default: unknown } ? Value<O[K]>
    : Value<O[K]> | undefined;
};

/** The result of {@linkcode readArguments}. */
export interface Arguments<O> {
  readonly values: Values<O>;
  readonly positionals: readonly string[];
}

/**
 * Parses this process's arguments. Exits with the usage if `--help` is given or an argument is
 * wrong.
 *
 * @param usage Printed for `--help`, and after an error.
 * @param options As for node's parseArgs.
 * @param maxPositionals Max number of arguments besides options.
 */
export function readArguments<const O extends NonNullable<ParseArgsConfig["options"]>>(
  usage: string,
  options: O,
  maxPositionals = 0,
): Arguments<O> {
  const all: NonNullable<ParseArgsConfig["options"]> = { ...options, help: { type: "boolean" } };
  let wrong: string;
  try {
    const { values, positionals } = parseArgs({
      options: all,
      allowPositionals: maxPositionals > 0,
      allowNegative: true,
    });
    if (values.help) {
      console.log(`usage: ${usage}`);
      process.exit(0);
    }
    if (positionals.length <= maxPositionals) return { values: values as Values<O>, positionals };
    wrong = `expected at most ${maxPositionals} besides options, got ${positionals.length}`;
  } catch (error) {
    wrong = (error as Error).message;
  }
  console.error(`${wrong}\nusage: ${usage}`);
  process.exit(2);
}
