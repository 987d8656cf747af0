/**
 * What a quantized model gives for one row of a batch run alone, module by module, slowly: modules'
 * own `forward` where they have one, and the rules of tests/oracle where they have none.
 *
 * @module
 */
import type { PerTensorQParams } from "../../src/core/qparams.ts";
import { INPUT } from "../../src/core/topology.ts";
import type { QuantizedModel } from "../../src/authoring/model.ts";
import type { EndModule } from "../../src/modules/end_of_time.ts";
import type { AddModule } from "../../src/modules/add/kind.ts";
import type { JoinModule } from "../../src/modules/join.ts";
import type { ForwardTensor } from "../../src/modules/kind.ts";
import { QuantizedLinear } from "../../src/modules/linear/quantized.ts";
import { QuantizedLSTM } from "../../src/modules/lstm/quantized.ts";
import { sameQParams } from "../../src/core/qparams.ts";
import * as rules from "../../src/testing/rules.ts";

/** A value of a model: rows of integers in parameters, or of floats. */
export interface RowsValue {
  readonly rows: readonly (readonly number[])[];
  readonly size: number;
  readonly qparams: PerTensorQParams | null;
}

const wide = (q: PerTensorQParams) => q.dtype === "qint32";

/** A value in other parameters. */
function converted(x: RowsValue, to: PerTensorQParams | null): RowsValue {
  const { qparams: from } = x;
  if (from === to || (from && to && sameQParams(from, to))) return x;
  const rows = x.rows.map((row) =>
    row.map((value) => {
      const real = from === null ? value : rules.dequantize(value, from);
      return to === null ? real : rules.quantize(real, to, wide(to));
    })
  );
  return { ...x, rows, qparams: to };
}

function tensorOf({ rows, size, qparams }: RowsValue, shape: readonly number[]): ForwardTensor {
  const data = rows.flat();
  const full = [...shape, size];
  if (qparams === null) return { data: Float32Array.from(data), shape: full };
  const Kind = { quint8: Uint8Array, qint8: Int8Array, qint32: Int32Array }[qparams.dtype];
  return { data: Kind.from(data), shape: full, qparams };
}

function rowsOf(tensor: ForwardTensor): RowsValue {
  const size = tensor.shape.at(-1)!;
  const qparams = tensor.data instanceof Float32Array
    ? null
    : (tensor as { qparams: PerTensorQParams }).qparams;
  const data = [...tensor.data];
  const rows = Array.from(
    { length: data.length / size },
    (_, r) => data.slice(r * size, (r + 1) * size),
  );
  return { rows, size, qparams };
}

/** Ends of time of one row; real 0 where it has no steps. */
function ended(module: EndModule, { rows, size, qparams }: RowsValue): RowsValue {
  const zero = qparams?.zeroPoint ?? 0;
  const column = (k: number): number => {
    const values = rows.map((row) => row[k]!);
    if (values.length === 0) return zero;
    if (module.kind === "LastStep") return values.at(-1)!;
    if (module.kind === "FirstStep") return values[0]!;
    if (module.kind === "FinalHidden") {
      return module.flags.bidirectional && k >= size / 2 ? values[0]! : values.at(-1)!;
    }
    if (module.kind === "MaxOverTime") return values.reduce((a, b) => b > a ? b : a);
    if (qparams !== null) return rules.meanQuantized(values, qparams);
    let sum = 0;
    for (const value of values) sum += value;
    return Math.fround(sum / values.length);
  };
  return { rows: [Array.from({ length: size }, (_, k) => column(k))], size, qparams };
}

/** What a join makes of rows. */
function joined(module: JoinModule, values: readonly RowsValue[]): RowsValue {
  const { output } = module;
  const inputs = values.map((value, i) => converted(value, module.inputs[i]!.qparams));
  const [a, b] = inputs;
  const rows = a!.rows.map((_, r) => {
    if (module.kind === "Concat") {
      return inputs.flatMap(({ rows, qparams }) =>
        output === null
          ? rows[r]!
          : rows[r]!.map((q) => rules.requantize(q, qparams!, output, wide(output)))
      );
    }
    const { engine } = module as AddModule;
    return a!.rows[r]!.map((x, k) => {
      const y = b!.rows[r]![k]!;
      if (output === null) return rules.add32(x, y);
      const fixed = engine === "qnnpack" &&
        [a!.qparams, b!.qparams, output].every((q) => q!.dtype === "quint8");
      return fixed
        ? rules.addFixedPoint(x, a!.qparams!, y, b!.qparams!, output)
        : rules.addQuantized(x, a!.qparams!, y, b!.qparams!, output);
    });
  });
  const size = module.kind === "Add" ? a!.size : inputs.reduce((sum, each) => sum + each.size, 0);
  return { rows, size, qparams: output };
}

/**
 * What each module of a model gives, for one row of real numbers [steps, inputSize].
 *
 * @param known Values that modules read in the place of what the oracle itself gives.
 */
export function oracleOf(
  { modules, topology, inputSize }: QuantizedModel,
  x: readonly (readonly number[])[],
  known: ReadonlyMap<string, RowsValue> = new Map(),
): Map<string, RowsValue> {
  const values = new Map<string, RowsValue>([
    [INPUT, { rows: x, size: inputSize, qparams: null }],
  ]);
  for (const [name, module] of modules) {
    const inputs = topology.inputs.get(name)!.map((read) => known.get(read) ?? values.get(read)!);
    let value: RowsValue;
    if (module instanceof QuantizedLSTM || module instanceof QuantizedLinear) {
      const taken = converted(inputs[0]!, module.input);
      const size = module instanceof QuantizedLSTM
        ? (module.projSize || module.hiddenSize) * (module.bidirectional ? 2 : 1)
        : module.weight.outFeatures;
      const { length } = taken.rows;
      if (length === 0) value = { rows: [], size, qparams: module.output };
      else if (module instanceof QuantizedLinear) {
        value = rowsOf(module.forward(tensorOf(taken, [length])));
      } else {
        const shape = module.batchFirst ? [1, length] : [length, 1];
        value = rowsOf(module.forward(tensorOf(taken, shape))[0]);
      }
    } else if ("flags" in module) {
      value = ended(module as EndModule, converted(inputs[0]!, (module as EndModule).qparams));
    } else value = joined(module as JoinModule, inputs);
    values.set(name, value);
  }
  return values;
}
