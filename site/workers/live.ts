/**
 * The work of the interactive demos, segmenter and signal, outside of the page's thread.
 *
 * @module
 */
import {
  type Graph,
  loadFloatModel,
  loadModel,
  type QuantizedModel,
  type Session,
  tokens,
} from "@splitgate/splitgate";
import { byParts, type PartValue } from "@splitgate/splitgate/reference";
import { simdKernels, SimdUnavailableError } from "@splitgate/splitgate/simd";
import { cut, Dictionary, scriptRuns, wordEnds } from "../../demo/segmenter.ts";
import { serve } from "../calls.ts";

/** Classes of a segmenter's output: begin, inside, end and single character of a word. */
const CLASSES = 4;

/** Number of steps per call for models that do not look ahead. */
const STEPS_TOGETHER = 64;

/** Min milliseconds of measuring a form at a time, because timers of browsers are coarse. */
const MEASURE_MS = 6;

/** A piece of a text: a run with its words, or the text between runs. */
export interface Piece {
  readonly text: string;
  /** Words of the int8 model and of the float model; null if the piece is not a run. */
  readonly int8: readonly string[] | null;
  readonly float: readonly string[] | null;
}

/** The result of segmenting a text. */
export interface Segmentation {
  readonly pieces: readonly Piece[];
  readonly characters: number;
  readonly words: number;
  /** Number of word boundaries at which the two models differ. */
  readonly differing: number;
  /** Whether fused and split gates gave the same bits everywhere. */
  readonly same: boolean;
  /** Size of state, scratch and buffers in bytes. */
  readonly workingBytes: number;
  /** Microseconds per character. */
  readonly micros: { readonly int8: number; readonly float: number } | null;
}

interface Language {
  readonly model: QuantizedModel;
  readonly float: Graph;
  readonly dictionary: Dictionary;
}

/** A part of a cell after a step. */
export interface PartStep {
  readonly name: string;
  /** Its real values. */
  readonly values: Float32Array;
  /** Its integers; null if the part is not quantized. */
  readonly integers: Int32Array | null;
  readonly scale: number;
  readonly zeroPoint: number;
  readonly dtype: string;
  readonly saturated: number;
}

/** The result of a step: the parts of each layer, and the model's output. */
export interface SignalStep {
  readonly layers: readonly (readonly PartStep[])[];
  readonly output: Float32Array;
}

/** The parts that are drawn. */
const DRAWN = [
  "input_gate",
  "forget_gate",
  "cell_gate",
  "output_gate",
  "fgate_cx_igate_cgate",
  "ogate_cy",
];

const languages = new Map<string, Language>();

let signal:
  | { readonly session: Session; readonly size: number; layers: PartStep[][] }
  | undefined;

function watch(path: string, value: PartValue, saturated: number): void {
  const [, layer, name] = /^layers\.(\d+)\.layer_fw\.cell\.(\w+)$/.exec(path) ?? [];
  if (signal === undefined || name === undefined || !DRAWN.includes(name)) return;
  const quantized = "qparams" in value;
  const { scale, zeroPoint, dtype } = quantized
    ? value.qparams
    : { scale: 1, zeroPoint: 0, dtype: "float32" };
  const values = Float32Array.from(
    value.data as Float32Array,
    (each) => quantized ? scale * (each - zeroPoint) : each,
  );
  const integers = quantized ? Int32Array.from(value.data as Int32Array) : null;
  (signal.layers[Number(layer)] ??= []).push({
    name,
    values,
    integers,
    scale,
    zeroPoint,
    dtype,
    saturated,
  });
}

function wordsOf(text: string, output: Float32Array, characters: number): string[] {
  return cut(text, wordEnds(output, characters));
}

const methods = {
  /** Loads a language. */
  open(
    { id, model, float, dictionary }: {
      readonly id: string;
      readonly model: Uint8Array;
      readonly float: Uint8Array;
      readonly dictionary: string;
    },
  ): void {
    const loaded = loadModel(model);
    languages.set(id, {
      model: loaded,
      float: loadFloatModel(float),
      dictionary: Dictionary.parse(dictionary, loaded.vocabulary),
    });
  },

  /** Splits a text into words, with both models and both forms of gates. */
  async segment(
    { id, text, simd, measure }: {
      readonly id: string;
      readonly text: string;
      readonly simd: boolean;
      readonly measure: boolean;
    },
  ): Promise<Segmentation> {
    const { model, float, dictionary } = languages.get(id)!;
    const kernels = simd ? await simdKernels() : undefined;
    const runs = [...scriptRuns(text, dictionary)].map(({ text, segment }) => ({
      text,
      ids: segment ? Int32Array.from(dictionary.encode(text)) : null,
    }));
    const longest = Math.max(1, ...runs.map(({ ids }) => ids?.length ?? 0));
    const characters = runs.reduce((sum, { ids }) => sum + (ids?.length ?? 0), 0);
    const maxSteps = model.looksAhead ? longest : Math.min(longest, STEPS_TOGETHER);
    const [fused, split] = [false, true].map((splitGates) =>
      model.createSession({ maxSteps, splitGates, kernels })
    ) as [Session, Session];
    const run = (session: Session, ids: Int32Array) => {
      const output = new Float32Array(ids.length * CLASSES);
      session.reset();
      session.run(ids, output);
      return output;
    };
    const inFloat = (ids: Int32Array) => float.forward(tokens(ids, [ids.length, 1])).data;
    let same = true;
    let words = 0;
    let differing = 0;
    const pieces = runs.map(({ text, ids }): Piece => {
      if (ids === null) return { text, int8: null, float: null };
      const output = run(split, ids);
      const other = new Uint32Array(run(fused, ids).buffer);
      same &&= new Uint32Array(output.buffer).every((bits, i) => bits === other[i]);
      const exact = inFloat(ids) as Float32Array;
      const [ends, exactEnds] = [output, exact].map((each) => wordEnds(each, ids.length));
      differing += ends!.filter((end, i) => end !== exactEnds![i]).length;
      const int8 = wordsOf(text, output, ids.length);
      words += int8.length;
      return { text, int8, float: wordsOf(text, exact, ids.length) };
    });
    const time = (each: (ids: Int32Array) => unknown): number => {
      const from = performance.now();
      let passes = 0;
      do {
        for (const { ids } of runs) if (ids !== null) each(ids);
        passes++;
      } while (performance.now() - from < MEASURE_MS);
      return (performance.now() - from) * 1000 / (passes * characters);
    };
    const micros = measure && characters > 0
      ? { int8: time((ids) => run(split, ids)), float: time(inFloat) }
      : null;
    const { workingBytes } = split;
    return { pieces, characters, words, differing, same, workingBytes, micros };
  },

  /** Null if SIMD is available; otherwise the reason why not. */
  async simd(): Promise<string | null> {
    try {
      await simdKernels();
      return null;
    } catch (error) {
      if (error instanceof SimdUnavailableError) return error.message;
      throw error;
    }
  },

  /** Loads the signal's model in its initial state. */
  openSignal({ model }: { readonly model: Uint8Array }): { inputSize: number; outputSize: number } {
    const { inputSize, outputSize } = openedSignal(model);
    return { inputSize, outputSize };
  },

  /** Resets the state. */
  resetSignal(): void {
    signal?.session.reset();
  },

  /** Runs one step with the current state. */
  stepSignal({ values }: { readonly values: Float32Array }): SignalStep {
    const { session, size } = signal!;
    signal!.layers = [];
    const output = new Float32Array(size);
    session.step(values, output);
    return { layers: signal!.layers, output };
  },
};

function openedSignal(file: Uint8Array): QuantizedModel {
  const model = loadModel(file);
  signal = {
    session: model.createSession({ kernels: byParts(watch) }),
    size: model.outputSize,
    layers: [],
  };
  return model;
}

/** The methods that the page calls. */
export type LiveMethods = typeof methods;

serve(methods);
