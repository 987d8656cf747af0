/**
 * The context in which a layer is converted to modules.
 *
 * @module
 */
import { failRange } from "../../core/errors.ts";
import type { Builder, Flow } from "./builder.ts";
import { fieldOf, type JsonObject, type KerasLayer } from "./config.ts";
import { activationModule, activationName } from "./functions.ts";
import type { KerasWeight } from "./weights.ts";

/** A layer, and the context of its conversion. */
export interface LayerCall {
  readonly layer: KerasLayer;
  /** Its inputs. */
  readonly inputs: readonly Flow[];
  readonly weights: readonly KerasWeight[];
  readonly builder: Builder;
  /** Keras version that wrote the file. */
  readonly version: string;
  /** Whether its activation is included. */
  readonly activation: boolean;
}

/** Converts a layer to modules and returns its value. */
export type Import = (call: LayerCall) => Flow;

/** Name of a layer in messages. */
export function nameOf({ className, name }: KerasLayer): string {
  return `layer ${name} (${className})`;
}

/** The only input of a layer. */
export function inputOf({ layer, inputs, builder }: LayerCall): Flow {
  const [flow, ...others] = inputs;
  if (flow === undefined || others.length > 0) {
    failRange(nameOf(layer), "one input", inputs.length);
  }
  return builder.plain(flow);
}

/** The only input of a layer whose weights can combine two directions. */
export function projectedOf(call: LayerCall): Flow {
  const [flow] = call.inputs;
  return call.inputs.length === 1 ? flow! : inputOf(call);
}

/** Throws for options with other values than these. */
export function refuse(layer: KerasLayer, config: JsonObject, values: JsonObject): void {
  for (const [key, expected] of Object.entries(values)) {
    const value = fieldOf(config, key);
    if (value !== undefined && value !== null && value !== expected) {
      failRange(`${nameOf(layer)}.${key}`, `${expected}`, value);
    }
  }
}

/** A flag; false if the config lacks it. */
export function flag(value: unknown): boolean {
  return value === true;
}

/** Adds the activation after a layer. */
export function activated(call: LayerCall, flow: Flow, value: unknown): Flow {
  const { layer, builder, version } = call;
  const module = activationModule(`${nameOf(layer)}.activation`, value, version);
  if (module === null || !call.activation) return flow;
  return builder.add(`${flow.name}_${activationName(value)}`, module, [flow], flow.dims);
}
