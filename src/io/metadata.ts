/**
 * The metadata keys of model files, by which the two kinds are told apart.
 *
 * @module
 */

/** What the modules of a quantized model stand under. */
export const METADATA_KEY = "splitgate";

/** What a float model's architecture stands under. */
export const ARCHITECTURE_KEY = "splitgate.architecture";
