/**
 * The worker of what runs as one plays.
 *
 * @module
 */
import { startsWhenAsked } from "./chunks.ts";
import type { LiveMethods } from "./workers/live.ts";

/** Its calls. */
export const live = startsWhenAsked<LiveMethods>("live");
