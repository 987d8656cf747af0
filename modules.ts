/**
 * What float modules are made of, for code that takes any of them: the classes that kinds share,
 * weights, options of `forward`, recurrent cells as data. The modules themselves are in the main
 * entry.
 *
 * @example A cell's parts, in the order in which they are computed
 * ```ts
 * import { LSTM_PARTS } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * assertEquals(LSTM_PARTS.slice(0, 3).map(({ name }) => name), ["igates", "hgates", "gates"]);
 * ```
 *
 * @module
 */
export type {
  CellActivation,
  CellFunctions,
  GateActivation,
  LSTMCellWeights,
} from "./kernels/float/lstm.ts";
export type {
  Activation,
  HardSigmoid as HardSigmoidFunction,
  LeakyReLUFunction,
} from "./kernels/numeric/float_functions.ts";
export type { Cell, CellWeight, NamedPart, Part, StatePart } from "./src/cells/cell.ts";
export type { FloatCellWeights } from "./src/cells/float_executor.ts";
export { GRU_PARTS } from "./src/cells/gru_parts.ts";
export { LSTM_PARTS } from "./src/cells/lstm_parts.ts";
export type { Mask } from "./src/core/mask.ts";
export type { Topology } from "./src/core/topology.ts";
export type { ActivationModule } from "./src/modules/activation.ts";
export type { EndForwardOptions, EndOfTime } from "./src/modules/end_of_time.ts";
export type { GraphForwardOptions } from "./src/modules/graph.ts";
export type { GRUConventions, GRUWeights } from "./src/modules/gru/float.ts";
export type {
  InitialState,
  InputObserver,
  ObservedModule,
  QuantizedModule,
} from "./src/modules/kind.ts";
export type { LSTMWeights } from "./src/modules/lstm/float.ts";
export type { StateDictEntry, StateDictRule } from "./src/modules/module.ts";
export type { PointwiseModule } from "./src/modules/pointwise.ts";
export type { PoolModule } from "./src/modules/pool.ts";
export type { FloatRecurrent, RecurrentOptions } from "./src/modules/recurrent/float.ts";
export type { RecurrentForwardOptions } from "./src/modules/recurrent/sequence.ts";
export type { Padding, WindowForwardOptions } from "./src/modules/window.ts";
