/**
 * What the constructors of quantized modules require of what they are given.
 *
 * @module
 */
import { canRescale, type LinearWeight } from "../../kernels/ops/linear.ts";
import { isFloat32Array, isInt8Array } from "../../kernels/numeric/typed_array.ts";
import { checkFinite, checkInteger, failRange, failType } from "../core/errors.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { hiddenQParams } from "../modules/lstm/cell.ts";
import type { ModuleData } from "./modules.ts";

/**
 * Requires scales of a weight that suit float32: positive, and where multiplied with the scale of an input, so that
 * the product has a finite reciprocal and leads to each output by a finite factor.
 *
 * @param from Parameters of the inputs; null is float32.
 * @param to Parameters of the outputs; null is float32.
 * @throws {RangeError} Naming the first that does not.
 */
export function checkScales(
  name: string,
  scales: Float32Array,
  from: readonly (PerTensorQParams | null)[],
  to: readonly (PerTensorQParams | null)[],
): void {
  scales.forEach((scale, i) => {
    for (const x of from) {
      const product = Math.fround((x?.scale ?? 1) * scale);
      if (!(product > 0 && to.every((y) => canRescale(product, product / (y?.scale ?? 1))))) {
        failRange(`${name}[${i}]`, "a positive number that suits the input's scale", scale);
      }
    }
  });
}

function checkLayer(
  name: string,
  weight: LinearWeight,
  bias: Float32Array | null,
  from: readonly (PerTensorQParams | null)[],
  to: readonly (PerTensorQParams | null)[],
): void {
  const { data, outFeatures, inFeatures, scales, zeroPoints } = weight ?? {};
  const each = scales?.length;
  if (!isInt8Array(data)) failType(`${name}.data`, "an Int8Array", data);
  if (data.length !== outFeatures * inFeatures) {
    failRange(name, `[${outFeatures}, ${inFeatures}]`, data.length);
  }
  if (!(each > 0) || outFeatures % each !== 0 || zeroPoints?.length !== each) {
    failRange(`${name}.scales`, `as many as zeroPoints, a divisor of ${outFeatures}`, each);
  }
  zeroPoints.forEach((point, i) => checkInteger(`${name}.zeroPoints[${i}]`, point, -128, 127));
  checkScales(`${name}.scales`, scales, from, to);
  if (bias !== null) {
    if (bias?.length !== outFeatures) {
      failRange(`${name}'s bias`, `${outFeatures} elements`, bias?.length);
    }
    checkFinite(`${name}'s bias`, bias);
  }
}

/**
 * Requires a module whose weights and scales can be run.
 *
 * @throws {TypeError} If a weight is no Int8Array.
 * @throws {RangeError} If a length, scale, zero point or bias is wrong.
 */
export function checkModule(name: string, module: ModuleData): void {
  if (module.kind === "Linear") {
    checkLayer(`${name}.weight`, module.weight, module.bias, [module.input], [module.output]);
  } else if (module.kind === "LSTM") {
    module.cells.forEach((layer, l) =>
      layer.forEach((cell, d) => {
        const { parts, biasIh, biasHh, weightHr } = cell;
        const { inputs } = parts;
        const at = `${name}.cells[${l}][${d}]`;
        const x = l === 0 ? module.input : hiddenQParams(module.cells[l - 1]![0]!);
        const h = hiddenQParams(cell);
        checkLayer(`${at}.weightIh`, cell.weightIh, biasIh, inputs?.igates ?? [x], parts.igates);
        // An implicit initial state may have scale 1, as null stands for here.
        const [given = null] = module.stateInput ?? [];
        checkLayer(
          `${at}.weightHh`,
          cell.weightHh,
          biasHh,
          inputs?.hgates ?? [h, null, given],
          parts.hgates,
        );
        if (weightHr) {
          checkLayer(`${at}.weightHr`, weightHr, null, inputs?.proj ?? [parts.ogate_cy], [
            parts.proj ?? null,
          ]);
        }
      })
    );
  } else {
    const { weight, numEmbeddings, embeddingDim, scales, biases } = module;
    const rows = isFloat32Array(weight) ? 0 : numEmbeddings;
    if (weight?.length !== numEmbeddings * embeddingDim) {
      failRange(`${name}.weight`, `[${numEmbeddings}, ${embeddingDim}]`, weight?.length);
    }
    if (scales?.length !== rows || biases?.length !== rows) {
      failRange(`${name}.scales`, `${rows} scales and biases`, scales?.length);
    }
    for (const floats of [weight, scales, biases]) {
      if (isFloat32Array(floats)) checkFinite(name, floats);
    }
  }
}
