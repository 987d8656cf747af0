/**
 * Shared by activations: kinds that map each row to one of the same width and have no tensors.
 *
 * @module
 */
import { checkInteger, failRange } from "../core/errors.ts";
import { checkTensor, MAX_SIZE } from "../core/check.ts";
import { dequantizeValue } from "../../kernels/numeric/requantize.ts";
import type { Engine } from "../../kernels/ops/linear.ts";
import { type PerTensorQParams, sameQParams } from "../core/qparams.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Observer } from "../observer/observer.ts";
import type { BackendOp } from "../qconfig/backend.ts";
import type { QConfig } from "../qconfig/qconfig.ts";
import { createCall, type NodeProgram, type RunningKind } from "../runtime/kind.ts";
import { checkValues } from "./check.ts";
import type { ModuleReader } from "./file.ts";
import { supports } from "./fit_backend.ts";
import { inputQParams, shiftedTensor, shiftedValues } from "./forward.ts";
import type {
  ConvertContext,
  ForwardTensor,
  InputObserver,
  Kind,
  ObserveContext,
  ObservedModule,
  QuantizedModule,
} from "./kind.ts";
import { Module } from "./module.ts";
import {
  boundedObserver,
  finiteTensor,
  observedQParams,
  observeRows,
  outputObserver,
} from "./observing.ts";
import { BASE_OPS } from "./reference_ops.ts";

/**
 * A float module that maps each row to one of the same width and has no tensors.
 *
 * @example
 * ```ts
 * import { Softmax, Tanh, tensor } from "@splitgate/splitgate";
 * import type { ActivationModule } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const ends: ActivationModule[] = [new Tanh(), new Softmax()];
 * assertEquals(ends.map((each) => each.forward(tensor([0, 0], [1, 2])).data[0]), [0, 0.5]);
 * ```
 */
export abstract class ActivationModule extends Module {
  /** An empty map. */
  override stateDict(): Map<string, Tensor> {
    return new Map();
  }

  /**
   * Computes rows of `width` float32 values.
   *
   * @param out As long as `x`; may be `x`.
   */
  abstract compute(x: Float32Array, out: Float32Array, width: number): void;

  /**
   * Applies it to every row of x.
   *
   * @param x float32 of any shape, finite; its last dimension is the row.
   * @returns The same shape.
   * @throws {TypeError} If `x` is no float32 tensor.
   * @throws {RangeError} If a dimension is 0, or `x` or the result is not finite.
   */
  forward(x: Tensor): Tensor {
    checkTensor("x", x);
    const data = new Float32Array(x.data.length);
    this.compute(x.data, data, x.shape.at(-1) ?? 1);
    return finiteTensor("y", data, x.shape);
  }
}

/** An activation in an observed model. */
export class ObservedActivation implements ObservedModule {
  /** PyTorch's name of the activation. */
  readonly kind: string;
  /** The float module. */
  readonly module: ActivationModule;
  /** The QConfig; null: it stays float32. */
  readonly qconfig: QConfig | null;
  /** "previous" if it takes its producer's integers, "float" if it takes float32. */
  readonly input: InputObserver;
  /**
   * The output's observer; null: the output stays float32. ReLU keeps its input's parameters, and
   * so has the same observer.
   */
  readonly output: Observer | null;
  /** Values of a row. */
  readonly size: number;
  /** Whether its output has an observer of its own. */
  readonly observes: boolean;

  /** Called by `prepare`. */
  constructor(options: Omit<ObservedActivation, "forward">) {
    this.kind = options.kind;
    this.module = options.module;
    this.qconfig = options.qconfig;
    this.input = options.input;
    this.output = options.output;
    this.size = options.size;
    this.observes = options.observes;
  }

  /** The float module's output. */
  forward(x: Tensor): Tensor {
    return this.module.forward(x);
  }
}

/** Constructor data of {@linkcode QuantizedActivation}. */
export interface ActivationData<D extends object = object> {
  /** Values of a row. */
  readonly size: number;
  /** Parameters of the input; null takes float32. */
  readonly input: PerTensorQParams | null;
  /** Parameters of the output; null gives float32. */
  readonly output: PerTensorQParams | null;
  /** The function, as plain data. */
  readonly details: D;
}

/** Describes an activation. */
export interface ActivationSpec<
  F extends ActivationModule = ActivationModule,
  D extends object = object,
> {
  /** PyTorch's name. */
  readonly name: string;
  /** Its operation in the reference graph. */
  readonly op: string;
  /** The operation that a target is asked about; absent where it never runs in integers. */
  readonly backendOp?: BackendOp;
  /**
   * Source of its output's parameters: its input, its own observer, none (float32), or a fixed
   * range that contains all results.
   */
  readonly output: "given" | "observed" | "float32" | readonly [min: number, max: number];
  /** How it runs. */
  readonly running: RunningKind<never>;
  /** The float module's function, as plain data. */
  details(module: F, engine: Engine): D;
  /** Names of its options; none by default. */
  readonly options?: readonly string[];
  /** Its options, where they are not fields of these names. */
  optionsOf?(module: F): Record<string, unknown>;
  /** Makes the float module from options. */
  make(options: Readonly<Record<string, unknown>>): F;
  /** Computes it in float32. */
  compute(details: D, x: Float32Array, out: Float32Array, width: number): void;
  /** Fields of its program besides the ports. */
  program(data: ActivationData<D>): object;
  /** Fields of a file that describe the function. */
  write(details: D): Record<string, unknown>;
  /** Reads them. */
  read(file: ModuleReader): D;
}

/** The part of its kind that a quantized activation uses. */
type QuantizedSpec<D extends object> = Omit<ActivationSpec<never, D>, "make">;

/**
 * An activation of integers, or of float32 values where nothing is quantized.
 *
 * @example
 * ```ts
 * import { convert, getPreset, Linear, prepare, Sequential, Sigmoid } from "@splitgate/splitgate";
 * import { tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const linear = new Linear({ inFeatures: 1, outFeatures: 2 });
 * const float = new Sequential({ linear, sigmoid: new Sigmoid() });
 * const observed = prepare(float, getPreset("fbgemm"));
 * observed.forward(tensor([-1, 1], [2, 1]));
 * const { output } = convert(observed);
 * assertEquals([output!.scale, output!.zeroPoint], [1 / 256, 0]);
 * ```
 */
export class QuantizedActivation<D extends object = object>
  implements QuantizedModule, ActivationData<D> {
  /** PyTorch's name of the activation. */
  readonly kind: string;
  readonly size: number;
  readonly input: PerTensorQParams | null;
  readonly output: PerTensorQParams | null;
  readonly details: D;
  readonly #spec: QuantizedSpec<D>;

  /**
   * Called by `convert` and `loadModel`.
   *
   * @throws {RangeError} If the size is no positive integer, or parameters are not those that the
   * kind can have.
   */
  constructor(spec: QuantizedSpec<D>, data: ActivationData<D>) {
    const { size, input, output, details } = data;
    const { name } = spec;
    this.kind = name;
    this.size = checkInteger(`${name}.size`, size, 1, MAX_SIZE);
    this.input = input;
    this.output = output;
    this.details = details;
    this.#spec = spec;
    checkValues(`${name}.input`, input);
    checkValues(`${name}.output`, output);
    if (spec.output === "float32" && input !== null) {
      failRange(`${name}.input`, "null, since it takes float32", input);
    }
    const same = input === output ||
      (input !== null && output !== null &&
        (spec.output !== "given" || sameQParams(input, output)));
    if (!same) {
      const expected = spec.output === "given" ? "its input's" : "null where its input's are null";
      failRange(`${name}.output`, `parameters that suit the kind, ${expected}`, output);
    }
  }

  /** The module for inputs of other parameters; float32 where these are null. */
  withInput(input: PerTensorQParams | null): QuantizedActivation<D> {
    const spec = this.#spec;
    const output = spec.output === "given" ? input : input === null ? null : this.output;
    return new QuantizedActivation(spec, { ...this, input, output });
  }

  /** Its program. */
  lower(): NodeProgram {
    const { size, input, output } = this;
    return {
      kind: this.#spec.running.kind,
      inputs: [{ size, qparams: input }],
      output: { size, qparams: output },
      ...this.#spec.program(this),
    };
  }

  /**
   * Runs it with the plain kernels.
   *
   * @param x [..., size]. A quantized tensor keeps its own parameters; what takes float32
   * dequantizes it. Floats are quantized to `input`, or stay floats where that is null.
   * @returns The same shape, quantized, or float32 where `output` is null.
   * @throws {TypeError} If `x` is no tensor.
   * @throws {RangeError} If its last dimension is not `size`, a value is out of range, or a float32
   * result overflows.
   */
  forward(x: ForwardTensor): ForwardTensor {
    const from = inputQParams("x", x);
    const { size } = this;
    if (x.shape.at(-1) !== size) failRange("x.shape", `[..., ${size}]`, [...x.shape]);
    const own = from === null || this.input === null ? this : this.withInput(from);
    const values = shiftedValues(x, from, own.input);
    if (from !== null && own.input === null) {
      values.forEach((value, i) => values[i] = dequantizeValue(value, from.scale, 0));
    }
    const out = new Float64Array(values.length);
    const call = createCall(values.length / size, 1);
    this.#spec.running.instantiate(own.lower() as never).process({}, [values], out, call);
    return shiftedTensor(out, x.shape, own.output);
  }
}

/** The observer of an activation's output; null where that stays float32. */
function observerOf(
  output: ActivationSpec["output"],
  qconfig: QConfig,
  given: Observer,
): Observer | null {
  if (output === "given") return given;
  const own = outputObserver(qconfig);
  if (output === "observed" || own === null) return own;
  return output === "float32" ? null : boundedObserver(own, ...output);
}

/** The kind of an activation. */
export function activationKind<F extends ActivationModule, D extends object>(
  spec: ActivationSpec<F, D>,
): Kind<F, ObservedActivation, QuantizedActivation<D>> {
  const { name: kind, op } = spec;
  const observe = (module: F, context: ObserveContext): ObservedActivation => {
    const { name, qconfig, inputs: [given], sizes: [size], fit } = context;
    let output = qconfig === null || given! === null
      ? null
      : observerOf(spec.output, qconfig, given!);
    if (output !== null && fit !== null && spec.backendOp !== undefined) {
      const runs = supports(fit, name, spec.backendOp, { inputs: [given!], output });
      if (!runs) output = null;
    }
    return new ObservedActivation({
      kind,
      module,
      qconfig,
      input: output === null ? "float" : "previous",
      output,
      size: size!,
      observes: output !== given,
    });
  };
  return {
    name: kind,
    time: "row",
    inputs: 1,
    hasState: false,
    hasWeight: false,

    inputSize: () => undefined,
    outputSize(name, _module, [given]) {
      return given ?? failRange(name, "an input of values, as an Embedding gives", "token ids");
    },
    batchFirst: () => null,
    options: spec.options ?? [],
    ...spec.optionsOf && { optionsOf: spec.optionsOf },
    create: (options) => spec.make(options),
    forward: (module, [x]) => module.forward(x as Tensor),

    parts: () => [],
    observe,
    check: (observed, [x]) => observed.forward(x as Tensor),
    watch(observed, [x], { rows }) {
      const y = observed.forward(x as Tensor);
      return observed.observes ? observeRows(observed.output, y, rows) : y;
    },

    convert(observed, { name, input }: ConvertContext) {
      const { module, qconfig, size } = observed;
      const details = spec.details(module as F, qconfig?.engine ?? "fbgemm");
      const output = spec.output === "given" ? input : observedQParams(name, observed.output);
      return new QuantizedActivation(spec, { size, input, output, details });
    },
    withInputs: (quantized, [input]) => quantized.withInput(input!),
    ends: ({ size, input, output }) => ({
      inputs: [{ size, qparams: input }],
      output: { size, qparams: output },
      batchFirst: null,
    }),
    fingerprint: ({ size, input, output, details }) => [size, input, output, details],

    running: [spec.running],
    lower: (_name, quantized) => quantized.lower(),

    ops: op in BASE_OPS ? {} : {
      [op]: {
        inputs: 1,
        width: (_node, [width]) => width!,
        compute({ constants, width }, [x]) {
          const out = new Float32Array(x!.length);
          spec.compute(constants as D, x as Float32Array, out, width);
          return out;
        },
      },
    },
    reference({ size, input, output, details }, name, [value], builder) {
      const owner = { module: name };
      const { float } = builder.convert(value!, input, owner, `${name}.input`);
      const constants = details as Record<string, unknown>;
      const node = { name, op, inputs: [float], width: size, constants, ...owner };
      return builder.operation(node, owner, output);
    },

    write({ size, input, output, details }, file) {
      return {
        size,
        input: file.qparams(input),
        output: file.qparams(output),
        ...spec.write(details),
      };
    },
    read(file) {
      const size = checkInteger(`${file.name}.size`, file.field("size"), 1, MAX_SIZE);
      const input = file.qparams("input", file.field("input"));
      const output = file.qparams("output", file.field("output"));
      return new QuantizedActivation(spec, { size, input, output, details: spec.read(file) });
    },
  };
}
