/**
 * The list of kinds of modules.
 *
 * @module
 */
import { failRange, failType } from "../core/errors.ts";
import type { RunningKind } from "../runtime/kind.ts";
import { addKind } from "./add/kind.ts";
import { avgPool1dKind } from "./avg_pool1d/kind.ts";
import { batchNorm1dKind } from "./batch_norm/kind.ts";
import { concatKind } from "./concat/kind.ts";
import { conv1dKind } from "./conv1d/kind.ts";
import { dropoutKind } from "./dropout/kind.ts";
import { embeddingKind } from "./embedding/kind.ts";
import { finalHiddenKind } from "./final_hidden/kind.ts";
import { firstStepKind } from "./first_step/kind.ts";
import { flattenKind } from "./flatten/kind.ts";
import { gruKind } from "./gru/kind.ts";
import { hardSigmoidKind } from "./hard_sigmoid/kind.ts";
import { identityKind } from "./identity/kind.ts";
import type { Kind } from "./kind.ts";
import { lastStepKind } from "./last_step/kind.ts";
import { layerNormKind } from "./layer_norm/kind.ts";
import { leakyReluKind } from "./leaky_relu/kind.ts";
import { linearKind } from "./linear/kind.ts";
import { logSoftmaxKind } from "./log_softmax/kind.ts";
import { lstmKind } from "./lstm/kind.ts";
import { maxOverTimeKind } from "./max_over_time/kind.ts";
import { maxPool1dKind } from "./max_pool1d/kind.ts";
import { meanOverTimeKind } from "./mean_over_time/kind.ts";
import type { ReferenceOp } from "./reference.ts";
import { BASE_OPS } from "./reference_ops.ts";
import { reluKind } from "./relu/kind.ts";
import { sigmoidKind } from "./sigmoid/kind.ts";
import { softmaxKind } from "./softmax/kind.ts";
import { tanhKind } from "./tanh/kind.ts";
import { unitNormKind } from "./unit_norm/kind.ts";
import { zeroPad1dKind } from "./zero_pad1d/kind.ts";

/** Every kind of module, its name in files and QConfigMappings being its own. */
export const KINDS: readonly Kind[] = [
  addKind,
  avgPool1dKind,
  batchNorm1dKind,
  concatKind,
  conv1dKind,
  dropoutKind,
  embeddingKind,
  finalHiddenKind,
  firstStepKind,
  flattenKind,
  gruKind,
  hardSigmoidKind,
  identityKind,
  lastStepKind,
  layerNormKind,
  leakyReluKind,
  linearKind,
  logSoftmaxKind,
  lstmKind,
  maxOverTimeKind,
  maxPool1dKind,
  meanOverTimeKind,
  reluKind,
  sigmoidKind,
  softmaxKind,
  tanhKind,
  unitNormKind,
  zeroPad1dKind,
] as readonly unknown[] as readonly Kind[];

const BY_NAME: ReadonlyMap<unknown, Kind> = new Map(KINDS.map((kind) => [kind.name, kind]));

/** The names of all kinds. */
export const KIND_NAMES: readonly string[] = KINDS.map(({ name }) => name);

/** Running halves of all kinds. */
export const RUNNING_KINDS: readonly RunningKind[] = KINDS.flatMap(({ running }) =>
  running as readonly unknown[] as readonly RunningKind[]
);

/** Operations of the reference graph by name. */
export const REFERENCE_OPS: ReadonlyMap<string, ReferenceOp> = new Map(
  [BASE_OPS, ...KINDS.map(({ ops }) => ops)].flatMap((ops) => Object.entries(ops)),
);

/**
 * The kind of a module in any of its forms.
 *
 * @throws {TypeError} If it is none.
 */
export function kindOf(name: string, module: { readonly kind: string }): Kind {
  return BY_NAME.get(module?.kind) ??
    failType(name, `a module: ${KIND_NAMES.join(", ")}`, module?.kind ?? module);
}

/**
 * The kind that a file calls by its name.
 *
 * @throws {RangeError} If there is none.
 */
export function kindNamed(name: string, kind: unknown): Kind {
  return BY_NAME.get(kind) ?? failRange(name, `one of ${KIND_NAMES.join(", ")}`, kind);
}
