/**
 * What npm, bundlers and people read in package.json beyond name, version and exports.
 *
 * @module
 */

/** The same for the tarball of `deno pack` and the package of dnt. */
export const PACKAGE_FIELDS = {
  description:
    "Quantize and run int8 LSTM models in plain TypeScript, equal to PyTorch bit for bit",
  keywords: ["quantization", "int8", "lstm", "pytorch", "edge", "inference"],
  sideEffects: false,
};
