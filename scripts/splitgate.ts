/**
 * The `splitgate` command from the sources:
 *
 *     deno task splitgate COMMAND ...
 */
import process from "node:process";
import { main } from "../src/cli/mod.ts";

process.exitCode = await main(process.argv.slice(2));
