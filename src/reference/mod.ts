/**
 * The reference graph of a model.
 *
 * @module
 */
export { type GraphNode, type GraphOp, nodeQParams } from "./graph.ts";
export {
  convertToReference,
  ReferenceModel,
  type ReferenceResult,
  type ReferenceRunOptions,
  type ReferenceState,
  type StateTensor,
} from "./reference.ts";
export { type GraphValue, type GraphWatcher } from "./run.ts";
export { type GraphFault, verifyGraph } from "./verify.ts";
