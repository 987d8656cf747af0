/**
 * A quantized model as a graph of dequantize, float32 operation, quantize, as PyTorch's reference
 * representation has it: to read, check, draw and run it. And the integers of recurrent cells part
 * by part, to watch them.
 *
 * @example
 * ```ts
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { convertToReference, verifyGraph } from "@splitgate/splitgate/reference";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const reference = convertToReference(convert(observed));
 * assertEquals(verifyGraph(reference.nodes), []);
 * ```
 *
 * @module
 */
export { byParts, type PartValue, type PartWatcher } from "./src/modules/recurrent/by_parts.ts";
export type { FunctionOp } from "./src/cells/functions.ts";
export type { GraphNode, GraphValue } from "./src/modules/reference.ts";
export { nodeQParams } from "./src/reference/graph.ts";
export {
  convertToReference,
  type ReferenceModel,
  type ReferenceOutput,
  type ReferenceResult,
  type ReferenceRunOptions,
  type ReferenceState,
  type StateTensor,
} from "./src/reference/reference.ts";
export type { GraphWatcher } from "./src/reference/run.ts";
export { type GraphFault, verifyGraph } from "./src/reference/verify.ts";
