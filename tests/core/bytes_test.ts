import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { runInNewContext } from "node:vm";
import { compileModel, loadModel, saveModel } from "@splitgate/splitgate";
import { parseSafetensors } from "@splitgate/splitgate/safetensors";
import { loadProgram } from "@splitgate/splitgate/runtime/state";
import { bytesOf, type BytesSource } from "../../src/core/bytes.ts";
import { modelOf, plainCase } from "../../src/testing/quantized_models.ts";

/** The same bytes as everything that people have them in. */
function forms(bytes: Uint8Array): BytesSource[] {
  const padded = new Uint8Array(bytes.length + 16);
  padded.set(bytes, 8);
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  const foreign = runInNewContext("(bytes) => Uint8Array.from(bytes)")(bytes) as Uint8Array;
  return [
    bytes.slice(),
    bytes.slice().buffer,
    padded.subarray(8, 8 + bytes.length),
    new DataView(padded.buffer, 8, bytes.length),
    Buffer.from(bytes),
    shared,
    shared.buffer,
    foreign,
    foreign.buffer,
  ];
}

Deno.test("bytesOf() gives the bytes of every buffer and view where they lie", () => {
  const bytes = Uint8Array.of(1, 2, 3, 4);
  for (const form of forms(bytes)) {
    const given = bytesOf("bytes", form);
    assertEquals([...given], [...bytes]);
    const buffer = ArrayBuffer.isView(form) ? form.buffer : form;
    assertStrictEquals(given.buffer, buffer);
  }
  assertEquals([...bytesOf("bytes", Uint16Array.of(0x0201))], [1, 2]);
  for (const wrong of [null, undefined, "bytes", [1], { byteLength: 1 }, new Blob([])]) {
    assertThrows(() => bytesOf("bytes", wrong as never), TypeError, "bytes: expected bytes, as an");
  }
});

Deno.test("files and states are read from every buffer and view", () => {
  const model = modelOf(plainCase, "none", true);
  const file = saveModel(model);
  const program = compileModel(model);
  const session = model.createSession();
  const state = session.state();
  for (const form of forms(file)) {
    assertEquals(saveModel(loadModel(form)), file);
    assertEquals(parseSafetensors(form).tensors.size, parseSafetensors(file).tensors.size);
  }
  for (const form of forms(program)) {
    assertEquals(loadProgram(form).createSession().state(), state);
  }
  for (const form of forms(state)) session.restore(form);
  assertEquals(session.state(), state);
});
