/**
 * The check of dynamic modules: they have no parameters of activations.
 *
 * @module
 */
import { failRange } from "../core/errors.ts";
import type { QConfig } from "../qconfig/qconfig.ts";
import type { BackendFit } from "./fit_backend.ts";

/**
 * Requires that a dynamic module has no static parameters.
 *
 * @throws {RangeError} If it has any; the message names them.
 */
export function checkDynamic(name: string, qconfig: QConfig, fit: BackendFit | null): void {
  const { activation, input = activation, parts = {} } = qconfig;
  const at = `qconfig of ${name}`;
  for (const [key, factory] of Object.entries({ activation, input })) {
    if (factory().dtype !== undefined) {
      const expected = "a PlaceholderObserver, since the module is dynamic";
      failRange(`${at}: ${key}`, expected, factory.observerName);
    }
  }
  const [part] = Object.keys(parts);
  if (part !== undefined) failRange(`${at}: parts`, "none, since the module is dynamic", part);
  if (fit !== null) {
    const expected = `none: it says nothing of dynamic modules, and ${name} is one`;
    failRange("backendConfig", expected, "one");
  }
}
