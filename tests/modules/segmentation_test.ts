// The demo's real models in float: they separate words as the implementation they come from.
import { assertEquals, assertGreater } from "@std/assert";
import { Embedding, Linear, LSTM, Sequential, tokens } from "@splitgate/splitgate";
import { parseSafetensors } from "../../src/io/safetensors.ts";

const data = (name: string) => new URL(`../../demo/data/${name}`, import.meta.url);

for (const language of ["thai", "lao", "burmese"]) {
  Deno.test(`Sequential.forward() reproduces every word boundary of ICU4X in the ${language} test text`, async () => {
    const { tensors } = parseSafetensors(await Deno.readFile(data(`${language}.safetensors`)));
    const { dic } = JSON.parse(await Deno.readTextFile(data(`${language}.json`))) as {
      dic: Record<string, number>;
    };
    const [numEmbeddings, embeddingDim] = tensors.get("embedding.weight")!.shape as [
      number,
      number,
    ];
    const model = new Sequential({
      embedding: new Embedding({ numEmbeddings: numEmbeddings, embeddingDim: embeddingDim }),
      lstm: new LSTM({ inputSize: embeddingDim, hiddenSize: 27, bidirectional: true }),
      out: new Linear({ inFeatures: 54, outFeatures: 4 }),
    });
    model.loadStateDict(tensors);
    let characters = 0;
    for (
      const line of (await Deno.readTextFile(data(`${language}.test.txt`))).trimEnd().split("\n")
    ) {
      const run = [...line.replaceAll("|", "")];
      const ids = run.map((character) => dic[character] ?? numEmbeddings - 1);
      const { data: scores } = model.forward(tokens(ids, [ids.length, 1]));
      const words = run.map((character, i) => {
        const row = scores.subarray(4 * i, 4 * i + 4);
        const end = row.indexOf(Math.max(...row)) === 2;
        return character + (end && i + 1 < run.length ? "|" : "");
      });
      assertEquals(words.join(""), line);
      characters += run.length;
    }
    assertGreater(characters, 1000);
  });
}
