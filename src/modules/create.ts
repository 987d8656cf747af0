/**
 * Float modules out of what an architecture file says of them, and copies by the same way.
 *
 * @module
 */
import { checkOptions } from "../core/check.ts";
import { copyOf } from "./copy.ts";
import type { Kind } from "./kind.ts";
import { kindOf } from "./kinds.ts";
import type { Module } from "./module.ts";
import { TensorShapes } from "./shapes.ts";

/** Runs `make`; what it throws about a module names that module. */
export function withName<T>(name: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (error instanceof RangeError) throw new RangeError(`${name}.${error.message}`);
    if (error instanceof TypeError) throw new TypeError(`${name}.${error.message}`);
    throw error;
  }
}

/** Options of a float module that the shapes of its tensors do not tell. */
export function optionsOf(kind: Kind, module: Module): Record<string, unknown> {
  return kind.optionsOf?.(module) ??
    Object.fromEntries(kind.options.map((key) => [key, module[key as keyof Module]]));
}

/**
 * A float module with initial weights.
 *
 * @param name What messages call it.
 * @param options Those of {@linkcode Kind.options}; what is not given has its default.
 * @param shapes Of its tensors, by their names within the module.
 * @throws {TypeError | RangeError} If an option is unknown or wrong, or a tensor that tells a size
 * is missing or of another shape.
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

/** A copy, weights and biases and all. */
export function copyModule(module: Module): Module {
  const kind = kindOf("module", module);
  const shapes = new Map([...module.stateDict()].map(([name, { shape }]) => [name, shape]));
  return copyOf(module, createModule("module", kind, optionsOf(kind, module), shapes));
}
