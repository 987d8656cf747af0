/**
 * A quantized model: modules by name, the edges between them, and sessions that run it.
 *
 * @module
 */
import { checkGiven, checkLength, checkNoMore, failRange, failType } from "../core/errors.ts";
import { type Fingerprint, fingerprintOf } from "../core/hash.ts";
import type { Mask } from "../core/mask.ts";
import { type PerTensorQParams, sameQParams } from "../core/qparams.ts";
import { chainOf, INPUT, type Topology } from "../core/topology.ts";
import {
  axisAfter,
  type AxisKey,
  checkHidden,
  checkInputCount,
  describeSize,
} from "../modules/graph.ts";
import type { QuantizedEnds, QuantizedModule } from "../modules/kind.ts";
import { kindOf, RUNNING_KINDS } from "../modules/kinds.ts";
import type { OutputPort, ProgramData } from "../runtime/data.ts";
import type { NodeProgram, Port } from "../runtime/kind.ts";
import { Program } from "../runtime/program.ts";
import type { SessionOptions } from "../runtime/basic_session.ts";
import { Session } from "../runtime/session.ts";
import { type LoweredNode, planProgram } from "./plan.ts";
import { foldableTables } from "./rewrites.ts";

export type { QuantizedModule };

/**
 * Options of lowering a model.
 *
 * @example
 * ```ts
 * import { compileModel, Embedding, LSTM, quantize, Sequential } from "@splitgate/splitgate";
 * import type { LoweringOptions } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const { model } = await quantize(
 *   new Sequential({
 *     words: new Embedding({ numEmbeddings: 9, embeddingDim: 4 }),
 *     lstm: new LSTM({ inputSize: 4, hiddenSize: 3 }),
 *   }),
 *   [Int32Array.of(1, 2, 8)],
 * );
 * const small: LoweringOptions = { foldEmbedding: false }; // no table of projected tokens
 * assertEquals(model.lower(small).data.nodes.map(({ name }) => name), ["words", "lstm"]);
 * compileModel(model, small);
 * ```
 */
export interface LoweringOptions {
  /**
   * Whether an Embedding that feeds a recurrent module becomes a table of projected rows; by
   * default where that takes at most 16 MB. The results are the same, except with "float32": it
   * projects the rows without rounding them to the module's input parameters, which is closer to
   * the float model.
   */
  readonly foldEmbedding?: boolean | "float32";
}

/**
 * Whether an Embedding is folded into its reader; "float32": without rounding its rows to the
 * reader's input parameters.
 */
export type Folding = boolean | "float32";

/** Largest table of projected rows that is made by default, in bytes. */
const FOLDED_BYTES = 2 ** 24;

/**
 * A quantized model: what `convert` and `loadModel` give.
 *
 * @example
 * ```ts
 * import { convert, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { fbgemmQConfig } from "../qconfig/qconfig.ts";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), fbgemmQConfig);
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * assertEquals([model.inputSize, model.outputSize, model.batchFirst], [2, 3, false]);
 * ```
 */
export class QuantizedModel {
  /** The modules by name, in the order in which they run. */
  readonly modules: ReadonlyMap<string, QuantizedModule>;
  /** Who reads whom. */
  readonly topology: Topology;
  /**
   * Whether sequences are [batch, steps, ...] rather than [steps, batch, ...], as its modules have
   * it.
   */
  readonly batchFirst: boolean;
  /** Whether a step needs steps that come later, so that only whole sequences can be run. */
  readonly looksAhead: boolean;
  /** Number of different token ids; 0 where the input is no token ids. */
  readonly vocabulary: number;
  /** Values of one step of one batch row: 1 for token ids. */
  readonly inputSize: number;
  /** Parameters of the input; null is float32 or tokens. */
  readonly input: PerTensorQParams | null;
  /** Its outputs. */
  readonly outputs: readonly OutputPort[];
  /** Values in a row of the first output. */
  readonly outputSize: number;
  /** Parameters of the first output; null is float32. */
  readonly output: PerTensorQParams | null;
  /** Steps of its input that whoever runs it leaves out; null for none. */
  readonly mask: Mask | null;
  readonly #fingerprint: Fingerprint;
  /** The axis of each value: what its rows stand for. */
  readonly #axes: ReadonlyMap<string, AxisKey>;
  /** Lowered programs by their folding. */
  readonly #programs = new Map<Folding, Program<Session>>();

  /**
   * Called by `convert`, `quantizeDynamic` and `loadModel`.
   *
   * @param modules The modules by name, in the order in which they run; widths must fit.
   * @param topology Who reads whom; by default each module the one before it.
   * @throws {RangeError} If a module does not take the widths that it is given, needs time after a
   * module that ends it, reads a state that does not exist, or some are batchFirst and others not:
   * the message names the module.
   */
  constructor(
    modules: ReadonlyMap<string, QuantizedModule>,
    topology: Topology = chainOf(modules.keys()),
  ) {
    this.modules = new Map(modules);
    this.topology = topology;
    this.mask = topology.mask ?? null;
    const ends = new Map<string, QuantizedEnds>();
    const axes = new Map<string, AxisKey>([[INPUT, ""]]);
    let input: Port & { tokens: number; reader: string } | undefined;
    let first: { name: string; batchFirst: boolean } | undefined;
    for (const [name, module] of modules) {
      const at = `modules.${name}`;
      const kind = kindOf(at, module);
      const own = kind.ends(module);
      const { tokens = 0, batchFirst } = own;
      const reads = topology.inputs.get(name)!;
      checkInputCount(at, kind, reads.length);
      checkLength(`${at}.reads`, reads.length, own.inputs.length);
      checkHidden(at, kind, module, reads[0]!, modules);
      reads.forEach((read, i) => {
        const { size, qparams } = own.inputs[i]!;
        if (read !== INPUT) {
          const given = ends.get(read)!.output.size;
          if (tokens > 0) failRange(at, "an Embedding to read token ids", `values of ${read}`);
          if (given !== size) failRange(at, `an input of width ${given}`, size);
          return;
        }
        input ??= { size, qparams, tokens, reader: name };
        if (input.size !== size || (input.tokens > 0) !== (tokens > 0)) {
          const others = describeSize(input.tokens > 0 ? null : input.size);
          const expected = `a module that reads ${others}, as modules.${input.reader} does`;
          failRange(at, expected, describeSize(tokens > 0 ? null : size));
        }
        // Each reader rounds real numbers to parameters of its own where they differ.
        const same = input.qparams !== null && qparams !== null &&
          sameQParams(input.qparams, qparams);
        input = {
          size,
          qparams: same ? qparams : input.qparams === qparams ? qparams : null,
          tokens: tokens > 0 ? Math.min(input.tokens, tokens) : 0,
          reader: input.reader,
        };
      });
      axes.set(name, axisAfter(at, kind, module, reads.map((read) => axes.get(read)!)));
      ends.set(name, own);
      if (batchFirst !== null) {
        first ??= { name, batchFirst };
        if (batchFirst !== first.batchFirst) {
          const expected = `${first.batchFirst}, as that of modules.${first.name}`;
          failRange(`${at}.batchFirst`, expected, batchFirst);
        }
      }
    }
    if (modules.size === 0) failRange("modules", "at least one module", "none");
    if (input === undefined) failRange("modules", "a module that reads the model's input", "none");
    this.#axes = axes;
    this.batchFirst = first?.batchFirst ?? false;
    this.looksAhead = [...ends.values()].some((each) => each.looksAhead === true);
    this.vocabulary = input!.tokens;
    this.inputSize = input!.size;
    this.input = input!.qparams;
    this.outputs = [...topology.outputs].map(([name, module]) => ({
      ...ends.get(module)!.output,
      name,
      time: axes.get(module) !== null,
    }));
    ({ size: this.outputSize, qparams: this.output } = this.outputs[0]!);
    this.#checkMask();
    this.#fingerprint = this.#hash();
  }

  /** A mask may come out of a file. */
  #checkMask(): void {
    if (this.mask === null) return;
    const { before } = this.mask;
    checkLength("mask.before", before.length, this.outputs.length);
    this.outputs.forEach(({ size, time }, i) => {
      const row = before[i]!;
      if (row === null) return;
      if (!time) failRange(`mask.before[${i}]`, "null, since the output has no steps", row);
      checkLength(`mask.before[${i}]`, row.length, size);
    });
  }

  #hash(): Fingerprint {
    const { modules, topology } = this;
    const indices = new Map([INPUT, ...modules.keys()].map((name, i) => [name, i]));
    const described = [...modules].map(([name, module]) => [
      module.kind,
      topology.inputs.get(name)!.map((read) => indices.get(read)),
      ...kindOf(name, module).fingerprint(module),
    ]);
    const given = [...topology.outputs.values()].map((name) => indices.get(name));
    return fingerprintOf([described, given]);
  }

  /**
   * Eight bytes that identify what the model computes: a hash, taken when the model is made. Names,
   * the order in which a Graph lists its modules, files, `splitGates` and `batchFirst` do not
   * change it, so that states can move between models that differ only in these.
   */
  get fingerprint(): Uint8Array {
    return new Uint8Array(Int32Array.from(this.#fingerprint).buffer);
  }

  /**
   * The model lowered to the numbers that sessions run on, which all of them share.
   *
   * @param options.foldEmbedding Whether an Embedding that alone feeds a recurrent module becomes a
   * table of projected rows, 16 * hiddenSize bytes a token and direction of an LSTM: faster, and
   * the results are the same. By default where the table takes at most 16 MB. "float32" makes the
   * table of unrounded rows, where the module has parameters for its input that would round them:
   * closer to the float model, but different from running the modules one by one.
   * @throws {TypeError} If an option is of the wrong kind.
   * @throws {RangeError} If there is nothing to fold, "float32" would leave out no rounding, or a
   * module's parameters cannot be run.
   * @internal
   */
  lower(options: LoweringOptions = {}): Program<Session> {
    checkGiven(options);
    const { foldEmbedding: fold = this.#foldedBytes <= FOLDED_BYTES, ...unknown } = options;
    checkNoMore(unknown);
    if (fold !== "float32" && typeof fold !== "boolean") {
      failType("foldEmbedding", 'a boolean or "float32"', fold);
    }
    const tables = foldableTables(this.topology, this.modules);
    if (fold && tables.length === 0) {
      failRange("foldEmbedding", "false, since no Embedding feeds a recurrent module", fold);
    }
    if (fold === "float32" && !tables.some(({ rounds }) => rounds)) {
      failRange("foldEmbedding", "a boolean, since what reads the Embedding takes float32", fold);
    }
    let program = this.#programs.get(fold);
    if (program === undefined) {
      program = new Program(this.#lowered(fold), RUNNING_KINDS, Session);
      this.#programs.set(fold, program);
    }
    return program;
  }

  /** Bytes of the tables that Embeddings fold into; Infinity where there is nothing to fold. */
  get #foldedBytes(): number {
    const tables = foldableTables(this.topology, this.modules);
    return tables.length === 0 ? Infinity : tables.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  #lowered(fold: Folding): ProgramData {
    const { topology, modules } = this;
    const tables = fold ? foldableTables(topology, modules) : [];
    const folded = new Map(tables.map((each) => [each.reader, each]));
    const leftOut = new Set(tables.map(({ table }) => table));
    // Modules that read steps run before those that read one row for the whole sequence.
    const timeOf = (name: string) =>
      topology.inputs.get(name)!.every((read) => this.#axes.get(read) !== null);
    const names = [...modules.keys()].filter((name) => !leftOut.has(name));
    const order = [...names.filter(timeOf), ...names.filter((name) => !timeOf(name))];
    const indices = new Map(order.map((name, i) => [name, i]));
    const nodes = order.map((name): LoweredNode => {
      const module = modules.get(name)!;
      const kind = kindOf(name, module);
      const table = folded.get(name);
      const rounded = fold !== "float32";
      const program: NodeProgram = table === undefined
        ? kind.lower(name, module)
        : kind.lowerTokens!(name, module, table.rows, rounded);
      const from = table === undefined
        ? topology.inputs.get(name)!.map((read) => indices.get(read) ?? -1)
        : [-1];
      return { name, from, axis: this.#axes.get(name)!, program };
    });
    const { mask } = this;
    const planned = planProgram({
      vocabulary: this.vocabulary,
      batchFirst: this.batchFirst,
      looksAhead: this.looksAhead,
      // Unrounded rows give other results: states must not move between the two.
      fingerprint: fold === "float32" ? this.#fingerprint.map((word) => ~word) : this.#fingerprint,
      input: { size: this.inputSize, qparams: this.input },
      nodes,
      outputs: [...topology.outputs].map(([name, module]) => ({
        name,
        node: indices.get(module)!,
      })),
    });
    return mask === null ? planned : { ...planned, mask };
  }

  /**
   * A session. All memory is allocated here and none by its steps, except activation tables of more
   * than 4,096 outputs, which are allocated after many lookups. Constants and scratch are made for
   * the first session and shared by all: a session of its own holds only its state.
   *
   * @param options Those of {@linkcode Program.createSession} and of {@linkcode lower}.
   * @throws {TypeError} If an option is of the wrong kind.
   * @throws {RangeError} If batch or maxSteps is no positive integer, there is nothing to fold,
   * "float32" would leave out no rounding, or a module cannot be run.
   */
  createSession(options: SessionOptions & LoweringOptions = {}): Session {
    checkGiven(options);
    const { foldEmbedding, ...rest } = options;
    return this.lower(foldEmbedding === undefined ? {} : { foldEmbedding }).createSession(rest);
  }
}
