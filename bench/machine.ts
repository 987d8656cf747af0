/**
 * What a bench ran on.
 *
 * @module
 */
import { availableParallelism, cpus } from "node:os";

/** The machine in a few words. */
export function machine(): string {
  const [cpu] = cpus();
  return `${
    cpu?.model ?? "unknown processor"
  }, ${availableParallelism()} cores, ${Deno.build.os} ${Deno.build.arch}`;
}
