/**
 * What is required of a quantized LSTM: that no finite input makes it compute NaN (see
 * ../check.ts).
 *
 * @module
 */
import { mulMultiplier } from "../../../kernels/ops/elementwise.ts";
import type { LinearWeight } from "../../../kernels/ops/linear.ts";
import { lstmParts, type PartName } from "../../cells/lstm_parts.ts";
import { failRange } from "../../core/errors.ts";
import { checkLayer, checkValues, fitsFloat32, type OptionalQParams } from "../check.ts";
import { hiddenQParams, IMPLICIT_STATE, type QuantizedLSTMCell } from "./cell.ts";
import type { LSTMModule } from "./data.ts";

/** Parameters of h and c at the first step; null of one that is float32. */
type InitialQParams = readonly [OptionalQParams, OptionalQParams];

/** Requires the parts of a cell to suit each other, for what it reads. */
function checkCell(
  name: string,
  { engine, dynamic }: LSTMModule,
  cell: QuantizedLSTMCell,
  x: OptionalQParams,
  [h, c]: InitialQParams,
): void {
  const { parts, weightIh, weightHh, weightHr, biasIh, biasHh } = cell;
  const own = (part: string) => [parts[part as PartName] ?? null].flat() as OptionalQParams[];
  const read = (part: PartName, index: number, producer: string): readonly OptionalQParams[] => {
    const converted = parts.inputs?.[part]?.[index] ?? null;
    if (converted !== null) return [converted];
    return producer === "x"
      ? [x]
      : producer === "h"
      ? [hiddenQParams(cell), h]
      : producer === "c"
      ? [parts.fgate_cx_igate_cgate, c]
      : own(producer);
  };
  const operators: Partial<Record<PartName, readonly [string, LinearWeight, Float32Array | null]>> =
    {
      igates: ["weightIh", weightIh, biasIh],
      hgates: ["weightHh", weightHh, biasHh],
      ...(weightHr === null ? {} : { proj: ["weightHr", weightHr, null] as const }),
    };
  for (const { name: part, op, inputs } of lstmParts(parts.proj !== undefined)) {
    const at = `${name}.parts.${part}`;
    for (const q of [...own(part), ...parts.inputs?.[part] ?? []]) checkValues(at, q);
    if (op === "linear") {
      const [key, weight, bias] = operators[part]!;
      const operator = { engine, weight, bias, dynamic };
      checkLayer(`${name}.${key}`, operator, read(part, 0, inputs[0]!), own(part));
    } else if (op === "mul") {
      const [to] = own(part);
      for (const a of read(part, 0, inputs[0]!)) {
        for (const b of read(part, 1, inputs[1]!)) {
          if (!a || !b || !to || fitsFloat32(mulMultiplier(a.scale, b.scale, to))) continue;
          failRange(
            at,
            `scales of ${inputs.join(" and ")} whose product over its own is a float32 value`,
            `${a.scale} * ${b.scale} / ${to.scale}`,
          );
        }
      }
    }
  }
}

/**
 * Requires the cells of an LSTM to suit each other, the parameters of its input, and those of its
 * state at the first step.
 *
 * @param initial null for those of the running state; undefined for what the LSTM says of an
 * implicit one.
 * @throws {TypeError} If a weight is no Int8Array.
 * @throws {RangeError} If a length, scale, zero point or bias is wrong.
 */
export function checkLSTM(
  name: string,
  lstm: LSTMModule,
  input: OptionalQParams,
  initial?: InitialQParams,
): void {
  checkValues(`${name}.input`, input);
  initial?.forEach((q, i) => checkValues(i === 0 ? "h0" : "c0", q));
  const implicit = lstm.torchInitialState && !lstm.dynamic ? IMPLICIT_STATE : null;
  lstm.cells.forEach((layer, l) => {
    const x = l === 0 ? input : hiddenQParams(lstm.cells[l - 1]![0]!);
    layer.forEach((cell, d) => {
      const [h, c] = initial ?? [implicit, implicit];
      const cellState = cell.parts.fgate_cx_igate_cgate;
      checkCell(`${name}.cells[${l}][${d}]`, lstm, cell, x, [
        h ?? hiddenQParams(cell),
        c ?? cellState,
      ]);
    });
  });
}
