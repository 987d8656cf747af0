/**
 * Shared by ends of time: modules that reduce a sequence to one row and keep its parameters.
 *
 * @module
 */
import type { Sequences } from "../../kernels/ops/over_time.ts";
import { checkLengths, checkOptions, checkTensor, MAX_SIZE } from "../core/check.ts";
import { checkBoolean, checkInteger, failRange } from "../core/errors.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Observer } from "../observer/observer.ts";
import type { QConfig } from "../qconfig/qconfig.ts";
import type { NodeProgram, Port, RunningKind, Slot } from "../runtime/kind.ts";
import { checkValues } from "./check.ts";
import { failWidth, type InputObserver, type Kind, type QuantizedEnds } from "./kind.ts";
import type { ObservedModule, QuantizedModule } from "./kind.ts";
import { Module } from "./module.ts";
import { takenAsGiven } from "./observing.ts";

/**
 * Options of modules that end time.
 *
 * @example
 * ```ts
 * import { type EndOptions, LastStep, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const options: EndOptions = { batchFirst: true }; // [batch, steps, features]
 * assertEquals([...new LastStep(options).forward(tensor([1, 2, 3, 4], [1, 2, 2])).data], [3, 4]);
 * ```
 */
export interface EndOptions {
  /**
   * Whether x is [batch, steps, features] rather than [steps, batch, features]; false by default.
   */
  readonly batchFirst?: boolean;
}

/**
 * Options of `forward` of modules that end time.
 *
 * @example
 * ```ts
 * import { MeanOverTime, tensor } from "@splitgate/splitgate";
 * import type { EndForwardOptions } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const options: EndForwardOptions = { lengths: [2] }; // the third step is padding
 * const { data } = new MeanOverTime().forward(tensor([1, 3, 100], [3, 1, 1]), options);
 * assertEquals([...data], [2]);
 * ```
 */
export interface EndForwardOptions {
  /** Number of valid steps of each batch row, 1..steps, in any order; all of them by default. */
  readonly lengths?: ArrayLike<number>;
}

/** Flags of ends of time by name. */
type Flags = Readonly<Record<string, boolean>>;

/** Reduces float32 sequences [steps, batch, features] to [batch, features]. */
type Reduce = (x: Float32Array, sequences: Sequences, out: Float32Array, flags: Flags) => void;

/** Reduces sequences in either layout; transposes them to [steps, batch, features] if needed. */
function reduceRows(
  reduce: Reduce,
  x: Float32Array,
  sequences: Sequences & { readonly batchFirst: boolean },
  flags: Flags,
): Float32Array {
  const { steps, batch, features, batchFirst } = sequences;
  let rows = x;
  if (batchFirst) {
    rows = new Float32Array(x.length);
    for (let row = 0; row < steps * batch; row++) {
      const from = ((row % batch) * steps + Math.floor(row / batch)) * features;
      rows.set(x.subarray(from, from + features), row * features);
    }
  }
  const out = new Float32Array(batch * features);
  reduce(rows, sequences, out, flags);
  return out;
}

/**
 * A float module that reduces a sequence to one row.
 *
 * @example
 * ```ts
 * import { LastStep, MaxOverTime } from "@splitgate/splitgate";
 * import type { EndOfTime } from "@splitgate/splitgate/modules";
 * const end = (name: "last" | "max"): EndOfTime =>
 *   name === "last" ? new LastStep() : new MaxOverTime();
 * end("max");
 * ```
 */
export abstract class EndOfTime extends Module {
  /** Whether x is [batch, steps, features] rather than [steps, batch, features]. */
  readonly batchFirst: boolean;
  readonly #reduce: Reduce;
  readonly #flags: Flags;

  /**
   * Called by subclasses with their options.
   *
   * @param reduce Its arithmetic.
   * @param names Its options' names.
   * @throws {TypeError} If an option is unknown or no boolean.
   */
  constructor(options: EndOptions, reduce: Reduce, names: readonly string[] = ["batchFirst"]) {
    super();
    checkOptions("options", options, names);
    this.#flags = Object.fromEntries(
      names.map((name) => [name, checkBoolean(name, options[name as "batchFirst"] ?? false)]),
    );
    this.batchFirst = this.#flags.batchFirst!;
    this.#reduce = reduce;
  }

  /** None. */
  override stateDict(): Map<string, Tensor> {
    return new Map();
  }

  /**
   * Reduces each sequence to one row.
   *
   * @param x [steps, batch, features], [batch, steps, features] if batchFirst, or [steps, features]
   * unbatched; finite.
   * @param options.lengths Steps of each batch row; all by default.
   * @returns [batch, features], or [features] unbatched.
   * @throws {TypeError} If `x` is no float32 tensor or an option is unknown.
   * @throws {RangeError} If a shape does not fit, a dimension is 0, a value is not finite, or a
   * length out of range.
   */
  forward(x: Tensor, options: EndForwardOptions = {}): Tensor {
    const { batchFirst } = this;
    checkTensor("x", x);
    checkOptions("options", options, ["lengths"]);
    const { shape } = x;
    if (shape.length !== 2 && shape.length !== 3) {
      const layout = batchFirst ? "batch, steps" : "steps, batch";
      failRange("x.shape", `[${layout}, features] or [steps, features]`, shape);
    }
    const features = shape.at(-1)!;
    const batched = shape.length === 3;
    const swap = batched && batchFirst;
    const steps = shape[swap ? 1 : 0]!;
    const batch = batched ? shape[swap ? 0 : 1]! : 1;
    const lengths = options.lengths === undefined
      ? null
      : checkLengths(options.lengths, batch, steps);
    const sequences = { steps, batch, features, lengths, batchFirst: swap };
    const data = reduceRows(this.#reduce, x.data, sequences, this.#flags);
    return { data, shape: batched ? [batch, features] : [features] };
  }
}

/**
 * An end of time in an observed model. It needs no observer of its own, since its input is
 * observed.
 */
export class ObservedEnd<F extends EndOfTime = EndOfTime> implements ObservedModule {
  /** Name of the kind. */
  readonly kind: string;
  /** The float module: a copy. */
  readonly module: F;
  /** Width of a row. */
  readonly size: number;
  /** Inputs keep their parameters. */
  readonly input: InputObserver;
  /** The observer of its input; null: float32. */
  readonly output: Observer | null;
  /** The QConfig that it was prepared with; it has no effect. */
  readonly qconfig: QConfig | null;

  /** Called by `prepare`. */
  constructor(module: F, size: number, given: Observer | null, qconfig: QConfig | null) {
    this.kind = module.kind;
    this.module = module;
    this.size = size;
    this.input = takenAsGiven(given);
    this.output = given;
    this.qconfig = qconfig;
  }
}

/** A quantized end of time as plain data. */
export interface EndModule extends QuantizedModule {
  /** Width of a row. */
  readonly size: number;
  /** Parameters of its input and output; null: float32. */
  readonly qparams: PerTensorQParams | null;
  /** Whether sequences are [batch, steps, ...], and other flags. */
  readonly flags: Flags;
}

/** Describes a kind that ends time. */
export interface EndSpec<F extends EndOfTime> {
  /** The kind's name. */
  readonly name: string;
  /** Its float form. */
  readonly Float: new (options: Record<string, boolean>) => F;
  /** Names of its options. */
  readonly flags: readonly string[];
  /** Its arithmetic in float32. */
  readonly reduce: Reduce;
  /** Its operation in the reference graph. */
  readonly op: string;
  /** Its slots besides the marks of first steps; the last one holds the output rows. */
  slots(port: Port): readonly Slot[];
  /** Its running half. */
  readonly running: RunningKind<never>;
}

/** A slot for rows like the input's. */
export function sameRows(name: string): (port: Port) => readonly Slot[] {
  return ({ size, qparams }) => [{ name, size, groups: [qparams] }];
}

/** Checks plain data of an end of time. */
function endModule(name: string, module: EndModule): EndModule {
  const { size, qparams, flags } = module;
  checkInteger(`${name}.size`, size, 1, MAX_SIZE);
  checkValues(`${name}.qparams`, qparams);
  if (flags.bidirectional && size % 2 !== 0) {
    failRange(`${name}.size`, "an even number, since it is bidirectional", size);
  }
  return module;
}

/** Makes the kind of a module that ends time. */
export function endKind<F extends EndOfTime>(
  { name: kind, Float, flags: names, reduce, op, slots, running }: EndSpec<F>,
): Kind<F, ObservedEnd<F>, EndModule> {
  const flagsOf = (module: F): Flags =>
    Object.fromEntries(names.map((name) => [name, module[name as keyof F] as boolean]));
  const own = ({ batchFirst: _, ...rest }: Flags): Flags => rest;
  const ends = ({ size, qparams, flags }: EndModule): QuantizedEnds => ({
    inputs: [{ size, qparams }],
    output: { size, qparams },
    batchFirst: flags.batchFirst!,
  });
  return {
    name: kind,
    time: "end",
    inputs: 1,
    hasState: false,
    hasWeight: false,

    options: names,
    create: (options) => new Float(options as Record<string, boolean>),
    inputSize: () => undefined,
    outputSize(name, _module, [given]) {
      if (given === null) failWidth(name, 1, null);
      return given!;
    },
    batchFirst: ({ batchFirst }) => batchFirst,
    forward: (module, [x], { lengths }) =>
      module.forward(x as Tensor, lengths === null ? {} : { lengths }),

    parts: () => [],
    observe: (module, { inputs: [given], sizes: [size], qconfig }) =>
      new ObservedEnd(module, size!, given!, qconfig),
    check: ({ module }, [x], { lengths }) =>
      module.forward(x as Tensor, lengths === null ? {} : { lengths }),
    watch: ({ module }, [x], { lengths }) =>
      module.forward(x as Tensor, lengths === null ? {} : { lengths }),

    convert: ({ module, size }, { name, given: [qparams] }) =>
      endModule(name, { kind, size, qparams: qparams!, flags: flagsOf(module) }),
    withInputs: (quantized, [qparams]) => endModule(kind, { ...quantized, qparams: qparams! }),
    ends,
    fingerprint: ({ size, qparams, flags }) => [size, qparams, ...Object.values(own(flags))],

    running: [running],
    lower(_name, quantized) {
      const { inputs, output } = ends(quantized);
      const fresh: Slot = { name: "fresh", size: 1, groups: [null], initial: 1, mark: true };
      return {
        kind,
        inputs,
        output,
        slots: [fresh, ...slots(output)],
        ...own(quantized.flags),
      } satisfies NodeProgram;
    },

    ops: {
      [op]: {
        inputs: 1,
        endsTime: true,
        width: (_node, [width]) => width!,
        compute({ constants, width: features }, [x], layout) {
          return reduceRows(
            reduce,
            x as Float32Array,
            { ...layout, features },
            constants!.flags as Flags,
          );
        },
      },
    },
    reference({ size, qparams, flags }, name, [value], builder) {
      const owner = { module: name };
      const { float } = builder.convert(value!, qparams, owner, `${name}.input`);
      return builder.operation(
        { name, op, inputs: [float], width: size, constants: { flags: own(flags) }, ...owner },
        owner,
        qparams,
      );
    },

    write({ size, qparams, flags }, file) {
      const set = names.filter((name) => flags[name]).map((name) => [name, true]);
      return { size, qparams: file.qparams(qparams), ...Object.fromEntries(set) };
    },
    read(file) {
      const size = file.field("size") as number;
      const qparams = file.qparams("qparams", file.field("qparams"));
      const flags = Object.fromEntries(names.map((name) => [name, file.option(name)]));
      return endModule(file.name, { kind, size, qparams, flags });
    },
  };
}
