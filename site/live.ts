/**
 * The worker of the interactive demos.
 *
 * @module
 */
import { startsWhenAsked } from "./chunks.ts";
import type { LiveMethods } from "./workers/live.ts";

/** Its methods. */
export const live = startsWhenAsked<LiveMethods>("live");
