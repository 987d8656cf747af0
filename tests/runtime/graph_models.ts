/** Random quantized graphs: an LSTM, ends of time, joins before and after them, and Linears. */
import fc from "fast-check";
import { orderedTopology, outputsOf } from "../../src/core/topology.ts";
import type { PerTensorQParams } from "../../src/core/qparams.ts";
import { QuantizedModel, type QuantizedModule } from "../../src/authoring/model.ts";
import type { EndModule } from "../../src/modules/end_of_time.ts";
import { joinPorts } from "../../src/modules/join.ts";
import { kindOf } from "../../src/modules/kinds.ts";
import { QuantizedLinear } from "../../src/modules/linear/quantized.ts";
import {
  type Bits,
  type LSTMCase,
  lstmCases,
  lstmOf,
  qparamsOf,
} from "../../src/testing/quantized_lstms.ts";
import { generator } from "../../src/testing/random.ts";

/** Names of the kinds that end time. */
export const END_KINDS = ["LastStep", "FirstStep", "MeanOverTime", "MaxOverTime", "FinalHidden"];

/** What a random graph is described by. */
export interface GraphCase {
  readonly lstm: LSTMCase;
  /** Kinds of ends, and whether each reads the LSTM directly, not a join. */
  readonly ends: readonly { readonly kind: string; readonly direct: boolean }[];
  /**
   * Whether a Linear of the LSTM's output is added to it; whether the model's input is put beside
   * it.
   */
  readonly residual: boolean;
  readonly skip: boolean;
  /** Bits of the joins' outputs before and after the end of time; 0 is float32. */
  readonly before: Bits;
  readonly behind: Bits;
  /** Whether a Linear comes last, and the bits of its input and output. */
  readonly head: boolean;
  readonly headBits: readonly [Bits, Bits];
  /** Which modules that others read are outputs too. */
  readonly shown: number;
}

const anyBits = fc.constantFrom<Bits>(0, 7, 8, 8, 16, 32);
const narrow = fc.constantFrom<Bits>(0, 7, 8, 16);

/** Graphs in every number of bits. */
export const graphCases: fc.Arbitrary<GraphCase> = fc.record({
  lstm: fc.oneof(
    lstmCases(fc.constantFrom<Bits>(7, 8), fc.constantFrom<Bits>(0, 8), false),
    lstmCases(fc.constantFrom<Bits>(0, 8, 16), fc.constantFrom<Bits>(0, 7, 8)),
  ).map((c) => ({ ...c, numLayers: 1, hiddenSize: Math.min(c.hiddenSize, 13) })),
  ends: fc.array(fc.record({ kind: fc.constantFrom(...END_KINDS), direct: fc.boolean() }), {
    minLength: 1,
    maxLength: 4,
  }),
  residual: fc.boolean(),
  skip: fc.boolean(),
  before: anyBits,
  behind: anyBits,
  head: fc.boolean(),
  headBits: fc.tuple(narrow, narrow),
  shown: fc.nat(1023),
});

type Random = (lo: number, hi: number) => number;

/** A Linear of random weights. */
function linearOf(
  random: Random,
  engine: "fbgemm" | "qnnpack",
  [inFeatures, outFeatures]: readonly [number, number],
  input: PerTensorQParams | null,
  output: PerTensorQParams | null,
): QuantizedLinear {
  const data = Int8Array.from({ length: inFeatures * outFeatures }, () => random(-128, 128));
  const scales = Float32Array.from({ length: outFeatures }, () => random(0.005, 0.02));
  const zeroPoints = new Int32Array(outFeatures);
  return new QuantizedLinear({
    engine,
    weight: { data, outFeatures, inFeatures, perChannel: true, scales, zeroPoints },
    bias: Float32Array.from({ length: outFeatures }, () => random(-1, 1)),
    input,
    output,
  });
}

/** The model of a case. */
export function graphOf(c: GraphCase): QuantizedModel {
  const random = generator(c.lstm.seed + 5);
  const { engine, batchFirst, bidirectional, inputSize } = c.lstm;
  const modules = new Map<string, QuantizedModule>();
  const inputs: [string, string[]][] = [];
  const add = (name: string, module: QuantizedModule, reads: string[]): string => {
    modules.set(name, module);
    inputs.push([name, reads]);
    return name;
  };
  const outputOf = (name: string) =>
    kindOf(name, modules.get(name)!).ends(modules.get(name)!).output;
  const join = (kind: string, name: string, reads: string[], bits: Bits): string => {
    const given = reads.map((read) =>
      read === "input" ? { size: inputSize, qparams: null } : outputOf(read)
    );
    const ports = joinPorts(
      given.map(({ size }) => size),
      given.map(({ qparams }) => qparams),
      qparamsOf(bits, 3, random),
    );
    const own = kind === "Add" ? { engine } : {};
    return add(name, { kind, ...own, ...ports } as QuantizedModule, reads);
  };
  add("lstm", lstmOf(c.lstm), ["input"]);
  let last = "lstm";
  const { size, qparams } = outputOf("lstm");
  if (c.residual) {
    const to = qparamsOf(c.lstm.bits[0] === 0 ? 0 : 8, 2, random);
    add("project", linearOf(random, engine, [size, size], qparams, to), ["lstm"]);
    last = join("Add", "residual", ["lstm", "project"], c.before);
  }
  if (c.skip) {
    const reads = random(0, 1) < 0.5 ? ["input", last] : [last, "input"];
    last = join("Concat", "skip", reads, c.before);
  }
  const ends = c.ends.map(({ kind, direct }, i) => {
    const read = direct || kind === "FinalHidden" ? "lstm" : last;
    const flags = { batchFirst, ...kind === "FinalHidden" && { bidirectional } };
    const end: EndModule = { kind, ...outputOf(read), flags };
    return add(`end${i}`, end, [read]);
  });
  let top = ends[0]!;
  if (ends.length > 1) {
    top = join("Concat", "join", ends, c.behind);
    const twin = ends.slice(1).find((end) => outputOf(end).size === outputOf(ends[0]!).size);
    if (twin !== undefined) join("Add", "sum", [ends[0]!, twin], c.behind);
  }
  if (c.head) {
    const own = random(0, 1) < 0.5;
    const input = own ? qparamsOf(c.headBits[0], 2, random) : outputOf(top).qparams;
    const narrow = input?.dtype === "qint32" && input.quantMin < -(2 ** 24)
      ? qparamsOf(8, 2, random)
      : input;
    const to = qparamsOf(c.headBits[1], 3, random);
    add("head", linearOf(random, engine, [outputOf(top).size, 3], narrow, to), [top]);
  }
  const read = new Set(inputs.flatMap(([, reads]) => reads));
  const shown = [...modules.keys()].filter((name, i) => !read.has(name) || (c.shown >> i) & 1);
  const topology = orderedTopology("modules", inputs, outputsOf(shown), true);
  const ordered = [...topology.inputs.keys()].map((name) => [name, modules.get(name)!] as const);
  return new QuantizedModel(new Map(ordered), topology);
}
