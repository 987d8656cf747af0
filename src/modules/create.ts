/**
 * Making float modules from an architecture file's options, and copying modules the same way.
 *
 * @module
 */
import { checkOptions } from "../core/check.ts";
import { copyOf } from "./copy.ts";
import type { Kind } from "./kind.ts";
import { kindOf } from "./kinds.ts";
import type { Module } from "./module.ts";
import { TensorShapes } from "./shapes.ts";

/** Runs `make`, and adds the module's name to its errors. */
export function withName<T>(name: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (error instanceof RangeError) throw new RangeError(`${name}.${error.message}`);
    if (error instanceof TypeError) throw new TypeError(`${name}.${error.message}`);
    throw error;
  }
}

/** Options of a float module that do not follow from the shapes of its tensors. */
export function optionsOf(kind: Kind, module: Module): Record<string, unknown> {
  return kind.optionsOf?.(module) ??
    Object.fromEntries(kind.options.map((key) => [key, module[key as keyof Module]]));
}

/**
 * A float module with initial weights.
 *
 * @param name Its name in messages.
 * @param options Those of {@linkcode Kind.options}; missing ones have their defaults.
 * @param shapes Of its tensors, by their names within the module.
 * @throws {TypeError | RangeError} If an option is unknown or wrong, or a tensor that determines a
 * size is missing or has another shape.
 */
export function createModule(
  name: string,
  kind: Kind,
  options: Readonly<Record<string, unknown>>,
  shapes: ReadonlyMap<string, readonly number[]>,
): Module {
  return withName(name, () => {
    checkOptions("options", options, kind.options);
    return kind.create(options, new TensorShapes(shapes));
  });
}

/** A copy, including weights and biases. */
export function copyModule(module: Module): Module {
  const kind = kindOf("module", module);
  const shapes = new Map([...module.stateDict()].map(([name, { shape }]) => [name, shape]));
  return copyOf(module, createModule("module", kind, optionsOf(kind, module), shapes));
}
