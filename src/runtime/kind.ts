/**
 * What the running half of a kind of module says: how it is made ready and run, and the plain data
 * that it is lowered to.
 *
 * All integers stand less their zero points here, so that zeros are all 0.
 *
 * @module
 */
import type { PerTensorQParams } from "../core/qparams.ts";
import type { ProjectingKernels } from "./projector.ts";

/** What goes in or out of a module, a row. */
export interface Port {
  /** Values of a row; 1 for token ids. */
  readonly size: number;
  /** Parameters of its integers; null: float32, or token ids. */
  readonly qparams: PerTensorQParams | null;
}

/** The numbers of a module, in the order in which its running half reads them. */
export interface NodeProgram {
  /** Which running half it is for. */
  readonly kind: string;
  /** What it reads. */
  readonly inputs: readonly Port[];
  /** What it gives. */
  readonly output: Port;
  /** What it keeps between steps; nothing by default. */
  readonly slots?: readonly Slot[];
  /** Whether it runs with split gates where nothing else is said; false by default. */
  readonly splitGates?: boolean;
  /**
   * What it was lowered from, for kernels that run it another way; absent in a program that was
   * read from a file.
   */
  readonly source?: unknown;
  /**
   * Runs it where the numbers do not, and why they do not; absent in most, and in programs from
   * files.
   */
  readonly byParts?: ByParts;
}

/** A module that only its parts can run. */
export interface ByParts {
  /** The part that stands in the way, and what would help. */
  readonly reason: string;
  /** Makes it ready. */
  instantiate(): ModuleInstance;
}

/** Something that a module keeps between steps. */
export interface Slot {
  /** Unique in its module: `h`. */
  readonly name: string;
  /** Values of a row of one group. */
  readonly size: number;
  /** Parameters by group (an LSTM's layers and directions); null: float32. */
  readonly groups: readonly (PerTensorQParams | null)[];
  /** What a row begins with; 0 by default. */
  readonly initial?: number;
  /** Whether it is the mark of a row's first step, 1 until it, and no value of the model. */
  readonly mark?: boolean;
  /**
   * Whether a state's bytes hold doubles, so that long sums move on exactly: those of integers up
   * to the slot's quantMax, which may be above its dtype's. false by default.
   */
  readonly wide?: boolean;
}

/** Arrays of slots by name, each [groups, batch, size]. */
export type ModuleState = { readonly [slot: string]: Float64Array | Int32Array | Uint8Array };

/**
 * Values that modules pass on: integers less the zero point, or floats; a Float32Array holds reals
 * of a caller.
 */
export type Values = Float64Array | Float32Array;

/** How many steps there are. */
export interface Time {
  /** Steps that are run, or read; 1 behind the end of time. */
  steps: number;
  /** Steps of each row, from 0 on; null where all have `steps`. */
  lengths: Int32Array | null;
}

/**
 * One call of a module: how many rows there are, and where reals of a caller begin. The session
 * owns it.
 */
export interface Call extends Time {
  /** Sequences side by side. */
  batch: number;
  /** Whether gates run split. */
  splitGates: boolean;
  /** Whether what is read is a caller's Float32Array of reals. */
  realsIn: boolean;
  /** Where the steps begin in such an array. */
  inputOffset: number;
  /** Whether what is written is one. */
  realsOut: boolean;
  /** Where the steps begin in such an array. */
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
 * A module made ready: constants and scratch, shared by all sessions, which never run at the same
 * time.
 */
export interface ModuleInstance {
  /**
   * Whether `process` never throws, given what it is described to take. Sessions of others keep a
   * copy of their state, and put it back where a call fails.
   */
  readonly infallible?: boolean;
  /** Whether `process` takes float32 reals too, and quantizes them. */
  readonly takesReals?: boolean;
  /** Whether `process` gives float32 reals too. */
  readonly givesReals?: boolean;
  /** Whether what a step gives depends on the others that `process` is given with it. */
  readonly mixesSteps?: boolean;
  /**
   * Counts the steps that it gives for those that it reads, and those of each row; absent where it
   * gives as many, or ends time. A module that has it looks ahead.
   *
   * @throws {RangeError} If it does not take so many.
   */
  countSteps?(given: Time, own: Time): void;
  /** A state for `batch` rows at its beginning; by default an array a slot. */
  createState?(batch: number): ModuleState;
  /**
   * Allocates what `process` needs for up to `batch` rows and `steps` steps, and gives its size in
   * bytes; absent where it needs nothing.
   */
  reserve?(batch: number, steps: number, splitGates: boolean): number;
  /**
   * Runs steps; nothing is allocated.
   *
   * @param state What createState gave.
   * @param inputs Each [steps, batch, size].
   * @param output [steps, batch, size], of as many steps as the module gives for these, or [batch,
   * size] where it ends time. Beyond a row's length what it holds means nothing.
   */
  process(state: ModuleState, inputs: readonly Values[], output: Values, call: Call): void;
}

/** How a kind of module runs. */
export interface RunningKind<P extends NodeProgram = NodeProgram> {
  /** Its name in programs. */
  readonly kind: string;
  /**
   * The module made ready, by the portable kernels but for what it hands to a
   * {@linkcode ProjectingKernels}.
   */
  instantiate(program: P, kernels?: Backend): ModuleInstance;
}

/**
 * Runs modules in another way than the portable kernels; what it is asked stands in the `./backend`
 * entry.
 */
export interface Backend extends ProjectingKernels {
  /** For messages: which one it is. */
  readonly name: string;
  /**
   * A module made ready: constants that all sessions share. null where this backend does not run
   * it.
   *
   * @internal
   */
  instantiate(program: NodeProgram): ModuleInstance | null;
  /**
   * What `instantiate` then takes instead of making it, where it finds it in a program; null where
   * this backend does not run the module. Absent where there is nothing to gain.
   *
   * @internal
   */
  image?(program: NodeProgram): Image | null;
}

/** What kernels have made of a module before, so that they need not make it anew. */
export interface Image {
  /** Of which kernels it is, and of which engine's if that matters: others take no notice of it. */
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

/** Makes room for `size` doubles in `buffers[i]`, and gives their bytes. */
export function reserveBuffer(buffers: Float64Array[], i: number, size: number): number {
  if (!(buffers[i]?.length! >= size)) buffers[i] = new Float64Array(size);
  return size * 8;
}

/**
 * Makes room for what goes from layer to layer, `size` doubles, and gives its bytes: two arrays
 * serve any number.
 */
export function reserveBetween(between: Float64Array[], layers: number, size: number): number {
  let bytes = 0;
  for (let i = 0; i < Math.min(2, layers - 1); i++) bytes += reserveBuffer(between, i, size);
  return bytes;
}
