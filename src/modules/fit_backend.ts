/**
 * Holding observed modules to what a target runs.
 *
 * @module
 */
import { failRange, failType } from "../core/errors.ts";
import { BackendConfig, type BackendOp, type OpValues } from "../qconfig/backend.ts";

/** What a model is held to when it is prepared. */
export interface FitOptions {
  /**
   * A target to hold every module and part to; by default whatever this package runs, which is
   * everything.
   */
  readonly backendConfig?: BackendConfig;
  /**
   * What becomes of a part that the target does not run: an "error" (the default) that says which
   * constraint failed, or it stays "float" and is listed in {@linkcode ObservedModel.unsupported}.
   */
  readonly onUnsupported?: "error" | "float";
}

/** What stays float32 because the target does not run it. */
export interface Unsupported {
  /** The module, or the part: `lstm.l0.input_gate`. */
  readonly name: string;
  /** The operation that the target was asked about. */
  readonly op: BackendOp;
  /** The constraint that failed. */
  readonly reason: string;
}

/** A target, and what becomes of what it does not run. */
export interface BackendFit {
  readonly backend: BackendConfig;
  readonly onUnsupported: "error" | "float";
  /** What has stayed float32 so far. */
  readonly unsupported: Unsupported[];
}

/** Whether the target runs an operation; if not, throws or lists it, as asked for. */
export function supports(fit: BackendFit, name: string, op: BackendOp, values: OpValues): boolean {
  const reason = fit.backend.reasonAgainst(op, values);
  if (reason === null) return true;
  if (fit.onUnsupported === "error") {
    failRange(name, `what ${fit.backend.name} runs, or onUnsupported: "float"`, reason);
  }
  fit.unsupported.push({ name, op, reason });
  return false;
}

/** What becomes of what a target does not run, or null where there is no target. */
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
