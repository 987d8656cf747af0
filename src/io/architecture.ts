/**
 * Architecture files: the structure of a float model as JSON, without tensors. docs/file-formats.md
 * describes the format. Options belong to the kinds (`modules/kind.ts`); sizes follow from the
 * tensors.
 *
 * @module
 */
import { checkFloat32, checkOptions } from "../core/check.ts";
import { checkObject, failRange, failType, parseJson } from "../core/errors.ts";
import { INPUT } from "../core/topology.ts";
import { createModule, optionsOf, withName } from "../modules/create.ts";
import { Graph, type GraphChild, Sequential } from "../modules/graph.ts";
import { KIND_NAMES, kindNamed, kindOf } from "../modules/kinds.ts";
import type { Module, StateDictEntry } from "../modules/module.ts";

/** The version of the format that is written, and the only one that is read. */
const VERSION = 1;

/** Largest nesting depth of models. */
const MAX_DEPTH = 16;

/** The kind of a module in a drafted architecture that a person has to replace. */
export const BLANK = "?";

/** Kinds that hold modules. */
const MODELS = ["Graph", "Sequential"];

/**
 * A module of an {@linkcode Architecture}.
 *
 * @example
 * ```ts
 * import { type ArchitectureModule, readArchitecture } from "@splitgate/splitgate/safetensors";
 * const rnn: ArchitectureModule = {
 *   name: "rnn",
 *   kind: "LSTM",
 *   options: { batchFirst: true },
 *   tensors: "encoder.rnn", // what its tensors' names begin with in the file
 * };
 * readArchitecture({ modules: [rnn] });
 * ```
 */
export interface ArchitectureModule {
  /** Its name: not empty, without a dot, not `"input"`. */
  readonly name: string;
  /**
   * PyTorch's name of its kind, `"Graph"` or `"Sequential"`; `"?"` where it is still to be chosen.
   */
  readonly kind: string;
  /**
   * Names of the modules that it reads, `"input"` for the model's input; by default the one before
   * it, or the input for the first one.
   */
  readonly inputs?: string | readonly string[];
  /**
   * Options that do not follow from the shapes of its tensors; missing ones have their defaults.
   */
  readonly options?: Readonly<Record<string, unknown>>;
  /**
   * Prefix of its tensors' names in the file, without the last dot: `"encoder.rnn"` for
   * `encoder.rnn.weight_ih_l0`. By default its name after those of the models that contain it.
   */
  readonly tensors?: string;
  /** The modules of a Graph or Sequential. */
  readonly modules?: readonly ArchitectureModule[];
  /** The outputs of a Graph: names of its modules; the last module by default. */
  readonly outputs?: readonly string[];
  /** A comment for readers. */
  readonly note?: string;
}

/**
 * The structure of a float model, as an architecture file holds it.
 *
 * @example
 * ```ts
 * import {
 *   type Architecture,
 *   importSafetensors,
 *   writeSafetensors,
 * } from "@splitgate/splitgate/safetensors";
 * const architecture: Architecture = {
 *   modules: [
 *     { name: "out", kind: "Linear", tensors: "head" }, // head.weight of the file
 *     { name: "scores", kind: "Softmax" },
 *   ],
 * };
 * const weight = { data: Float32Array.of(1, 2, 3, 4), shape: [2, 2] };
 * importSafetensors(writeSafetensors([["head.weight", weight]]), { architecture });
 * ```
 */
export interface Architecture {
  /** 1, and by default. */
  readonly version?: 1;
  /** The modules, in any order. */
  readonly modules: readonly ArchitectureModule[];
  /** Names of the modules whose outputs the model gives; the last module by default. */
  readonly outputs?: readonly string[];
  /** What masked steps of the model's input hold; none by default. */
  readonly maskValue?: number;
  /** A comment for readers. */
  readonly note?: string;
}

const FIELDS = ["version", "modules", "outputs", "maskValue", "note"];
const MODULE_FIELDS = ["name", "kind", "inputs", "options", "tensors", "note"];
const MODEL_FIELDS = ["name", "kind", "inputs", "modules", "outputs", "note"];

function checkText(name: string, value: unknown): string {
  return typeof value === "string" ? value : failType(name, "a string", value);
}

function checkList(name: string, value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : failType(name, "an array", value);
}

function checkNames(name: string, value: unknown): readonly string[] {
  return checkList(name, value).map((each, i) => checkText(`${name}[${i}]`, each));
}

/** Throws for fields that would have no effect. */
function checkFields(name: string, value: unknown, known: readonly string[]): object {
  const fields = checkObject(name, value);
  checkOptions(name, fields, known);
  if (fields.note !== undefined) checkText(`${name}.note`, fields.note);
  return fields;
}

/** Checks a list of modules and, if present, of outputs; `at` is its name in messages. */
function checkModel(at: string, model: Record<string, unknown>, depth: number): void {
  const prefix = at === "" ? "" : `${at}.`;
  if (depth > MAX_DEPTH) failRange(at, `models within models ${MAX_DEPTH} deep`, "a deeper one");
  checkList(`${prefix}modules`, model.modules).forEach((value, i) => {
    const label = `${prefix}modules[${i}]`;
    const given = checkObject(label, value);
    const name = checkText(`${label}.name`, given.name);
    const named = `${label} (${name})`;
    const kind = checkText(`${named}.kind`, given.kind);
    if (kind === BLANK) {
      const note = typeof given.note === "string" ? ` (${given.note})` : "";
      failRange(`${named}.kind`, `a kind that you choose${note}`, kind);
    }
    if (given.inputs !== undefined && typeof given.inputs !== "string") {
      checkNames(`${named}.inputs`, given.inputs);
    }
    if (MODELS.includes(kind)) {
      checkFields(named, value, MODEL_FIELDS);
      checkModel(named, given, depth + 1);
      return;
    }
    if (!KIND_NAMES.includes(kind)) {
      failRange(`${named}.kind`, `one of ${[...KIND_NAMES, ...MODELS].join(", ")}`, kind);
    }
    checkFields(named, value, MODULE_FIELDS);
    if (given.options !== undefined) checkObject(`${named}.options`, given.options);
    if (given.tensors !== undefined) checkText(`${named}.tensors`, given.tensors);
  });
  if (model.outputs !== undefined) checkNames(`${prefix}outputs`, model.outputs);
}

/**
 * Checks an architecture as far as it can be without tensors.
 *
 * @param architecture Its JSON text, or the parsed value.
 * @returns The value; not a copy.
 * @throws {TypeError} If a field is of the wrong kind, or unknown.
 * @throws {RangeError} If it is no JSON, of another version, a kind is unknown or still to be
 * chosen (`"?"`), or models are nested more than 16 deep.
 *
 * @example
 * ```ts
 * import { readArchitecture } from "@splitgate/splitgate/safetensors";
 * import { assertEquals, assertThrows } from "@std/assert";
 * const { modules } = readArchitecture(`{ "modules": [
 *   { "name": "rnn", "kind": "LSTM", "options": { "batchFirst": true } },
 *   { "name": "last", "kind": "LastStep", "options": { "batchFirst": true } },
 *   { "name": "out", "kind": "Linear", "tensors": "classifier.0" }
 * ] }`);
 * assertEquals(modules.length, 3);
 * const blank = '{ "modules": [{ "name": "a", "kind": "?" }] }';
 * assertThrows(() => readArchitecture(blank), RangeError, "expected a kind that you choose");
 * ```
 */
export function readArchitecture(architecture: string | Architecture): Architecture {
  const value = typeof architecture === "string"
    ? parseJson("architecture", () => architecture)
    : architecture;
  const fields = checkFields("architecture", value, FIELDS) as Record<string, unknown>;
  const { version = VERSION } = fields;
  if (version !== VERSION) failRange("architecture.version", `${VERSION}`, version);
  if (fields.maskValue !== undefined) checkFloat32("architecture.maskValue", fields.maskValue);
  checkModel("", fields, 0);
  return fields as unknown as Architecture;
}

/** The modules and outputs of a model, from an architecture. */
function describe({ children, topology }: Graph): Omit<Architecture, "version" | "note"> {
  let last = INPUT;
  const modules: ArchitectureModule[] = [];
  for (const [name, module] of children) {
    const reads = topology.inputs.get(name)!;
    const inputs = reads.length === 1 && reads[0] === last ? {} : { inputs: reads };
    last = name;
    if (module instanceof Graph) {
      modules.push({ name, kind: module.kind, ...inputs, ...describe(module) });
      continue;
    }
    const options = optionsOf(kindOf(name, module), module);
    const has = Object.keys(options).length > 0;
    modules.push({ name, kind: module.kind, ...inputs, ...has && { options } });
  }
  const outputs = [...topology.outputs.keys()];
  return outputs.length === 1 && outputs[0] === last ? { modules } : { modules, outputs };
}

/** A single module as a model; its name is its kind's. */
export function asGraph(model: Module): Graph {
  if (model instanceof Graph) return model;
  const { name } = kindOf("model", model);
  return new Graph({ [name.toLowerCase()]: { module: model } });
}

/**
 * The architecture of a float model, as `saveFloatModel` writes it into the metadata of its files.
 *
 * @throws {TypeError} If `model` is no module.
 *
 * @example
 * ```ts
 * import { Linear, Sequential, Tanh } from "@splitgate/splitgate";
 * import { architectureOf } from "@splitgate/splitgate/safetensors";
 * import { assertEquals } from "@std/assert";
 * const linear = new Linear({ inFeatures: 2, outFeatures: 3 });
 * assertEquals(architectureOf(new Sequential({ linear, tanh: new Tanh() })), {
 *   version: 1,
 *   modules: [{ name: "linear", kind: "Linear" }, { name: "tanh", kind: "Tanh" }],
 * });
 * ```
 */
export function architectureOf(model: Module): Architecture {
  const graph = asGraph(model);
  const { maskValue } = graph;
  return { version: VERSION, ...describe(graph), ...maskValue !== null && { maskValue } };
}

/** Tensors by module, that is by their names up to the last dot. */
export function byModule<T>(tensors: ReadonlyMap<string, T>): Map<string, Map<string, T>> {
  const groups = new Map<string, Map<string, T>>();
  for (const [name, tensor] of tensors) {
    const dot = name.lastIndexOf(".");
    const path = name.slice(0, Math.max(dot, 0));
    let group = groups.get(path);
    if (group === undefined) groups.set(path, group = new Map());
    group.set(name.slice(dot + 1), tensor);
  }
  return groups;
}

/** A float model, and the tensors that it does not use. */
export interface BuiltModel {
  readonly model: Graph;
  /** Names of tensors that no module took. */
  readonly unused: readonly string[];
}

/**
 * Makes a float model from an architecture and tensors.
 *
 * @param architecture As {@linkcode readArchitecture} returns it.
 * @param tensors float32 by name.
 * @throws {TypeError | RangeError} If modules do not fit together or to their tensors, or two
 * modules take the same tensors: the message names the module.
 */
export function buildModel(
  architecture: Architecture,
  tensors: ReadonlyMap<string, StateDictEntry>,
): BuiltModel {
  const groups = byModule(tensors);
  const takenBy = new Map<string, string>();
  const build = (
    { modules, outputs }: Pick<Architecture, "modules" | "outputs">,
    prefix: string,
  ): [children: Record<string, GraphChild>, options: { outputs?: readonly string[] }] => {
    let last = INPUT;
    const seen = new Set<string>();
    const children = modules.map((each): [string, GraphChild] => {
      const { name, kind, inputs = [last], options = {}, tensors: path = prefix + name } = each;
      const label = prefix + name;
      if (seen.has(name)) failRange(`modules.${label}`, "a name of its own", "a second module");
      seen.add(name);
      last = name;
      if (each.modules !== undefined) {
        const [inner, rest] = build(each as Architecture, `${label}.`);
        const module = kind === "Sequential"
          ? sequentialOf(label, inner, rest)
          : new Graph(inner, rest);
        return [name, { module, inputs }];
      }
      const own = groups.get(path) ?? new Map<string, StateDictEntry>();
      const shapes = new Map([...own].map(([key, { shape }]) => [key, shape]));
      const module = createModule(label, kindNamed(`${label}.kind`, kind), options, shapes);
      if (module.stateDict().size > 0) {
        const other = takenBy.get(path);
        if (other !== undefined) {
          failRange(`modules.${label}.tensors`, `others than ${other}`, path);
        }
        takenBy.set(path, label);
        withName(label, () => module.loadStateDict(own));
      }
      return [name, { module, inputs }];
    });
    return [
      Object.fromEntries(children),
      outputs === undefined ? { outputs: [last] } : { outputs },
    ];
  };
  const [children, options] = build(architecture, "");
  const { maskValue } = architecture;
  const model = new Graph(children, { ...options, ...maskValue !== undefined && { maskValue } });
  const unused = [...groups].flatMap(([path, own]) =>
    takenBy.has(path) ? [] : [...own.keys()].map((key) => path === "" ? key : `${path}.${key}`)
  );
  return { model, unused };
}

/** A Sequential, whose modules read each other in order. */
function sequentialOf(
  name: string,
  children: Readonly<Record<string, GraphChild>>,
  { outputs }: { outputs?: readonly string[] },
): Sequential {
  const graph = new Graph(children, { outputs: outputs! });
  const names = [...graph.children.keys()];
  const chained = names.every((each, i) => {
    const reads = graph.topology.inputs.get(each)!;
    return reads.length === 1 && reads[0] === (names[i - 1] ?? INPUT);
  });
  const given = [...graph.topology.outputs.keys()];
  if (!chained || given.length > 1 || given[0] !== names.at(-1)) {
    failRange(`modules.${name}`, "a chain, since it is a Sequential (a Graph may branch)", "none");
  }
  // An object would move names that are integers to the front.
  const sequential = new Sequential(Object.fromEntries(graph.children));
  return [...sequential.children.keys()].join() === names.join()
    ? sequential
    : failRange(`modules.${name}`, "names that stand in order", names);
}
