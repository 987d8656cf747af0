/**
 * A task with real-valued input: which of nine speakers said a vowel (demo/data/README.md). An LSTM
 * of 64 in two layers, and a Linear on its last hidden state, trained by
 * scripts/japanese_vowels.py.
 *
 * @module
 */
import {
  LastStep,
  Linear,
  LSTM,
  type QuantizedModel,
  Sequential,
  type Tensor,
  tensor,
} from "@splitgate/splitgate";
import { parseSafetensors } from "@splitgate/splitgate/safetensors";

const CHANNELS = 12;
const SPEAKERS = 9;
const HIDDEN = 64;

/** A part of the data set. */
export interface Utterances {
  /** Each [steps, 12], steps 7 to 29. */
  readonly x: readonly Tensor[];
  /** 0..8 */
  readonly speakers: Int32Array;
}

/** The float model and its data. */
export interface SpeakerTask {
  readonly model: Sequential;
  readonly modelBytes: Uint8Array;
  readonly train: Utterances;
  readonly test: Utterances;
}

/** Reads the task's files. */
export function loadSpeakers(): SpeakerTask {
  const read = (name: string) =>
    Deno.readFileSync(new URL(`../demo/data/japanese_vowels${name}`, import.meta.url));
  const modelBytes = read(".safetensors");
  const model = new Sequential({
    lstm: new LSTM({ inputSize: CHANNELS, hiddenSize: HIDDEN, numLayers: 2 }),
    last: new LastStep(),
    out: new Linear({ inFeatures: HIDDEN, outFeatures: SPEAKERS }),
  });
  model.loadStateDict(parseSafetensors(modelBytes).tensors);
  const { tensors } = parseSafetensors(read(".data.safetensors"));
  const part = (name: string): Utterances => {
    const values = tensors.get(`${name}.x`)!.data as Float32Array;
    let from = 0;
    const x = Array.from(tensors.get(`${name}.lengths`)!.data as Int32Array, (steps) => {
      const to = from + steps * CHANNELS;
      const utterance = tensor(values.slice(from, to), [steps, CHANNELS]);
      from = to;
      return utterance;
    });
    return { x, speakers: tensors.get(`${name}.speakers`)!.data as Int32Array };
  };
  return { model, modelBytes, train: part("train"), test: part("test") };
}

/** What a model gives for each utterance. */
export type Scores = readonly Float32Array[];

/** The float model's scores. */
export function floatScores(model: Sequential, { x }: Utterances): Scores {
  return x.map((each) => model.forward(each).data);
}

/** The quantized model's, of a session. */
export function quantizedScores(model: QuantizedModel, { x }: Utterances): Scores {
  const session = model.createSession({ maxSteps: Math.max(...x.map(({ shape }) => shape[0]!)) });
  return x.map(({ data }) => {
    const output = new Float32Array(SPEAKERS);
    session.reset();
    session.run(data, output);
    return output;
  });
}

/** Whom each score speaks for. */
export function speakersOf(scores: Scores): number[] {
  return scores.map((each) => each.indexOf(Math.max(...each)));
}

/** The part of utterances whose speaker is told. */
export function accuracyOf(scores: Scores, { speakers }: Utterances): number {
  return speakersOf(scores).filter((each, i) => each === speakers[i]).length / speakers.length;
}
