/**
 * Sessions that run: a quantized model, its state, and memory for its steps. Saving and restoring
 * state is in session.ts, so that workers without it do not load that code.
 *
 * @module
 */
import { dequantizeValue } from "../../kernels/numeric/requantize.ts";
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import { isOfDType, type QArray } from "../core/dtype.ts";
import {
  checkEach,
  checkFinite,
  checkInteger,
  checkLength,
  failRange,
  failType,
} from "../core/errors.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import type { ProgramData, ProgramOutput } from "./data.ts";
import {
  type Backend,
  type Call,
  createCall,
  createSlots,
  type ModuleInstance,
  type ModuleState,
  reserveBuffer,
  type Time,
  type Values,
} from "./kind.ts";
import { convertCentered, quantizeCentered } from "./centered.ts";

/**
 * Options of a session.
 *
 * @example
 * ```ts
 * import { LSTM, quantize, type SessionOptions } from "@splitgate/splitgate";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
 * const { model } = await quantize(lstm, [new Float32Array(8)]);
 * const options: SessionOptions = { batch: 2, maxSteps: 100 };
 * const session = model.createSession(options);
 * session.step(new Float32Array(2 * 2), new Float32Array(2 * 3)); // [batch, features]
 * ```
 */
export interface SessionOptions {
  /** Number of sequences that run side by side; 1 by default. */
  readonly batch?: number;
  /**
   * Max number of steps that `run` runs at a time, for which memory is allocated; 16 by default.
   * Very wide models, which would need megabytes, run fewer at a time with the same results. For a
   * model that looks ahead: the max length of a sequence; 256 by default.
   */
  readonly maxSteps?: number;
  /**
   * Whether gates run split; by default as in the model. The results are the same. SIMD kernels
   * with fused gates project the inputs of up to `maxSteps` steps at once, which takes 16 bytes per
   * unit and step for an LSTM (12 for a GRU), up to 64 KB. With split gates, they project the
   * inputs of some units of one step: this takes less memory, but more time if many steps run
   * together.
   */
  readonly splitGates?: boolean;
  /**
   * The kernels that run modules; the portable ones by default, `simdKernels()` for WebAssembly
   * SIMD.
   */
  readonly kernels?: Backend | undefined;
}

/**
 * Input of a session: token ids, real numbers, or integers of the model's input dtype.
 *
 * @example
 * ```ts
 * import { Linear, quantize, type SessionInput } from "@splitgate/splitgate";
 * const { model } = await quantize(
 *   new Linear({ inFeatures: 2, outFeatures: 3 }),
 *   [Float32Array.of(0.1, -0.4, 0.9, 0.3)],
 * );
 * const input: SessionInput = Float32Array.of(0.1, 0.9); // reals; token ids are an Int32Array
 * model.createSession().step(input, new Float32Array(3));
 * ```
 */
export type SessionInput = Int32Array | Float32Array | QArray;

/**
 * One output of a session: real numbers, or integers of the output's dtype.
 *
 * @example
 * ```ts
 * import { Linear, type OutputArray, quantize } from "@splitgate/splitgate";
 * const { model } = await quantize(
 *   new Linear({ inFeatures: 2, outFeatures: 3 }),
 *   [Float32Array.of(0.1, -0.4, 0.9, 0.3)],
 *   { preset: "fbgemm" },
 * );
 * const integers: OutputArray = new Uint8Array(3); // of the output's dtype, without dequantizing
 * model.createSession().step(Float32Array.of(0.1, 0.9), integers);
 * ```
 */
export type OutputArray = Float32Array | QArray;

/**
 * Output of a session; for a model with several outputs, an object with an array for each name.
 *
 * @example
 * ```ts
 * import { Graph, Linear, quantize, type SessionOutput } from "@splitgate/splitgate";
 * const model = new Graph({
 *   tag: { module: new Linear({ inFeatures: 2, outFeatures: 3 }) },
 *   score: { module: new Linear({ inFeatures: 2, outFeatures: 1 }), inputs: "input" },
 * }, { outputs: ["tag", "score"] });
 * const { model: quantized } = await quantize(model, [Float32Array.of(0.1, -0.4, 0.9, 0.3)]);
 * const output: SessionOutput = { tag: new Float32Array(3), score: new Float32Array(1) };
 * quantized.createSession().step(Float32Array.of(0.1, 0.9), output);
 * ```
 */
export type SessionOutput = OutputArray | { readonly [name: string]: OutputArray };

/**
 * Max number of elements of a value over all rows and steps that run together: wide models run
 * fewer steps at a time than `maxSteps`, so that their buffers do not outgrow their weights.
 */
export const BUFFERED_VALUES = 262144;

/**
 * Requires `size` real numbers, or integers of the accepted qparams; returns whether they are real
 * numbers.
 */
function checkArray(
  name: string,
  data: SessionInput,
  q: PerTensorQParams | null,
  vocabulary: number,
  size: number,
): boolean {
  const reals = vocabulary === 0 && isFloat32Array(data);
  if (!reals && (q === null || !isOfDType(data, q.dtype))) {
    const reals = `a Float32Array${q ? ` or an array of ${q.dtype}` : ""}`;
    failType(name, vocabulary > 0 ? "an Int32Array of token ids" : reals, data);
  }
  checkLength(name, data.length, size);
  return reals;
}

/** The caller's index of a row of a chunk [steps, batch]; `all` as for `Session.#take`. */
function callersRow(row: number, batch: number, done: number, all: number): number {
  const b = row % batch;
  return all > 0 ? b * all + done + (row - b) / batch : done * batch + row;
}

/** Requires that input and output do not share a byte. */
function checkApart(name: string, input: SessionInput, output: OutputArray): void {
  if (
    input.buffer === output.buffer &&
    input.byteOffset < output.byteOffset + output.byteLength &&
    output.byteOffset < input.byteOffset + input.byteLength
  ) {
    failRange("output", `memory apart from that of ${name}`, "the same memory");
  }
}

/** A program's modules, prepared for some kernels, which its sessions share. */
export interface ReadyModules {
  /** In the order of its nodes. */
  readonly modules: readonly ModuleInstance[];
  /** Buffers for values, sized for the session with the largest need. */
  readonly buffers: Float64Array[];
}

/**
 * A node with everything that it needs to run: bound once, because it does not change between
 * calls.
 */
interface RunningNode {
  readonly module: ModuleInstance;
  readonly state: ModuleState;
  /** The time axis of its input. */
  readonly time: Time;
  readonly call: Call;
  /** Buffers of its inputs, before they are converted to its own qparams. */
  readonly buffers: readonly Float64Array[];
  /** Its inputs; the first node may read the caller's array directly. */
  readonly inputs: Values[];
  /** Its output; the last node may write to the caller's array directly. */
  output: Values;
}

/** An output of the model in the current call. */
interface RunningOutput {
  readonly port: ProgramOutput;
  /** The buffer that it is copied from. */
  readonly values: Float64Array;
  /** The caller's array (null before the first call), and whether it is for real numbers. */
  array: OutputArray | null;
  reals: boolean;
}

/** The states of all modules, by index of module. */
type States = readonly ModuleState[];

/**
 * Rejects a method that models which look ahead do not have.
 *
 * @throws {TypeError} If the model looks ahead.
 */
export function refuseLookahead({ looksAhead }: ProgramData, method: string): void {
  if (looksAhead) failType(method, "run, since the model reads whole sequences", method);
}

/**
 * A running model, without saving and restoring its state. Steps allocate nothing, except in
 * modules that run by parts, and a few views in dynamic modules.
 *
 * A dynamically quantized module computes its range over all rows and steps that run together: the
 * rows of a batch, and up to `maxSteps` steps of a `run`. Its result for a step therefore depends
 * on the others, as in torch.
 *
 * @example
 * ```ts
 * import { compileModel, LSTM, quantize } from "@splitgate/splitgate";
 * import { type BasicSession, loadProgram } from "@splitgate/splitgate/runtime";
 * import { assertEquals } from "@std/assert";
 * const x = Float32Array.of(0.1, -0.4, 0.9, 0.3);
 * const { model } = await quantize(new LSTM({ inputSize: 2, hiddenSize: 3 }), [x]);
 * const session: BasicSession = loadProgram(compileModel(model)).createSession();
 * const output = new Float32Array(3);
 * session.step(x.subarray(0, 2), output);
 * assertEquals([session.batch, output.some((value) => value !== 0)], [1, true]);
 * ```
 */
export class BasicSession {
  /** Number of sequences that run side by side. */
  readonly batch: number;
  /**
   * Max number of steps that `run` runs at a time; for a model that looks ahead, the max length of
   * a sequence.
   */
  readonly maxSteps: number;
  /**
   * Bytes of state, scratch and buffers of the session (weights and tables belong to the model).
   */
  readonly workingBytes: number;
  /**
   * The model's data.
   *
   * @internal
   */
  protected readonly data: ProgramData;
  /**
   * The states of all modules, by index of module.
   *
   * @internal
   */
  protected readonly states: States;
  readonly #modules: readonly ModuleInstance[];
  readonly #nodes: readonly RunningNode[];
  readonly #outputs: readonly RunningOutput[];
  /** The buffer of the model's input. */
  readonly #input: Float64Array;
  /**
   * Whether the first node accepts the caller's real numbers, and the last node returns real
   * numbers.
   */
  readonly #takesReals: boolean;
  readonly #givesReals: boolean;
  /**
   * Number of steps that run at a time: `maxSteps`, or fewer if they would need too much memory and
   * the results are the same.
   */
  readonly #together: number;
  /** Number of steps left in each row. */
  readonly #left: Int32Array;
  /** The time axes, with the steps that run at a time. */
  readonly #times: Time[];
  /** How often lengths were read. */
  #reads = 0;
  /** Copies of the states, restored when a call fails; empty if no call can fail. */
  readonly #copies: States;

  /** Called by `createSession` of a model or a program. */
  constructor(
    data: ProgramData,
    { modules, buffers }: ReadyModules,
    batch: number,
    maxSteps: number,
    splitGates: boolean | undefined,
  ) {
    const { looksAhead, nodes, oneReader, oneGiver } = data;
    this.batch = batch;
    this.maxSteps = maxSteps;
    this.data = data;
    this.#modules = modules;
    this.#left = new Int32Array(batch);
    this.#times = [0, 1, ...data.axes].map(() => ({ steps: 1, lengths: null }));
    const steps = this.#together = looksAhead || modules.some(({ mixesSteps }) => mixesSteps)
      ? maxSteps
      : Math.min(maxSteps, Math.max(1, Math.floor(BUFFERED_VALUES / batch / data.widest)));
    const stepsByAxis = this.countSteps(steps, null).map((time) => time.steps);
    let bytes = batch * 4;
    data.buffers.forEach((rows, i) => {
      bytes += reserveBuffer(
        buffers,
        i,
        batch * Math.max(...rows.map((row, k) => row * stepsByAxis[k]!)),
      );
    });
    this.#nodes = nodes.map(({ program, axis, inputs, buffer }, i) => {
      const module = modules[i]!;
      const call = createCall(0, batch);
      call.splitGates = splitGates ?? program.splitGates ?? false;
      bytes += module.reserve?.(batch, stepsByAxis[axis]!, call.splitGates) ?? 0;
      return {
        module,
        state: module.createState?.(batch) ?? createSlots(program, batch),
        time: this.#times[axis]!,
        call,
        buffers: inputs.map(({ buffer }) => buffers[buffer]!),
        inputs: inputs.map(({ converted }) => buffers[converted]!),
        output: buffers[buffer]!,
      };
    });
    this.states = this.#nodes.map(({ state }) => state);
    // A model that looks ahead keeps no state.
    this.#copies = looksAhead || modules.every(({ infallible }) => infallible)
      ? []
      : nodes.map(({ program }) => createSlots(program, batch));
    for (const states of [this.states, this.#copies]) {
      states.forEach((state, s) =>
        nodes[s]!.program.slots?.forEach(({ name }) => bytes += state[name]!.byteLength)
      );
    }
    this.#input = buffers[0]!;
    this.#outputs = data.outputs.map((port) => (
      { port, values: buffers[port.buffer]!, array: null, reals: false }
    ));
    this.#takesReals = oneReader && !!modules[0]!.takesReals;
    this.#givesReals = oneGiver && !!modules.at(-1)!.givesReals;
    this.workingBytes = bytes;
  }

  /**
   * Runs one time step.
   *
   * @param input [batch, inputSize] real numbers or integers of the model's input dtype, or [batch]
   * token ids (Int32Array). Nothing may write to it while the step runs.
   * @param output [batch, outputSize]: a Float32Array receives real numbers, an array of the output
   * dtype integers. For a model with several outputs: an object with an array for each name. It may
   * share its buffer with `input`, but if a call has more than one row, or the model several
   * outputs, no byte. (Two SharedArrayBuffers over the same memory look like different memories;
   * take care of these yourself.)
   * @throws {RangeError} If a length, a token id or a value is wrong, if `output` overlaps `input`,
   * or if a float32 result overflows. After any error, the state is unchanged, and the content of
   * `output` is undefined.
   * @throws {RangeError} If a length, a token id or a value is wrong, `output` overlaps `input`, or
   * a float32 result overflows. Whatever is thrown, the state is unchanged then; what `output`
   * holds means nothing.
   */
  step(input: SessionInput, output: SessionOutput): void {
    refuseLookahead(this.data, "step");
    this.#run("input", input, output, 1);
  }

  /**
   * Runs many steps: continues from the state or, if the model looks ahead, runs a whole sequence
   * from the initial state.
   *
   * @param sequence [steps, batch, inputSize], or [batch, steps, inputSize] if the model is
   * batchFirst; as for {@linkcode step}.
   * @param output [steps, batch, outputSize], or [batch, steps, outputSize] if the model is
   * batchFirst, or [batch, outputSize] if it returns one row per sequence; as for {@linkcode step}.
   * @param lengths Number of steps of each row, from 0 to all steps; all by default. Each row gives
   * the same results as alone: after its last step its output is real 0 and its state stays the
   * same. Lengths are read once, before anything else.
   * @throws {RangeError} If a length, a token id or a value is wrong, if `output` overlaps
   * `sequence`, if a model that looks ahead gets more than `maxSteps` steps, or if a float32 result
   * overflows. After any error, the state is unchanged, and the content of `output` is undefined.
   * @throws {RangeError} If a length, a token id or a value is wrong, `output` overlaps `sequence`,
   * a model that looks ahead is given more than `maxSteps` steps, or a float32 result overflows.
   * Whatever is thrown, the state is unchanged then; what `output` holds means nothing.
   */
  run(sequence: SessionInput, output: SessionOutput, lengths?: ArrayLike<number>): void {
    const { maxSteps } = this;
    const { input, looksAhead } = this.data;
    const width = this.batch * input.size;
    const steps = sequence?.length / width;
    // NaN for a value that is not an array.
    if (steps < 1 || steps % 1) {
      failRange("sequence", `a positive multiple of ${width} elements`, sequence.length);
    }
    if (looksAhead && steps > maxSteps) {
      failRange("sequence", `at most maxSteps = ${maxSteps} steps`, steps);
    }
    this.#run("sequence", sequence, output, steps, lengths);
  }

  /**
   * Counts the steps of each time axis, and those of its rows.
   *
   * @param lengths Number of steps of each row of the input; null if every row has all steps.
   * @internal
   */
  protected countSteps(
    steps: number,
    lengths: Int32Array | null,
  ): readonly Time[] {
    const { axes } = this.data;
    const times = this.#times;
    times[1]!.steps = steps;
    times[1]!.lengths = lengths;
    for (let i = 0; i < axes.length; i++) {
      const { from, node } = axes[i]!;
      this.#modules[node]!.countSteps!(times[from]!, times[i + 2]!);
    }
    return times;
  }

  /** Reads the rows' lengths. This may run code of the caller, which might run this session. */
  #readLengths(lengths: ArrayLike<number>, steps: number): void {
    const { batch } = this;
    const read = ++this.#reads;
    checkLength("lengths", lengths?.length, batch);
    for (let b = 0; b < batch; b++) {
      this.#left[b] = checkInteger(`lengths[${b}]`, lengths[b], 0, steps);
    }
    if (read !== this.#reads) failRange("lengths", "numbers", "code that runs the session");
  }

  /** Sets the arrays for outputs; by name if there are several. */
  #takeOutputs(name: string, input: SessionInput, given: SessionOutput, steps: number): void {
    const { names } = this.data;
    const outputs = this.#outputs;
    const several = outputs.length > 1;
    const arrays = given as { readonly [name: string]: OutputArray };
    for (const key in several ? arrays : null) {
      if (!names.includes(key)) failRange("output", `arrays for ${names.join(", ")}`, key);
    }
    // A single row is read completely before its output is written.
    const apart = several || steps * this.batch > 1;
    for (let i = 0; i < outputs.length; i++) {
      const output = outputs[i]!;
      const { label, size, qparams, axis } = output.port;
      const array = several ? arrays?.[names[i]!]! : given as OutputArray;
      const length = this.#times[axis]!.steps * this.batch * size;
      output.reals = checkArray(label, array, qparams, 0, length);
      output.array = array;
      if (apart) checkApart(name, input, array);
      for (let k = 0; k < i; k++) checkApart(outputs[k]!.port.label, outputs[k]!.array!, array);
    }
  }

  #run(
    name: string,
    input: SessionInput,
    output: SessionOutput,
    steps: number,
    lengths?: ArrayLike<number>,
  ): void {
    const { vocabulary, input: { size }, given, looksAhead } = this.data;
    if (lengths !== undefined) this.#readLengths(lengths, steps);
    const reals = checkArray(name, input, given, vocabulary, steps * this.batch * size);
    this.countSteps(steps, lengths === undefined ? null : this.#left);
    this.#takeOutputs(name, input, output, steps);
    if (reals) checkFinite(name, input);
    else checkEach(name, input, given!.quantMin, given!.quantMax);
    if (looksAhead) this.reset();
    if (this.#copies.length === 0) return this.#runAll(input, reals, steps);
    this.#copyStates(this.states, this.#copies);
    try {
      this.#runAll(input, reals, steps);
    } catch (error) {
      this.#copyStates(this.#copies, this.states);
      throw error;
    }
  }

  #copyStates(from: States, to: States): void {
    for (let s = 0; s < from.length; s++) {
      for (const name in this.#copies[s]) to[s]![name]!.set(from[s]![name]!);
    }
  }

  /** Runs all steps, as many at a time as fit in memory. */
  #runAll(input: SessionInput, reals: boolean, steps: number): void {
    const { batch } = this;
    const { batchFirst, input: { size } } = this.data;
    const nodes = this.#nodes;
    const first = nodes[0]!;
    const last = nodes[nodes.length - 1]!;
    const output = this.#outputs[0]!;
    const time = this.#times[1]!;
    const { lengths: left } = time;
    const together = this.#together;
    // Modules take [steps, batch, ...]. With one step or one row, both orders are the same.
    const swaps = batchFirst && batch > 1 && steps > 1;
    // Kernels that quantize take the caller's real numbers directly, and kernels that dequantize
    // return them.
    const takes = first.call.realsIn = reals && this.#takesReals && !swaps;
    const gives = last.call.realsOut = output.reals && this.#givesReals && left === null && !swaps;
    if (this.#takesReals) first.inputs[0] = takes ? input as Float32Array : this.#input;
    if (this.#givesReals) last.output = gives ? output.array as Float32Array : output.values;
    for (let done = 0; done < steps; done += together) {
      const count = time.steps = Math.min(together, steps - done);
      first.call.inputOffset = done * batch * size;
      last.call.outputOffset = done * batch * output.port.size;
      if (!takes) this.#take(input, reals, done, count, swaps ? steps : 0);
      this.#runNodes(true);
      if (!gives) this.#give(true, done, steps);
      for (let b = 0; left !== null && b < left.length; b++) {
        left[b] = Math.max(0, left[b]! - count);
      }
    }
    // Modules after the end of time run once for all steps. If the only output comes from a last
    // node with time, there are none.
    if (this.data.oneGiver) return;
    this.#runNodes(false);
    this.#give(false, 0, 1);
  }

  /** Runs the nodes before the end of time, or those after it. */
  #runNodes(time: boolean): void {
    const nodes = this.#nodes;
    for (let s = 0; s < nodes.length; s++) {
      const node = nodes[s]!;
      if ((node.time !== this.#times[0]) !== time) continue;
      const { module, state, call, buffers, inputs, output } = node;
      const { steps, lengths } = node.time;
      call.steps = steps;
      call.lengths = lengths;
      for (let k = 0; k < inputs.length; k++) {
        const from = buffers[k]!;
        const to = inputs[k]!;
        if (call.realsIn || from === to) continue;
        const { program, inputs: { [k]: port } } = this.data.nodes[s]!;
        const { size, qparams } = program.inputs[k]!;
        const length = steps * this.batch * size;
        for (let i = 0; i < length; i++) to[i] = from[i]!;
        convertCentered(to, 0, length, port!.given, qparams);
      }
      module.process(state, inputs, output, call);
    }
  }

  /**
   * Copies the caller's rows of `steps` steps, from step `done` on, to the input of the first
   * module.
   *
   * @param all Number of steps of the whole sequence if it is [batch, steps, ...]; 0 if it is
   * [steps, batch, ...].
   */
  #take(input: SessionInput, reals: boolean, done: number, steps: number, all: number): void {
    const { input: { size: width }, given } = this.data;
    const { batch } = this;
    const x = this.#input;
    const rows = steps * batch;
    const span = all > 0 ? 1 : rows;
    const size = span * width;
    for (let row = 0; row < rows; row += span) {
      const at = callersRow(row, batch, done, all) * width;
      const to = row * width;
      if (reals && given !== null) quantizeCentered(input, at, x, to, size, given);
      else {
        const zero = given === null ? 0 : given.zeroPoint;
        for (let i = 0; i < size; i++) x[to + i] = input[at + i]! - zero;
      }
    }
  }

  /**
   * Copies the rows of outputs before the end of time, or of those after it, to the caller: from
   * step `done` on, out of `all` steps.
   */
  #give(time: boolean, done: number, all: number): void {
    const { batch } = this;
    for (let i = 0; i < this.#outputs.length; i++) {
      const { port, values, array, reals } = this.#outputs[i]!;
      const { size, qparams: q, axis } = port;
      const { steps, lengths } = this.#times[axis]!;
      if (port.time !== time) continue;
      // Outputs with another time axis than the input are copied as a whole.
      const whole = axis === 1 ? all : steps;
      const swapped = this.data.batchFirst && whole > 1 && batch > 1 ? whole : 0;
      const zero = reals || q === null ? 0 : q.zeroPoint;
      const rows = steps * batch;
      const span = swapped > 0 || lengths !== null ? 1 : rows;
      for (let row = 0; row < rows; row += span) {
        const from = row * size;
        const to = callersRow(row, batch, done, swapped) * size;
        const end = to + span * size;
        if (lengths !== null && Math.floor(row / batch) >= lengths[row % batch]!) {
          array!.fill(zero, to, end);
        } else if (q !== null && reals) {
          for (let k = to; k < end; k++) {
            array![k] = dequantizeValue(values[from + k - to]!, q.scale, 0);
          }
        } else {
          // Subtraction of -zeroPoint, because y + zeroPoint would turn -0 into 0.
          const shift = 0 - zero;
          for (let k = to; k < end; k++) array![k] = values[from + k - to]! - shift;
        }
      }
    }
  }

  /**
   * Resets the state to its initial value, all zeros.
   *
   * @param row The batch row to reset; all by default.
   * @throws {TypeError | RangeError} If it is not an integer in 0..batch - 1.
   */
  reset(row?: number): void {
    if (row !== undefined) checkInteger("row", row, 0, this.batch - 1);
    const rows = row === undefined ? this.batch : 1;
    this.data.nodes.forEach(({ program }, s) =>
      program.slots?.forEach(({ name, size, groups, initial }) =>
        groups.forEach((_, group) => {
          const at = (group * this.batch + (row ?? 0)) * size;
          this.states[s]![name]!.fill(initial ?? 0, at, at + rows * size);
        })
      )
    );
  }
}
