/**
 * Fields of package.json for npm, bundlers and people, besides name, version and exports.
 *
 * @module
 */

/** The fields of both packages: the tarball of `deno pack`, and the package of dnt. */
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
  // Needed by `./testing` only.
  peerDependencies: { "fast-check": ">=4.0.0" },
  peerDependenciesMeta: { "fast-check": { optional: true } },
};

/** The file that npm links as `splitgate`. */
export const BIN = "bin/splitgate.js";

/** Its contents. */
export const BIN_TEXT = `#!/usr/bin/env node
import { createRequire } from "node:module";
import process from "node:process";
import { main } from "@splitgate/splitgate/cli";

const { version } = createRequire(import.meta.url)("../package.json");
process.exitCode = await main(process.argv.slice(2), undefined, version);
`;

/** A target of package.json's exports: types, import, and default. */
type Target = string | {
  readonly types?: string;
  readonly import: string;
  readonly default: string;
};

/**
 * The `exports` of package.json.
 *
 * @param entries Entry points as in deno.json: TypeScript modules, and files that are imported
 * unchanged.
 * @param folder The folder of the built modules in the package, such as `./` or `./esm/`.
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
