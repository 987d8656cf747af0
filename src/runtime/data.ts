/**
 * The contents of a program: plain data, planned when the model was lowered.
 *
 * @module
 */
import type { Mask } from "../core/mask.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import type { NodeProgram, Port } from "./kind.ts";

/** A value that a module reads. */
export interface NodeInput {
  /** The buffer that holds it. */
  readonly buffer: number;
  /** The buffer it is read from: a different one if it is converted to the reader's qparams. */
  readonly converted: number;
  /** The qparams it is converted from; null where it is float32. */
  readonly given: PerTensorQParams | null;
}

/** A module's program, its name, and its buffers. */
export interface ProgramNode {
  /** Its name in the model. */
  readonly name: string;
  /** Its program. */
  readonly program: NodeProgram;
  /** Its inputs. */
  readonly inputs: readonly NodeInput[];
  /** The buffer of its output. */
  readonly buffer: number;
  /** Index of its inputs' axis of time. */
  readonly axis: number;
}

/** One of a model's outputs. */
export interface OutputPort extends Port {
  /** Its name. */
  readonly name: string;
  /** Whether there is a row for each step, or one for the sequence. */
  readonly time: boolean;
}

/** An output, and its buffer. */
export interface ProgramOutput extends OutputPort {
  /** Its name in messages. */
  readonly label: string;
  /** Its buffer. */
  readonly buffer: number;
  /** Index of its axis of time. */
  readonly axis: number;
}

/**
 * Axis of time made by a node that changes the number of steps. Axes have indices: 0 is one row for
 * the whole sequence, after the end of time; 1 is the axis of the model's input; i + 2 is the i-th
 * of these.
 */
export interface TimeAxis {
  /** Index of the axis that it is made from, which is smaller than its own. */
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
  /** Fingerprint of what the model computes: two 32-bit words. */
  readonly fingerprint: readonly number[];
  /** The input, in buffer 0. */
  readonly input: Port;
  /** Parameters of integer inputs: the input's own, or the range of token ids. */
  readonly given: PerTensorQParams | null;
  /** Whether the first node alone reads the model's input. */
  readonly oneReader: boolean;
  /** The nodes, in the order in which they run. */
  readonly nodes: readonly ProgramNode[];
  /** The outputs. */
  readonly outputs: readonly ProgramOutput[];
  /** Their names. */
  readonly names: readonly string[];
  /** Whether the only output is the last node's, as integers of each step. */
  readonly oneGiver: boolean;
  /** Axes of time besides that of the input. */
  readonly axes: readonly TimeAxis[];
  /**
   * Row width of each buffer, by axis of time: the width of the widest value of that axis in the
   * buffer; 0 if there is none.
   */
  readonly buffers: readonly (readonly number[])[];
  /** The largest row width. */
  readonly widest: number;
  /** Steps that whoever runs the program leaves out: no session does. Absent for none. */
  readonly mask?: Mask;
}
