/**
 * The assignment of QConfigs to modules.
 *
 * @module
 */
import { checkBoolean, checkBuiltIn, failRange, failType } from "../core/errors.ts";
import type { Part } from "../cells/cell.ts";
import { CELLS } from "../cells/cells.ts";
import { PART_NAMES, PART_SLOTS, type PartName, type PartSlot } from "../cells/names.ts";
import { checkOptions } from "../core/check.ts";
import { FakeQuantize } from "../observer/fake_quantize.ts";
import { Observer, type ObserverFactory } from "../observer/observer.ts";
import { PerChannelObserver } from "../observer/per_channel.ts";
import type { OutputObserver, PartConfig, PartObserver, QConfig } from "./qconfig.ts";

/** A module as a mapping sees it. */
export interface NamedModule {
  /** The path from the model's root, dots between names; what `setModuleName` compares. */
  readonly name: string;
  /** What `setObjectType` compares. */
  readonly type: string;
  /** The parts of its cells that can be configured; none for most modules. */
  readonly parts?: readonly Part[];
}

interface Rule {
  /** Name in errors. */
  readonly key: string;
  readonly matches: (module: NamedModule) => boolean;
  /** 0 global, 1 type, 2 pattern, 3 name. */
  readonly rank: number;
}

interface ConfigRule extends Rule {
  readonly qconfig: QConfig | null;
}

interface PartRule extends Rule {
  readonly part: PartSlot | PartName;
  readonly observer: PartObserver;
}

/**
 * Requires a slot or a part's name.
 *
 * @param parts The parts that exist; all by default.
 */
export function checkPartKey(
  name: string,
  key: unknown,
  parts: readonly Part[] = CELLS.flatMap((cell) => cell.parts),
): asserts key is PartSlot | PartName {
  if (typeof key !== "string") failType(name, "a part of a recurrent cell", key);
  if ([...PART_SLOTS, ...PART_NAMES].includes(key as PartName)) return;
  const slots = PART_SLOTS.filter((slot) => parts.some((part) => part.slot === slot));
  const names = PART_NAMES.filter((each) => parts.some((part) => part.name === each));
  failRange(name, `a slot (${slots.join(", ")}) or a part (${names.join(", ")})`, key);
}

const QCONFIG_KEYS: readonly (keyof QConfig)[] = [
  "activation",
  "weight",
  "input",
  "parts",
  "engine",
  "initialState",
  "concatenation",
  "weightRounding",
  "embeddingBits",
  "dynamic",
];

/** Requires a QConfig or null. */
export function checkQConfig(qconfig: unknown): void {
  if (qconfig === null) return;
  if (typeof qconfig !== "object") {
    failType("qconfig", "a QConfig, as getPreset gives it, or null", qconfig);
  }
  checkOptions("qconfig", qconfig, QCONFIG_KEYS);
  const { activation, weight, input = activation, parts, dynamic, ...words } = qconfig as QConfig;
  if (dynamic !== undefined) checkBoolean("qconfig.dynamic", dynamic);
  for (const [name, factory] of Object.entries({ activation, weight, input })) {
    if (factory === null) {
      failType(`qconfig.${name}`, "an observer factory (of PlaceholderObserver for float32)", null);
    }
    checkFactory(`qconfig.${name}`, factory);
    if (name !== "weight") checkWhole(`qconfig.${name}`, factory);
  }
  const {
    engine = "fbgemm",
    initialState = "torch",
    concatenation = "torch",
    weightRounding = "nearest",
    embeddingBits = 8,
  } = words;
  if (engine !== "fbgemm" && engine !== "qnnpack") {
    failRange("qconfig.engine", "fbgemm or qnnpack", engine);
  }
  if (initialState !== "torch" && initialState !== "own") {
    failRange("qconfig.initialState", "torch or own", initialState);
  }
  if (concatenation !== "torch" && concatenation !== "both") {
    failRange("qconfig.concatenation", "torch or both", concatenation);
  }
  if (weightRounding !== "nearest" && weightRounding !== "calibrated") {
    failRange("qconfig.weightRounding", "nearest or calibrated", weightRounding);
  }
  if (embeddingBits !== 8 && embeddingBits !== 16) {
    failRange("qconfig.embeddingBits", "8 or 16", embeddingBits);
  }
  for (const [key, observer] of Object.entries(parts ?? {})) {
    checkPartKey("qconfig.parts", key);
    checkPartObserver(`qconfig.parts.${key}`, key, observer);
  }
}

/** A hint for callers who give a dtype's name, such as int16, instead of an observer. */
const OF_A_DTYPE =
  "MinMaxObserver.withArgs({ dtype }), for 16 bits with dtype qint32, quantMin and quantMax";

/**
 * Requires an observer factory or null. Observers and observer classes, the usual mistakes, have a
 * message of their own.
 */
function checkFactory(name: string, factory: unknown): void {
  if (typeof factory === "string") {
    failType(name, `an observer factory such as ${OF_A_DTYPE}`, factory);
  }
  if (factory === null || (typeof factory === "function" && "observerName" in factory)) return;
  const kind = factory instanceof Observer
    ? factory.kind
    : typeof factory === "function" && factory.prototype instanceof Observer
    ? factory.name
    : null;
  if (kind === null) {
    failType(name, "an observer factory, as withArgs gives it, or null for not quantized", factory);
  }
  const got = factory instanceof Observer ? "an observer" : "the class";
  throw new TypeError(
    `${name}: expected an observer factory, ${kind}.withArgs({ ... }), got ${got}`,
  );
}

/** Requires an activation's observer to be per tensor. */
function checkWhole(name: string, factory: ObserverFactory | null): void {
  const given = factory?.();
  const observer = given instanceof FakeQuantize ? given.observer : given;
  if (observer instanceof PerChannelObserver) {
    failType(name, "an observer of whole tensors", observer.kind);
  }
}

/** Observers of a part's output and inputs, given in the short or the long form. */
export function partConfig(observer: PartObserver): PartConfig {
  return observer !== null && typeof observer === "object" && !Array.isArray(observer)
    ? observer as PartConfig
    : { output: observer as OutputObserver };
}

/** The parts that a slot's or part's name selects, for each cell that has any. */
function partsOf(key: PartSlot | PartName): readonly (readonly Part[])[] {
  return CELLS.map(({ parts }) => parts.filter(({ name, slot }) => name === key || slot === key));
}

/** Whether a part belongs to gates, so that each can have an observer of its own. */
function isOfGates({ gated, span }: Part): boolean {
  return gated || span !== undefined;
}

/**
 * Requires a part's setting: an observer factory, null, one of them for each gate, or an object of
 * output and inputs.
 */
export function checkPartObserver(
  name: string,
  key: PartSlot | PartName,
  observer: unknown,
): asserts observer is PartObserver {
  if (observer === undefined) checkFactory(name, observer);
  if (observer instanceof Observer) checkFactory(name, observer);
  if (typeof observer === "object" && observer !== null && !Array.isArray(observer)) {
    for (const member of Object.keys(observer)) {
      if (member === "output" || member === "inputs") continue;
      failType(
        name,
        `an observer factory such as ${OF_A_DTYPE}, null, or an object of output and inputs`,
        `an object with ${member}`,
      );
    }
  }
  const { output, inputs } = partConfig(observer as PartObserver);
  if (Array.isArray(output)) {
    const counts = CELLS.filter((_, i) => partsOf(key)[i]!.length > 0)
      .map(({ gates }) => gates.length);
    if (!counts.includes(output.length)) {
      failRange(name, `${counts.join(" or ")} observers, one a gate`, output.length);
    }
    if (!partsOf(key).flat().every(isOfGates)) {
      failType(
        name,
        "one observer: only inputProjection, hiddenProjection and linearOutput have one a gate",
        output,
      );
    }
  }
  for (const factory of Array.isArray(output) ? output : output === undefined ? [] : [output]) {
    checkFactory(name, factory);
    checkWhole(name, factory);
  }
  if (inputs === undefined) return;
  if (!Array.isArray(inputs)) {
    failType(`${name}.inputs`, "an array of observer factories or null", inputs);
  }
  for (const part of partsOf(key).flat()) {
    if (inputs.length !== part.inputs.length) {
      failRange(
        `${name}.inputs`,
        `${part.inputs.length}, one for each of ${part.inputs.join(", ")}`,
        inputs.length,
      );
    }
  }
  inputs.forEach((factory, i) => {
    checkFactory(`${name}.inputs[${i}]`, factory);
    checkWhole(`${name}.inputs[${i}]`, factory);
  });
}

/**
 * Which module gets which QConfig, as torch's QConfigMapping: for all modules, by type, by a
 * pattern of names, by name, and for single parts of recurrent cells. The more specific setting
 * wins (global < type < pattern < name); among equally specific ones, the later. null leaves a
 * module as it is.
 *
 * @example
 * ```ts
 * import {
 *   Embedding,
 *   getPreset,
 *   LSTM,
 *   prepare,
 *   QConfigMapping,
 *   Sequential,
 * } from "@splitgate/splitgate";
 * import { MinMaxObserver } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const mapping = new QConfigMapping()
 *   .setGlobal(getPreset("fbgemm"))
 *   .setObjectType("Embedding", null)
 *   .setPart(
 *     "cellState",
 *     MinMaxObserver.withArgs({ dtype: "qint32", quantMin: -32768, quantMax: 32767 }),
 *   );
 * const observed = prepare(
 *   new Sequential({
 *     embedding: new Embedding({ numEmbeddings: 5, embeddingDim: 2 }),
 *     lstm: new LSTM({ inputSize: 2, hiddenSize: 3 }),
 *   }),
 *   mapping,
 * );
 * assertEquals(observed.modules.get("embedding")!.qconfig, null);
 * assertEquals(observed.modules.get("lstm")!.qconfig?.weight, getPreset("fbgemm").weight);
 * ```
 */
export class QConfigMapping {
  readonly #rules: readonly ConfigRule[];
  readonly #parts: readonly PartRule[];

  /** An empty mapping: nothing is quantized. */
  constructor();
  /** @ignore Used by the setters. */
  constructor(rules: readonly ConfigRule[], parts: readonly PartRule[]);
  constructor(rules: readonly ConfigRule[] = [], parts: readonly PartRule[] = []) {
    this.#rules = rules;
    this.#parts = parts;
  }

  #with(
    rank: number,
    key: string,
    matches: Rule["matches"],
    qconfig: QConfig | null,
  ): QConfigMapping {
    checkQConfig(qconfig);
    return new QConfigMapping([...this.#rules, { rank, key, matches, qconfig }], this.#parts);
  }

  /**
   * A mapping that also gives `qconfig` to every module for which nothing more specific is set.
   *
   * @throws {TypeError | RangeError} If `qconfig` is no QConfig or null, as in the other setters:
   * it names the field.
   */
  setGlobal(qconfig: QConfig | null): QConfigMapping {
    return this.#with(0, "global", () => true, qconfig);
  }

  /**
   * A mapping that also gives `qconfig` to every module of a type.
   *
   * @param type The kind's name, PyTorch's: "LSTM". That there is such a module is checked by
   * `prepare`.
   * @throws {TypeError} If `type` is no string.
   */
  setObjectType(type: string, qconfig: QConfig | null): QConfigMapping {
    if (typeof type !== "string") failType("type", "the name of a kind of module", type);
    return this.#with(1, `type ${type}`, (module) => module.type === type, qconfig);
  }

  /**
   * A mapping that also gives `qconfig` to every module whose whole name matches a pattern.
   *
   * @throws {TypeError} If `pattern` is no RegExp.
   */
  setModuleNamePattern(pattern: RegExp, qconfig: QConfig | null): QConfigMapping {
    checkBuiltIn("pattern", pattern, "RegExp", "a RegExp");
    const whole = new RegExp(`^(?:${pattern.source})$`, pattern.flags.replace(/[gy]/g, ""));
    return this.#with(2, `pattern ${pattern}`, (module) => whole.test(module.name), qconfig);
  }

  /**
   * A mapping that also gives `qconfig` to the module of a name.
   *
   * @throws {TypeError} If `name` is no string.
   */
  setModuleName(name: string, qconfig: QConfig | null): QConfigMapping {
    if (typeof name !== "string") failType("name", "a string", name);
    return this.#with(3, `name ${JSON.stringify(name)}`, (module) => module.name === name, qconfig);
  }

  /**
   * A mapping that also sets the observer of a part of recurrent cells, over what their QConfig
   * says.
   *
   * @param part A slot (`sigmoid`) or, more specific, a part (`forget_gate`).
   * @param observer An observer, null for "not quantized", one of them a gate, or those of its
   * output and inputs.
   * @param module The recurrent module's name; all that have the part by default.
   * @throws {TypeError} If an argument is of the wrong kind.
   * @throws {RangeError} If there is no such part.
   */
  setPart(part: PartSlot | PartName, observer: PartObserver, module?: string): QConfigMapping {
    checkPartKey("part", part);
    checkPartObserver(`part ${part}`, part, observer);
    if (module !== undefined && typeof module !== "string") {
      failType("module", "a module's name", module);
    }
    const rule: PartRule = {
      rank: module === undefined ? 0 : 3,
      key: `part ${part}${module === undefined ? "" : ` of ${JSON.stringify(module)}`}`,
      matches: ({ name, parts = [] }) =>
        (module === undefined || name === module) &&
        parts.some((each) => each.name === part || each.slot === part),
      part,
      observer,
    };
    return new QConfigMapping(this.#rules, [...this.#parts, rule]);
  }

  /**
   * The QConfig of each module; null where it is to stay as it is.
   *
   * @throws {RangeError} If a key of the mapping matches no module: it names the key and the
   * modules there are.
   * @internal
   */
  resolve(modules: readonly NamedModule[]): (QConfig | null)[] {
    for (const rule of [...this.#rules, ...this.#parts]) {
      if (rule.key !== "global" && !modules.some(rule.matches)) {
        failRange(
          `QConfigMapping: ${rule.key}`,
          `a module that matches (there are ${
            modules.map((m) => `${m.type} ${JSON.stringify(m.name)}`).join(", ")
          })`,
          "none",
        );
      }
    }
    return modules.map((module) => {
      const best = strongest(this.#rules.filter((rule) => rule.matches(module)));
      const qconfig = best?.qconfig ?? null;
      const rules = this.#parts.filter((rule) => rule.matches(module));
      if (rules.length === 0) return qconfig;
      if (qconfig === null) {
        return failRange(
          `QConfigMapping: ${rules[0]!.key}`,
          `a QConfig for ${JSON.stringify(module.name)}`,
          "none",
        );
      }
      const parts: Record<string, PartObserver> = { ...qconfig.parts };
      for (const { part, observer } of [...rules].sort((a, b) => a.rank - b.rank)) {
        parts[part] = observer;
      }
      return { ...qconfig, parts };
    });
  }
}

function strongest(rules: readonly ConfigRule[]): ConfigRule | undefined {
  let best: ConfigRule | undefined;
  for (const rule of rules) if (best === undefined || rule.rank >= best.rank) best = rule;
  return best;
}

/** A mapping as given, or one that has a QConfig for every module. */
export function asMapping(qconfig: QConfig | QConfigMapping): QConfigMapping {
  return qconfig instanceof QConfigMapping ? qconfig : new QConfigMapping().setGlobal(qconfig);
}
