// Where the values of a program stand: held by modules of the tests' own, which spoil what they
// write to first.
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { dequantizeValue } from "../../kernels/numeric/requantize.ts";
import { newQArray } from "../../src/core/dtype.ts";
import { perTensorAffine, type PerTensorQParams, sameQParams } from "../../src/core/qparams.ts";
import { type LoweredModel, planProgram } from "../../src/authoring/plan.ts";
import type { NodeProgram, RunningKind, Values } from "../../src/runtime/kind.ts";
import { Program } from "../../src/runtime/program.ts";
import { BasicSession, type OutputArray } from "../../src/runtime/basic_session.ts";
import { convertCentered, quantizeCentered } from "../../src/runtime/centered.ts";
import { generator } from "../../src/testing/random.ts";

const QPARAMS: readonly (PerTensorQParams | null)[] = [
  null,
  perTensorAffine({ dtype: "quint8", scale: 0.25, zeroPoint: 120 }),
  perTensorAffine({ dtype: "qint8", scale: 0.5, zeroPoint: -3 }),
  perTensorAffine({ dtype: "quint8", scale: 0.3, zeroPoint: 0 }),
];

/** Rounds a number to one that the qparams can hold, minus their zero point. */
function held(value: number, q: PerTensorQParams | null): number {
  if (q === null) return Math.fround(value % 40);
  const { quantMin, quantMax, zeroPoint } = q;
  const count = quantMax - quantMin + 1;
  return quantMin - zeroPoint + ((Math.floor(value) % count) + count) % count;
}

/** A row that depends on every value of the rows that it is made of, and on their order. */
function mixed(
  rows: readonly ArrayLike<number>[],
  size: number,
  q: PerTensorQParams | null,
): number[] {
  return Array.from({ length: size }, (_, k) => {
    let sum = k + 1;
    rows.forEach((row, i) => {
      for (let j = 0; j < row.length; j++) sum += (i + 2) * (((j + k) % 5) + 1) * row[j]!;
    });
    return held(sum, q);
  });
}

/** The rows of a module's inputs at one step and batch row. */
function rowsAt(inputs: readonly Values[], ports: NodeProgram["inputs"], row: number) {
  return inputs.map((values, i) => {
    const { size } = ports[i]!;
    return values.slice(row * size, (row + 1) * size);
  });
}

/**
 * Overwrites an output's rows, so that a later read of them, or of an input in the same buffer, is
 * noticed.
 */
function spoil(out: Values, size: number): void {
  for (let i = 0; i < size; i++) out[i] = NaN;
}

const mix: RunningKind = {
  kind: "Mix",
  instantiate: ({ inputs: ports, output: { size, qparams } }) => ({
    infallible: true,
    process(_state, inputs, out, { steps, batch, lengths }) {
      spoil(out, steps * batch * size);
      for (let r = 0; r < steps * batch; r++) {
        if (lengths !== null && Math.floor(r / batch) >= lengths[r % batch]!) continue;
        mixed(rowsAt(inputs, ports, r), size, qparams).forEach((v, k) => out[r * size + k] = v);
      }
    },
  }),
};

/** The same, of this step's rows and of what it gave at the step before. */
const mixOn = (endsTime: boolean): RunningKind => ({
  kind: endsTime ? "End" : "Recur",
  instantiate: ({ inputs: ports, output: { size, qparams } }) => ({
    infallible: true,
    process({ y }, inputs, out, { steps, batch, lengths }) {
      spoil(out, (endsTime ? 1 : steps) * batch * size);
      for (let r = 0; r < steps * batch; r++) {
        const b = r % batch;
        if (lengths !== null && Math.floor(r / batch) >= lengths[b]!) continue;
        const before = y!.slice(b * size, (b + 1) * size);
        const row = mixed([before, ...rowsAt(inputs, ports, r)], size, qparams);
        y!.set(row, b * size);
        if (!endsTime) row.forEach((v, k) => out[r * size + k] = v);
      }
      if (endsTime) { for (let i = 0; i < batch * size; i++) out[i] = y![i]!; }
    },
  }),
});

const KINDS = [mix, mixOn(false), mixOn(true)];

/** Random lowered models: any number of inputs, parameters, joins and ends of time. */
const models: fc.Arbitrary<LoweredModel> = fc.record({
  nodes: fc.array(
    fc.record({
      kind: fc.constantFrom("Mix", "Mix", "Recur", "End"),
      picks: fc.array(fc.nat(999), { minLength: 1, maxLength: 4 }),
      takes: fc.array(fc.constantFrom(-1, -1, 0, 1, 2, 3), { minLength: 4, maxLength: 4 }),
      size: fc.integer({ min: 1, max: 4 }),
      gives: fc.nat(3),
    }),
    { minLength: 1, maxLength: 10 },
  ),
  outputs: fc.array(fc.nat(999), { minLength: 1, maxLength: 3 }),
  inputSize: fc.integer({ min: 1, max: 3 }),
  inputTakes: fc.array(fc.nat(3), { minLength: 2, maxLength: 2 }),
  batchFirst: fc.boolean(),
}).map(({ nodes: drawn, outputs, inputSize, inputTakes, batchFirst }) => {
  const times: boolean[] = [];
  const froms = drawn.map(({ kind, picks }, i) => {
    // Values of one node have all rows for each step, or all one row.
    const first = picks[0]! % (i + 1) - 1;
    const time = first < 0 || times[first]!;
    const like = Array.from({ length: i + 1 }, (_, k) => k - 1)
      .filter((k) => (k < 0 || times[k]!) === time);
    times.push(time && kind !== "End");
    return { time, from: picks.map((pick) => like[pick % like.length]!) };
  });
  // What reads steps runs before what reads one row.
  const order = [true, false].flatMap((time) =>
    drawn.flatMap((_, i) => froms[i]!.time === time ? [i] : [])
  );
  // The input's parameters: those of the first that reads it where all readers have the same.
  const taken = drawn.map(({ takes }, i) =>
    froms[i]!.from.map((read, k) => {
      const own = takes[k]!;
      if (read < 0) return QPARAMS[inputTakes[own < 1 ? 0 : 1]!]!;
      return QPARAMS[own < 0 ? drawn[read]!.gives : own]!;
    })
  );
  const readers = froms.flatMap(({ from }, i) =>
    from.flatMap((read, k) => read < 0 ? [taken[i]![k]!] : [])
  );
  const same = readers.every((q) =>
    q === readers[0] || (q !== null && readers[0] && sameQParams(q, readers[0]))
  );
  const sizeOf = (i: number) => i < 0 ? inputSize : drawn[i]!.size;
  return {
    vocabulary: 0,
    batchFirst,
    looksAhead: false,
    fingerprint: [1, 2],
    input: { size: inputSize, qparams: same ? readers[0] ?? null : null },
    nodes: order.map((i) => {
      const { size, gives } = drawn[i]!;
      const { from, time } = froms[i]!;
      const kind = time ? drawn[i]!.kind : "Mix";
      const qparams = QPARAMS[gives]!;
      return {
        name: `n${i}`,
        from: from.map((read) => read < 0 ? -1 : order.indexOf(read)),
        axis: time && kind !== "End" ? "" : null,
        program: {
          kind,
          inputs: from.map((read, k) => ({ size: sizeOf(read), qparams: taken[i]![k]! })),
          output: { size, qparams },
          slots: kind === "Mix" ? [] : [{ name: "y", size, groups: [qparams] }],
        },
      };
    }),
    outputs: outputs.map((pick, i) => ({ name: `o${i}`, node: pick % drawn.length })),
  };
});

/** What a model gives for one row of `steps` steps, each value in memory of its own. */
function alone(data: LoweredModel, x: Float32Array, steps: number): number[][][] {
  const { size, qparams } = data.input;
  const input = Array.from({ length: steps }, (_, t) => {
    const row = [...x.subarray(t * size, (t + 1) * size)];
    if (qparams !== null) quantizeCentered(row, 0, row, 0, size, qparams);
    return row;
  });
  const values: { rows: number[][]; qparams: PerTensorQParams | null }[] = [];
  for (const { from, program: { kind, inputs, output } } of data.nodes) {
    const reads = from.map((read, i) => {
      const { rows, qparams } = read < 0
        ? { rows: input, qparams: data.input.qparams }
        : values[read]!;
      return rows.map((row) => {
        const copy = Float64Array.from(row);
        convertCentered(copy, 0, copy.length, qparams, inputs[i]!.qparams);
        return copy;
      });
    });
    let before: ArrayLike<number> = new Float64Array(output.size);
    const recurs = kind !== "Mix";
    const rows = Array.from({ length: reads[0]!.length }, (_, t) => {
      const own = reads.map((rows) => rows[t]!);
      const row = mixed(recurs ? [before, ...own] : own, output.size, output.qparams);
      before = row;
      return row;
    });
    values.push({
      rows: kind === "End" ? [[...before as number[]]] : rows,
      qparams: output.qparams,
    });
  }
  return data.outputs.map(({ node }) => values[node]!.rows);
}

/** Room for outputs, reals or integers of each output's own. */
function roomFor({ outputs }: Program, rows: number, batch: number, reals: boolean) {
  return outputs.map(({ size, qparams, time }): OutputArray => {
    const length = (time ? rows : batch) * size;
    return reals || qparams === null ? new Float32Array(length) : newQArray(qparams.dtype, length);
  });
}

/** Arrays as a session takes them: by name where there are several. */
function given({ outputs }: Program, arrays: readonly OutputArray[]) {
  return arrays.length === 1
    ? arrays[0]!
    : Object.fromEntries(outputs.map(({ name }, i) => [name, arrays[i]!]));
}

Deno.test("a program's values are not overwritten while they are needed, whatever reads whom in which parameters", () => {
  const seen = { joins: 0, ended: 0, several: 0, requantized: 0 };
  fc.assert(
    fc.property(
      models,
      fc.constantFrom(1, 2, 3),
      fc.constantFrom(1, 2, 5, 9),
      fc.constantFrom(1, 3, 16),
      fc.boolean(),
      fc.boolean(),
      fc.nat(),
      (data, batch, steps, maxSteps, ragged, reals, seed) => {
        const program = new Program(planProgram(data), KINDS, BasicSession);
        const random = generator(seed);
        const { size } = data.input;
        const rows = Array.from(
          { length: batch },
          () => Float32Array.from({ length: steps * size }, () => random(-20, 20)),
        );
        const lengths = rows.map(() => ragged ? Math.floor(random(0, steps + 1)) : steps);
        const x = new Float32Array(steps * batch * size);
        const at = (t: number, b: number) => data.batchFirst ? b * steps + t : t * batch + b;
        rows.forEach((row, b) => {
          for (let t = 0; t < steps; t++) {
            x.set(row.subarray(t * size, (t + 1) * size), at(t, b) * size);
          }
        });
        const arrays = roomFor(program, steps * batch, batch, reals);
        const session = program.createSession({ batch, maxSteps });
        // Another session of the same program, which shares its buffers and needs more.
        const other = program.createSession({ batch: batch + 1, maxSteps: maxSteps + 1 });
        const more = roomFor(program, batch + 1, batch + 1, true);
        other.run(new Float32Array((batch + 1) * size).fill(3), given(program, more));
        session.run(x, given(program, arrays), ragged ? lengths : undefined);
        const expected = roomFor(program, steps * batch, batch, reals);
        rows.forEach((row, b) => {
          const own = alone(data, row, lengths[b]!);
          program.outputs.forEach(({ size, qparams, time }, i) => {
            const shift = reals || qparams === null ? 0 : qparams.zeroPoint;
            if (time) {
              for (let t = lengths[b]!; t < steps; t++) {
                expected[i]!.fill(shift, at(t, b) * size, (at(t, b) + 1) * size);
              }
            }
            own[i]!.forEach((values, t) => {
              const to = (time ? at(t, b) : b) * size;
              values.forEach((value, k) => {
                expected[i]![to + k] = qparams !== null && reals
                  ? dequantizeValue(value, qparams.scale, 0)
                  : value + shift;
              });
            });
          });
        });
        // A row of no steps has nothing to end with.
        const rest = program.outputs.every(({ time }) => time) || lengths.every((n) => n > 0);
        if (!rest) return;
        assertEquals(arrays, expected);
        if (data.nodes.some(({ from }) => from.length > 1)) seen.joins++;
        if (program.outputs.some(({ time }) => !time)) seen.ended++;
        if (program.outputs.length > 1) seen.several++;
        const plan = new Set(data.nodes.map(({ program: { output } }) => output.qparams));
        if (plan.size > 1) seen.requantized++;
      },
    ),
    { numRuns: 1500 },
  );
  for (const [what, count] of Object.entries(seen)) assert(count > 100, `${what}: ${count}`);
});
