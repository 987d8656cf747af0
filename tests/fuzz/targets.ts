/** All that is fuzzed. */
import { MODEL_TARGETS } from "./models.ts";
import { READER_TARGETS } from "./readers.ts";
import type { Target } from "./target.ts";

export const TARGETS: readonly Target[] = [
  ...MODEL_TARGETS,
  ...READER_TARGETS as readonly unknown[] as readonly Target[],
];

/** The target of a name. */
export function targetOf(name: string): Target {
  const found = TARGETS.find((each) => each.name === name);
  if (found === undefined) {
    throw new RangeError(`target: expected one of ${TARGETS.map(({ name }) => name)}, got ${name}`);
  }
  return found;
}
