import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Embedding, tensor, tokens } from "@splitgate/splitgate";
import { seeds, sizes } from "../../../src/testing/float_lstms.ts";

Deno.test("Embedding.forward() gives each token's row for any shape", () => {
  fc.assert(fc.property(
    sizes,
    sizes,
    seeds,
    fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 }),
    fc.infiniteStream(fc.nat()),
    (numEmbeddings, embeddingDim, seed, shape, stream) => {
      const embedding = new Embedding({ numEmbeddings, embeddingDim, seed });
      const ids = Array.from(
        { length: shape.reduce((a, b) => a * b, 1) },
        () => stream.next().value % numEmbeddings,
      );
      const y = embedding.forward(tokens(ids, shape));
      assertEquals(y.shape, [...shape, embeddingDim]);
      ids.forEach((id, i) => {
        for (let k = 0; k < embeddingDim; k++) {
          assertEquals(y.data[i * embeddingDim + k], embedding.weight[id * embeddingDim + k]);
        }
      });
    },
  ));
});

Deno.test("new Embedding() starts with mean 0 and variance 1", () => {
  const { weight } = new Embedding({ numEmbeddings: 1000, embeddingDim: 40, seed: 3 });
  const mean = weight.reduce((a, b) => a + b) / weight.length;
  const variance = weight.reduce((sum, value) => sum + (value - mean) ** 2, 0) / weight.length;
  assertAlmostEquals(mean, 0, 0.02);
  assertAlmostEquals(variance, 1, 0.03);
});

Deno.test("new Embedding() refuses bad options", () => {
  // deno-lint-ignore no-explicit-any -- bad on purpose
  const bad = (options: any) => () => new Embedding(options);
  assertThrows(bad({ numEmbeddings: 1 }), TypeError, "embeddingDim");
  assertThrows(bad({ numEmbeddings: 0, embeddingDim: 1 }), RangeError, "numEmbeddings");
  assertThrows(bad({ numEmbeddings: 2 ** 16, embeddingDim: 2 ** 16 }), RangeError, "weight");
  assertThrows(
    bad({ numEmbeddings: 1, embeddingDim: 1, paddingIdx: 0 }),
    TypeError,
    'got "paddingIdx"',
  );
  assertThrows(bad({ numEmbeddings: 1, embeddingDim: 1, seed: null }), TypeError, "seed");
});

Deno.test("Embedding.forward() refuses unknown tokens and empty input", () => {
  const embedding = new Embedding({ numEmbeddings: 3, embeddingDim: 2 });
  assertThrows(
    () => embedding.forward(tokens([0, 3], [2])),
    RangeError,
    "x.data[1]: expected a token id in 0..2, got 3",
  );
  assertThrows(() => embedding.forward(tokens(Int32Array.of(-1), [1])), RangeError, "x.data[0]");
  assertThrows(() => embedding.forward(tokens([], [0, 1])), RangeError, "x.shape");
  assertThrows(() => embedding.forward(tokens([], [1, 0])), RangeError, "x.shape");
  assertThrows(
    // deno-lint-ignore no-explicit-any -- bad on purpose
    () => embedding.forward(tensor([0], [1]) as any),
    TypeError,
    "x.data: expected an Int32Array",
  );
});
