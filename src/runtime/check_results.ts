/**
 * The check of modules with float32 results.
 *
 * @module
 */
import { checkResult } from "../core/errors.ts";
import type { Call, Values } from "./kind.ts";

/** Requires finite results, [steps, batch, size], within each row's length. */
export function checkResults(
  out: Values,
  size: number,
  { steps, batch, lengths }: Call,
): void {
  for (let r = 0; r < steps * batch; r++) {
    if (lengths !== null && Math.floor(r / batch) >= lengths[r % batch]!) continue;
    for (let k = r * size; k < (r + 1) * size; k++) checkResult(out[k]!);
  }
}
