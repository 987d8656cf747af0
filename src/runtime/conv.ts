/**
 * Running halves of convolution, pooling, padding and Flatten, for `loadProgram` of the runtime:
 * `loadProgram(bytes, { kinds: [conv1d, maxPool1d] })`. A BatchNorm1d or ReLU that became part of a
 * Conv1d needs none.
 *
 * @module
 */
export { avgPool1d, type AvgPool1dProgram } from "./kinds/avg_pool1d.ts";
export { conv1d, type Conv1dProgram } from "./kinds/conv1d.ts";
export { flatten, type FlattenProgram } from "./kinds/flatten.ts";
export { maxPool1d } from "./kinds/max_pool1d.ts";
export { zeroPad1d } from "./kinds/zero_pad1d.ts";
export type { WindowProgram } from "./window.ts";
