import { assertEquals, assertThrows } from "@std/assert";
import {
  boundaryF1,
  cut,
  Dictionary,
  parseRuns,
  scriptRuns,
  wordEnds,
} from "../../demo/segmenter.ts";

const dictionary = new Dictionary(new Map([["a", 0], ["b", 1]]), 3);

Deno.test("Dictionary.encode() gives the last row to unknown characters and counts code points", () => {
  assertEquals([...dictionary.encode("ab😀b")], [0, 1, 2, 1]);
});

Deno.test("Dictionary.parse() refuses other labels and rows that are not there", () => {
  assertEquals(Dictionary.parse('{"dic":{"x":1},"labels":"bies"}', 3).has("x"), true);
  assertThrows(
    () => Dictionary.parse('{"dic":{},"labels":"bio"}', 3),
    RangeError,
    'labels: expected "bies"',
  );
  assertThrows(
    () => Dictionary.parse('{"dic":{"x":3},"labels":"bies"}', 3),
    RangeError,
    "a row in 0..2",
  );
});

Deno.test("parseRuns() reads words and where they end", () => {
  const [run, second] = parseRuns("text", "ab|b\n\nb|a😀\r\n", dictionary);
  assertEquals(run, { text: "abb", tokens: Int32Array.of(0, 1, 1), ends: [false, true, true] });
  assertEquals(second!.ends, [true, false, true]);
  assertThrows(
    () => parseRuns("text", "\n", dictionary),
    RangeError,
    "text: expected at least one line",
  );
});

Deno.test("wordEnds() takes the largest class and always ends the run", () => {
  const output = Float32Array.of(0, 0, 1, 0, /**/ 0, 0, 1, 2, /**/ 9, 0, 0, 0);
  assertEquals(wordEnds(output, 3), [true, false, true]);
});

Deno.test("cut() and scriptRuns() put a text back together", () => {
  assertEquals(cut("ab😀b", [false, true, false, true]), ["ab", "😀b"]);
  assertEquals([...scriptRuns("ab, b!", dictionary)], [
    { text: "ab", segment: true },
    { text: ", ", segment: false },
    { text: "b", segment: true },
    { text: "!", segment: false },
  ]);
});

Deno.test("boundaryF1() counts agreement of ends over both sides", () => {
  assertEquals(boundaryF1([[true, true, true]], [[false, true, true]]), 4 / 5);
});
