// Data files, without commands.
import { assertEquals } from "@std/assert";
import { writeSafetensors } from "@splitgate/splitgate/safetensors";
import { firstRows } from "../../src/cli/data.ts";
import { writeNpy } from "../../src/cli/npy.ts";

const encoder = new TextEncoder();

Deno.test("firstRows() gives three rows at most of each kind of file, short, and none of what cannot be read", () => {
  const data = Float32Array.from({ length: 4 * 2 * 3 }, (_, i) => i);
  const three = ["0,1,2", "3,4,5", "6,7,8"];
  assertEquals(firstRows("x.npy", writeNpy(data, [4, 2, 3])), three);
  const tensors = new Map([["x", { data, shape: [4, 2, 3] }]]);
  assertEquals(firstRows("x.safetensors", writeSafetensors(tensors)), three);
  assertEquals(firstRows("x.npy", writeNpy(data, [2, 12])), [
    "0,1,2,3,4,5,6,7,…",
    "12,13,14,15,16,17,18,19,…",
  ]);
  assertEquals(firstRows("x.csv", encoder.encode("a,b\n\n1,2\n3,4\n5,6\n")), ["a,b", "1,2", "3,4"]);
  assertEquals(firstRows("x.jsonl", encoder.encode("9".repeat(99)))[0]!.length, 60);
  assertEquals(firstRows("x.npy", Uint8Array.from("\x93NUMPY?", (c) => c.charCodeAt(0))), []);
});
