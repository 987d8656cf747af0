/**
 * Word segmentation with a character LSTM, as ICU4X does it: one output of four classes a
 * character, and a word ends where class "e" is the largest.
 *
 * @module
 */

/** Which class ends a word: the labels are b, i, e, s. */
const END = 2;

/** From characters to tokens. */
export class Dictionary {
  readonly #ids: ReadonlyMap<string, number>;
  /** The token of a character that is not in the dictionary. */
  readonly unknown: number;

  /**
   * @param ids Each character's embedding row.
   * @param numEmbeddings Rows of the embedding; the last one stands for unknown characters.
   */
  constructor(ids: ReadonlyMap<string, number>, numEmbeddings: number) {
    this.#ids = ids;
    this.unknown = numEmbeddings - 1;
  }

  /**
   * Reads the JSON of a dictionary: `{ "dic": { "ก": 0, ... }, "labels": "bies" }`.
   *
   * @throws {RangeError} If it is of another form, or names a row that the embedding does not have.
   */
  static parse(json: string, numEmbeddings: number): Dictionary {
    const { dic, labels } = JSON.parse(json);
    if (labels !== "bies") {
      throw new RangeError(`labels: expected "bies", got ${JSON.stringify(labels)}`);
    }
    if (typeof dic !== "object" || dic === null) {
      throw new RangeError(`dic: expected an object, got ${dic}`);
    }
    for (const [character, row] of Object.entries(dic)) {
      if (!Number.isInteger(row) || (row as number) < 0 || (row as number) >= numEmbeddings) {
        throw new RangeError(
          `dic[${JSON.stringify(character)}]: expected a row in 0..${
            numEmbeddings - 1
          }, got ${row}`,
        );
      }
    }
    return new Dictionary(new Map(Object.entries(dic as Record<string, number>)), numEmbeddings);
  }

  /** Whether a character has a row of its own. */
  has(character: string): boolean {
    return this.#ids.has(character);
  }

  /** The tokens of a run of text, one a code point. */
  encode(text: string): Int32Array {
    return Int32Array.from(
      Array.from(text),
      (character) => this.#ids.get(character) ?? this.unknown,
    );
  }
}

/** One run of text, with the places where words end in a reference segmentation. */
export interface Run {
  readonly text: string;
  readonly tokens: Int32Array;
  /** ends[i]: whether a word ends after character i. The last one always does. */
  readonly ends: readonly boolean[];
}

/**
 * Reads a text of runs, one a line, words separated by `|`.
 *
 * @throws {RangeError} If there is no run.
 */
export function parseRuns(name: string, text: string, dictionary: Dictionary): Run[] {
  const runs: Run[] = [];
  for (const line of text.split(/\r?\n/)) {
    const words = line.split("|").filter((word) => word !== "");
    if (words.length === 0) continue;
    const ends = words.flatMap((word) =>
      Array.from(word, (_, i, all = Array.from(word)) => i === all.length - 1)
    );
    runs.push({ text: words.join(""), tokens: dictionary.encode(words.join("")), ends });
  }
  if (runs.length === 0) {
    throw new RangeError(`${name}: expected at least one line of text, got none`);
  }
  return runs;
}

/** Where words end, from the outputs [characters, 4]. */
export function wordEnds(output: Float32Array, characters: number): boolean[] {
  const ends: boolean[] = [];
  for (let t = 0; t < characters; t++) {
    let best = 0;
    for (let k = 1; k < 4; k++) if (output[t * 4 + k]! > output[t * 4 + best]!) best = k;
    ends.push(best === END || t === characters - 1);
  }
  return ends;
}

/** A run cut into words. */
export function cut(text: string, ends: readonly boolean[]): string[] {
  const words: string[] = [];
  let word = "";
  Array.from(text).forEach((character, i) => {
    word += character;
    if (ends[i]) {
      words.push(word);
      word = "";
    }
  });
  return words;
}

/**
 * Boundary F1 of predicted word ends against a reference, over all runs; the end of a run counts.
 */
export function boundaryF1(
  predicted: readonly (readonly boolean[])[],
  reference: readonly (readonly boolean[])[],
): number {
  let both = 0;
  let sum = 0;
  predicted.forEach((ends, r) =>
    ends.forEach((end, i) => {
      both += end && reference[r]![i] ? 1 : 0;
      sum += (end ? 1 : 0) + (reference[r]![i] ? 1 : 0);
    })
  );
  return 2 * both / sum;
}

/**
 * Splits any text into runs of the dictionary's characters (and combining marks), which are to be
 * segmented, and what stands between them.
 */
export function* scriptRuns(
  text: string,
  dictionary: Dictionary,
): Generator<{ text: string; segment: boolean }> {
  let run = "";
  let segment = false;
  for (const character of text) {
    const own: boolean = dictionary.has(character) || (segment && /\p{M}/u.test(character));
    if (own !== segment && run !== "") {
      yield { text: run, segment };
      run = "";
    }
    segment = own;
    run += character;
  }
  if (run !== "") yield { text: run, segment };
}
