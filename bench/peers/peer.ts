/**
 * What a peer is to the benchmark.
 *
 * @module
 */
import type { Problem, ProblemKind } from "./problem.ts";

/** One step a call with the state carried, or the whole sequence in one call from a zero state. */
export type Mode = "stream" | "sequence";

/** Both modes, in the order they are measured and shown. */
export const MODES: readonly Mode[] = ["stream", "sequence"];

/** Outputs of a call, at once or as a promise; valid until the next call. */
export type Outputs = Float32Array | Promise<Float32Array>;

/** One way of running a problem. */
export interface Runner {
  /** Back to the zero state. */
  reset(): void;
  /** Runs the input's step `t` from the state left by the last call; gives [outputSize]. */
  step?(t: number): Outputs;
  /** Runs all steps from the zero state; gives [STEPS, outputSize]. */
  sequence?(): Outputs;
  /**
   * Called before a series of calls: what other peers in the process may have changed is put back.
   */
  activate?(): void | Promise<void>;
}

/** Something that runs recurrent models. */
export interface Peer {
  readonly name: string;
  /** What it can run. */
  readonly problems: readonly ProblemKind[];
  /** Largest error that an output may have against the float64 reference. */
  readonly tolerance: number;
  /**
   * Ways of running a problem: each mode is measured with the one that is fastest after warm-up.
   */
  prepare(problem: Problem): Promise<readonly Runner[]>;
}

/** Peers of one package, or why they are absent. */
export interface PeerSource {
  readonly names: readonly string[];
  load(): Promise<readonly Peer[]>;
}

/**
 * Error allowed to float32 peers: sums in another order, and approximations of sigmoid and tanh.
 */
export const FLOAT_TOLERANCE = 1e-4;

/** Error allowed to 8-bit peers; outputs are in -1..1. */
export const INT8_TOLERANCE = 0.15;

/**
 * Imports a package that only the benchmark uses. The name is computed so that neither checking nor
 * publishing the project needs the package; what is used of it is typed where it is used.
 */
export async function importPackage<T>(name: string): Promise<T> {
  const module = await import(name);
  return (module.default ?? module) as T;
}
