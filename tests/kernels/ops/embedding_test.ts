import { assertEquals } from "@std/assert";
import { embeddingRow, quantizeEmbeddingRow } from "../../../kernels/ops/embedding.ts";
import { testProperties } from "../property.ts";
import { EMBEDDING } from "./embedding.ts";

testProperties(EMBEDDING);

Deno.test("quantizeEmbeddingRow() and embeddingRow() write their own row only", () => {
  const x = Float32Array.of(9, 9, -1, 254, 9, 9);
  const weight = new Uint8Array(6).fill(77);
  const scales = new Float32Array(3).fill(7);
  const biases = new Float32Array(3).fill(7);
  const table = { weight, scales, biases, embeddingDim: 2 };
  quantizeEmbeddingRow(x, 1, table);
  assertEquals([[...weight], [...scales], [...biases]], [[77, 77, 0, 255, 77, 77], [7, 1, 7], [
    7,
    -1,
    7,
  ]]);
  const out = new Float32Array(6).fill(5);
  embeddingRow(table, 1, out, 3);
  assertEquals([...out], [5, 5, 5, -1, 254, 5]);
});
