/**
 * The npm package as a tarball, from `deno pack`, with its modules joined and further fields in
 * package.json.
 *
 *     deno task pack [--output FILE]      build/splitgate.tgz by default
 */
import { fileURLToPath } from "node:url";
import { stop } from "esbuild";
import config from "../deno.json" with { type: "json" };
import { readArguments } from "./arguments.ts";
import { joinModules } from "./modules.ts";
import { thirdPartyNotice } from "./npm_packages.ts";
import { BIN, BIN_TEXT, PACKAGE_FIELDS, packageExports } from "./package_fields.ts";
import { writeFile } from "./write_file.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

async function run(command: string, args: string[], cwd: string): Promise<void> {
  const { success, stderr, stdout } = await new Deno.Command(command, {
    args,
    cwd,
    env: { NO_COLOR: "1" },
  }).output();
  if (success) return;
  const text = new TextDecoder();
  throw new Error(
    `pack: ${command} ${args[0]} failed\n${text.decode(stdout)}${text.decode(stderr)}`,
  );
}

/** Puts what `deno pack` makes of this repository into the folder `package` of a folder. */
export async function packModules(scratch: string): Promise<void> {
  const plain = `${scratch}/plain.tgz`;
  // Its check for uncommitted changes matters only for publishing; sources are not needed without
  // source maps.
  await run(
    Deno.execPath(),
    ["pack", "--allow-dirty", "--no-source-maps", "--output", plain],
    ROOT,
  );
  await run("tar", ["xzf", plain], scratch);
}

/** Packs the package of this repository into `output`. */
export async function pack(output: string): Promise<void> {
  const scratch = await Deno.makeTempDir({ prefix: "splitgate-pack-" });
  try {
    await packModules(scratch);
    const entries = Object.values(config.exports).filter((path) => path.endsWith(".ts"));
    const joined = await joinModules(
      `${scratch}/package`,
      entries.map((path) => path.slice(2).replace(/ts$/, "js")),
    );
    await Deno.writeTextFile(
      `${scratch}/package/THIRD_PARTY.md`,
      thirdPartyNotice(joined, `${scratch}/package`),
    );
    await Deno.mkdir(`${scratch}/package/bin`);
    await Deno.writeTextFile(`${scratch}/package/${BIN}`, BIN_TEXT);
    await Deno.chmod(`${scratch}/package/${BIN}`, 0o755);
    const path = `${scratch}/package/package.json`;
    const made = JSON.parse(await Deno.readTextFile(path));
    const exports = packageExports(config.exports, "./");
    // The dependencies of importers are bundled into the package.
    const { dependencies: _, ...own } = made;
    const manifest = { ...own, exports, bin: { splitgate: BIN }, ...PACKAGE_FIELDS };
    await Deno.writeTextFile(path, `${JSON.stringify(manifest, null, 2)}\n`);
    // The same files give the same bytes: no times or owners, sorted names.
    const sorted = [
      "--sort=name",
      "--mtime=1985-10-26 08:15:00Z",
      "--owner=0",
      "--group=0",
      "--numeric-owner",
    ];
    await run("tar", [...sorted, "-cf", "package.tar", "package"], scratch);
    await run("gzip", ["-n9", "package.tar"], scratch);
    await writeFile(output, (await Deno.open(`${scratch}/package.tar.gz`)).readable, {
      makeFolder: true,
    });
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
}

if (import.meta.main) {
  const { output } = readArguments("deno task pack [--output FILE]", {
    output: { type: "string", default: `${ROOT}build/splitgate.tgz` },
  }).values;
  await pack(output);
  await stop();
  console.log(`${output}: ${(await Deno.stat(output)).size} bytes`);
}
