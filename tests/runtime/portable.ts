/**
 * The portable kernels as a backend, for tests that go through several.
 *
 * @module
 */
import type { Backend } from "../../src/runtime/kind.ts";

/** Runs nothing itself, so that every kind's own running half does. */
export const portable: Backend = { name: "portable", instantiate: () => null };
