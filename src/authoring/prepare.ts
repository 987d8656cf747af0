/**
 * From a float model to an observed one.
 *
 * @module
 */
import { checkBoolean, failRange, failType } from "../core/errors.ts";
import { checkOptions } from "../core/check.ts";
import { Embedding } from "../modules/embedding/float.ts";
import { Linear } from "../modules/linear/float.ts";
import { LSTM } from "../modules/lstm/float.ts";
import { Sequential } from "../modules/sequential.ts";
import { MinMaxObserver } from "../observer/min_max.ts";
import type { Observer } from "../observer/observer.ts";
import { PlaceholderObserver } from "../observer/placeholder.ts";
import { BackendConfig } from "../qconfig/backend.ts";
import { asMapping, type NamedModule, type QConfigMapping } from "../qconfig/mapping.ts";
import type { QConfig } from "../qconfig/qconfig.ts";
import { commonBatchFirst } from "./modules.ts";
import { type BackendFit, fitLstm, supports, type Unsupported } from "./fit_backend.ts";
import { ObservedEmbedding } from "../modules/embedding/observed.ts";
import { ObservedLinear } from "../modules/linear/observed.ts";
import { hiddenObserver } from "../modules/lstm/observed_cell.ts";
import { ObservedLSTM } from "../modules/lstm/observed.ts";
import { type InputObserver, ObservedModel, type ObservedModule } from "./observed_model.ts";
import { weightObserver } from "./weights.ts";

/** A float model that can be quantized. */
export type FloatModel = Linear | Embedding | LSTM | Sequential;

/** The observer of what stays float32. */
const FLOAT = PlaceholderObserver.withArgs({});

/** A float module without children. */
export type Leaf = Linear | Embedding | LSTM;

/** Options of {@linkcode prepare}. */
export interface PrepareOptions {
  /**
   * Whether each gate has a Linear, an add and their observers of its own, or one of width 4 * hiddenSize serves all
   * four; false by default.
   */
  readonly splitGates?: boolean;
  /** A target to hold every module and part to; by default whatever this package runs, which is everything. */
  readonly backendConfig?: BackendConfig;
  /**
   * What becomes of a part that the target does not run: an "error" (the default) that says which constraint failed,
   * or it stays "float" and is listed in {@linkcode ObservedModel.unsupported}.
   */
  readonly onUnsupported?: "error" | "float";
}

/** A module as a QConfigMapping knows it. */
export function namedModule(name: string, module: Leaf): NamedModule {
  if (module instanceof LSTM) return { name, type: "LSTM", projected: module.projSize > 0 };
  return { name, type: module instanceof Linear ? "Linear" : "Embedding" };
}

/** The modules by name, in order; a module that stands alone is called by its type. */
function* leaves(model: FloatModel, prefix = ""): Generator<[name: string, module: Leaf]> {
  if (!(model instanceof Sequential)) {
    yield [prefix || namedModule("", model).type.toLowerCase(), model];
    return;
  }
  for (const [name, child] of model.children) {
    yield* leaves(child, prefix === "" ? name : `${prefix}.${name}`);
  }
}

/**
 * The modules that a float model is made of, by name, in order.
 *
 * @throws {TypeError} If it is no such model.
 */
export function namedModules(model: FloatModel): [name: string, module: Leaf][] {
  if (
    !(model instanceof Linear || model instanceof Embedding || model instanceof LSTM ||
      model instanceof Sequential)
  ) {
    failType("model", "a Linear, Embedding, LSTM or Sequential", model);
  }
  return [...leaves(model)];
}

/** A copy of a module, weights and biases and all. */
export function copyModule<T extends Leaf>(module: T): T;
export function copyModule(module: Leaf): Leaf {
  let made: Leaf;
  if (module instanceof LSTM) {
    const { inputSize, hiddenSize, numLayers, bias, batchFirst, bidirectional, projSize } = module;
    made = new LSTM({
      inputSize,
      hiddenSize,
      numLayers,
      bias,
      batchFirst,
      bidirectional,
      projSize,
    });
  } else if (module instanceof Linear) {
    const { inFeatures, outFeatures, bias } = module;
    made = new Linear({ inFeatures, outFeatures, bias: bias !== null });
  } else {
    const { numEmbeddings, embeddingDim } = module;
    made = new Embedding({ numEmbeddings, embeddingDim });
  }
  made.loadStateDict(module.stateDict());
  return made;
}

/** What tells the parameters of a module's input, given what the module before gives; null is float32. */
function inputObserver(qconfig: QConfig, given: Observer | null): InputObserver {
  if (qconfig.dynamic) return "float";
  const own = (qconfig.input ?? qconfig.activation)();
  if (own.dtype === undefined) return given === null ? "float" : "previous";
  return given !== null && given.dtype === own.dtype ? "previous" : own;
}

/**
 * Puts observers into a copy of a float model: at each module's output and each part of each LSTM cell, and at inputs
 * that come as float32, or in another dtype than the module's QConfig has. Every weight and bias is copied; before
 * calibration the observed model gives the float model's output bit for bit.
 *
 * @param model A Linear, Embedding or LSTM, or a Sequential of them.
 * @param qconfig A QConfig for every module, or a mapping. An Embedding may be left unquantized (null), others not.
 * @param options.splitGates Whether the gates of LSTMs are split.
 * @param options.backendConfig A target to hold modules and parts to.
 * @returns The observed model: run calibration data through it, then convert it.
 * @throws {TypeError} If an argument is of the wrong kind, or a weight's observer is not for qint8.
 * @throws {RangeError} If a key of the mapping matches nothing, a module has no QConfig, their engines differ, a
 * dynamic QConfig has observers of activations, some LSTMs are batchFirst and others not, or the target does not run a module or part: it says which constraint
 * failed.
 *
 * @example
 * ```ts
 * import { LSTM, prepare, qnnpackQConfig } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), qnnpackQConfig, { splitGates: true });
 * assertEquals([...observed.modules.keys()], ["lstm"]);
 * ```
 */
export function prepare(
  model: FloatModel,
  qconfig: QConfig | QConfigMapping,
  options: PrepareOptions = {},
): ObservedModel {
  const named = namedModules(model);
  checkOptions("options", options, ["splitGates", "backendConfig", "onUnsupported"]);
  commonBatchFirst(
    named.flatMap(([name, module]) => module instanceof LSTM ? [[name, module] as const] : []),
  );
  const splitGates = checkBoolean("splitGates", options.splitGates ?? false);
  const fit = fitOf(options);
  const qconfigs = asMapping(qconfig).resolve(
    named.map(([name, module]) => namedModule(name, module)),
  );
  const modules = new Map<string, ObservedModule>();
  const engines = new Set<string>();
  let output: Observer | null = null;
  named.forEach(([name, module], i) => {
    const config = qconfigs[i]!;
    if (module instanceof Embedding) {
      const weight = new MinMaxObserver(
        config?.embeddingBits === 16 ? { dtype: "qint32", quantMin: 0, quantMax: 65535 } : {},
      );
      const floats = config?.dynamic === true && config.embeddingBits === undefined;
      const runs = config === null || fit === null ||
        supports(fit, name, "embedding", { inputs: [], weight, output: null });
      modules.set(name, new ObservedEmbedding(copyModule(module), runs && !floats ? config : null));
      output = null;
      return;
    }
    if (config === null) {
      return failRange(`qconfig of ${name}`, "a QConfig (only an Embedding can stay float)", null);
    }
    weightObserver(`${name}.weight`, config.weight);
    engines.add(config.engine ?? "fbgemm");
    if (config.dynamic) checkDynamic(name, module, config, fit);
    const input = inputObserver(config, output);
    const given = input === "previous" ? output : input === "float" ? null : input;
    if (module instanceof Linear) {
      let observed = new ObservedLinear(copyModule(module), config, input);
      const values = {
        inputs: [given],
        output: observed.output,
        weight: config.weight(),
        bias: module.bias !== null,
      };
      if (fit !== null && !supports(fit, name, "linear", values)) {
        observed = new ObservedLinear(observed.linear, { ...config, activation: FLOAT }, "float");
      }
      modules.set(name, observed);
      output = observed.output;
    } else {
      const before = i === 0 ? undefined : modules.get(named[i - 1]![0]);
      const together = before instanceof ObservedEmbedding &&
        before.qconfig?.weightRounding === "calibrated";
      const tokens = together ? before.embedding.numEmbeddings : null;
      const observed = new ObservedLSTM(copyModule(module), config, input, splitGates, tokens);
      if (fit !== null) fitLstm(fit, name, observed, given);
      modules.set(name, observed);
      output = hiddenObserver(observed.cells[module.numLayers - 1]![0]!.observers);
    }
  });
  if (engines.size > 1) failRange("qconfig.engine", "the same for all modules", [...engines]);
  return new ObservedModel(modules, fit === null ? [] : distinct(fit.unsupported));
}

/** Requires that a dynamic module has nothing that says how it is quantized otherwise. */
function checkDynamic(name: string, module: Leaf, qconfig: QConfig, fit: BackendFit | null): void {
  const { activation, input = activation, parts = {} } = qconfig;
  const at = `qconfig of ${name}`;
  for (const [key, factory] of Object.entries({ activation, input })) {
    if (factory().dtype !== undefined) {
      failRange(
        `${at}: ${key}`,
        "a PlaceholderObserver, since the module is dynamic",
        factory.observerName,
      );
    }
  }
  const [part] = Object.keys(parts);
  if (part !== undefined) failRange(`${at}: parts`, "none, since the module is dynamic", part);
  if (fit !== null) {
    failRange(
      "backendConfig",
      `none: it says nothing of dynamic modules, and ${name} is one`,
      "one",
    );
  }
  if (module instanceof LSTM && module.projSize > 0) {
    failRange(`${name}.projSize`, "0, since the LSTM is dynamic", module.projSize);
  }
}

/** What becomes of what a target does not run, or null where there is no target. */
function fitOf({ backendConfig, onUnsupported = "error" }: PrepareOptions): BackendFit | null {
  if (onUnsupported !== "error" && onUnsupported !== "float") {
    (typeof onUnsupported === "string" ? failRange : failType)(
      "onUnsupported",
      '"error" or "float"',
      onUnsupported,
    );
  }
  if (backendConfig === undefined) return null;
  if (!(backendConfig instanceof BackendConfig)) {
    failType("backendConfig", "a BackendConfig", backendConfig);
  }
  return { backend: backendConfig, onUnsupported, unsupported: [] };
}

/** The first entry of each name: what a part reads may have been asked about more than once. */
function distinct(unsupported: readonly Unsupported[]): Unsupported[] {
  return [...new Map(unsupported.toReversed().map((each) => [each.name, each])).values()]
    .toReversed();
}
