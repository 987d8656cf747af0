/**
 * The packed package, installed as a user would.
 *
 * @module
 */
import { pack } from "../../scripts/pack.ts";

/** The package's name. */
export const NAME = "@splitgate/splitgate";

/** The Bun that is tested and measured, from npm. */
export const BUN = "bun@1.4.5";

/** Runs a command to its end and gives what it printed; throws what it printed where it fails. */
export async function succeed(cwd: string, command: string, ...args: string[]): Promise<string> {
  const env = { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" };
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    cwd,
    env,
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  const text = decoder.decode(stdout) + decoder.decode(stderr);
  if (!success) throw new Error(`${command} ${args.join(" ")}\n${text}`);
  return text;
}

/**
 * Packs the package and installs it by npm into a folder, which becomes a package of its own. The
 * tarball may be one that was packed before, such as dnt's, by the variable `SPLITGATE_TARBALL`.
 */
export async function installPacked(folder: string): Promise<void> {
  const packed = Deno.env.get("SPLITGATE_TARBALL");
  if (packed === undefined) await pack(`${folder}/splitgate.tgz`);
  else await Deno.copyFile(packed, `${folder}/splitgate.tgz`);
  await Deno.writeTextFile(
    `${folder}/package.json`,
    JSON.stringify({ name: "consumer", type: "module" }),
  );
  await succeed(
    folder,
    "npm",
    "install",
    "--no-audit",
    "--no-fund",
    "--offline",
    "./splitgate.tgz",
  );
}
