import { assertEquals } from "@std/assert";

/**
 * Sessions with kernels of their own each: how many of these kernels are still there after a
 * collection.
 */
const SESSIONS = `
import { convert, getPreset, LSTM, prepare, tensor } from "${import.meta.resolve("../../mod.ts")}";
import { byParts } from "${import.meta.resolve("../../src/modules/recurrent/by_parts.ts")}";
const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"));
observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
const model = convert(observed);
const kept = byParts(null);
const output = new Float32Array(3);
const made = [new WeakRef(kept)];
for (let i = 0; i < 10; i++) {
  const kernels = byParts(null);
  made.push(new WeakRef(kernels));
  model.createSession({ kernels }).step(Float32Array.of(0.1, -0.4), output);
}
model.createSession({ kernels: kept });
await new Promise((resolve) => setTimeout(resolve, 0)); // WeakRefs hold until the task ends
gc();
// The last ones may still lie on the stack.
console.log(made[0].deref() === kept, made.filter((kernels) => kernels.deref()).length < 5);
`;

Deno.test("createSession() keeps no kernels when nothing else does", async () => {
  const args = ["eval", "--v8-flags=--expose-gc", SESSIONS];
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    env: { NO_COLOR: "1" },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assertEquals(text(stdout), "true true\n", text(stderr));
});
