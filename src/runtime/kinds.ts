/**
 * The list of running halves in `./runtime`; others have entries of their own.
 *
 * @module
 */
import type { RunningKind } from "./kind.ts";
import { embedding } from "./kinds/embedding.ts";
import { finalHidden } from "./kinds/final_hidden.ts";
import { firstStep } from "./kinds/first_step.ts";
import { hardSigmoid } from "./kinds/hard_sigmoid.ts";
import { lastStep } from "./kinds/last_step.ts";
import { leakyRelu } from "./kinds/leaky_relu.ts";
import { linear } from "./kinds/linear.ts";
import { lstm } from "./kinds/lstm.ts";
import { maxOverTime } from "./kinds/max_over_time.ts";
import { meanOverTime } from "./kinds/mean_over_time.ts";
import { relu } from "./kinds/relu.ts";
import { sigmoid } from "./kinds/sigmoid.ts";
import { tanh } from "./kinds/tanh.ts";

/** The kinds of modules that every program can have. */
export const BASE_KINDS: readonly RunningKind[] = [
  embedding,
  finalHidden,
  firstStep,
  hardSigmoid,
  lastStep,
  leakyRelu,
  linear,
  lstm,
  maxOverTime,
  meanOverTime,
  relu,
  sigmoid,
  tanh,
] as readonly unknown[] as readonly RunningKind[];
