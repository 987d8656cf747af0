/**
 * Shared by windows without weights, that is pooling and padding: outputs have their input's
 * parameters.
 *
 * @module
 */
import type { Engine } from "../../kernels/ops/linear.ts";
import type { Window } from "../../kernels/ops/window.ts";
import { MAX_SIZE } from "../core/check.ts";
import { checkInteger } from "../core/errors.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Observer } from "../observer/observer.ts";
import type { QConfig } from "../qconfig/qconfig.ts";
import type { RunningKind } from "../runtime/kind.ts";
import { isCausal, type WindowProgram } from "../runtime/window.ts";
import { checkValues } from "./check.ts";
import type { ModuleReader } from "./file.ts";
import type {
  InputObserver,
  Kind,
  ObservedModule,
  QuantizedEnds,
  QuantizedModule,
} from "./kind.ts";
import { failWidth } from "./kind.ts";
import { Module } from "./module.ts";
import { takenAsGiven } from "./observing.ts";
import {
  checkWindow,
  forwardWindow,
  moveOverRows,
  readWindow,
  type WindowForwardOptions,
  windowNumbers,
  windowSlots,
  writeWindow,
} from "./window.ts";

/** Computes one sequence, [steps, size] to [positions, size]. */
type PoolSequence<D> = (
  x: Float32Array,
  size: number,
  window: Window,
  details: D,
  out: Float32Array,
) => void;

/**
 * A float module that moves a window over time and has no weight.
 *
 * @example
 * ```ts
 * import { AvgPool1d, MaxPool1d } from "@splitgate/splitgate";
 * import type { PoolModule } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const pools: PoolModule[] = [new AvgPool1d({ kernelSize: 2 }), new MaxPool1d({ kernelSize: 3 })];
 * assertEquals(pools.map(({ window }) => window.stride), [2, 3]); // the kernel's size by default
 * ```
 */
export abstract class PoolModule extends Module {
  /** The window; padding as numbers of steps before and after. */
  readonly window: Window;
  /** Whether x is [batch, steps, features] rather than [steps, batch, features]. */
  readonly batchFirst: boolean;

  /** Called by a subclass, with options that it has checked. */
  constructor(window: Window, batchFirst: boolean) {
    super();
    this.window = window;
    this.batchFirst = batchFirst;
  }

  /** None. */
  override stateDict(): Map<string, Tensor> {
    return new Map();
  }

  /** Computes one sequence, [steps, size] to [positions, size]. */
  protected abstract compute(x: Float32Array, size: number, out: Float32Array): void;

  /**
   * Moves the window over sequences.
   *
   * @param x [steps, batch, features], [batch, steps, features] if batchFirst, or [steps, features]
   * unbatched; finite. torch's [batch, features, steps] has to be transposed.
   * @param options.lengths Steps of each batch row; all by default. Steps beyond a row's length
   * count as padding, so that results are those of the row alone.
   * @returns Of x's layout, with as many steps as the window has positions; 0 beyond those of a
   * row.
   * @throws {TypeError} If `x` is no float32 tensor or an option is unknown.
   * @throws {RangeError} If a shape does not fit, a dimension is 0, a value is not finite, a length
   * is out of range, or a row is shorter than the window.
   */
  forward(x: Tensor, options: WindowForwardOptions = {}): Tensor {
    return forwardWindow(x, options, this, null, (size) => ({
      window: this.window,
      width: size,
      compute: (row, out) => this.compute(row, size, out),
    }));
  }
}

/**
 * A window without weights in an observed model. It needs no observer of its own, since its input
 * is observed.
 */
export class ObservedPool<F extends PoolModule = PoolModule> implements ObservedModule {
  /** Name of the kind. */
  readonly kind: string;
  /** The float module. */
  readonly module: F;
  /** Width of a row. */
  readonly size: number;
  /** Inputs keep their parameters. */
  readonly input: InputObserver;
  /** The observer of its input; null: float32. */
  readonly output: Observer | null;
  /** The QConfig that it was prepared with; an average has its rounding family. */
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

  /** The window. */
  get window(): Window {
    return this.module.window;
  }
}

/** A quantized window without weights as plain data. */
export interface PoolData<D> extends QuantizedModule {
  /** Width of a row. */
  readonly size: number;
  /** Parameters of its input and output; null: float32. */
  readonly qparams: PerTensorQParams | null;
  readonly window: Window;
  /** Whether sequences are [batch, steps, ...]. */
  readonly batchFirst: boolean;
  /** Its other parameters. */
  readonly details: D;
}

/** Describes a kind of window without weights. */
export interface PoolSpec<F extends PoolModule, D extends Record<string, unknown>> {
  /** The kind's name. */
  readonly name: string;
  /** Its float form. */
  readonly Float: new (options: never) => F;
  /** Names of its options. */
  readonly options: readonly string[];
  /** Its operation in the reference graph. */
  readonly op: string;
  /** Its running half. */
  readonly running: RunningKind<never>;
  /** Whether it has a rounding family; false by default. */
  readonly hasFamily?: boolean;
  /** Value of the padding in the running half; 0 by default. */
  padding?(q: PerTensorQParams | null): number;
  /** Whether a causal window can continue from its last inputs; true by default. */
  streams?(window: Window, details: D): boolean;
  /** Throws for windows that the kind cannot have. */
  check(name: string, window: Window): void;
  /** Parameters besides the window, as model files and programs hold them. */
  details(module: F, engine: Engine): D;
  /** Reads the details from a file. */
  read(file: ModuleReader): D;
  /** Its arithmetic in float32. */
  readonly compute: PoolSequence<D>;
}

/** Makes a kind of window without weights. */
export function poolKind<F extends PoolModule, D extends Record<string, unknown>>(
  spec: PoolSpec<F, D>,
): Kind<F, ObservedPool<F>, PoolData<D>> {
  const { name: kind, op, compute } = spec;
  const checked = (name: string, data: Omit<PoolData<D>, "kind">): PoolData<D> => {
    checkInteger(`${name}.size`, data.size, 1, MAX_SIZE);
    checkValues(`${name}.qparams`, data.qparams);
    const window = checkWindow(name, data.window);
    spec.check(`${name}.padding`, window);
    return { ...data, kind, window };
  };
  const lower = ({ size, qparams, window, details }: PoolData<D>): WindowProgram => {
    const port = { size, qparams };
    const slots = isStreamed(window, details)
      ? windowSlots(window, port, spec.padding?.(qparams) ?? 0)
      : [];
    return { kind, inputs: [port], output: port, slots, window, ...details };
  };
  const isStreamed = (window: Window, details: D) =>
    isCausal(window) && (spec.streams?.(window, details) ?? true);
  return {
    name: kind,
    time: "sequence",
    inputs: 1,
    hasState: false,
    hasWeight: false,
    hasFamily: spec.hasFamily ?? false,

    options: spec.options,
    optionsOf(module) {
      const { kernelSize, stride, dilation, left, right, ceilMode } = module.window;
      const window = { kernelSize, stride, padding: [left, right], dilation, ceilMode };
      const all: Record<string, unknown> = { ...window, batchFirst: module.batchFirst };
      return Object.fromEntries(
        spec.options.map((name) => [name, all[name] ?? module[name as keyof F]]),
      );
    },
    create: (options) => new spec.Float(options as never),
    inputSize: () => undefined,
    outputSize(name, _module, [given]) {
      if (given === null) failWidth(name, 1, null);
      return given!;
    },
    batchFirst: ({ batchFirst }) => batchFirst,
    window: ({ window }) => window,
    forward: (module, [x], call) => module.forward(x as Tensor, lengthsOption(call)),

    parts: () => [],
    observe: (module, { inputs: [given], sizes: [size], qconfig }) =>
      new ObservedPool(module, size!, given!, qconfig),
    check: ({ module }, [x], call) => module.forward(x as Tensor, lengthsOption(call)),
    watch: ({ module }, [x], call) => module.forward(x as Tensor, lengthsOption(call)),

    convert: ({ module, size, qconfig }, { name, given: [qparams] }) =>
      checked(name, {
        size,
        qparams: qparams!,
        window: module.window,
        batchFirst: module.batchFirst,
        details: spec.details(module, qconfig?.engine ?? "fbgemm"),
      }),
    withInputs: (quantized, [qparams]) => checked(kind, { ...quantized, qparams: qparams! }),
    ends(quantized): QuantizedEnds {
      const program = lower(quantized);
      return {
        inputs: program.inputs,
        output: program.output,
        looksAhead: !isStreamed(quantized.window, quantized.details),
        batchFirst: quantized.batchFirst,
      };
    },
    fingerprint: ({ size, qparams, window, details }) => [
      size,
      qparams,
      ...windowNumbers(window),
      ...Object.keys(details).sort().map((key) => details[key]),
    ],

    running: [spec.running],
    lower: (_name, quantized) => lower(quantized),

    ops: {
      [op]: {
        inputs: 1,
        window: ({ constants }) => constants!.window as Window,
        width: (_node, [width]) => width!,
        compute({ constants, width: size }, [x], layout) {
          const { window, details } = constants as unknown as PoolData<D>;
          return moveOverRows(x as Float32Array, layout, {
            window,
            size,
            width: size,
            make: (length) => new Float32Array(length),
            compute: (row, out) => compute(row, size, window, details, out),
          });
        },
      },
    },
    reference({ size, qparams, window, details }, name, [value], builder) {
      const owner = { module: name };
      const { float } = builder.convert(value!, qparams, owner, `${name}.input`);
      const constants = { window, details };
      const node = { name, op, inputs: [float], width: size, constants, ...owner };
      return builder.operation(node, owner, qparams);
    },

    write: ({ size, qparams, window, batchFirst, details }, file) => ({
      size,
      qparams: file.qparams(qparams),
      ...writeWindow(window),
      ...batchFirst && { batchFirst },
      ...details,
    }),
    read: (file) =>
      checked(file.name, {
        size: file.field("size") as number,
        qparams: file.qparams("qparams", file.field("qparams")),
        window: readWindow(file),
        batchFirst: file.option("batchFirst"),
        details: spec.read(file),
      }),
  };
}

/** The lengths of a call, as options of `forward`. */
export function lengthsOption(
  { lengths }: { readonly lengths: ArrayLike<number> | null },
): WindowForwardOptions {
  return lengths === null ? {} : { lengths };
}
