/**
 * Sessions: a quantized model, its state, and memory for its steps.
 *
 * @module
 */
import { dequantizeValue } from "../../kernels/numeric/requantize.ts";
import { isFloat32Array, isUint8Array } from "../../kernels/numeric/typed_array.ts";
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
import type { Tensor } from "../core/tensor.ts";
import type { OutputPort, RunningModel } from "./data.ts";
import {
  type Backend,
  type Call,
  createSlots,
  type ModuleState,
  reserveBuffer,
  type Slot,
  type Values,
} from "./kind.ts";
import type { Plan, PlannedInput, PlannedNode } from "./plan.ts";
import { convertShifted, quantizeShifted } from "./shifted.ts";

/** Options of a session. */
export interface SessionOptions {
  /** Sequences that run side by side; 1 by default. */
  readonly batch?: number;
  /**
   * Most steps that `run` takes at a time, for which memory is allocated; 16 by default. Fewer are taken together where
   * a model is so wide that they would need megabytes: the results are the same. For a model that looks ahead the
   * longest sequence; 256 by default.
   */
  readonly maxSteps?: number;
  /** Whether gates run split; by default as the model says. The results are the same. */
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

const MAGIC = 0x54534753;
const STATE_VERSION = 2;
const HEADER_BYTES = 20;

/**
 * Most values, of all rows, that go into a module or come out of one at a time, unless one step has more: wide models
 * take fewer steps at a time than `maxSteps`, so that what they work in does not outgrow their weights.
 */
export const BUFFERED_VALUES = 262144;

/** How values of a state are stored. */
type StoredAs = "Float32" | "Uint8" | "Uint16" | "Uint32";

/** One value of a state: which it is in memory, and how it is stored. */
interface StateValue {
  /** The array that it is in, and its index there. */
  readonly array: ModuleState[string];
  readonly index: number;
  /** Its module's index, and its batch row there. */
  readonly node: number;
  readonly row: number;
  /** Where its bytes begin, and what they hold. */
  readonly at: number;
  readonly as: StoredAs;
  /** What it is stored less of, 0 where it is stored as it is, and the largest number that is stored. */
  readonly min: number;
  readonly range: number;
  /** What it is at the beginning of a sequence. */
  readonly initial: number;
  /** Whether it is the mark of a row's first step. */
  readonly mark: boolean;
}

/** Requires `size` reals, or integers of the parameters that are taken; tells whether they are reals. */
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

/** Requires that no byte of the output is one of the input. */
function checkApart(name: string, input: SessionInput, output: OutputArray): void {
  if (
    input.buffer === output.buffer &&
    input.byteOffset < output.byteOffset + output.byteLength &&
    output.byteOffset < input.byteOffset + input.byteLength
  ) {
    failRange("output", `memory apart from that of ${name}`, "memory that overlaps it");
  }
}

/** Arrays of a state that are copied when a call can fail. */
type States = readonly (ModuleState | undefined)[];

function copyStates(nodes: readonly PlannedNode[], from: States, to: States): void {
  for (let s = 0; s < from.length; s++) {
    for (const { name } of nodes[s]!.slots) to[s]![name]!.set(from[s]![name]!);
  }
}

/**
 * A running model. Steps allocate nothing (but where a module runs by parts; a dynamic module's, a few views).
 *
 * A dynamically quantized module sees what one call gives it at once: the rows of a batch share a range, and so do
 * the steps of a `run`, up to `maxSteps` at a time. Its results for a step thus depend on these, as torch's do.
 *
 * @example
 * ```ts
 * import { convert, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { fbgemmQConfig } from "../qconfig/qconfig.ts";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), fbgemmQConfig);
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * const session = model.createSession(), sequence = Float32Array.of(0.1, -0.4, 0.9, 0.3);
 * const whole = new Float32Array(6), step = new Float32Array(3);
 * session.run(sequence, whole);
 * session.reset();
 * session.step(sequence.subarray(0, 2), step);
 * assertEquals(step, whole.subarray(0, 3));
 * session.step(sequence.subarray(2), step);
 * assertEquals(step, whole.subarray(3));
 * ```
 */
export class Session {
  /** Sequences that run side by side. */
  readonly batch: number;
  /** Steps that `run` takes at a time; of a model that looks ahead the longest sequence. */
  readonly maxSteps: number;
  /** Bytes of state, scratch and buffers that the session works in (weights and tables belong to the model). */
  readonly workingBytes: number;
  readonly #model: RunningModel;
  /** Parameters of integers that it takes: token ids have some, too. */
  readonly #given: PerTensorQParams | null;
  readonly #plan: Plan;
  readonly #splitGates: readonly boolean[];
  readonly #states: States;
  /** What each node reads in the running call. */
  readonly #inputs: readonly Values[][];
  /** Names of the model's outputs, and what messages call them. */
  readonly #names: readonly string[];
  readonly #labels: readonly string[];
  /** What the running call gives, in the order of the model's outputs. */
  readonly #outputs: OutputArray[];
  /** Whether each of these is for reals. */
  readonly #realsOut: boolean[];
  /** Whether the running call was given reals. */
  #reals = false;
  readonly #call: Call;
  /** Whether a module ends time, so that what stands behind it runs once for all steps. */
  readonly #ends: boolean;
  /**
   * Steps that are run at a time: `maxSteps`, or fewer where they need too much memory and do not change results.
   */
  readonly #together: number;
  /** Steps that each row has left. */
  readonly #left: Int32Array;
  /** How often lengths were read. */
  #reads = 0;
  /** Steps from which on a call can fail when a state has moved; Infinity where none can. */
  readonly #failsFrom: number;
  /** Copies of the states, which such a call puts back. */
  readonly #copies: States;

  /** Called by `createSession` of a model or a program. */
  constructor(
    model: RunningModel,
    plan: Plan,
    batch: number,
    maxSteps: number,
    splitGates: boolean | undefined,
  ) {
    this.batch = batch;
    this.maxSteps = maxSteps;
    this.#model = model;
    this.#plan = plan;
    this.#given = model.vocabulary === 0
      ? model.input
      : { dtype: "qint32", scale: 1, zeroPoint: 0, quantMin: 0, quantMax: model.vocabulary - 1 };
    this.#left = new Int32Array(batch);
    const { nodes, buffers, sizes } = plan;
    const widest = sizes.reduce((n, { row }) => Math.max(n, row), 0);
    const steps = this.#together = model.looksAhead || nodes.some(({ run }) => run.mixesSteps)
      ? maxSteps
      : Math.max(1, Math.min(maxSteps, Math.floor(BUFFERED_VALUES / (batch * widest))));
    let bytes = batch * 4;
    sizes.forEach(({ row, time }, i) => {
      bytes += reserveBuffer(buffers, i, batch * row * (time ? steps : 1));
    });
    this.#splitGates = nodes.map((node) => splitGates ?? node.splitGates);
    this.#states = nodes.map(({ run, slots, timeIn }, i) => {
      bytes += run.reserve?.(batch, timeIn ? steps : 1, this.#splitGates[i]!) ?? 0;
      if (slots.length === 0) return undefined;
      const state = run.createState?.(batch) ?? createSlots(slots, batch);
      for (const { name } of slots) bytes += state[name]!.byteLength;
      return state;
    });
    this.#inputs = nodes.map(({ inputs }) => inputs.map(({ buffer }) => buffers[buffer]!));
    this.#ends = nodes.some(({ timeOut }) => !timeOut);
    this.#names = model.outputs.map(({ name }) => name);
    this.#labels = this.#names.map((name) => `output.${name}`);
    this.#outputs = [];
    this.#realsOut = [];
    this.#call = {
      steps: 0,
      batch,
      lengths: null,
      splitGates: false,
      inputOffset: 0,
      outputOffset: 0,
    };
    const stateful = this.#states.findIndex((state) => state !== undefined);
    // What fails before a state moves needs no copy, but where steps were run before: those behind
    // the end of time run last.
    const early = nodes.every(({ run, timeIn }, s) => run.infallible || (timeIn && s < stateful));
    this.#failsFrom = stateful < 0 || nodes.every(({ run }) => run.infallible) || model.looksAhead
      ? Infinity
      : early
      ? steps + 1
      : 1;
    this.#copies = this.#states.map((state, s) => {
      if (!state || this.#failsFrom === Infinity) return undefined;
      const copy = createSlots(nodes[s]!.slots, batch);
      for (const slot in copy) bytes += copy[slot]!.byteLength;
      return copy;
    });
    this.workingBytes = bytes;
  }

  /**
   * One time step.
   *
   * @param input [batch, inputSize] reals or integers of the model's input dtype, or [batch] token ids (Int32Array).
   * Nothing may write to it while the step runs.
   * @param output [batch, outputSize]: a Float32Array receives reals, an array of the output dtype integers. Of a model
   * with several outputs an object of them, by name. It may share a buffer with `input`; where a call has
   * more than one row, or the model several outputs, no byte. (Two SharedArrayBuffers over the same memory cannot be
   * told from two memories: mind them.)
   * @throws {TypeError} If an array is of the wrong kind, or the model looks ahead.
   * @throws {RangeError} If a length, a token id or a value is wrong, `output` overlaps `input`, or a float32 result
   * overflows. Whatever is thrown, the state is unchanged then; what `output` holds means nothing.
   */
  step(input: SessionInput, output: SessionOutput): void {
    this.#refuse("step");
    this.#run("input", input, output, 1);
  }

  /**
   * Many steps: continues from the state, or, where the model looks ahead, runs a whole sequence from the initial
   * state.
   *
   * @param sequence [steps, batch, inputSize], or [batch, steps, inputSize] where the model is batchFirst; as for
   * {@linkcode step}.
   * @param output [steps, batch, outputSize], or [batch, steps, outputSize] where the model is batchFirst, or
   * [batch, outputSize] where it gives one row for the sequence; as for {@linkcode step}.
   * @param lengths Steps of each row, 0 to the sequence's; all by default. Each row is as if it ran alone: beyond its
   * length the output is real 0 and its state stays. They are read once, before anything else.
   * @throws {TypeError} If an array is of the wrong kind.
   * @throws {RangeError} If a length, a token id or a value is wrong, `output` overlaps `sequence`, a model that looks
   * ahead is given more than `maxSteps` steps, or a float32 result overflows. Whatever is thrown, the state is unchanged
   * then; what `output` holds means nothing.
   */
  run(sequence: SessionInput, output: SessionOutput, lengths?: ArrayLike<number>): void {
    const { maxSteps } = this;
    const { inputSize, looksAhead } = this.#model;
    const width = this.batch * inputSize;
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

  #refuse(method: string): void {
    if (this.#model.looksAhead) {
      failType(method, "run, since the model reads sequences from both ends", method);
    }
  }

  /** Takes the rows' lengths. To read them may run code of the caller, which may run this session. */
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
    const { outputs } = this.#model;
    if (outputs.length === 1) {
      this.#takeOutput("output", outputs[0]!, 0, given as OutputArray, steps);
      // One row is read before any of it is written.
      if (steps * this.batch > 1) checkApart(name, input, this.#outputs[0]!);
      return;
    }
    const arrays = given as { readonly [name: string]: OutputArray };
    const names = this.#names;
    const labels = this.#labels;
    for (const key in arrays) {
      if (!names.includes(key)) failRange("output", `arrays for ${names.join(", ")}`, key);
    }
    for (let i = 0; i < outputs.length; i++) {
      this.#takeOutput(labels[i]!, outputs[i]!, i, arrays?.[names[i]!]!, steps);
      checkApart(name, input, this.#outputs[i]!);
      for (let k = 0; k < i; k++) checkApart(labels[k]!, this.#outputs[k]!, this.#outputs[i]!);
    }
  }

  #takeOutput(
    name: string,
    { size, qparams, time }: OutputPort,
    i: number,
    array: OutputArray,
    steps: number,
  ): void {
    const length = (time ? steps : 1) * this.batch * size;
    this.#realsOut[i] = checkArray(name, array, qparams, 0, length);
    this.#outputs[i] = array;
  }

  #run(
    name: string,
    input: SessionInput,
    output: SessionOutput,
    steps: number,
    lengths?: ArrayLike<number>,
  ): void {
    const { vocabulary, inputSize, looksAhead } = this.#model;
    const given = this.#given;
    const { batch } = this;
    const together = this.#together;
    const left = this.#left;
    if (lengths !== undefined) this.#readLengths(lengths, steps);
    const size = steps * batch * inputSize;
    const reals = this.#reals = checkArray(name, input, given, vocabulary, size);
    this.#takeOutputs(name, input, output, steps);
    if (reals) checkFinite(name, input);
    else checkEach(name, input, given!.quantMin, given!.quantMax);
    if (looksAhead) this.reset();
    const fails = steps >= this.#failsFrom;
    const { nodes } = this.#plan;
    if (fails) copyStates(nodes, this.#states, this.#copies);
    try {
      for (let done = 0; done < steps; done += together) {
        const count = Math.min(together, steps - done);
        this.#process(input, done, count, steps, lengths ? left : null);
        if (lengths) { for (let b = 0; b < batch; b++) left[b] = Math.max(0, left[b]! - count); }
      }
      if (this.#ends) this.#finish();
    } catch (error) {
      if (fails) copyStates(nodes, this.#copies, this.#states);
      throw error;
    }
  }

  /** Runs `steps` of `all` steps, from step `done` on. */
  #process(
    input: SessionInput,
    done: number,
    steps: number,
    all: number,
    lengths: Int32Array | null,
  ): void {
    const { inputSize, outputs, batchFirst } = this.#model;
    const given = this.#given;
    const { batch } = this;
    const plan = this.#plan;
    const { nodes, buffers } = plan;
    const last = nodes.length - 1;
    const x = buffers[plan.input]!;
    const rows = steps * batch;
    const first = done * batch;
    const at = first * inputSize;
    // Modules take [steps, batch, ...]. Of one step or one row both orders are the same.
    const swap = batchFirst && batch > 1 && all > 1;
    // Reals go to kernels that quantize, and come from ones that dequantize, as they are.
    const takes = plan.oneReader && this.#reals && given !== null && !swap &&
      nodes[0]!.run.takesReals === true;
    const gives = plan.oneOutput && this.#realsOut[0]! && outputs[0]!.qparams !== null &&
      lengths === null && !swap && nodes[last]!.timeOut && nodes[last]!.run.givesReals === true;
    if (swap) {
      for (let row = 0; row < rows; row++) {
        const from = (row % batch) * all + done + Math.floor(row / batch);
        this.#take(input, from * inputSize, x, row * inputSize, inputSize);
      }
    } else if (!takes) this.#take(input, at, x, 0, rows * inputSize);
    const call = this.#call;
    call.steps = steps;
    call.lengths = lengths;
    call.inputOffset = at;
    call.outputOffset = first * outputs[0]!.size;
    for (let s = 0; s <= last; s++) {
      const node = nodes[s]!;
      if (!node.timeIn) break;
      const reads = this.#read(s, node, rows);
      if (s === 0 && takes) reads[0] = input as Float32Array;
      call.splitGates = this.#splitGates[s]!;
      const to = s === last && gives ? this.#outputs[0] as Float32Array : buffers[node.buffer]!;
      node.run.process(this.#states[s]!, reads, to, call);
    }
    if (gives) return;
    for (let i = 0; i < outputs.length; i++) {
      if (outputs[i]!.time) this.#giveSteps(i, done, steps, all, lengths, swap);
    }
  }

  /** What a node reads, in its own parameters. */
  #read(s: number, { inputs }: PlannedNode, rows: number): Values[] {
    const { buffers } = this.#plan;
    const reads = this.#inputs[s]!;
    for (let k = 0; k < inputs.length; k++) {
      const input = inputs[k]!;
      const values = buffers[input.buffer]!;
      reads[k] = input.converted < 0 ? values : this.#convert(input, values, rows);
    }
    return reads;
  }

  /** A value in the parameters that a module reads it in. */
  #convert(
    { buffer, size, given, taken, converted }: PlannedInput,
    values: Float64Array,
    rows: number,
  ): Float64Array {
    const own = this.#plan.buffers[converted]!;
    if (converted !== buffer) { for (let i = 0; i < rows * size; i++) own[i] = values[i]!; }
    convertShifted(own, 0, rows * size, given, taken);
    return own;
  }

  /** Runs what stands behind the end of time, once for all steps. */
  #finish(): void {
    const { nodes, buffers } = this.#plan;
    const { outputs } = this.#model;
    const call = this.#call;
    call.steps = 1;
    call.lengths = null;
    for (let s = 0; s < nodes.length; s++) {
      const node = nodes[s]!;
      if (node.timeIn) continue;
      const reads = this.#read(s, node, this.batch);
      call.splitGates = this.#splitGates[s]!;
      node.run.process(this.#states[s]!, reads, buffers[node.buffer]!, call);
    }
    for (let i = 0; i < outputs.length; i++) {
      const { time, size } = outputs[i]!;
      if (!time) this.#give(i, 0, 0, this.batch * size);
    }
  }

  /** Puts `size` values that a caller gave where the first module reads them. */
  #take(input: SessionInput, at: number, x: Float64Array, to: number, size: number): void {
    const given = this.#given;
    if (this.#reals && given !== null) {
      quantizeShifted(input, at, x, to, size, given);
      return;
    }
    const zero = given === null ? 0 : given.zeroPoint;
    for (let i = 0; i < size; i++) x[to + i] = input[at + i]! - zero;
  }

  /** Gives the caller an output's steps, from step `done` of `all` on. */
  #giveSteps(
    i: number,
    done: number,
    steps: number,
    all: number,
    lengths: Int32Array | null,
    swap: boolean,
  ): void {
    const { batch } = this;
    const { size, qparams } = this.#model.outputs[i]!;
    const output = this.#outputs[i]!;
    const rows = steps * batch;
    const first = done * batch;
    if (!swap) this.#give(i, 0, first * size, rows * size);
    if (!swap && lengths === null) return;
    const zero = this.#realsOut[i]! || qparams === null ? 0 : qparams.zeroPoint;
    for (let row = 0; row < rows; row++) {
      const b = row % batch;
      const t = Math.floor(row / batch);
      const at = (swap ? b * all + done + t : first + row) * size;
      if (lengths !== null && t >= lengths[b]!) output.fill(zero, at, at + size);
      else if (swap) this.#give(i, row * size, at, size);
    }
  }

  /** Gives the caller `size` values of an output. */
  #give(i: number, at: number, to: number, size: number): void {
    const { node } = this.#model.data.outputs[i]!;
    const y = this.#plan.buffers[this.#plan.nodes[node]!.buffer]!;
    const q = this.#model.outputs[i]!.qparams;
    const output = this.#outputs[i]!;
    if (q !== null && this.#realsOut[i]!) {
      for (let k = 0; k < size; k++) output[to + k] = dequantizeValue(y[at + k]!, q.scale, 0);
    } else {
      // Not y + zeroPoint, which would turn -0 to 0.
      const shift = q === null ? 0 : 0 - q.zeroPoint;
      for (let k = 0; k < size; k++) output[to + k] = y[at + k]! - shift;
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
    this.#plan.nodes.forEach(({ slots }, s) => {
      const state = this.#states[s]!;
      for (const { name, size, groups, initial = 0 } of slots) {
        if (row === undefined) state[name]!.fill(initial);
        else {
          for (let group = 0; group < groups.length; group++) {
            const at = (group * this.batch + row) * size;
            state[name]!.fill(initial, at, at + size);
          }
        }
      }
    });
  }

  /** Visits the values of the state in the order of its bytes, and gives the number of these. */
  #visit(visit?: (value: StateValue) => void): number {
    const { batch } = this;
    let at = HEADER_BYTES;
    this.#plan.nodes.forEach(({ slots }, s) => {
      const state = this.#states[s]!;
      const groups = slots[0]?.groups.length ?? 0;
      for (let place = 0; place < groups * batch; place++) {
        const row = place % batch;
        for (const { name, size, groups: qparams, initial = 0, mark = false } of slots) {
          const q = qparams[Math.floor(place / batch)]!;
          const range = mark ? 1 : q === null ? Number.MAX_VALUE : q.quantMax - q.quantMin;
          const bytes = range > 65535 ? 4 : range > 255 ? 2 : 1;
          const as = q === null && !mark ? "Float32" : `Uint${bytes * 8}` as StoredAs;
          const min = q === null ? 0 : q.quantMin - q.zeroPoint;
          const array = state[name]!;
          for (let index = place * size; index < (place + 1) * size; index++, at += bytes) {
            visit?.({ array, index, node: s, row, at, as, min, range, initial, mark });
          }
        }
      }
    });
    return at;
  }

  /** What a state begins with: what it is, whose, and for how many rows. */
  #header(): Uint8Array {
    const { fingerprint } = this.#model.data;
    return new Uint8Array(Int32Array.of(MAGIC, STATE_VERSION, ...fingerprint, this.batch).buffer);
  }

  /**
   * The state as plain bytes: move them to another worker, or keep them and {@linkcode restore} them later.
   *
   * @throws {TypeError} If the model looks ahead and so keeps no state.
   */
  state(): Uint8Array<ArrayBuffer> {
    this.#refuse("state");
    const bytes = new Uint8Array(this.#visit());
    const view = new DataView(bytes.buffer);
    bytes.set(this.#header());
    this.#visit(({ array, index, at, as, min }) => view[`set${as}`](at, array[index]! - min, true));
    return bytes;
  }

  /**
   * Takes up a state that {@linkcode state} gave, in this process or another.
   *
   * @param bytes What `state` gave, for the same model and batch.
   * @throws {TypeError} If `bytes` is no Uint8Array, or the model looks ahead.
   * @throws {RangeError} If it is no state, of another version, model or batch, cut off, or holds what no run gives: a
   * value out of range, a row that has made a step in one layer of a module and none in another, or none and is not at
   * its beginning. The session's own state is unchanged then.
   */
  restore(bytes: Uint8Array): void {
    this.#refuse("restore");
    if (!isUint8Array(bytes)) failType("state", "a Uint8Array", bytes);
    const size = this.#visit();
    // A copy: shared memory could change between the check and the use.
    const given = new Uint8Array(bytes);
    const view = new DataView(given.buffer);
    const model = "a state of this model";
    const version = `version ${STATE_VERSION}`;
    const expected = ["a session's state", version, model, model, `a batch of ${this.batch}`];
    this.#header().forEach((byte, i) => {
      // The version and the batch, words 1 and 4, say something.
      const word = i >> 2;
      const told = word % 3 === 1 && given.length >= HEADER_BYTES;
      if (given[i] !== byte) {
        failRange("state", expected[word]!, told ? view.getInt32(4 * word, true) : "another");
      }
    });
    if (given.length !== size) failRange("state", `${size} bytes`, given.length);
    // By module and row: 1 where it has made no step. A value's mark comes before it.
    const marks: number[][] = this.#plan.nodes.map(() => []);
    this.#visit(({ node, row, at, as, min, range, initial, mark }) => {
      const value = view[`get${as}`](at, true);
      const name = `state[${at}]`;
      if (!(Math.abs(value) <= range)) failRange(name, `at most ${range}`, value);
      if (mark) {
        const first = marks[node]![row] ??= value;
        if (value !== first) failRange(name, `${first}, as the row's first mark`, value);
      } else if (marks[node]![row] === 1 && !Object.is(value, initial - min)) {
        failRange(name, `${initial - min}, since the row has made no step`, value);
      }
    });
    this.#visit(({ array, index, at, as, min }) => {
      const value = view[`get${as}`](at, true);
      // Not value + 0, which would turn -0 to 0.
      array[index] = min === 0 ? value : value + min;
    });
  }

  /** A slot by its name, its module's first, and the arrays of the module. */
  #slot(name: string): { slot: Slot; slots: readonly Slot[]; state: ModuleState } {
    const { nodes } = this.#plan;
    const names: string[] = [];
    for (const [s, { name: module, slots }] of nodes.entries()) {
      for (const slot of slots) {
        if (slot.mark) continue;
        if (`${module}.${slot.name}` === name) return { slot, slots, state: this.#states[s]! };
        names.push(`${module}.${slot.name}`);
      }
    }
    return failRange("name", names.length > 0 ? `one of ${names.join(", ")}` : "no state", name);
  }

  /**
   * Part of the state as real numbers.
   *
   * @param name The module's name, a dot, and the slot's: `lstm.h`.
   * @returns float32 [groups, batch, size]: of an LSTM [layers * directions, batch, hiddenSize or projSize].
   * @throws {TypeError} If the model looks ahead and so keeps no state.
   * @throws {RangeError} If there is no such state: the message names those that there are.
   */
  getState(name: string): Tensor {
    this.#refuse("getState");
    const { slot, state } = this.#slot(name);
    const { groups, size } = slot;
    const values = state[slot.name]!;
    const each = this.batch * size;
    const data = new Float32Array(values.length);
    groups.forEach((q, group) => {
      for (let i = group * each; i < (group + 1) * each; i++) {
        data[i] = q === null ? values[i]! : dequantizeValue(values[i]!, q.scale, 0);
      }
    });
    return { data, shape: [groups.length, this.batch, size] };
  }

  /**
   * Sets part of the state, in which the next step then begins: a decoder's from an encoder's end, say. Values are
   * rounded to the state's own parameters.
   *
   * @param name The module's name, a dot, and the slot's: `lstm.h`.
   * @param value float32 [groups, batch, size], as {@linkcode getState} gives it.
   * @throws {TypeError} If `value` is no float32 tensor, or the model looks ahead.
   * @throws {RangeError} If there is no such state, or the shape or a value is wrong. The state is unchanged then.
   */
  setState(name: string, value: Tensor): void {
    this.#refuse("setState");
    const { slot, slots, state } = this.#slot(name);
    const { groups, size } = slot;
    const expected = [groups.length, this.batch, size];
    if (!isFloat32Array(value?.data)) failType("value.data", "a Float32Array", value?.data);
    if (!Array.isArray(value.shape) || value.shape.join() !== expected.join()) {
      failRange("value.shape", `[${expected.join(", ")}]`, value.shape);
    }
    const each = this.batch * size;
    checkLength("value.data", value.data.length, groups.length * each);
    checkFinite("value.data", value.data);
    const values = state[slot.name]! as Float64Array;
    groups.forEach((q, group) => {
      const at = group * each;
      if (q === null) values.set(value.data.subarray(at, at + each), at);
      else quantizeShifted(value.data, at, values, at, each, q);
    });
    for (const other of slots) if (other.mark) state[other.name]!.fill(0);
  }
}
