/**
 * Fuzzing of a model: every invariant on random trials, and a readable report.
 *
 * @module
 */
import fc from "fast-check";
import type { Arbitrary } from "./arbitrary.ts";
import type { QuantizedModel } from "../authoring/model.ts";
import { checkOptions } from "../core/check.ts";
import { checkInteger, failRange, failType } from "../core/errors.ts";
import type { Module } from "../modules/module.ts";
import type { Backend } from "../runtime/kind.ts";
import { simdKernels, SimdUnavailableError } from "../simd/load.ts";
import { integersMatchReference, requantizeIsExact } from "./integers.ts";
import {
  batchedEqualsSingle,
  chunkedEqualsWhole,
  compiledEqualsModel,
  fastEqualsByParts,
  fusedEqualsSplit,
  type Invariant,
  portableEqualsSimd,
  refusedLeavesStateUnchanged,
  saveLoadIsIdentity,
  stateRoundTrips,
  type Tools,
  withinErrorOfFloat,
} from "./invariants.ts";
import { shrinkTrial, type Trial, type TrialOptions, trials } from "./trial.ts";
import type { Difference, Verdict } from "./verdict.ts";

/**
 * All invariants by name.
 *
 * @example
 * ```ts
 * import { INVARIANTS } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * assertEquals(Object.keys(INVARIANTS).length, 12);
 * ```
 */
export const INVARIANTS: Readonly<Record<InvariantName, Invariant>> = {
  fusedEqualsSplit,
  chunkedEqualsWhole,
  batchedEqualsSingle,
  portableEqualsSimd,
  fastEqualsByParts,
  saveLoadIsIdentity,
  compiledEqualsModel,
  stateRoundTrips,
  refusedLeavesStateUnchanged,
  integersMatchReference,
  requantizeIsExact,
  withinErrorOfFloat,
};

/**
 * The name of an invariant.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { fuzzModel, type InvariantName } from "@splitgate/splitgate/testing";
 * const { model } = await quantize(
 *   new Linear({ inFeatures: 2, outFeatures: 2 }),
 *   [Float32Array.of(0.5, -1)],
 * );
 * const invariants: InvariantName[] = ["batchedEqualsSingle", "saveLoadIsIdentity"];
 * await fuzzModel(model, { invariants, runs: 3 });
 * ```
 */
export type InvariantName =
  | "fusedEqualsSplit"
  | "chunkedEqualsWhole"
  | "batchedEqualsSingle"
  | "portableEqualsSimd"
  | "fastEqualsByParts"
  | "saveLoadIsIdentity"
  | "compiledEqualsModel"
  | "stateRoundTrips"
  | "refusedLeavesStateUnchanged"
  | "integersMatchReference"
  | "requantizeIsExact"
  | "withinErrorOfFloat";

/**
 * Options of {@linkcode fuzzModel}.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { assertModel, type FuzzOptions } from "@splitgate/splitgate/testing";
 * const float = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const { model } = await quantize(float, [Float32Array.of(0.5, -1)]);
 * const options: FuzzOptions = { runs: 3, seed: 1, maxSteps: 4 }; // more of both in a nightly run
 * await assertModel(model, options);
 * ```
 */
export interface FuzzOptions extends TrialOptions {
  /** Number of trials per invariant; 100 by default. */
  readonly runs?: number;
  /** Seed of the trials; random by default, and shown in the report. */
  readonly seed?: number;
  /** The float model, for `withinErrorOfFloat`. */
  readonly float?: Module;
  /** Max difference of an output from the float model's, in real numbers. */
  readonly maxError?: number;
  /** SIMD kernels; by default those of this package, if the engine has SIMD. */
  readonly simd?: Backend;
  /** The invariants to check; all by default. */
  readonly invariants?: readonly InvariantName[];
}

/**
 * The result of one invariant.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { fuzzModel, type FuzzResult } from "@splitgate/splitgate/testing";
 * const float = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const { model } = await quantize(float, [Float32Array.of(0.5, -1)]);
 * const results: readonly FuzzResult[] = (await fuzzModel(model, { runs: 3 })).results;
 * for (const { name, status } of results) console.log(name, status);
 * ```
 */
export type FuzzResult =
  | {
    readonly name: InvariantName;
    readonly status: "held";
    /** Number of trials in which it was checked and held. */
    readonly runs: number;
    /** Number of values that were compared. */
    readonly values: number;
    /** Number of values that differ within the invariant's tolerance. */
    readonly differing: number;
  }
  | {
    readonly name: InvariantName;
    readonly status: "skipped";
    /** Why it could not be checked. */
    readonly reason: string;
  }
  | {
    readonly name: InvariantName;
    readonly status: "broken";
    /** Number of trials in which it held before. */
    readonly runs: number;
    /** The smallest failing trial that was found. */
    readonly trial: Trial;
    /** Whether the trial fails every time; false if it depends on earlier runs. */
    readonly repeatable: boolean;
    /** The first difference. */
    readonly difference: Difference;
  };

/**
 * The report of {@linkcode fuzzModel}.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { type FuzzReport, fuzzModel } from "@splitgate/splitgate/testing";
 * import { assert } from "@std/assert";
 * const float = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const { model } = await quantize(float, [Float32Array.of(0.5, -1)]);
 * const report: FuzzReport = await fuzzModel(model, { runs: 3 });
 * assert(report.passed, `${report}`); // the text names the seed and the smallest input
 * ```
 */
export interface FuzzReport {
  /** Whether no invariant is broken. Skipped invariants do not count. */
  readonly passed: boolean;
  /** The seed of all trials. */
  readonly seed: number;
  /** The number of trials per invariant that was requested. */
  readonly runs: number;
  /** One result per invariant. */
  readonly results: readonly FuzzResult[];
  /** The report as text. */
  toString(): string;
}

/**
 * Thrown by {@linkcode assertModel} if an invariant is broken.
 *
 * @example
 * ```ts
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { assertModel, ModelFault } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const float = new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 });
 * const observed = prepare(float, getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * try {
 *   // No integer is as near as that.
 *   await assertModel(convert(observed), { runs: 5, seed: 1, float, maxError: 1e-9 });
 * } catch (error) {
 *   if (!(error instanceof ModelFault)) throw error;
 *   assertEquals(error.report.passed, false);
 * }
 * ```
 */
export class ModelFault extends Error {
  /** `"ModelFault"`. */
  override readonly name: string = "ModelFault";
  /** The report with the broken invariants. */
  readonly report: FuzzReport;

  /** Called by {@linkcode assertModel}. */
  constructor(report: FuzzReport) {
    super(String(report));
    this.report = report;
  }
}

/** Max number of input values in a report. */
const SHOWN = 64;

/** Formats a trial. */
function describeTrial({ steps, batch, input, lengths, chunks }: Trial): string {
  const values = Array.from(
    input.subarray(0, SHOWN),
    (value) => Object.is(value, -0) ? "-0" : value,
  );
  const more = input.length > SHOWN ? `, … (${input.length} in all)` : "";
  const kind = input.constructor.name;
  return `${steps} steps of ${batch} rows` +
    (lengths === null ? "" : `, lengths ${lengths.join(", ")}`) +
    (chunks.length > 1 ? `, calls of ${chunks.join(", ")} steps` : "") +
    `\n    ${kind} [${values.join(", ")}${more}]`;
}

/** Formats a result as lines of text. */
function describeResult(result: FuzzResult): string {
  const { name } = result;
  if (result.status === "skipped") return `  skipped  ${name}: ${result.reason}`;
  if (result.status === "held") {
    const { runs, values, differing } = result;
    const within = differing > 0 ? `, ${differing} within what it allows` : "";
    return `  held     ${name}: ${runs} runs, ${values} values${within}`;
  }
  const { difference: { between, node, part, value, expected, got }, trial, repeatable } = result;
  return [
    `  BROKEN   ${name}, after ${result.runs} runs that held`,
    `    first difference: module ${node}${part === null ? "" : `, ${part}`}`,
    `    ${value}: ${expected} (${between[0]}), ${got} (${between[1]})`,
    `    smallest input: ${describeTrial(trial)}`,
    ...repeatable ? [] : ["    not every time: it depends on earlier runs"],
  ].join("\n");
}

/** The kernels of this package, or the reason why they are not available. */
async function kernelsHere(): Promise<Backend | string> {
  try {
    return await simdKernels();
  } catch (error) {
    if (error instanceof SimdUnavailableError) return `no SIMD here: ${error.message}`;
    throw error;
  }
}

/** The verdict for a check that throws. */
function thrownVerdict(error: unknown): Verdict {
  return {
    status: "broken",
    difference: {
      between: ["a run", "an error"],
      node: "the model",
      part: null,
      value: "whether it runs",
      expected: "no error",
      got: String(error),
    },
  };
}

/** Checks one invariant. */
function fuzzInvariant(
  name: InvariantName,
  model: QuantizedModel,
  arbitrary: Arbitrary<Trial>,
  tools: Tools,
  { runs, seed }: { readonly runs: number; readonly seed: number },
): FuzzResult {
  const check = (trial: Trial): Verdict => {
    try {
      return INVARIANTS[name](model, trial, tools);
    } catch (error) {
      return thrownVerdict(error);
    }
  };
  let count = 0;
  let values = 0;
  let differing = 0;
  let reason = "no trial could be checked";
  // The last failing trial: during shrinking, the smallest so far.
  let last: { readonly trial: Trial; readonly difference: Difference } | null = null;
  const breaks = (trial: Trial): boolean => {
    const verdict = check(trial);
    if (verdict.status === "broken") last = { trial, difference: verdict.difference };
    return verdict.status === "broken";
  };
  fc.check(
    fc.property(arbitrary, (trial) => {
      // After a failure, fast-check shrinks the trial.
      if (last !== null) return !breaks(trial);
      const verdict = check(trial);
      if (verdict.status === "broken") {
        last = { trial, difference: verdict.difference };
        return false;
      }
      if (verdict.status === "skipped") ({ reason } = verdict);
      else if (verdict.status === "held") {
        count++;
        values += verdict.values;
        differing += verdict.differing;
      }
      return true;
    }),
    { numRuns: runs, seed },
  );
  const found = last as { readonly trial: Trial; readonly difference: Difference } | null;
  if (found !== null) {
    shrinkTrial(model, found.trial, breaks);
    const smallest = last as unknown as typeof found;
    return { name, status: "broken", runs: count, ...smallest, repeatable: breaks(smallest.trial) };
  }
  return count === 0
    ? { name, status: "skipped", reason }
    : { name, status: "held", runs: count, values, differing };
}

/**
 * Checks a quantized model: every invariant on random sequences, batches, lengths and chunkings. An
 * invariant that cannot be checked is reported as skipped, with the reason.
 *
 * @throws {RangeError} If an option is out of range, or if the model cannot run at all.
 * @throws {RangeError} If an option is wrong, or the model cannot be run at all.
 *
 * @example
 * ```ts
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { fuzzModel } from "@splitgate/splitgate/testing";
 * import { assert } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const report = await fuzzModel(convert(observed), { runs: 20, seed: 1 });
 * assert(report.passed, String(report));
 * ```
 */
export async function fuzzModel(
  model: QuantizedModel,
  options: FuzzOptions = {},
): Promise<FuzzReport> {
  if (typeof model?.createSession !== "function" || !("modules" in model)) {
    failType("model", "a quantized model, as convert and loadModel give it", model);
  }
  checkOptions("options", options, [
    "runs",
    "seed",
    "inputs",
    "maxSteps",
    "maxBatch",
    "float",
    "maxError",
    "simd",
    "invariants",
  ]);
  const { runs = 100, invariants = Object.keys(INVARIANTS) as InvariantName[] } = options;
  const { seed = Math.floor(Math.random() * 2 ** 31) } = options;
  checkInteger("runs", runs, 1, 2 ** 31 - 1);
  checkInteger("seed", seed, -(2 ** 31), 2 ** 31 - 1);
  for (const name of invariants) {
    if (!(name in INVARIANTS)) {
      failRange("invariants", `names of ${Object.keys(INVARIANTS).join(", ")}`, name);
    }
  }
  // Fails at once for a model that cannot run.
  model.createSession();
  const { simd = await kernelsHere(), float, maxError, inputs, maxSteps, maxBatch } = options;
  const tools: Tools = {
    simd,
    ...float === undefined ? {} : { float },
    ...maxError === undefined ? {} : { maxError },
  };
  const arbitrary = trials(model, {
    ...inputs === undefined ? {} : { inputs },
    ...maxSteps === undefined ? {} : { maxSteps },
    ...maxBatch === undefined ? {} : { maxBatch },
  });
  const results = invariants.map((name) =>
    fuzzInvariant(name, model, arbitrary, tools, { runs, seed })
  );
  const passed = results.every(({ status }) => status !== "broken");
  return {
    passed,
    seed,
    runs,
    results,
    toString: () =>
      [
        `${passed ? "passed" : "FAILED"}: ${runs} runs an invariant, seed ${seed}`,
        ...results.map(describeResult),
      ].join("\n"),
  };
}

/**
 * Runs {@linkcode fuzzModel}, and throws its report if an invariant is broken.
 *
 * @returns The report, if no invariant is broken.
 * @throws {ModelFault} If an invariant is broken; the message is the report.
 * @throws {TypeError | RangeError} As {@linkcode fuzzModel}.
 *
 * @example
 * ```ts
 * import { Linear, quantizeDynamic } from "@splitgate/splitgate";
 * import { assertModel } from "@splitgate/splitgate/testing";
 * await assertModel(quantizeDynamic(new Linear({ inFeatures: 2, outFeatures: 3 })), { runs: 20 });
 * ```
 */
export async function assertModel(
  model: QuantizedModel,
  options: FuzzOptions = {},
): Promise<FuzzReport> {
  const report = await fuzzModel(model, options);
  if (!report.passed) throw new ModelFault(report);
  return report;
}
