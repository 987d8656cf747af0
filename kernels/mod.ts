/**
 * The arithmetic: pure functions over typed arrays. They assume valid input; modules validate.
 *
 * @module
 */
export * from "./requantize.ts";
export * from "./activation.ts";
