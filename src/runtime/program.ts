/**
 * Programs: what a model is lowered to, and sessions that run it.
 *
 * @module
 */
import { embeddingRow } from "../../kernels/ops/embedding.ts";
import type { ActivationProgram, CellProgram } from "../../kernels/packed/program.ts";
import type { Engine } from "../../kernels/ops/linear.ts";
import type { StateBinding } from "../../kernels/packed/lstm_cell.ts";
import {
  checkBoolean,
  checkGiven,
  checkInteger,
  checkResult,
  failRange,
  failType,
} from "../core/errors.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import type { LstmBackend, PreparedModule } from "./backend.ts";
import type { LstmSource } from "../authoring/modules.ts";
import { portable } from "./portable.ts";
import { makeProjector, type ProjectorProgram } from "./projector.ts";
import { Session, type SessionOptions } from "./session.ts";

/** What goes in and out of a module: values a step, and their parameters; null is float32, or token ids. */
export interface Ends {
  /** Values in; 1 where these are token ids. */
  readonly inputSize: number;
  /** Values out. */
  readonly outputSize: number;
  /** Parameters of what goes in. */
  readonly input: PerTensorQParams | null;
  /** Parameters of what comes out. */
  readonly output: PerTensorQParams | null;
}

/** A linear layer's numbers. */
export interface LinearProgram extends Ends {
  /** Tells modules apart. */
  readonly kind: "Linear";
  /** What projects its rows; null where `prepare` gives what runs it. */
  readonly projector: ProjectorProgram | null;
  /** Gives what runs it where it is dynamic. */
  readonly prepare?: () => PreparedModule;
}

/** An embedding's numbers: `fma(weight, scale, bias)`. */
export interface EmbeddingProgram extends Ends {
  /** Tells modules apart. */
  readonly kind: "Embedding";
  /** [vocabulary, outputSize] */
  readonly weight: Uint8Array | Uint16Array | Float32Array;
  /** One a row; 1 for float32 weights. */
  readonly scales: Float32Array;
  /** What 0 stands for, one a row; -0 for float32 weights, which adding it does not change. */
  readonly biases: Float32Array;
}

/** One layer and direction of an LSTM. */
export interface LstmCellProgram {
  /** Its weights and constants. */
  readonly cell: CellProgram;
  /** How the state enters a step. */
  readonly running: StateBinding;
  /** How it enters a row's first step; null is the same way. */
  readonly first: StateBinding | null;
  /** Parameters of the hidden state. */
  readonly hidden: PerTensorQParams;
  /** The smallest integer that a hidden state can be, less the zero point, a given initial one included. */
  readonly least: number;
  /** The largest one. */
  readonly most: number;
  /** Whether float32 takes every integer of a step: then SIMD kernels run it. */
  readonly float32: boolean;
  /** What projects inputs that are float32, or null. */
  readonly projector: ProjectorProgram | null;
  /** Projected inputs by token, or null: [vocabulary, 4 * hiddenSize]. */
  readonly rows: Float32Array | null;
}

/** What kernels have made of an LSTM before, so that they need not make it anew. */
export interface LstmImage {
  /** Of which kernels it is, and of which engine's if that matters: others take no notice of it. */
  readonly kernels: string;
}

/** An LSTM's numbers. */
export interface LstmProgram extends Ends {
  /** Tells modules apart. */
  readonly kind: "LSTM";
  /** Whose rounding it has. */
  readonly engine: Engine;
  /** Width of the cell state. */
  readonly hiddenSize: number;
  /** Width of the projected hidden state; 0 where it is not projected. */
  readonly projSize: number;
  /** Whether it runs with split gates where nothing else is said. */
  readonly splitGates: boolean;
  /** Parameters of each cell's hidden and cell state, by layer, then direction; null is float32. */
  readonly states: readonly (readonly [PerTensorQParams | null, PerTensorQParams | null])[];
  /** Activation tables of all cells. */
  readonly tables: readonly ActivationProgram[];
  /** By layer, then direction; null where the fast step does not run it. */
  readonly layers: readonly (readonly LstmCellProgram[])[] | null;
  /** What `compileModel` was given kernels for; absent where it was not. */
  readonly image?: LstmImage;
  /** Computes a token's rows if they are not yet; absent where all are known. */
  readonly fill?: (token: number) => void;
  /** What it was lowered from; absent in a program that was read from a file. */
  readonly source?: LstmSource;
}

/** A module's numbers. */
export type StageProgram = LinearProgram | EmbeddingProgram | LstmProgram;

/** A model's numbers. */
export interface ProgramData {
  /** Number of different token ids; 0 where the input is no token. */
  readonly vocabulary: number;
  /** Whether sequences are [batch, steps, ...], not [steps, batch, ...]. */
  readonly batchFirst: boolean;
  /** Two 32-bit numbers that tell what it computes from anything else. */
  readonly fingerprint: readonly number[];
  /** What runs, one after the other: a folded Embedding is no stage of its own. */
  readonly stages: readonly StageProgram[];
}

/** A module made ready. */
export interface Stage {
  readonly program: StageProgram;
  readonly run: PreparedModule;
}

/** A program's modules made ready, for one choice of kernels. */
export interface Plan {
  readonly stages: readonly Stage[];
  /** What goes into each stage, and what the last one gives: as long as the session that asked for most needs. */
  readonly buffers: Float64Array[];
}

function prepareStage(
  program: StageProgram,
  kernels: LstmBackend | undefined,
): PreparedModule | null {
  if (program.kind === "LSTM") {
    return kernels?.prepare(program) ?? portable.prepare(program) ??
      program.source?.module.fallback?.prepare(program) ?? null;
  }
  const { inputSize, outputSize } = program;
  if (program.kind === "Embedding") {
    const { weight, scales, biases } = program;
    return {
      infallible: true,
      process(_state, x, out, steps, batch) {
        for (let r = 0; r < steps * batch; r++) {
          embeddingRow(weight, scales, biases, x[r]!, outputSize, out, r * outputSize);
        }
      },
    };
  }
  if (program.projector === null) return program.prepare!();
  const overflows = program.projector.float !== null && program.output === null;
  const project = makeProjector(program.projector, false);
  return {
    infallible: !overflows,
    process(_state, x, out, steps, batch, lengths) {
      for (let r = 0; r < steps * batch; r++) {
        const at = r * outputSize;
        project(x, r * inputSize, out, at);
        const padding = lengths !== null && Math.floor(r / batch) >= lengths[r % batch]!;
        for (let k = 0; k < outputSize && overflows && !padding; k++) checkResult(out[at + k]!);
      }
    },
  };
}

/**
 * A model lowered to the numbers that the fast step runs on: what `loadProgram` gives.
 *
 * @example
 * ```ts
 * import { compileModel, convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const program = loadProgram(compileModel(convert(observed)));
 * assertEquals([program.inputSize, program.outputSize, program.bidirectional], [2, 3, false]);
 * ```
 */
export class Program {
  /** Whether an LSTM reads the sequence from both ends, so that it can only be run whole. */
  readonly bidirectional: boolean;
  /** Whether sequences are [batch, steps, ...], not [steps, batch, ...]. */
  readonly batchFirst: boolean;
  /** Number of different token ids; 0 where the input is no token. */
  readonly vocabulary: number;
  /** Values a step and batch row takes: 1 where it takes tokens. */
  readonly inputSize: number;
  /** Values a step and batch row gives. */
  readonly outputSize: number;
  /** Parameters of the input; null is float32 or tokens. */
  readonly input: PerTensorQParams | null;
  /** Parameters of the output; null is float32. */
  readonly output: PerTensorQParams | null;
  /** The numbers themselves. */
  readonly data: ProgramData;
  /** By kernels (the program itself for none), so that those which nothing else holds take their plans along. */
  readonly #plans = new WeakMap<object, Plan>();

  /** Use `loadProgram`. */
  constructor(data: ProgramData) {
    const { stages, vocabulary, batchFirst } = data;
    this.data = data;
    this.batchFirst = batchFirst;
    this.vocabulary = vocabulary;
    ({ inputSize: this.inputSize, input: this.input } = stages[0]!);
    ({ outputSize: this.outputSize, output: this.output } = stages[stages.length - 1]!);
    this.bidirectional = stages.some((stage) =>
      stage.kind === "LSTM" && stage.outputSize > (stage.projSize || stage.hiddenSize)
    );
  }

  /**
   * A session: all memory is allocated here, and none by its steps (but a model's activation tables of more than 4,096
   * outputs, once they have been asked often). Constants and scratch are made for the first session and shared by all: a
   * session of its own holds only its state.
   *
   * @param options.batch Rows that run together; 1 by default.
   * @param options.maxSteps Steps that are run at a time: 16 by default, and 256 for a bidirectional model, which
   * can run no longer sequence than this.
   * @param options.splitGates Overrides the form the LSTMs run in; the results are the same.
   * @param options.kernels What runs the LSTMs: the portable kernels by default.
   * @throws {TypeError} If an option is of the wrong kind.
   * @throws {RangeError} If batch or maxSteps is no positive integer, or an LSTM cannot be run.
   */
  createSession(options: SessionOptions = {}): Session {
    checkGiven(options);
    const { batch = 1, maxSteps = this.bidirectional ? 256 : 16, splitGates, kernels, ...unknown } =
      options;
    for (const key in unknown) {
      failType(`options.${key}`, "no such option", options[key as keyof SessionOptions]);
    }
    checkInteger("batch", batch, 1, 2 ** 20);
    checkInteger("maxSteps", maxSteps, 1, 2 ** 20);
    if (splitGates !== undefined) checkBoolean("splitGates", splitGates);
    if (kernels !== undefined && typeof kernels?.prepare !== "function") {
      failType("kernels", "a backend", kernels);
    }
    let plan = this.#plans.get(kernels ?? this);
    if (!plan) {
      plan = {
        stages: this.data.stages.map((program) => ({
          program,
          run: prepareStage(program, kernels) ??
            failRange("model", "parts that the fast step runs", "others"),
        })),
        buffers: [],
      };
      this.#plans.set(kernels ?? this, plan);
    }
    return new Session(this, plan, batch, maxSteps, splitGates);
  }
}
