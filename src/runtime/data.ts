/**
 * What a program is made of: plain data.
 *
 * @module
 */
import type { PerTensorQParams } from "../core/qparams.ts";
import type { NodeProgram, Port } from "./kind.ts";

/** A module's numbers, its name, and what it reads. */
export interface ProgramNode {
  /** Its name in the model. */
  readonly name: string;
  /** Indices of the nodes that it reads, which stand before it; -1 is the model's input. */
  readonly from: readonly number[];
  /** The numbers. */
  readonly program: NodeProgram;
}

/** What a model gives. */
export interface ProgramOutput {
  /** Its name. */
  readonly name: string;
  /** Index of the node that gives it. */
  readonly node: number;
}

/** A model's numbers. */
export interface ProgramData {
  /** Number of different token ids; 0 where the input is no token. */
  readonly vocabulary: number;
  /** Whether sequences are [batch, steps, ...], not [steps, batch, ...]. */
  readonly batchFirst: boolean;
  /** Two 32-bit numbers that tell what it computes from anything else. */
  readonly fingerprint: readonly number[];
  /** What comes in. */
  readonly input: Port;
  /** What runs, in this order. */
  readonly nodes: readonly ProgramNode[];
  /** What comes out. */
  readonly outputs: readonly ProgramOutput[];
}

/** One of a program's outputs. */
export interface OutputPort extends Port {
  /** Its name. */
  readonly name: string;
  /** Whether there is a row for each step, or one for the sequence. */
  readonly time: boolean;
}

/** What a session asks of its model. */
export interface RunningModel {
  /** Whether a step needs steps that come later, so that only whole sequences can be run. */
  readonly looksAhead: boolean;
  /** Whether sequences are [batch, steps, ...], not [steps, batch, ...]. */
  readonly batchFirst: boolean;
  /** Number of different token ids; 0 where the input is no token. */
  readonly vocabulary: number;
  /** Values a step and batch row takes: 1 where it takes tokens. */
  readonly inputSize: number;
  /** Parameters of the input; null is float32 or tokens. */
  readonly input: PerTensorQParams | null;
  /** What it gives. */
  readonly outputs: readonly OutputPort[];
  /** The numbers themselves. */
  readonly data: ProgramData;
}
