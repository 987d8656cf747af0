/**
 * UnitNorm as a kind of module.
 *
 * @module
 */
import { unitNormFloat32 } from "../../../kernels/ops/normalize.ts";
import { unitNorm } from "../../runtime/kinds/unit_norm.ts";
import { activationKind } from "../activation.ts";
import { checkEps } from "../check.ts";
import { UnitNorm } from "./float.ts";

/** What a quantized UnitNorm computes. */
interface UnitNormDetails {
  /** Smallest divisor, for rows shorter than this. */
  readonly eps: number;
}

/** UnitNorm: rows of length 1, with fixed parameters. */
export const unitNormKind = activationKind<UnitNorm, UnitNormDetails>({
  name: "UnitNorm",
  op: "unit_norm",
  output: [-1, 1],
  running: unitNorm,
  options: ["eps"],
  make: (options) => new UnitNorm(options),
  details: ({ eps }) => ({ eps }),
  compute: ({ eps }, x, out, width) => unitNormFloat32(x, width, eps, out),
  program: ({ details }) => details,
  write: ({ eps }) => ({ eps }),
  read: (file) => ({ eps: checkEps(`${file.name}.eps`, file.field("eps"), false) }),
});
