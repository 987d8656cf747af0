/**
 * What each part of a recurrent cell loses in integers, and the choice of 8 or 16 bits for each so
 * that a model reaches a signal-to-noise ratio.
 *
 * @example
 * ```ts
 * import { LSTM, tensor } from "@splitgate/splitgate";
 * import { tune } from "@splitgate/splitgate/tune";
 * import { assert } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
 * const data = [tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2])];
 * const { model, outputSqnr } = tune(lstm, data, { budget: 30 });
 * assert(model.modules.has("lstm") && outputSqnr >= 30);
 * ```
 *
 * @module
 */
export { type PartLoss, type PartReport, reportParts } from "./src/tune/report.ts";
export { tune, type TunedPart, type TuneOptions, type TuneResult } from "./src/tune/tune.ts";
