/**
 * Names that the build and the page share; nothing here needs a page.
 *
 * @module
 */

/** The function by which a script hands over its value. */
export const HAND_OVER = "splitgateChunk";

/** What stands in a language's chunk. */
export const LANGUAGE_FILES = {
  model: "int8.safetensors",
  float: "float.safetensors",
  dictionary: "dictionary.json",
  example: "example.txt",
} as const;

/** A language: its name in English and its writing, as BCP 47 has it. */
export interface Language {
  readonly id: string;
  readonly title: string;
  readonly lang: string;
}

/** The languages, in the order in which they are shown. */
export const LANGUAGES: readonly Language[] = [
  { id: "thai", title: "Thai", lang: "th" },
  { id: "lao", title: "Lao", lang: "lo" },
  { id: "burmese", title: "Burmese", lang: "my" },
];

/** What stands in the signal's chunk. */
export const SIGNAL_FILES = { model: "int8.safetensors", utterances: "utterances.json" } as const;

/** An utterance: values a step, and who of nine speaks, from 1 on. */
export interface Utterance {
  readonly speaker: number;
  readonly steps: readonly (readonly number[])[];
}
