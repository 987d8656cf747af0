/**
 * Models and sequences around every size at which an executor switches to another algorithm: each
 * block, tile and threshold that the kernels export. All executors must return the same bytes for
 * them.
 *
 * @module
 */
import { SUMS_TOGETHER } from "../../kernels/packed/lstm_cell.ts";
import { ARRAYS_TOGETHER, COLUMNS_TOGETHER } from "../../kernels/packed/pack.ts";
import { BUFFERED_VALUES } from "../runtime/basic_session.ts";
import { CHUNK, COPIED, projectedBytes, STAGED } from "../simd/backend.ts";
import { BLOCK_UNITS, TILE_GROUPS } from "../../kernels/simd/layout.ts";
import { GROUP_VALUES, PATIENCE, wholeUnits } from "../simd/memory.ts";
import type { Bits, LSTMCase } from "./quantized_lstms.ts";
import { generator } from "./random.ts";
import { around } from "./sizes.ts";
import { modelOf, plainCase } from "./quantized_models.ts";

/**
 * One `run` of a session.
 *
 * @example
 * ```ts
 * import { type CaseRun, executorCases } from "@splitgate/splitgate/testing";
 * import { assert } from "@std/assert";
 * const fits = ({ steps, lengths }: CaseRun) => lengths?.every((own) => own <= steps) ?? true;
 * assert(executorCases().every(({ runs }) => runs.every(fits)));
 * ```
 */
export interface CaseRun {
  /** Steps of the sequence. */
  readonly steps: number;
  /** Number of steps of each row, possibly 0; null if every row has all steps. */
  readonly lengths: readonly number[] | null;
  /** Whether the input is real numbers; otherwise the model's integers, if it takes any. */
  readonly realsIn: boolean;
  /** Whether the output is real numbers; otherwise integers. */
  readonly realsOut: boolean;
}

/**
 * A model and a list of runs. Each run continues from the state that the previous one left.
 *
 * @example
 * ```ts
 * import { type ExecutorCase, executorCases } from "@splitgate/splitgate/testing";
 * import { assert } from "@std/assert";
 * const isBatch = ({ c }: ExecutorCase) => c.batch > 1;
 * const batches = executorCases().filter(isBatch); // to run on an executor of your own
 * assert(batches.length > 100);
 * ```
 */
export interface ExecutorCase {
  /** The threshold that it is drawn around, and its sizes. */
  readonly name: string;
  /** The LSTM. */
  readonly c: LSTMCase;
  /** The type of the values that an Embedding feeds to the LSTM; none without an Embedding. */
  readonly embedding: "none" | "8" | "16" | "float";
  /** Outputs of a Linear after the LSTM; 0 for none. */
  readonly linear: number;
  /** The runs, in order. */
  readonly runs: readonly CaseRun[];
}

/** Takes a value from a list; the name identifies the list. */
type Take = <T>(name: string, values: readonly T[]) => T;

/** Source of the values and seeds of successive cases. */
interface Turns {
  readonly take: Take;
  seeds: number;
}

/**
 * Takes the values of each list in turn, in shuffled order, so that all occur about equally often.
 */
function takeTurns(seed: number): Take {
  const random = generator(seed);
  const left = new Map<string, unknown[]>();
  return <T>(name: string, values: readonly T[]): T => {
    const rest = left.get(name) ?? [];
    if (rest.length === 0) rest.push(...values);
    left.set(name, rest);
    return rest.splice(Math.floor(random(0, rest.length)), 1)[0] as T;
  };
}

/** Hidden sizes at which the directions together fill whole blocks, and their neighbours. */
const HIDDEN = [
  ...new Set([1, 2].flatMap((directions) => around(BLOCK_UNITS / directions, [1, 2, 3]))),
].sort((a, b) => a - b);

/**
 * Input sizes around the groups and vectors of all operand types, and around the columns of packed
 * rows.
 */
const INPUTS = [
  ...new Set([
    ...around(COLUMNS_TOGETHER),
    ...around(2 * GROUP_VALUES.WIDE),
    ...around(2 * GROUP_VALUES.BYTES),
    ...around(4 * GROUP_VALUES.BYTES),
  ]),
];

/** Output sizes of a Linear around the number of rows that are summed, and packed, together. */
const OUTPUTS = [
  ...new Set([
    ...around(SUMS_TOGETHER),
    ...around(2 * ARRAYS_TOGETHER),
    ...around(ARRAYS_TOGETHER),
  ]),
];

/** The last operand lengths before a tile loses a block, and their neighbours. */
function tileLengths(values: number, blocks: number): number[] {
  return around(values * (Math.floor((TILE_GROUPS / blocks - 1) / 2) * 2), [1]);
}

const BITS: readonly (readonly Bits[])[] = [
  [8],
  [7],
  [8],
  [7, 8, 8, 7, 8],
  [16],
  [8, 16, 7],
  [16, 14, 16, 14],
].map((bits) => Array.from({ length: 13 }, (_, i) => bits[i % bits.length] as Bits));

/** The properties that do not depend on sizes, taken in turn. */
function kindOf(seed: number, take: Take): LSTMCase {
  const bits = [...take("bits", BITS)];
  if (take("float projections", [false, false, false, true])) bits[0] = bits[1] = 0;
  return {
    ...plainCase,
    seed,
    bits,
    engine: take("engine", ["fbgemm", "qnnpack"]),
    input: take("input", [8, 7, 14, 8, 0, 16, 14] as const),
    granularity: take("granularity", ["tensor", "block", "channel"]),
    perGate: take("per gate", [false, true]),
    ties: take("ties", [false, false, true]),
    torchInitialState: take("initial", [false, true]),
    bias: take("bias", [true, true, false]),
    batchFirst: take("batch first", [false, false, true]),
  };
}

/** Runs of the given numbers of steps: real numbers, integers, and rows of different lengths. */
function runsOf(steps: readonly number[], batch: number, seed: number): CaseRun[] {
  const random = generator(seed);
  return steps.flatMap((steps): CaseRun[] => [
    { steps, lengths: null, realsIn: true, realsOut: true },
    { steps, lengths: null, realsIn: false, realsOut: false },
    {
      steps,
      lengths: Array.from({ length: batch }, () => Math.floor(random(0, steps + 1))),
      realsIn: random(0, 1) < 0.5,
      realsOut: random(0, 1) < 0.5,
    },
  ]);
}

/** Whether the engine can add with a case's scales: qnnpack cannot with all of them. */
function runnable(c: LSTMCase): boolean {
  try {
    modelOf(c, "none", false).createSession();
    return true;
  } catch (error) {
    if (error instanceof RangeError && error.message.includes("qnnpack's addition")) return false;
    throw error;
  }
}

/** The sizes of a case, and any properties that are fixed. */
type CaseSizes = Pick<LSTMCase, "inputSize" | "hiddenSize" | "batch"> & Partial<LSTMCase>;

/** A case of the given sizes. */
function caseOf(
  turns: Turns,
  what: string,
  sizes: CaseSizes,
  steps: readonly number[],
): ExecutorCase {
  const { take } = turns;
  let c: LSTMCase = { ...kindOf(turns.seeds++, take), ...sizes };
  while (!runnable(c)) c = { ...c, seed: c.seed + 1000 };
  const { inputSize, hiddenSize, projSize, numLayers, bidirectional, batch } = c;
  const forms = ["none", "none", "none", "8", "16", "float"] as const;
  const embedding = inputSize > 64 ? "none" : take("embedding", forms);
  return {
    name: `${what}: seed ${c.seed}, ${inputSize} -> ${hiddenSize}, projected to ${projSize}, ` +
      `${numLayers} layers, ${bidirectional ? 2 : 1} directions, batch of ${batch}, ` +
      `${steps.join(" ")} steps`,
    c,
    embedding,
    linear: take("linear", [0, 0, take("outputs", OUTPUTS)]),
    runs: runsOf(steps, batch, c.seed),
  };
}

/** Numbers of steps around those at which the values of all rows are copied by one call. */
function copiedSteps(hiddenSize: number, directions: number, batch: number): number[] {
  const thresholds = [COPIED.REALS, COPIED.INTEGERS];
  const sizes = [hiddenSize, hiddenSize * directions, wholeUnits(hiddenSize)];
  const all = thresholds.flatMap((n) => sizes.map((width) => Math.ceil(n / (batch * width))));
  // Neighbours of each size, so that none falls below a threshold of the other sizes.
  return [...new Set([1, ...all.flatMap((n) => around(n, [1]))])].sort((a, b) => a - b);
}

/** Numbers of steps around those that are projected in one product. */
function chunkSteps(hiddenSize: number, batch: number): number[] {
  const bytes = batch * projectedBytes(wholeUnits(hiddenSize));
  return around(Math.max(1, Math.floor(CHUNK / bytes)));
}

/**
 * All cases, always in the same order: about 300, which take a second to make.
 *
 * @example
 * ```ts
 * import { executorCases } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const names = executorCases().map(({ name }) => name);
 * assertEquals(names.length > 100, true);
 * ```
 */
export function executorCases(): ExecutorCase[] {
  const turns = { take: takeTurns(20), seeds: 0 };
  const { take } = turns;
  const made = (what: string, sizes: CaseSizes, steps: readonly number[]) =>
    caseOf(turns, what, sizes, steps);
  return [
    ...HIDDEN.flatMap((hiddenSize) =>
      [1, 2].flatMap((numLayers) =>
        [false, true].flatMap((bidirectional) =>
          [1, 2, 3].map((batch) => {
            const inputSize = take("input size", INPUTS);
            const steps = copiedSteps(hiddenSize, bidirectional ? 2 : 1, batch);
            const sizes = { inputSize, hiddenSize, bidirectional, numLayers, batch };
            return made("blocks", sizes, steps);
          })
        )
      )
    ),
    ...[GROUP_VALUES.BYTES, GROUP_VALUES.WIDE].flatMap((values) =>
      [1, 2, 3].flatMap((blocks) =>
        tileLengths(values, blocks).map((inputSize) => {
          const hiddenSize = take("tiled", [...around(BLOCK_UNITS * blocks), 4 * BLOCK_UNITS + 1]);
          const bits = values === GROUP_VALUES.WIDE ? 16 : take("tiled bits", [7, 8, 14] as const);
          const batch = take("tiled batch", [1, 2, 3, 4, 5]);
          const bidirectional = take("tiled directions", [false, true]);
          return made("tiles", { inputSize, hiddenSize, bidirectional, batch, input: bits }, [2]);
        })
      )
    ),
    ...tileLengths(GROUP_VALUES.WIDE, 3).map((hiddenSize, i) => {
      const bits = Array<Bits>(13).fill(16);
      return made("tiles of states", { inputSize: 3, hiddenSize, bits, batch: i + 1 }, [3]);
    }),
    ...tileLengths(GROUP_VALUES.BYTES, 3).map((hiddenSize, i) => {
      const bits = Array<Bits>(13).fill(take("state bits", [7, 8, 14]));
      return made("tiles of states", { inputSize: 3, hiddenSize, bits, batch: i + 1 }, [3]);
    }),
    ...[2 * BLOCK_UNITS, 4 * BLOCK_UNITS + 1, 8 * BLOCK_UNITS].flatMap((hiddenSize) =>
      [3, 8].map((batch) => {
        const bidirectional = take("chunked directions", [false, true]);
        const inputSize = take("input size", INPUTS);
        const numLayers = bidirectional ? 1 : 2;
        const steps = chunkSteps(hiddenSize, batch);
        return made("chunks", { inputSize, hiddenSize, bidirectional, numLayers, batch }, steps);
      })
    ),
    ...[BLOCK_UNITS, 4 * BLOCK_UNITS + 1].map((hiddenSize) => {
      const bits = Array<Bits>(13).fill(16);
      const steps = [3, ...around(Math.ceil(PATIENCE / hiddenSize), [1])];
      return made("tables allocated late", { inputSize: 3, hiddenSize, bits, batch: 2 }, steps);
    }),
    ...[STAGED, BUFFERED_VALUES].flatMap((values) =>
      [false, true].map((bidirectional) => {
        const batch = 4;
        const inputSize = 2048;
        const steps = around(values / (batch * inputSize), [1]);
        const sizes = { inputSize, hiddenSize: 3, bidirectional, batch, input: 8 } as const;
        return made("inputs copied by one call", sizes, steps);
      })
    ),
    ...[
      ...around(COLUMNS_TOGETHER, [1]),
      ...around(2 * ARRAYS_TOGETHER, [1]),
      ...around(SUMS_TOGETHER),
    ]
      .map((projSize) => {
        const sizes = { inputSize: take("input size", INPUTS), hiddenSize: projSize + 2, projSize };
        const bidirectional = take("projected directions", [false, true]);
        const numLayers = take("layers", [1, 2, 3]);
        const batch = take("projected batch", [1, 2, 3]);
        return made("projections", { ...sizes, bidirectional, numLayers, batch }, [1, 5]);
      }),
  ];
}

/** The cases with a GRU instead of each LSTM, taking all GRU conventions in turn. */
export function gruExecutorCases(): ExecutorCase[] {
  const take = takeTurns(21);
  const conventions = {
    resetAfter: [true, true, false],
    complementedUpdate: [false, false, true],
  };
  return executorCases().filter(({ c }) => c.projSize === 0).map((one) => {
    const gru = {
      resetAfter: take("reset after", conventions.resetAfter),
      complementedUpdate: take("complemented", conventions.complementedUpdate),
    };
    let c: LSTMCase = { ...one.c, gru };
    while (!runnable(c)) c = { ...c, seed: c.seed + 1000 };
    return { ...one, c, name: `GRU ${JSON.stringify(gru)}, ${one.name}` };
  });
}
