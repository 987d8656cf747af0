/**
 * The reference graph of a model.
 *
 * @module
 */
export { nodeQParams } from "./graph.ts";
export type { GraphNode, GraphValue } from "../modules/reference.ts";
export {
  convertToReference,
  ReferenceModel,
  type ReferenceOutput,
  type ReferenceResult,
  type ReferenceRunOptions,
  type ReferenceState,
  type StateTensor,
} from "./reference.ts";
export { type GraphWatcher } from "./run.ts";
export { type GraphFault, verifyGraph } from "./verify.ts";
