/**
 * What the driver and its children say to each other, one JSON object a line each way.
 *
 * @module
 */
import type { Timing } from "./measure.ts";
import type { Mode } from "./peer.ts";
import type { ProblemKind } from "./problem.ts";

/** A request to a child. */
export type Request =
  | { readonly op: "load" }
  | {
    readonly op: "prepare";
    readonly peer: string;
    readonly problem: ProblemKind;
    readonly size: number;
    readonly milliseconds: number;
  }
  | {
    readonly op: "measure";
    readonly peer: string;
    readonly problem: ProblemKind;
    readonly size: number;
    readonly mode: Mode;
    readonly milliseconds: number;
  };

/** What a child has to measure. */
export interface Loaded {
  readonly version: string;
  readonly peers: readonly {
    readonly name: string;
    readonly problems: readonly ProblemKind[];
  }[];
  readonly missing: readonly {
    readonly peer: string;
    readonly reason: string;
  }[];
}

/** A peer whose results were checked and that is warm. */
export interface Ready {
  /** Largest error of an output against the float64 reference, of each mode that the peer has. */
  readonly errors: Readonly<Partial<Record<Mode, number>>>;
}

/** Why a request was not met. */
export interface Failed {
  readonly failed: string;
}

/** What a child answers. */
export type Reply = Loaded | Ready | Timing | Failed;
