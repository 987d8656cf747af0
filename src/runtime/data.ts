/**
 * What a program is made of: plain data, planned when the model was lowered.
 *
 * @module
 */
import type { PerTensorQParams } from "../core/qparams.ts";
import type { NodeProgram, Port } from "./kind.ts";

/** A value that a module reads. */
export interface NodeInput {
  /** The buffer that it stands in. */
  readonly buffer: number;
  /** The buffer in which it is read: another one where it is converted to the reader's qparams. */
  readonly converted: number;
  /** The qparams that it is converted from; null where it is float32. */
  readonly given: PerTensorQParams | null;
}

/** A module's numbers, its name, and the buffers that it works on. */
export interface ProgramNode {
  /** Its name in the model. */
  readonly name: string;
  /** The numbers. */
  readonly program: NodeProgram;
  /** What it reads. */
  readonly inputs: readonly NodeInput[];
  /** The buffer that its output stands in. */
  readonly buffer: number;
  /** The axis of time of its inputs, by its index. */
  readonly axis: number;
}

/** One of a model's outputs. */
export interface OutputPort extends Port {
  /** Its name. */
  readonly name: string;
  /** Whether there is a row for each step, or one for the sequence. */
  readonly time: boolean;
}

/** An output, and where it stands. */
export interface ProgramOutput extends OutputPort {
  /** What messages call it. */
  readonly label: string;
  /** Its buffer. */
  readonly buffer: number;
  /** Its axis of time, by its index. */
  readonly axis: number;
}

/**
 * Steps that a node makes of others. Axes of time have indices: 0 is behind the end of time, one row
 * for the sequence; 1 is that of the model's input; and i + 2 the i-th of these.
 */
export interface TimeAxis {
  /** The axis that it is made of, which stands before it. */
  readonly from: number;
  /** Index of the node that makes it. */
  readonly node: number;
}

/** A model's numbers. */
export interface ProgramData {
  /** Number of different token ids; 0 where the input is no token. */
  readonly vocabulary: number;
  /** Whether sequences are [batch, steps, ...], not [steps, batch, ...]. */
  readonly batchFirst: boolean;
  /** Whether a step needs steps that come later, so that only whole sequences can be run. */
  readonly looksAhead: boolean;
  /** Two 32-bit numbers that tell what it computes from anything else. */
  readonly fingerprint: readonly number[];
  /** What comes in: it stands in buffer 0. */
  readonly input: Port;
  /** Parameters of integers that come in: those of the input, or the range of token ids. */
  readonly given: PerTensorQParams | null;
  /** Whether the first node alone reads the model's input. */
  readonly oneReader: boolean;
  /** What runs, in this order. */
  readonly nodes: readonly ProgramNode[];
  /** What comes out. */
  readonly outputs: readonly ProgramOutput[];
  /** Their names. */
  readonly names: readonly string[];
  /** Whether all that comes out is the last node's output, integers of each step. */
  readonly oneGiver: boolean;
  /** Axes of time besides that of the input. */
  readonly axes: readonly TimeAxis[];
  /**
   * Values of a row of each buffer, by axis of time: as many as the widest value that it holds of
   * the axis has; 0 where it holds none.
   */
  readonly buffers: readonly (readonly number[])[];
  /** The most values that a row of a buffer has. */
  readonly widest: number;
}
