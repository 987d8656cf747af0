/**
 * From a float model to an observed one.
 *
 * @module
 */
import { checkOptions } from "../core/check.ts";
import { checkBoolean, failRange } from "../core/errors.ts";
import { INPUT } from "../core/topology.ts";
import { copyModule } from "../modules/create.ts";
import type { FitOptions, Unsupported } from "../modules/fit_backend.ts";
import { fitOf } from "../modules/fit_backend.ts";
import { batchFirstOf, checkFlow, flatten, type FloatModel } from "../modules/graph.ts";
import type { ObservedModule } from "../modules/kind.ts";
import { kindOf } from "../modules/kinds.ts";
import { maskOf } from "../modules/mask.ts";
import type { Module } from "../modules/module.ts";
import type { Observer } from "../observer/observer.ts";
import { getPreset, RECOMMENDED_PRESET } from "../qconfig/presets.ts";
import { asMapping, type NamedModule, type QConfigMapping } from "../qconfig/mapping.ts";
import type { QConfig } from "../qconfig/qconfig.ts";
import { ObservedModel } from "./observed_model.ts";
import { rewriteFloat, tableRows } from "./rewrites.ts";

/**
 * Options of {@linkcode prepare}.
 *
 * @example
 * ```ts
 * import { getPreset, LSTM, prepare, type PrepareOptions } from "@splitgate/splitgate";
 * const options: PrepareOptions = { splitGates: true }; // a Linear and an add for each gate
 * prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"), options);
 * ```
 */
export interface PrepareOptions extends FitOptions {
  /**
   * Whether each gate has a Linear, an add and their observers of its own, or one of width 4 *
   * hiddenSize serves all four; false by default.
   */
  readonly splitGates?: boolean;
}

/** The options of {@linkcode PrepareOptions}, by name. */
export const PREPARE_OPTIONS = ["splitGates", "backendConfig", "onUnsupported"] as const;

/** Modules as a QConfigMapping knows them. */
export function namedModules({ modules }: FloatModel): NamedModule[] {
  return [...modules].map(([name, module]) => {
    const kind = kindOf(name, module);
    return { name, type: kind.name, parts: kind.parts(module) };
  });
}

/**
 * Puts observers into a copy of a float model: at each module's output and each part of each
 * recurrent cell, and at inputs that come as float32, or in another dtype than the module's QConfig
 * has. Every weight and bias is copied; before calibration the observed model gives the float
 * model's output bit for bit (except for BatchNorm, which is folded into the module before it).
 *
 * A ReLU that alone reads a Linear becomes part of it, as torch.ao.quantization.fuse_modules makes
 * it; Dropout and Identity are left out.
 *
 * @param model A module, a Sequential or a Graph.
 * @param qconfig A QConfig for every module, or a mapping. Modules with integer weights (Linear,
 * LSTM) need one; others may be left float32 (null). The recommended preset, `accurate`, by
 * default.
 * @param options.splitGates Whether the gates of recurrent modules are split.
 * @param options.backendConfig A target whose constraints every module and part must meet.
 * @returns The observed model: run calibration data through it, then convert it.
 * @throws {TypeError} If an argument is of the wrong kind, or a weight's observer is not for qint8.
 * @throws {RangeError} If a key of the mapping matches nothing, a module has no QConfig, their
 * engines differ, a dynamic QConfig has observers of activations, some modules are batchFirst and
 * others not, or the target does not run a module or part: it says which constraint failed.
 *
 * @example
 * ```ts
 * import { LSTM, prepare } from "@splitgate/splitgate";
 * import { qnnpackQConfig } from "../qconfig/qconfig.ts";
 * import { assertEquals } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
 * const observed = prepare(lstm, qnnpackQConfig, { splitGates: true });
 * assertEquals([...observed.modules.keys()], ["lstm"]);
 * ```
 */
export function prepare(
  model: Module,
  qconfig: QConfig | QConfigMapping = getPreset(RECOMMENDED_PRESET),
  options: PrepareOptions = {},
): ObservedModel {
  const float = rewriteFloat(flatten(model));
  checkOptions("options", options, PREPARE_OPTIONS);
  const splitGates = checkBoolean("splitGates", options.splitGates ?? false);
  const fit = fitOf(options);
  const { modules, topology } = float;
  const shapes = checkFlow(float);
  const batchFirst = batchFirstOf(modules);
  const qconfigs = asMapping(qconfig).resolve(namedModules(float));
  const observed = new Map<string, ObservedModule>();
  const outputs = new Map<string, Observer | null>([[INPUT, null]]);
  const engines = new Set<string>();
  [...modules].forEach(([name, module], i) => {
    const kind = kindOf(name, module);
    const own = qconfigs[i]!;
    const reads = topology.inputs.get(name)!;
    if (own !== null && (kind.hasWeight || kind.hasFamily)) engines.add(own.engine ?? "fbgemm");
    const made = kind.observe(copyModule(module), {
      name,
      qconfig: own,
      inputs: reads.map((read) => outputs.get(read)!),
      sizes: reads.map((read) => shapes.get(read)!.size),
      ...tableRows(topology, observed, name),
      splitGates,
      fit,
    });
    observed.set(name, made);
    outputs.set(name, made.output);
  });
  if (engines.size > 1) failRange("qconfig.engine", "the same for all modules", [...engines]);
  const inputSize = shapes.get(INPUT)!.size;
  const mask = maskOf(float);
  const edges = mask === null ? topology : { ...topology, mask };
  const unsupported = distinct(fit?.unsupported ?? []);
  return new ObservedModel(observed, edges, batchFirst, inputSize, unsupported);
}

/** The first entry of each name: the target may have been asked about a part more than once. */
function distinct(unsupported: readonly Unsupported[]): Unsupported[] {
  const first = new Map<string, Unsupported>();
  for (const each of unsupported) if (!first.has(each.name)) first.set(each.name, each);
  return [...first.values()];
}
