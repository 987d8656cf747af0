/**
 * What every layer is made into modules with.
 *
 * @module
 */
import { failRange } from "../../core/errors.ts";
import type { Builder, Flow } from "./builder.ts";
import { fieldOf, type JsonObject, type KerasLayer } from "./config.ts";
import { activationModule, activationName } from "./functions.ts";
import type { KerasWeight } from "./weights.ts";

/** A layer, and what it is made into modules with. */
export interface LayerCall {
  readonly layer: KerasLayer;
  /** What it reads. */
  readonly inputs: readonly Flow[];
  readonly weights: readonly KerasWeight[];
  readonly builder: Builder;
  /** Who wrote the file. */
  readonly version: string;
  /** Whether padding is left to lengths. */
  readonly masking: "lengths" | undefined;
  /** Whether its activation is wanted. */
  readonly activation: boolean;
}

/** Makes modules of a layer and gives its value. */
export type Import = (call: LayerCall) => Flow;

/** What messages call a layer. */
export function nameOf({ className, name }: KerasLayer): string {
  return `layer ${name} (${className})`;
}

/** The one value that a layer reads. */
export function inputOf({ layer, inputs, builder }: LayerCall): Flow {
  const [flow, ...others] = inputs;
  if (flow === undefined || others.length > 0) {
    failRange(nameOf(layer), "one input", inputs.length);
  }
  return builder.plain(flow);
}

/** The same for layers whose weights multiply it: two directions are added up by them. */
export function projectedOf(call: LayerCall): Flow {
  const [flow] = call.inputs;
  return call.inputs.length === 1 ? flow! : inputOf(call);
}

/** Refuses options that have other values than these. */
export function refuse(layer: KerasLayer, config: JsonObject, values: JsonObject): void {
  for (const [key, expected] of Object.entries(values)) {
    const value = fieldOf(config, key);
    if (value !== undefined && value !== null && value !== expected) {
      failRange(`${nameOf(layer)}.${key}`, `${expected}`, value);
    }
  }
}

/** A flag; false where the config does not have it. */
export function flag(value: unknown): boolean {
  return value === true;
}

/** Adds the activation of a layer behind it. */
export function activated(call: LayerCall, flow: Flow, value: unknown): Flow {
  const { layer, builder, version } = call;
  const module = activationModule(`${nameOf(layer)}.activation`, value, version);
  if (module === null || !call.activation) return flow;
  return builder.add(`${flow.name}_${activationName(value)}`, module, [flow], flow.dims);
}
