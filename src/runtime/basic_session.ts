/**
 * Sessions that run: a quantized model, its state, and memory for its steps. What saves and restores
 * a state is in session.ts, which workers that need none of it do not load.
 *
 * @module
 */
import { dequantizeValue } from "../../kernels/numeric/requantize.ts";
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import { dtypeOf, type QArray } from "../core/dtype.ts";
import {
  checkEach,
  checkFinite,
  checkInteger,
  checkLength,
  failRange,
  failType,
} from "../core/errors.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import type { ProgramData } from "./data.ts";
import {
  type Backend,
  type Call,
  createCall,
  createSlots,
  type ModuleInstance,
  type ModuleState,
  reserveBuffer,
  type Slot,
  type Time,
  type Values,
} from "./kind.ts";
import { convertCentered, quantizeCentered } from "./centered.ts";

/** Options of a session. */
export interface SessionOptions {
  /** Sequences that run side by side; 1 by default. */
  readonly batch?: number;
  /**
   * Most steps that `run` takes at a time, for which memory is allocated; 16 by default. Fewer are
   * taken together where a model is so wide that they would need megabytes: the results are the
   * same. For a model that looks ahead the longest sequence; 256 by default.
   */
  readonly maxSteps?: number;
  /**
   * Whether gates run split; by default as the model says. The results are the same. SIMD kernels
   * project the inputs of up to `maxSteps` steps at once where gates are fused, in 16 bytes a unit
   * and step of an LSTM (12 of a GRU), up to 64 KB; where they are split, those of some units of one
   * step, which is less memory and takes longer where many steps run together.
   */
  readonly splitGates?: boolean;
  /** What runs modules; the portable kernels by default, `simdKernels()` for WebAssembly SIMD. */
  readonly kernels?: Backend | undefined;
}

/** Input of a session: token ids, reals, or integers of the model's input dtype. */
export type SessionInput = Int32Array | Float32Array | QArray;

/** One output of a session: reals, or integers of the output's dtype. */
export type OutputArray = Float32Array | QArray;

/** Output of a session; of a model with several outputs an object of them, by name. */
export type SessionOutput = OutputArray | { readonly [name: string]: OutputArray };

/**
 * Steps are run together until a value has so many elements, of all rows: wide models take fewer
 * steps at a time than `maxSteps`, so that what they work in does not outgrow their weights.
 */
export const BUFFERED_VALUES = 262144;

/**
 * Requires `size` reals, or integers of the parameters that are taken; tells whether they are
 * reals.
 */
function checkArray(
  name: string,
  data: SessionInput,
  q: PerTensorQParams | null,
  vocabulary: number,
  size: number,
): boolean {
  const reals = vocabulary === 0 && isFloat32Array(data);
  if (!reals && (q === null || dtypeOf(data) !== q.dtype)) {
    const reals = `a Float32Array${q ? ` or an array of ${q.dtype}` : ""}`;
    failType(name, vocabulary > 0 ? "an Int32Array of token ids" : reals, data);
  }
  checkLength(name, data.length, size);
  return reals;
}

/** The index of a chunk's row, [steps, batch], among the caller's; `all` as for `Session.#take`. */
function callersRow(row: number, batch: number, done: number, all: number): number {
  const b = row % batch;
  return all > 0 ? b * all + done + (row - b) / batch : done * batch + row;
}

/** Requires that no byte of the output is one of the input. */
function checkApart(name: string, input: SessionInput, output: OutputArray): void {
  if (
    input.buffer === output.buffer &&
    input.byteOffset < output.byteOffset + output.byteLength &&
    output.byteOffset < input.byteOffset + input.byteLength
  ) {
    failRange("output", `memory apart from that of ${name}`, "the same memory");
  }
}

/** A program's modules made ready by one choice of kernels, which its sessions share. */
export interface ReadyModules {
  /** In the order of its nodes. */
  readonly modules: readonly ModuleInstance[];
  /** The buffers that values stand in: as long as the session that asked for most needs. */
  readonly buffers: Float64Array[];
}

/** What modules keep between steps, by the index of each. */
type States = readonly ModuleState[];

function copyStates(slots: readonly (readonly Slot[])[], from: States, to: States): void {
  for (let s = 0; s < slots.length; s++) {
    for (const { name } of slots[s]!) to[s]![name]!.set(from[s]![name]!);
  }
}

/**
 * Refuses a method of sessions that a model which looks ahead does not have.
 *
 * @throws {TypeError} If the model looks ahead.
 */
export function refuseLookahead({ looksAhead }: ProgramData, method: string): void {
  if (looksAhead) failType(method, "run, since the model reads whole sequences", method);
}

/**
 * A running model, without what saves and restores its state. Steps allocate nothing (but where a
 * module runs by parts; a dynamic module's, a few views).
 *
 * A dynamically quantized module sees what one call gives it at once: the rows of a batch share a
 * range, and so do the steps of a `run`, up to `maxSteps` at a time. Its results for a step thus
 * depend on these, as torch's do.
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
  /** Sequences that run side by side. */
  readonly batch: number;
  /** Steps that `run` takes at a time; of a model that looks ahead the longest sequence. */
  readonly maxSteps: number;
  /**
   * Bytes of state, scratch and buffers that the session works in (weights and tables belong to the
   * model).
   */
  readonly workingBytes: number;
  /**
   * The model's numbers.
   *
   * @internal
   */
  protected readonly data: ProgramData;
  /**
   * What modules keep between steps, by the index of each.
   *
   * @internal
   */
  protected readonly states: States;
  readonly #modules: readonly ModuleInstance[];
  readonly #buffers: readonly Float64Array[];
  readonly #slots: readonly (readonly Slot[])[];
  readonly #splitGates: readonly boolean[];
  /** What each node reads in the running call. */
  readonly #inputs: readonly Values[][];
  /** What the running call gives, in the order of the model's outputs. */
  readonly #outputs: OutputArray[] = [];
  /** Whether each of these is for reals. */
  readonly #realsOut: boolean[] = [];
  /** Whether the running call was given reals. */
  #reals = false;
  readonly #call: Call;
  /**
   * Steps that are run at a time: `maxSteps`, or fewer where they need too much memory and do not
   * change results.
   */
  readonly #together: number;
  /** Steps that each row has left. */
  readonly #left: Int32Array;
  /** What runs at once, by axis of time. */
  readonly #times: Time[] = [{ steps: 1, lengths: null }, { steps: 1, lengths: null }];
  /** How often lengths were read. */
  #reads = 0;
  /** Whether a call can fail when a state has moved. */
  readonly #canFail: boolean;
  /** Copies of the states, which such a call puts back. */
  readonly #copies: States;

  /** Called by `createSession` of a model or a program. */
  constructor(
    data: ProgramData,
    { modules, buffers }: ReadyModules,
    batch: number,
    maxSteps: number,
    splitGates: boolean | undefined,
  ) {
    const { looksAhead, nodes, buffers: sizes } = data;
    this.batch = batch;
    this.maxSteps = maxSteps;
    this.data = data;
    this.#modules = modules;
    this.#buffers = buffers;
    this.#left = new Int32Array(batch);
    this.#call = createCall(0, batch);
    const steps = this.#together = looksAhead || modules.some(({ mixesSteps }) => mixesSteps)
      ? maxSteps
      : Math.min(maxSteps, Math.max(1, Math.floor(BUFFERED_VALUES / batch / data.widest)));
    const slots = this.#slots = nodes.map(({ program }) => program.slots ?? []);
    const canFail = this.#canFail = !looksAhead && !modules.every(({ infallible }) => infallible);
    data.axes.forEach(() => this.#times.push({ ...this.#times[0]! }));
    const most = this.countSteps(steps, null).map((time) => time.steps);
    let bytes = batch * 4;
    sizes.forEach((rows, i) => {
      bytes += reserveBuffer(buffers, i, batch * Math.max(...rows.map((row, k) => row * most[k]!)));
    });
    this.#splitGates = nodes.map(({ program }) => splitGates ?? program.splitGates ?? false);
    this.states = modules.map((run, i) => {
      const { program, axis } = nodes[i]!;
      bytes += run.reserve?.(batch, most[axis]!, this.#splitGates[i]!) ?? 0;
      return run.createState?.(batch) ?? createSlots(program, batch);
    });
    this.#copies = canFail ? nodes.map(({ program }) => createSlots(program, batch)) : [];
    for (const states of [this.states, this.#copies]) {
      states.forEach((state, s) =>
        slots[s]!.forEach(({ name }) => bytes += state[name]!.byteLength)
      );
    }
    this.#inputs = nodes.map(({ inputs }) => inputs.map(() => buffers[0]!));
    this.workingBytes = bytes;
  }

  /**
   * One time step.
   *
   * @param input [batch, inputSize] reals or integers of the model's input dtype, or [batch] token
   * ids (Int32Array). Nothing may write to it while the step runs.
   * @param output [batch, outputSize]: a Float32Array receives reals, an array of the output dtype
   * integers. Of a model with several outputs an object of them, by name. It may share a buffer
   * with `input`; where a call has more than one row, or the model several outputs, no byte. (Two
   * SharedArrayBuffers over the same memory cannot be told from two memories: mind them.)
   * @throws {TypeError} If an array is of the wrong kind, or the model looks ahead.
   * @throws {RangeError} If a length, a token id or a value is wrong, `output` overlaps `input`, or
   * a float32 result overflows. Whatever is thrown, the state is unchanged then; what `output`
   * holds means nothing.
   */
  step(input: SessionInput, output: SessionOutput): void {
    refuseLookahead(this.data, "step");
    this.#run("input", input, output, 1);
  }

  /**
   * Many steps: continues from the state, or, where the model looks ahead, runs a whole sequence
   * from the initial state.
   *
   * @param sequence [steps, batch, inputSize], or [batch, steps, inputSize] where the model is
   * batchFirst; as for {@linkcode step}.
   * @param output [steps, batch, outputSize], or [batch, steps, outputSize] where the model is
   * batchFirst, or [batch, outputSize] where it gives one row for the sequence; as for
   * {@linkcode step}.
   * @param lengths Steps of each row, 0 to the sequence's; all by default. Each row is as if it ran
   * alone: beyond its length the output is real 0 and its state stays. They are read once, before
   * anything else.
   * @throws {TypeError} If an array is of the wrong kind.
   * @throws {RangeError} If a length, a token id or a value is wrong, `output` overlaps `sequence`,
   * a model that looks ahead is given more than `maxSteps` steps, or a float32 result overflows.
   * Whatever is thrown, the state is unchanged then; what `output` holds means nothing.
   */
  run(sequence: SessionInput, output: SessionOutput, lengths?: ArrayLike<number>): void {
    const { maxSteps } = this;
    const { input, looksAhead } = this.data;
    const width = this.batch * input.size;
    const steps = sequence?.length / width;
    // NaN where it is no array at all.
    if (steps < 1 || steps % 1) {
      failRange("sequence", `a positive multiple of ${width} elements`, sequence.length);
    }
    if (looksAhead && steps > maxSteps) {
      failRange("sequence", `at most maxSteps = ${maxSteps} steps`, steps);
    }
    this.#run("sequence", sequence, output, steps, lengths);
  }

  /**
   * Counts the steps of each axis of time, and those of its rows.
   *
   * @param lengths Steps of each row of the input; null where all have all.
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

  /**
   * Takes the rows' lengths. To read them may run code of the caller, which may run this session.
   */
  #readLengths(lengths: ArrayLike<number>, steps: number): void {
    const { batch } = this;
    const read = ++this.#reads;
    checkLength("lengths", lengths?.length, batch);
    for (let b = 0; b < batch; b++) {
      this.#left[b] = checkInteger(`lengths[${b}]`, lengths[b], 0, steps);
    }
    if (read !== this.#reads) failRange("lengths", "numbers", "code that runs the session");
  }

  /** Takes the arrays for outputs, by name where there are several. */
  #takeOutputs(name: string, input: SessionInput, given: SessionOutput, steps: number): void {
    const { names, outputs } = this.data;
    const several = outputs.length > 1;
    const arrays = given as { readonly [name: string]: OutputArray };
    if (several) {
      for (const key in arrays) {
        if (!names.includes(key)) failRange("output", `arrays for ${names.join(", ")}`, key);
      }
    }
    const rows = steps * this.batch;
    for (let i = 0; i < outputs.length; i++) {
      const { label, size, qparams, axis } = outputs[i]!;
      const array = several ? arrays?.[names[i]!]! : given as OutputArray;
      const length = this.#times[axis]!.steps * this.batch * size;
      this.#realsOut[i] = checkArray(label, array, qparams, 0, length);
      this.#outputs[i] = array;
      // One row is read before any of it is written.
      if (!several && rows === 1) return;
      checkApart(name, input, array);
      for (let k = 0; k < i; k++) checkApart(outputs[k]!.label, this.#outputs[k]!, array);
    }
  }

  #run(
    name: string,
    input: SessionInput,
    output: SessionOutput,
    steps: number,
    lengths?: ArrayLike<number>,
  ): void {
    const { vocabulary, input: { size: width }, given, looksAhead } = this.data;
    const { batch } = this;
    if (lengths !== undefined) this.#readLengths(lengths, steps);
    const size = steps * batch * width;
    const reals = this.#reals = checkArray(name, input, given, vocabulary, size);
    this.countSteps(steps, lengths === undefined ? null : this.#left);
    this.#takeOutputs(name, input, output, steps);
    if (reals) checkFinite(name, input);
    else checkEach(name, input, given!.quantMin, given!.quantMax);
    if (looksAhead) this.reset();
    if (!this.#canFail) return this.#runAll(input, steps);
    copyStates(this.#slots, this.states, this.#copies);
    try {
      this.#runAll(input, steps);
    } catch (error) {
      copyStates(this.#slots, this.#copies, this.states);
      throw error;
    }
  }

  /** Runs all steps, as many at a time as there is memory for. */
  #runAll(input: SessionInput, steps: number): void {
    const together = this.#together;
    const { lengths: left } = this.#times[1]!;
    for (let done = 0; done < steps; done += together) {
      const count = Math.min(together, steps - done);
      this.#process(input, done, count, steps);
      for (let b = 0; left !== null && b < left.length; b++) {
        left[b] = Math.max(0, left[b]! - count);
      }
    }
    // What stands behind the end of time runs once for all steps. Behind one giver is none.
    if (!this.data.oneGiver) this.#runNodes(false, null, false, 0, 1);
  }

  /** Runs `steps` of `all` steps, from step `done` on. */
  #process(
    input: SessionInput,
    done: number,
    steps: number,
    all: number,
  ): void {
    const { input: { size }, outputs, batchFirst, oneReader, oneGiver } = this.data;
    const modules = this.#modules;
    const { batch } = this;
    const first = done * batch;
    // Modules take [steps, batch, ...]. Of one step or one row both orders are the same.
    const swaps = batchFirst && batch > 1 && all > 1;
    // Reals go to kernels that quantize, and come from ones that dequantize, as they are.
    const takes = this.#reals && oneReader && modules[0]!.takesReals === true && !swaps;
    const gives = this.#realsOut[0]! && oneGiver &&
      modules[modules.length - 1]!.givesReals === true && this.#times[1]!.lengths === null &&
      !swaps;
    const call = this.#call;
    this.#times[1]!.steps = steps;
    call.inputOffset = first * size;
    call.outputOffset = first * outputs[0]!.size;
    if (!takes) this.#take(input, done, steps, swaps ? all : 0);
    this.#runNodes(true, takes ? input as Float32Array : null, gives, done, all);
  }

  /**
   * Runs the nodes that are before the end of time, or those behind it, and gives what comes out.
   *
   * @param input Reals that the first node reads; null where it reads its buffer.
   * @param gives Whether the last node writes the first output.
   */
  #runNodes(
    time: boolean,
    input: Float32Array | null,
    gives: boolean,
    done: number,
    all: number,
  ): void {
    const { nodes, outputs } = this.data;
    const call = this.#call;
    const last = nodes.length - 1;
    for (let s = 0; s <= last; s++) {
      const { axis, buffer } = nodes[s]!;
      if (axis > 0 !== time) continue;
      const { steps, lengths } = this.#times[axis]!;
      call.steps = steps;
      call.lengths = lengths;
      const reads = this.#inputs[s]!;
      call.realsIn = s === 0 && input !== null;
      call.realsOut = s === last && gives;
      if (call.realsIn) reads[0] = input!;
      else this.#read(s, reads);
      call.splitGates = this.#splitGates[s]!;
      const to = call.realsOut ? this.#outputs[0] as Float32Array : this.#buffers[buffer]!;
      this.#modules[s]!.process(this.states[s]!, reads, to, call);
    }
    for (let i = 0; i < outputs.length; i++) {
      if (outputs[i]!.axis > 0 === time && !gives) this.#give(i, done, all);
    }
  }

  /** Finds what a node reads, in its own parameters. */
  #read(s: number, reads: Values[]): void {
    const buffers = this.#buffers;
    const { inputs, program } = this.data.nodes[s]!;
    const rows = this.#call.steps * this.batch;
    for (let k = 0; k < inputs.length; k++) {
      const { given, buffer, converted } = inputs[k]!;
      const values = reads[k] = buffers[converted]!;
      if (converted === buffer) continue;
      const { size, qparams } = program.inputs[k]!;
      for (let i = 0; i < rows * size; i++) values[i] = buffers[buffer]![i]!;
      convertCentered(values, 0, rows * size, given, qparams);
    }
  }

  /**
   * Puts the caller's rows of `steps` steps, from step `done` on, where the first module reads
   * them.
   *
   * @param all Steps of the whole sequence where it is [batch, steps, ...]; 0 where it is [steps,
   * batch, ...].
   */
  #take(input: SessionInput, done: number, steps: number, all: number): void {
    const { input: { size: width }, given } = this.data;
    const { batch } = this;
    const x = this.#buffers[0]!;
    const rows = steps * batch;
    const span = all > 0 ? 1 : rows;
    const size = span * width;
    for (let row = 0; row < rows; row += span) {
      const at = callersRow(row, batch, done, all) * width;
      const to = row * width;
      if (this.#reals && given !== null) quantizeCentered(input, at, x, to, size, given);
      else {
        const zero = given === null ? 0 : given.zeroPoint;
        for (let i = 0; i < size; i++) x[to + i] = input[at + i]! - zero;
      }
    }
  }

  /** Gives the caller an output's rows: from step `done` on, of `all` steps that are read. */
  #give(i: number, done: number, all: number): void {
    const { batch } = this;
    const { batchFirst, outputs: { [i]: port } } = this.data;
    const { size, qparams: q, buffer, axis } = port!;
    const { steps, lengths } = this.#times[axis]!;
    // What is not of the input's axis is run as a whole.
    const whole = axis === 1 ? all : steps;
    const swapped = batchFirst && whole > 1 && batch > 1 ? whole : 0;
    const output = this.#outputs[i]!;
    const y = this.#buffers[buffer]!;
    const reals = this.#realsOut[i]!;
    const zero = reals || q === null ? 0 : q.zeroPoint;
    const rows = steps * batch;
    const span = swapped > 0 || lengths !== null ? 1 : rows;
    for (let row = 0; row < rows; row += span) {
      const from = row * size;
      const to = callersRow(row, batch, done, swapped) * size;
      const end = to + span * size;
      if (lengths !== null && Math.floor(row / batch) >= lengths[row % batch]!) {
        output.fill(zero, to, end);
      } else if (q !== null && reals) {
        for (let k = to; k < end; k++) output[k] = dequantizeValue(y[from + k - to]!, q.scale, 0);
      } else {
        // Not y + zeroPoint, which would turn -0 to 0.
        const shift = 0 - zero;
        for (let k = to; k < end; k++) output[k] = y[from + k - to]! - shift;
      }
    }
  }

  /**
   * Back to the initial state, all zeros.
   *
   * @param row The batch row that begins anew; all by default.
   * @throws {TypeError | RangeError} If it is no integer in 0..batch - 1.
   */
  reset(row?: number): void {
    if (row !== undefined) checkInteger("row", row, 0, this.batch - 1);
    this.#slots.forEach((slots, s) => {
      for (const { name, size, groups, initial = 0 } of slots) {
        for (let group = 0; group < groups.length; group++) {
          const at = (group * this.batch + (row ?? 0)) * size;
          this.states[s]![name]!.fill(
            initial,
            at,
            at + (row === undefined ? this.batch : 1) * size,
          );
        }
      }
    });
  }
}
