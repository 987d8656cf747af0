/**
 * The running half of a kind of module: how it is instantiated and run, and the plain data it is
 * lowered to.
 *
 * All integers here are less their zero points, so that real 0 is always 0.
 *
 * @module
 */
import type { PerTensorQParams } from "../core/qparams.ts";
import type { ProjectingKernels } from "./projector.ts";

/** A row of a module's input or output. */
export interface Port {
  /** Values of a row; 1 for token ids. */
  readonly size: number;
  /** Parameters of its integers; null: float32, or token ids. */
  readonly qparams: PerTensorQParams | null;
}

/** A lowered module, in the form its running half reads. */
export interface NodeProgram {
  /** The running half it is for. */
  readonly kind: string;
  /** Its inputs. */
  readonly inputs: readonly Port[];
  /** Its output. */
  readonly output: Port;
  /** Slots of its state; none by default. */
  readonly slots?: readonly Slot[];
  /** Whether it runs with split gates by default; false if absent. */
  readonly splitGates?: boolean;
  /**
   * The module it was lowered from, for kernels that run it differently; absent in a program read
   * from a file.
   */
  readonly source?: unknown;
  /**
   * Runs it where the fast step cannot, and says why it cannot; absent in most modules, and in
   * programs from files.
   */
  readonly byParts?: ByParts;
}

/** A module that can only run by parts. */
export interface ByParts {
  /** The part that prevents the fast step, and the remedy. */
  readonly reason: string;
  /** Instantiates it. */
  instantiate(): ModuleInstance;
}

/** A part of a module's state. */
export interface Slot {
  /** Unique in its module: `h`. */
  readonly name: string;
  /** Values of a row of one group. */
  readonly size: number;
  /** Parameters by group (an LSTM's layers and directions); null: float32. */
  readonly groups: readonly (PerTensorQParams | null)[];
  /** Initial value; 0 by default. */
  readonly initial?: number;
  /**
   * Whether it only marks rows that have made no step yet (1 until the first step), and is no value
   * of the model.
   */
  readonly mark?: boolean;
  /**
   * Whether a saved state holds it as doubles, so that long sums of integers, up to the slot's
   * quantMax, stay exact; that may exceed the dtype's range. false by default.
   */
  readonly wide?: boolean;
}

/** Arrays of slots by name, each [groups, batch, size]. */
export type ModuleState = { readonly [slot: string]: Float64Array | Int32Array | Uint8Array };

/**
 * Values between modules: integers less the zero point, or floats; a Float32Array holds a caller's
 * reals.
 */
export type Values = Float64Array | Float32Array;

/** Numbers of steps. */
export interface Time {
  /** Steps to run; 1 after the end of time. */
  steps: number;
  /** Steps of each row, 0 or more; null where all have `steps`. */
  lengths: Int32Array | null;
}

/**
 * One call of a module: the number of rows, and the offsets of a caller's reals. Owned by the
 * session.
 */
export interface Call extends Time {
  /** Sequences side by side. */
  batch: number;
  /** Whether gates run split. */
  splitGates: boolean;
  /** Whether the input is a caller's Float32Array of reals. */
  realsIn: boolean;
  /** Offset of the steps in such an array. */
  inputOffset: number;
  /** Whether the output is one. */
  realsOut: boolean;
  /** Offset of the steps in such an array. */
  outputOffset: number;
}

/** A call that runs all rows of `steps` steps. */
export function createCall(steps: number, batch: number): Call {
  return {
    steps,
    batch,
    lengths: null,
    splitGates: false,
    realsIn: false,
    inputOffset: 0,
    realsOut: false,
    outputOffset: 0,
  };
}

/**
 * An instantiated module: constants and scratch, shared by all sessions, which never run at the
 * same time.
 */
export interface ModuleInstance {
  /**
   * Whether `process` never throws for valid input. Other modules make their sessions copy the
   * state before a call, and restore it if the call fails.
   */
  readonly infallible?: boolean;
  /** Whether `process` takes float32 reals too, and quantizes them. */
  readonly takesReals?: boolean;
  /** Whether `process` gives float32 reals too. */
  readonly givesReals?: boolean;
  /** Whether a step's output depends on the other steps of the same call of `process`. */
  readonly mixesSteps?: boolean;
  /**
   * Computes the number of output steps, in all and of each row; absent where there are as many as
   * input steps, or the module ends time. A module that has it looks ahead.
   *
   * @throws {RangeError} If it cannot take this number of steps.
   */
  countSteps?(given: Time, own: Time): void;
  /** Creates the initial state of `batch` rows; by default one array a slot. */
  createState?(batch: number): ModuleState;
  /**
   * Allocates the scratch of `process` for up to `batch` rows and `steps` steps, and returns its
   * size in bytes; absent where there is none.
   */
  reserve?(batch: number, steps: number, splitGates: boolean): number;
  /**
   * Runs steps; nothing is allocated.
   *
   * @param state As createState returned it.
   * @param inputs Each [steps, batch, size].
   * @param output [steps, batch, size], of as many steps as the module gives for these, or [batch,
   * size] where it ends time. Its contents beyond a row's length are unspecified.
   */
  process(state: ModuleState, inputs: readonly Values[], output: Values, call: Call): void;
}

/** How a kind of module runs. */
export interface RunningKind<P extends NodeProgram = NodeProgram> {
  /** Its name in programs. */
  readonly kind: string;
  /**
   * Instantiates a module with the portable kernels, except for projections that a
   * {@linkcode ProjectingKernels} takes over.
   */
  instantiate(program: P, kernels?: Backend): ModuleInstance;
}

/**
 * Replaces the portable kernels for some modules; its parameter types are in the `./backend` entry.
 */
export interface Backend extends ProjectingKernels {
  /** Its name in messages. */
  readonly name: string;
  /**
   * Instantiates a module; all sessions share it. null where this backend does not run it.
   *
   * @internal
   */
  instantiate(program: NodeProgram): ModuleInstance | null;
  /**
   * Precomputes the data that `instantiate` uses if it finds it in a program; null where this
   * backend does not run the module. Absent where nothing can be precomputed.
   *
   * @internal
   */
  image?(program: NodeProgram): Image | null;
}

/** Data that kernels have precomputed for a module. */
export interface Image {
  /** The kernels it is for, and the engine if it matters; others ignore it. */
  readonly kernels: string;
}

/** Arrays of a module's slots at the beginning of a sequence. */
export function createSlots({ slots = [] }: NodeProgram, batch: number): ModuleState {
  const state: Record<string, Float64Array | Uint8Array> = {};
  for (const { name, size, groups, initial = 0, mark } of slots) {
    const Kind = mark ? Uint8Array : Float64Array;
    state[name] = new Kind(groups.length * batch * size).fill(initial);
  }
  return state;
}

/** Grows `buffers[i]` to `size` doubles, and returns its size in bytes. */
export function reserveBuffer(buffers: Float64Array[], i: number, size: number): number {
  if (!(buffers[i]?.length! >= size)) buffers[i] = new Float64Array(size);
  return size * 8;
}

/**
 * Grows the buffers between layers to `size` doubles, and returns their size in bytes; two buffers
 * serve any number of layers.
 */
export function reserveBetween(between: Float64Array[], layers: number, size: number): number {
  let bytes = 0;
  for (let i = 0; i < Math.min(2, layers - 1); i++) bytes += reserveBuffer(between, i, size);
  return bytes;
}
