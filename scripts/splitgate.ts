/**
 * The `splitgate` command from the sources:
 *
 *     deno task splitgate COMMAND ...
 */
import process from "node:process";
import config from "../deno.json" with { type: "json" };
import { main } from "../src/cli/mod.ts";

process.exitCode = await main(process.argv.slice(2), undefined, config.version);
