/**
 * What npm, bundlers and people read in package.json beyond name, version and exports.
 *
 * @module
 */

/** The same for the tarball of `deno pack` and the package of dnt. */
export const PACKAGE_FIELDS = {
  description:
    "Quantize recurrent models to int8 and run them in plain TypeScript, equal to PyTorch bit for bit",
  keywords: [
    "quantization",
    "int8",
    "lstm",
    "gru",
    "onnx",
    "keras",
    "pytorch",
    "edge",
    "inference",
  ],
  repository: "github:splitgate/splitgate",
  engines: { node: ">=20", deno: ">=2", bun: ">=1.2" },
  type: "module",
  sideEffects: false,
  // What `./testing` draws with; who fuzzes has it, and nobody else needs it.
  peerDependencies: { "fast-check": ">=4.0.0" },
  peerDependenciesMeta: { "fast-check": { optional: true } },
};

/** The file that npm links as `splitgate`. */
export const BIN = "bin/splitgate.js";

/** What stands in it. */
export const BIN_TEXT = `#!/usr/bin/env node
import { createRequire } from "node:module";
import process from "node:process";
import { main } from "@splitgate/splitgate/cli";

const { version } = createRequire(import.meta.url)("../package.json");
process.exitCode = await main(process.argv.slice(2), undefined, version);
`;

/** What resolvers of modules ask for: the types, an import, whatever else. */
type Target = string | {
  readonly types?: string;
  readonly import: string;
  readonly default: string;
};

/**
 * The `exports` of package.json.
 *
 * @param entries Entry points as deno.json has them: TypeScript modules and files that are imported
 * as they are.
 * @param folder Where the built modules lie in the package, such as `./` or `./esm/`.
 */
export function packageExports(
  entries: Readonly<Record<string, string>>,
  folder: string,
): Record<string, Target> {
  const targets = Object.entries(entries).map(([name, file]): [string, Target] => {
    const built = file.replace(/^\.\//, folder);
    if (!built.endsWith(".ts")) return [name, { import: built, default: built }];
    const module = built.replace(/ts$/, "js");
    return [name, { types: built.replace(/ts$/, "d.ts"), import: module, default: module }];
  });
  return { ...Object.fromEntries(targets), "./package.json": "./package.json" };
}
