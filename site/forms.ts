/**
 * A text through both forms of a model, fused and split: words, memory, time.
 *
 * @module
 */
import type { BasicSession } from "@splitgate/splitgate/runtime";
import type { SimdKernels } from "@splitgate/splitgate/simd";
import { cut, scriptRuns, wordEnds } from "../demo/segmenter.ts";
import type { Task } from "./tasks.ts";

/** A piece of text: words of a run, or what stands between runs. */
export interface Piece {
  readonly words: readonly string[];
  readonly segmented: boolean;
}

/** What one form made of a text. */
export interface FormResult {
  readonly pieces: readonly Piece[];
  /** Bytes of state, scratch and buffers. */
  readonly workingBytes: number;
}

/** What both forms made of a text. */
export interface Segmentation {
  readonly fused: FormResult;
  readonly split: FormResult;
  /** Whether every output of both forms has the same bits. */
  readonly same: boolean;
  /** Characters that went through the model. */
  readonly characters: number;
  readonly words: number;
  /** Runs each form once more and gives microseconds a character: fused, split. */
  time(): [fused: number, split: number];
}

interface Run {
  readonly text: string;
  readonly tokens: Int32Array<ArrayBuffer> | null;
}

/** Segments a text with both forms. */
export function segment(text: string, task: Task, kernels: SimdKernels | undefined): Segmentation {
  const { model, dictionary } = task;
  const runs: Run[] = [...scriptRuns(text, dictionary)].map(({ text, segment }) => ({
    text,
    tokens: segment ? Int32Array.from(dictionary.encode(text)) : null,
  }));
  const longest = Math.max(1, ...runs.map(({ tokens }) => tokens?.length ?? 0));
  const characters = runs.reduce((sum, { tokens }) => sum + (tokens?.length ?? 0), 0);
  const maxSteps = model.looksAhead ? longest : Math.min(longest, 64);
  const sessions = [false, true].map((splitGates) =>
    model.createSession({ maxSteps, splitGates, kernels })
  );
  const buffer = new Float32Array(longest * model.outputSize);
  const outputOf = (session: BasicSession, tokens: Int32Array): Float32Array => {
    const output = buffer.subarray(0, tokens.length * model.outputSize);
    session.reset();
    session.run(tokens, output);
    return output;
  };
  let same = true;
  let words = 0;
  const pieces: [Piece[], Piece[]] = [[], []];
  for (const { text, tokens } of runs) {
    if (tokens === null) {
      for (const list of pieces) list.push({ words: [text], segmented: false });
      continue;
    }
    const [fused, split] = sessions.map((session) => outputOf(session, tokens).slice());
    const bits = new Uint32Array(split!.buffer);
    same &&= new Uint32Array(fused!.buffer).every((value, i) => value === bits[i]);
    [fused, split].forEach((output, form) => {
      const cutUp = cut(text, wordEnds(output!, tokens.length));
      pieces[form]!.push({ words: cutUp, segmented: true });
      if (form === 1) words += cutUp.length;
    });
  }
  const form = (i: number): FormResult => ({
    pieces: pieces[i]!,
    workingBytes: sessions[i]!.workingBytes,
  });
  return {
    fused: form(0),
    split: form(1),
    same,
    characters,
    words,
    time() {
      const [fused, split] = sessions.map((session) => {
        const from = performance.now();
        let passes = 0;
        // Timers in browsers are coarse: as many passes as fill some of their steps.
        do {
          for (const { tokens } of runs) if (tokens !== null) outputOf(session, tokens);
          passes++;
        } while (performance.now() - from < 6);
        return (performance.now() - from) * 1000 / (passes * Math.max(1, characters));
      });
      return [fused!, split!];
    },
  };
}
