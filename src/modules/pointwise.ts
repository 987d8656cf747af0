/**
 * Shared by kinds that apply a function to each value.
 *
 * @module
 */
import { activateFloat32 } from "../../kernels/numeric/activation.ts";
import type { Activation } from "../../kernels/numeric/float_functions.ts";
import type { RunningKind } from "../runtime/kind.ts";
import type { PointwiseProgram } from "../runtime/pointwise.ts";
import {
  activationKind,
  ActivationModule,
  type ActivationSpec,
  type ObservedActivation,
  type QuantizedActivation,
} from "./activation.ts";
import type { Kind } from "./kind.ts";

/**
 * A float module that applies a function to each value.
 *
 * @example
 * ```ts
 * import { ReLU, Sigmoid } from "@splitgate/splitgate";
 * import type { PointwiseModule } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const between: PointwiseModule[] = [new ReLU(), new Sigmoid()];
 * assertEquals(between.map(({ activation }) => activation), ["relu", "sigmoid"]);
 * ```
 */
export abstract class PointwiseModule extends ActivationModule {
  /** The function. */
  abstract readonly activation: Activation;

  /** Applies the function to each value. */
  override compute(x: Float32Array, out: Float32Array): void {
    activateFloat32(this.activation, x, out);
  }
}

/** The function of a quantized module. */
export interface PointwiseDetails {
  /** The function of each value. */
  readonly activation: Activation;
}

/** Describes a kind that applies a function to each value. */
export interface PointwiseSpec<F extends PointwiseModule> extends
  Pick<
    ActivationSpec<F>,
    "name" | "op" | "backendOp" | "output" | "options" | "optionsOf" | "make"
  > {
  /** How it runs. */
  readonly running: RunningKind<PointwiseProgram>;
  /** Names of options that are numeric parameters of the function; none for most kinds. */
  readonly parameters?: readonly string[];
}

/** Makes a kind that applies a function to each value. */
export function pointwiseKind<F extends PointwiseModule>(
  { parameters = [], ...spec }: PointwiseSpec<F>,
): Kind<F, ObservedActivation, QuantizedActivation<PointwiseDetails>> {
  return activationKind<F, PointwiseDetails>({
    options: parameters,
    ...spec,
    details: ({ activation }) => ({ activation }),
    compute: ({ activation }, x, out) => activateFloat32(activation, x, out),
    program: ({ details }) => details,
    write({ activation }) {
      if (typeof activation === "string") return {};
      const { name: _name, ...numbers } = activation;
      return numbers;
    },
    read(file) {
      const fields = parameters.map((key) => [key, file.field(key)]);
      const given = fields.filter(([, value]) => value !== undefined);
      return { activation: spec.make(Object.fromEntries(given)).activation };
    },
  });
}
