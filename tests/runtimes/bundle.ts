/**
 * Bundling for other runtimes.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { build, type BuildOptions, type Plugin } from "esbuild";
import config from "../../deno.json" with { type: "json" };

const ROOT = new URL("../../", import.meta.url);

/** Resolves the package's own names to its sources, as deno.json's import map does. */
export const ownSources: Plugin = {
  name: "own-sources",
  setup(build) {
    const imports: Record<string, string> = config.imports;
    build.onResolve({ filter: /^@splitgate\/splitgate/ }, ({ path }) => ({
      path: fileURLToPath(new URL(imports[path], ROOT)),
    }));
  },
};

/** Bundles one module of the repository into one ES module. */
export async function bundle(entry: URL, output: string, options: BuildOptions = {}): Promise<void> {
  await build({
    entryPoints: [fileURLToPath(entry)],
    outfile: output,
    bundle: true,
    format: "esm",
    target: "es2022",
    logLevel: "error",
    ...options,
  });
}
