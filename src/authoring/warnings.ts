/**
 * Warnings about calibration data that leads to poor parameters.
 *
 * @module
 */
import { isPerChannel } from "../core/qparams.ts";
import { kindOf } from "../modules/kinds.ts";
import { Observer } from "../observer/observer.ts";
import type { ValueStatistics } from "../observer/statistics.ts";
import type { ObservedModel } from "./observed_model.ts";

/**
 * A problem of the observed values that makes their parameters poor.
 *
 * @example
 * ```ts
 * import { type CalibrationWarning, Linear, quantize } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const ones = new Float32Array(20).fill(1); // a column that never changes, say
 * const { warnings } = await quantize(new Linear({ inFeatures: 2, outFeatures: 3 }), [ones]);
 * const first: CalibrationWarning = warnings[0]!;
 * assertEquals(first.problem, "constant");
 * ```
 */
export interface CalibrationWarning {
  /**
   * Name of the value: `input` of the model, or `lstm.input`, `lstm.l0.fgate_cx_igate_cgate`,
   * `out`.
   */
  readonly name: string;
  /**
   * The problem: every value was 0 ("zeros") or the same number ("constant"), or a few large values
   * make the integer steps so wide that the others lie within one step ("outlier").
   */
  readonly problem: "zeros" | "constant" | "outlier";
  /** A sentence that says what was seen, what follows from it, and what to do. */
  readonly message: string;
}

/** Largest allowed ratio of the largest to a typical value of the model's input. */
const INPUT_RATIO = 1024;

const MORE_DATA = "calibrate with data like that the model is to run on";

const OUTLIERS = "leave them out of the calibration data or clip them to what is meant, or give " +
  "this value an observer that cuts off (HistogramObserver) or one of fixed parameters";

/** Problems that do not depend on the parameters. */
function narrowProblem(name: string, { min, max, count }: ValueStatistics): CalibrationWarning[] {
  if (min < max || count === 0) return [];
  const zeros = min === 0;
  const seen = `all ${count} values were ${zeros ? "0" : min}`;
  const follows = "its parameters suit no others, which are cut off or lost";
  return [{
    name,
    problem: zeros ? "zeros" : "constant",
    message: `${name}: ${seen}, so that ${follows}: ${MORE_DATA}`,
  }];
}

/** @param limit What a typical value must reach. @param what What it is. */
function wideProblem(
  name: string,
  { min, max, typical }: ValueStatistics,
  limit: number,
  what: string,
): CalibrationWarning[] {
  if (!(typical > 0 && typical < limit)) return [];
  const largest = Math.max(-min, max);
  const seen = `values reach ${digits(largest)} and are typically ${digits(typical)}`;
  return [{
    name,
    problem: "outlier",
    message: `${name}: ${seen}, less than ${what} (${digits(limit)}): ${OUTLIERS}`,
  }];
}

function digits(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** Problems of an observed value. */
function observerProblems(name: string, observer: Observer): CalibrationWarning[] {
  const { statistics } = observer;
  if (!observer.seen || statistics.count === 0) return [];
  // Parameters that are fixed do not follow from what was seen.
  if (observer.minVal === undefined) return [];
  const narrow = narrowProblem(name, statistics);
  if (narrow.length > 0) return narrow;
  const qparams = observer.calculateQParams();
  if (isPerChannel(qparams)) return [];
  return wideProblem(name, statistics, qparams.scale, "one step between integers");
}

/**
 * Warnings about calibration data that leads to poor parameters: values that were all the same, or
 * that are lost beside a few large ones.
 *
 * @param observed A model through which calibration data has run.
 * @returns One warning a value, in the order in which values come: the model's input, then each
 * module's input, parts and output. Empty if there is no problem, or no data was run.
 *
 * @example
 * ```ts
 * import { calibrationWarnings, getPreset, Linear, prepare, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new Linear({ inFeatures: 2, outFeatures: 3 }), getPreset("fbgemm"));
 * observed.forward(tensor([0, 0], [1, 2]));
 * const [first] = calibrationWarnings(observed);
 * assertEquals([first!.name, first!.problem], ["input", "zeros"]);
 * ```
 */
export function calibrationWarnings(observed: ObservedModel): CalibrationWarning[] {
  const { inputStatistics: input } = observed;
  const warnings = narrowProblem("input", input);
  if (warnings.length === 0 && observed.inputSize !== null) {
    const limit = Math.max(-input.min, input.max) / INPUT_RATIO;
    const what = `a ${INPUT_RATIO}th of that`;
    if (input.count > 0) warnings.push(...wideProblem("input", input, limit, what));
  }
  for (const [name, module] of observed.modules) {
    if (module.input instanceof Observer) {
      warnings.push(...observerProblems(`${name}.input`, module.input));
    }
    const inner = kindOf(name, module).innerObservers?.(module) ?? [];
    let own = false;
    for (const [part, observer] of inner) {
      own ||= observer === module.output;
      warnings.push(...observerProblems(`${name}.${part}`, observer));
    }
    if (module.output !== null && !own) warnings.push(...observerProblems(name, module.output));
  }
  return warnings;
}
