/** How much memory SIMD kernels take, and what happens where there is none. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { QuantizedModel, type QuantizedModule } from "../../src/authoring/model.ts";
import type { SessionOptions } from "../../src/runtime/basic_session.ts";
import type { SimdKernels } from "../../src/simd/backend.ts";
import { simdKernels } from "../../src/simd/load.ts";
import { floatsOf } from "../../src/testing/random.ts";
import { type LSTMCase, lstmOf } from "../../src/testing/quantized_lstms.ts";
import { plainCase } from "../../src/testing/quantized_models.ts";

const PAGE = 65536;

const sized: LSTMCase = { ...plainCase, inputSize: 16, hiddenSize: 16, numLayers: 2 };

function modelOf(c: LSTMCase): QuantizedModel {
  return new QuantizedModel(new Map<string, QuantizedModule>([["lstm", lstmOf(c)]]));
}

/** Kernels, and the memories of what they have prepared. */
async function watchedKernels(): Promise<{ kernels: SimdKernels; memories: WebAssembly.Memory[] }> {
  const memories: WebAssembly.Memory[] = [];
  const { Instance } = WebAssembly;
  class Watched {
    constructor(module: WebAssembly.Module) {
      const instance = new Instance(module);
      memories.push(instance.exports.memory as WebAssembly.Memory);
      return instance;
    }
  }
  const api = WebAssembly as unknown as Record<string, unknown>;
  // Each LSTM but the first has an instance of its own, made when it is prepared.
  api.Instance = Watched;
  try {
    return { kernels: await simdKernels(), memories };
  } finally {
    api.Instance = Instance;
  }
}

/** Bytes of the memory after a session for each number of rows or steps. */
async function bytesAfter(
  options: (n: number) => SessionOptions,
  sizes: readonly number[],
): Promise<number> {
  const { kernels, memories } = await watchedKernels();
  const model = modelOf(sized);
  for (const n of sizes) {
    const { batch = 1, maxSteps = 1 } = options(n);
    const session = model.createSession({ batch, maxSteps, kernels });
    const x = floatsOf(n, [batch * maxSteps * 16], 2).data;
    const out = new Float32Array(x.length);
    session.run(x, out);
  }
  assertEquals(memories.length, 1);
  return memories[0]!.buffer.byteLength;
}

Deno.test("Sessions of rising size take, one after the other, at most twice the memory of the largest alone", async () => {
  const sizes = Array.from({ length: 120 }, (_, i) => i + 1);
  for (
    const options of [
      (n: number) => ({ batch: n }),
      (n: number) => ({ maxSteps: n }),
      (n: number) => ({ batch: 1 + n % 17, maxSteps: n }),
      (n: number) => ({ batch: 121 - n, maxSteps: n }),
    ]
  ) {
    const largest = {
      batch: Math.max(...sizes.map((n) => options(n) as SessionOptions).map((o) => o.batch ?? 1)),
      maxSteps: Math.max(
        ...sizes.map((n) => options(n) as SessionOptions).map((o) => o.maxSteps ?? 1),
      ),
    };
    const alone = await bytesAfter(() => largest, [1]);
    const rising = await bytesAfter(options, sizes);
    assert(rising <= 2 * alone + PAGE, `${rising} bytes, ${alone} alone`);
  }
});

Deno.test("The kernel's memory does not grow with maxSteps once that is large", async () => {
  const long = await bytesAfter((maxSteps) => ({ maxSteps }), [5000]);
  assertEquals(await bytesAfter((maxSteps) => ({ maxSteps }), [40000]), long);
});

Deno.test("What goes from layer to layer takes four bytes a value with SIMD kernels", async () => {
  const kernels = await simdKernels();
  const wide = { ...sized, inputSize: 256, hiddenSize: 256 };
  // Of so many steps: 100 more are more of inputs and outputs, and of what is between two layers.
  const hundred = (numLayers: number): number => {
    const model = modelOf({ ...wide, numLayers });
    const [few, many] = [100, 200].map((maxSteps) => model.createSession({ maxSteps, kernels }));
    return many!.workingBytes - few!.workingBytes;
  };
  assertEquals(
    [2, 3, 4].map((layers) => hundred(layers) - hundred(1)),
    [1, 2, 2].map((arrays) => arrays * 100 * 256 * 4),
  );
});

Deno.test("A session that the memory cannot grow for is refused by name, and the others go on as if it had not been asked for", async () => {
  const { kernels, memories } = await watchedKernels();
  const model = modelOf(sized);
  const step = floatsOf(1, [16], 2).data;
  const session = model.createSession({ kernels });
  const expected = model.createSession();
  const a = new Float32Array(16);
  const b = new Float32Array(16);
  const compare = () => {
    session.step(step, a);
    expected.step(step, b);
    assertEquals(a, b);
    assertEquals(session.state(), expected.state());
    // And once more, from the state in the kernel's memory.
    session.step(step, a);
    expected.step(step, b);
    assertEquals(a, b);
  };
  compare();
  const [memory] = memories;
  const { byteLength } = memory!.buffer;
  let refused = 0;
  memory!.grow = () => {
    refused++;
    throw new RangeError("WebAssembly.Memory.grow(): Maximum memory size exceeded");
  };
  for (const options of [{ batch: 5000 }, { batch: 100, maxSteps: 3000 }]) {
    const error = assertThrows(
      () => model.createSession({ ...options, kernels }),
      RangeError,
      "memory: expected room for ",
    );
    assert(error.message.includes(`cannot grow beyond ${byteLength}`), error.message);
    compare();
  }
  // With spare room and without.
  assert(refused >= 2);
  assertEquals(memory!.buffer.byteLength, byteLength);
  // Where it can again, the same session can be made.
  delete (memory as unknown as Record<string, unknown>).grow;
  const rows = model.createSession({ batch: 5000, kernels });
  const out = new Float32Array(5000 * 16);
  rows.step(Float32Array.from({ length: out.length }, (_, i) => step[i % 16]!), out);
  model.createSession().step(step, b);
  for (const row of [0, 1, 2499, 4999]) assertEquals(out.slice(row * 16, row * 16 + 16), b);
  compare();
});

Deno.test("An engine that refuses another memory is told of by name, and other models go on", async () => {
  const kernels = await simdKernels();
  const first = modelOf(sized);
  const session = first.createSession({ kernels });
  const api = WebAssembly as unknown as Record<string, unknown>;
  const { Instance } = WebAssembly;
  api.Instance = class {
    constructor() {
      throw new RangeError("WebAssembly.Instance(): Out of memory");
    }
  };
  const second = modelOf({ ...sized, seed: 4 });
  try {
    assertThrows(
      () => second.createSession({ kernels }),
      RangeError,
      "kernels: expected room for another WebAssembly memory",
    );
  } finally {
    api.Instance = Instance;
  }
  const x = floatsOf(1, [16], 2).data;
  for (
    const [model, simd] of [[first, session], [second, second.createSession({ kernels })]] as const
  ) {
    const a = new Float32Array(16);
    const b = new Float32Array(16);
    simd.step(x, a);
    model.createSession().step(x, b);
    assertEquals(a, b);
  }
});

Deno.test("A session of a wide model takes no more steps at a time than its buffers have room for", () => {
  const model = modelOf({ ...plainCase, inputSize: 1, hiddenSize: 1 });
  const wide = modelOf({ ...plainCase, inputSize: 70000, hiddenSize: 1 });
  const many = wide.createSession({ maxSteps: 1024 });
  assertEquals(many.maxSteps, 1024);
  // Of doubles: 3 steps of inputs, not 1024, and what is multiplied by the weights.
  assert(many.workingBytes < 5 * 70000 * 8, `${many.workingBytes}`);
  assert(model.createSession({ maxSteps: 1024 }).workingBytes > 1024 * 2 * 8);
});
