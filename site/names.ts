/**
 * Names shared by the build and the page; this file needs no browser.
 *
 * @module
 */

/** The global function that each chunk calls with its value. */
export const HAND_OVER = "splitgateChunk";

/** The files in a language's chunk. */
export const LANGUAGE_FILES = {
  model: "int8.safetensors",
  float: "float.safetensors",
  dictionary: "dictionary.json",
  example: "example.txt",
} as const;

/** A language: its English name, and its BCP 47 tag. */
export interface Language {
  readonly id: string;
  readonly title: string;
  readonly lang: string;
}

/** The languages, in the order of display. */
export const LANGUAGES: readonly Language[] = [
  { id: "thai", title: "Thai", lang: "th" },
  { id: "lao", title: "Lao", lang: "lo" },
  { id: "burmese", title: "Burmese", lang: "my" },
];

/** The files in the signal's chunk. */
export const SIGNAL_FILES = { model: "int8.safetensors", utterances: "utterances.json" } as const;

/** An utterance: the values of its steps, and its speaker, from 1 to 9. */
export interface Utterance {
  readonly speaker: number;
  readonly steps: readonly (readonly number[])[];
}
