/**
 * Shared by joins: modules that read several values, each with its own parameters, and whose output
 * has an observer of its own, as with torch's FloatFunctional. A float32 input is quantized to the
 * output's parameters before it is joined with integers; if the output stays float32, integers are
 * dequantized.
 *
 * @module
 */
import type { PerTensorQParams } from "../core/qparams.ts";
import { failRange } from "../core/errors.ts";
import type { Observer } from "../observer/observer.ts";
import type { BackendOp } from "../qconfig/backend.ts";
import type { QConfig } from "../qconfig/qconfig.ts";
import type { Port } from "../runtime/kind.ts";
import { checkValues } from "./check.ts";
import type { ModuleReader, ModuleWriter } from "./file.ts";
import { supports } from "./fit_backend.ts";
import type { ConvertContext, InputObserver, ObserveContext } from "./kind.ts";
import type { ObservedModule, QuantizedEnds, QuantizedModule } from "./kind.ts";
import type { Module } from "./module.ts";
import { observedQParams, outputObserver } from "./observing.ts";
import type { ReferenceBuilder, ReferenceValue } from "./reference.ts";

/** A join whose output is observed. */
export class ObservedJoin<F extends Module = Module> implements ObservedModule {
  /** Name of the kind. */
  readonly kind: string;
  /** The float module. */
  readonly module: F;
  /** Width of each input. */
  readonly sizes: readonly number[];
  /** Inputs keep their parameters. */
  readonly input: InputObserver;
  /** The output's observer; null: the output stays float32. */
  readonly output: Observer | null;
  /** The QConfig; null: it stays float32. */
  readonly qconfig: QConfig | null;

  /** Called by `prepare`. */
  constructor(module: F, { sizes, inputs, qconfig }: ObserveContext, output: Observer | null) {
    this.kind = module.kind;
    this.module = module;
    this.sizes = sizes as readonly number[];
    this.input = inputs.every((given) => given === null) ? "float" : "previous";
    this.output = output;
    this.qconfig = qconfig;
  }
}

/** Gives a join its observer, unless a target does not run it. */
export function observeJoin<F extends Module>(
  module: F,
  context: ObserveContext,
  op: BackendOp,
): ObservedJoin<F> {
  const { name, qconfig, fit, inputs } = context;
  const output = qconfig === null ? null : outputObserver(qconfig);
  const values = { inputs: inputs.map((given) => given ?? output), output };
  const runs = output === null || fit === null || supports(fit, name, op, values);
  return new ObservedJoin(module, context, runs ? output : null);
}

/** A quantized join as plain data. */
export interface JoinModule extends QuantizedModule {
  /** Its inputs: float32 if the output is, integers if that has parameters. */
  readonly inputs: readonly Port[];
  /** Parameters of the output; null: float32. */
  readonly output: PerTensorQParams | null;
}

/** Ports of a join. */
export type JoinPorts = Pick<JoinModule, "inputs" | "output">;

/** Ports of a join, from the parameters of its producers. */
export function joinPorts(
  sizes: readonly number[],
  given: readonly (PerTensorQParams | null)[],
  output: PerTensorQParams | null,
): JoinPorts {
  const inputs = sizes.map((size, i) => ({ size, qparams: output && (given[i] ?? output) }));
  return { inputs, output };
}

/** Ports of an observed join. */
export function convertJoin(
  { sizes, output }: ObservedJoin,
  { name, given }: ConvertContext,
): JoinPorts {
  return joinPorts(sizes, given, observedQParams(name, output));
}

/** A join whose inputs have other parameters. */
export function withJoinInputs(
  { inputs, output }: JoinModule,
  given: readonly (PerTensorQParams | null)[],
): JoinPorts {
  return joinPorts(inputs.map(({ size }) => size), given, output);
}

/** Checks parameters of a join. */
export function checkJoin(name: string, { inputs, output }: JoinPorts): void {
  checkValues(`${name}.output`, output);
  inputs.forEach(({ qparams }, i) => {
    const at = `${name}.inputs[${i}]`;
    checkValues(at, qparams);
    if ((qparams === null) !== (output === null)) {
      failRange(at, `${output === null ? "float32" : "parameters"}, as the output has`, qparams);
    }
  });
}

/** Input and output sizes of a join. */
export function joinEnds({ inputs, output }: JoinPorts, size: number): QuantizedEnds {
  return { inputs, output: { size, qparams: output }, batchFirst: null };
}

/** Adds a join to the reference graph. */
export function referenceJoin(
  { inputs, output }: JoinPorts,
  name: string,
  values: readonly ReferenceValue[],
  builder: ReferenceBuilder,
  node: { readonly op: string; readonly width: number },
): ReferenceValue {
  const owner = { module: name };
  const read = values.map((value, i) =>
    builder.convert(value, inputs[i]!.qparams, owner, `${name}.inputs[${i}]`).float
  );
  const constants = { widths: inputs.map(({ size }) => size) };
  return builder.operation({ name, inputs: read, constants, ...node, ...owner }, owner, output);
}

/** Fields of a join in a file. */
export function writeJoin(
  { inputs, output }: JoinPorts,
  file: ModuleWriter,
): Record<string, unknown> {
  return {
    inputs: inputs.map(({ size, qparams }) => [size, file.qparams(qparams)]),
    output: file.qparams(output),
  };
}

/** Reads a join from a file. */
export function readJoin(file: ModuleReader): JoinPorts {
  const inputs = file.list("inputs", file.field("inputs")).map((each, i): Port => {
    const [size, qparams] = file.list(`inputs[${i}]`, each, 2);
    return { size: size as number, qparams: file.qparams(`inputs[${i}]`, qparams) };
  });
  return { inputs, output: file.qparams("output", file.field("output")) };
}
