/**
 * Bundling for other runtimes.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { build, type BuildOptions } from "esbuild";

/**
 * Bundles a module into one ES module. The package itself is the one that is installed in `folder`,
 * with its own map of exports.
 */
export async function bundle(
  entry: URL,
  folder: string,
  file: string,
  options: BuildOptions = {},
): Promise<void> {
  await build({
    entryPoints: [fileURLToPath(entry)],
    outfile: `${folder}/${file}`,
    nodePaths: [`${folder}/node_modules`],
    bundle: true,
    format: "esm",
    target: "es2022",
    logLevel: "error",
    ...options,
  });
}
