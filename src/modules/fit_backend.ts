/**
 * Checks observed modules against a target.
 *
 * @module
 */
import { failRange, failType } from "../core/errors.ts";
import { BackendConfig, type BackendOp, type OpValues } from "../qconfig/backend.ts";

/**
 * Options for preparing a model for a target.
 *
 * @example
 * ```ts
 * import { getPreset, LSTM, prepare } from "@splitgate/splitgate";
 * import { fbgemmBackendConfig, type FitOptions } from "@splitgate/splitgate/qconfig";
 * const options: FitOptions = { backendConfig: fbgemmBackendConfig, onUnsupported: "float" };
 * prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"), options);
 * ```
 */
export interface FitOptions {
  /**
   * The target that must support every module and part; by default this package's own kernels,
   * which support everything.
   */
  readonly backendConfig?: BackendConfig;
  /**
   * How parts that the target does not run are treated: as an "error" (the default) that says which
   * constraint failed, or left as "float" and listed in {@linkcode ObservedModel.unsupported}.
   */
  readonly onUnsupported?: "error" | "float";
}

/**
 * A module or part that stays float32 because the target does not run it.
 *
 * @example
 * ```ts
 * import { getPreset, Linear, prepare } from "@splitgate/splitgate";
 * import { BackendConfig, type Unsupported } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const linear = new Linear({ inFeatures: 2, outFeatures: 3 });
 * const backendConfig = new BackendConfig("a device without a Linear", {});
 * const options = { backendConfig, onUnsupported: "float" } as const;
 * const found: readonly Unsupported[] = prepare(linear, getPreset("fbgemm"), options).unsupported;
 * assertEquals(found.map(({ op }) => op), ["linear"]); // stays float32
 * ```
 */
export interface Unsupported {
  /** Name of the module or part: `lstm.l0.input_gate`. */
  readonly name: string;
  /** The operation that the target was asked about. */
  readonly op: BackendOp;
  /** The constraint that failed. */
  readonly reason: string;
}

/** A target, and how unsupported parts are treated. */
export interface BackendFit {
  readonly backend: BackendConfig;
  readonly onUnsupported: "error" | "float";
  /** The parts left float32 so far. */
  readonly unsupported: Unsupported[];
}

/**
 * Whether the target runs an operation; if not, throws or lists it, depending on `onUnsupported`.
 */
export function supports(fit: BackendFit, name: string, op: BackendOp, values: OpValues): boolean {
  const reason = fit.backend.reasonAgainst(op, values);
  if (reason === null) return true;
  if (fit.onUnsupported === "error") {
    failRange(name, `what ${fit.backend.name} runs, or onUnsupported: "float"`, reason);
  }
  fit.unsupported.push({ name, op, reason });
  return false;
}

/** The target and the treatment of unsupported parts; null without a target. */
export function fitOf({ backendConfig, onUnsupported = "error" }: FitOptions): BackendFit | null {
  if (onUnsupported !== "error" && onUnsupported !== "float") {
    const fail = typeof onUnsupported === "string" ? failRange : failType;
    fail("onUnsupported", '"error" or "float"', onUnsupported);
  }
  if (backendConfig === undefined) return null;
  if (!(backendConfig instanceof BackendConfig)) {
    failType("backendConfig", "a BackendConfig", backendConfig);
  }
  return { backend: backendConfig, onUnsupported, unsupported: [] };
}
