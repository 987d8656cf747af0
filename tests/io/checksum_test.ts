import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { crc32 as zlibCrc32 } from "node:zlib";
import { crc32 } from "../../src/core/crc32.ts";
import { loadModel } from "../../src/io/model_file.ts";
import { saveModel } from "../../src/io/model_write.ts";
import { compileModel } from "../../src/io/program_write.ts";
import { writeSafetensors } from "../../src/io/safetensors_write.ts";
import { loadProgram } from "../../src/runtime/load.ts";
import { checksum } from "../../src/runtime/program_file.ts";
import { backends } from "../simd/backends.ts";
import { modelOf, plainCase } from "../../src/testing/quantized_models.ts";
import { readTree, writeTree } from "./tree.ts";

const models = {
  "an LSTM and a Linear": modelOf({ ...plainCase, hiddenSize: 2 }, "none", true),
  "an Embedding, an LSTM of two layers and directions": modelOf(
    { ...plainCase, hiddenSize: 1, numLayers: 2, bidirectional: true },
    "16",
    false,
  ),
};

/** Requires each file with one bit changed to be refused by a RangeError that names something. */
function refuseFlips(file: Uint8Array, read: (bytes: Uint8Array) => unknown): void {
  read(file);
  const changed = file.slice();
  for (let at = 0; at < file.length; at++) {
    for (let bit = 1; bit < 256; bit <<= 1) {
      changed[at]! ^= bit;
      try {
        read(changed);
      } catch (error) {
        const { name, message } = error as Error;
        if (name !== "RangeError" || !/^.+: expected .+, got /.test(message)) throw error;
        changed[at]! ^= bit;
        continue;
      }
      throw new Error(`bit ${bit} of byte ${at} is not missed`);
    }
  }
}

for (const [name, model] of Object.entries(models)) {
  Deno.test(`loadModel() refuses a file in which any one bit is another: ${name}`, () => {
    refuseFlips(saveModel(model), loadModel);
  });
  Deno.test(`loadProgram() refuses a program in which any one bit is another: ${name}`, () => {
    refuseFlips(compileModel(model), (bytes) => loadProgram(bytes));
  });
}

Deno.test("loadProgram() refuses bits changed in what was made for SIMD kernels", () => {
  const file = compileModel(models["an LSTM and a Linear"], { kernels: backends[0]![1] });
  const size = file.length;
  for (let at = 0; at < size * 8; at += 101) {
    const changed = file.with(at >> 3, file[at >> 3]! ^ 1 << (at & 7)) as Uint8Array;
    assertThrows(() => loadProgram(changed), RangeError, "bytes: expected ");
  }
});

Deno.test("loadProgram() leaves the checksum out when it is told to, and refuses other options", () => {
  const file = compileModel(models["an LSTM and a Linear"]);
  const changed = file.with(20, file[20]! ^ 1) as Uint8Array;
  assertThrows(() => loadProgram(changed), RangeError, "bytes: expected a program as it was");
  loadProgram(changed, { verify: false });
  assertThrows(() => loadProgram(file, { verify: 0 } as never), TypeError, "verify: expected");
  assertThrows(
    () => loadProgram(file, { check: 0 } as never),
    TypeError,
    "options.check: expected",
  );
  assertThrows(() => loadProgram(file, null as never), TypeError, "options: expected an object");
});

Deno.test("a program's checksum shows every change within one word, and almost every other", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer(), { minLength: 1, maxLength: 9 }),
      fc.nat(),
      fc.integer(),
      (words, index, other) => {
        const before = Int32Array.from(words);
        const after = before.slice();
        after[index % words.length] = other;
        const same = before.every((word, i) => word === after[i]);
        assertEquals(checksum(before) === checksum(after), same);
      },
    ),
  );
  const random = crypto.getRandomValues(new Int32Array(64));
  let swaps = 0;
  for (let i = 0; i < random.length; i++) {
    for (let j = 0; j < i; j++) {
      const swapped = random.slice();
      [swapped[i], swapped[j]] = [random[j]!, random[i]!];
      if (checksum(swapped) === checksum(random)) swaps++;
    }
  }
  assert(swaps <= 1, `${swaps}`);
});

Deno.test("loadModel() takes a file without a checksum, in any order, and refuses fields that it does not know", () => {
  const model = models["an LSTM and a Linear"];
  const { tensors, tree } = readTree(saveModel(model));
  assertEquals(saveModel(loadModel(writeTree(tensors, tree))), saveModel(model));
  assertThrows(
    () => loadModel(writeTree(tensors, { ...tree, crc: "00000000" })),
    RangeError,
    "splitgate.crc: expected no such field",
  );
  assertThrows(
    () =>
      loadModel(
        writeSafetensors(tensors, {
          splitgate: `{"crc32":"0123abcd",${JSON.stringify(tree).slice(1)}`,
        }),
      ),
    RangeError,
    'bytes: expected a file of checksum "0123abcd", as it was written, got',
  );
});

Deno.test("crc32() is zlib's, for any bytes at any place, in one piece or several", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(8), fc.nat(40), (bytes, offset, cut) => {
      const placed = new Uint8Array(bytes.length + offset).subarray(offset);
      placed.set(bytes);
      const want = zlibCrc32(bytes) | 0;
      assertEquals(crc32(placed), want);
      assertEquals(crc32(placed.subarray(cut), crc32(placed.subarray(0, cut))), want);
    }),
  );
});
