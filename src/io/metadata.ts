/**
 * The metadata keys of the two kinds of model files.
 *
 * @module
 */

/** Key of a quantized model's modules. */
export const METADATA_KEY = "splitgate";

/** Key of a float model's architecture. */
export const ARCHITECTURE_KEY = "splitgate.architecture";
