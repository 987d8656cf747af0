// Real GRUs, from files of others: float outputs as the makers' frameworks compute them, and integers.
import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import {
  convert,
  Embedding,
  getPreset,
  GRU,
  Linear,
  prepare,
  Sequential,
  type Tensor,
  tokens,
} from "@splitgate/splitgate";
import { parseSafetensors } from "@splitgate/splitgate/safetensors";
import { readTorch } from "../../../src/io/torch/mod.ts";

const FOLDER = new URL("../../models/uzmorph_bigru/", import.meta.url);
const CHARACTERS = 49;
const WIDTH = 64;
const TAGS = 746;
const PADDING = 0;
/** Words of the reference that stand here: 48 of its 64. */
const WORDS = 48;

/** The tagger, with the weights of its file. */
function tagger(): Sequential {
  const model = new Sequential({
    char_embeddings: new Embedding({ numEmbeddings: CHARACTERS, embeddingDim: WIDTH }),
    gru: new GRU({
      inputSize: WIDTH,
      hiddenSize: WIDTH,
      numLayers: 2,
      bidirectional: true,
      batchFirst: true,
    }),
    hidden2tag: new Linear({ inFeatures: 2 * WIDTH, outFeatures: TAGS }),
  });
  const { tensors } = readTorch(Deno.readFileSync(new URL("morph_bigru.pth", FOLDER)));
  model.loadStateDict(tensors);
  return model;
}

/** The place of the largest of each row's values. */
function bestOf(scores: ArrayLike<number>, width: number): number[] {
  return Array.from({ length: scores.length / width }, (_, row) => {
    let best = 0;
    for (let k = 1; k < width; k++) {
      if (scores[row * width + k]! > scores[row * width + best]!) best = k;
    }
    return best;
  });
}

const { tensors } = parseSafetensors(
  Deno.readFileSync(new URL("uzmorph_bigru.reference.safetensors", FOLDER)),
);

/** Token ids of the reference, [words, characters]. */
function ids(name: string) {
  const { data, shape } = tensors.get(name)!;
  return tokens(Int32Array.from(data as Int32Array), shape);
}

Deno.test("the float tagger of uzmorph_bigru is within 1e-4 of PyTorch", () => {
  const y = tagger().forward(ids("x"));
  const reference = tensors.get("y")! as Tensor;
  assertEquals(y.shape, reference.shape);
  let largest = 0;
  y.data.forEach((value, i) => largest = Math.max(largest, Math.abs(value - reference.data[i]!)));
  assertLessOrEqual(largest, 1e-4);
});

for (const preset of ["accurate", "int8x16"]) {
  Deno.test(`by ${preset} the tagger of uzmorph_bigru gives 99.5% of words the tags that it gives in float32`, () => {
    const model = tagger();
    const observed = prepare(model, getPreset(preset));
    observed.forward(ids("x_calibration"));
    const quantized = convert(observed);
    let words = 0;
    let whole = 0;
    for (const name of ["x", "x_more"]) {
      const x = ids(name);
      const [count, steps] = x.shape as [number, number];
      const float = bestOf(model.forward(x).data, TAGS);
      const session = quantized.createSession({ batch: count, maxSteps: steps });
      const out = new Float32Array(count * steps * TAGS);
      session.run(x.data, out);
      const integers = bestOf(out, TAGS);
      for (let word = 0; word < count; word++, words++) {
        const tags = (all: readonly number[]) =>
          all.slice(word * steps, (word + 1) * steps)
            .filter((_, at) => x.data[word * steps + at] !== PADDING);
        if (`${tags(float)}` === `${tags(integers)}`) whole++;
      }
    }
    assertEquals(words, WORDS);
    assert(whole >= 0.995 * words, `${whole} of ${words} words`);
  });
}
