/**
 * The list of running halves that `./runtime` has; others are imported by themselves.
 *
 * @module
 */
import type { RunningKind } from "./kind.ts";
import { embedding } from "./kinds/embedding.ts";
import { linear } from "./kinds/linear.ts";
import { lstm } from "./kinds/lstm.ts";

/** The kinds of modules that every program can have. */
export const BASE_KINDS: readonly RunningKind[] = [
  embedding,
  linear,
  lstm,
] as readonly unknown[] as readonly RunningKind[];
