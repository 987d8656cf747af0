import { assert, assertEquals } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { GRU, Linear, quantize, quantizeDynamic, Sequential, Softmax } from "@splitgate/splitgate";
import { importsText, RUNNING_HALVES, runningHalvesOf } from "../../src/cli/running_halves.ts";

Deno.test("every running half that an entry point exports is known by its name", async () => {
  const exported: Record<string, Record<string, unknown>> = {};
  for (const [entry, path] of Object.entries(config.exports)) {
    if (!entry.startsWith("./runtime/") || entry === "./runtime/state") continue;
    exported[entry.slice(2)] = { ...await import(`../../${path.slice(2)}`) };
  }
  assert(Object.keys(exported).length > 5);
  assertEquals(
    Object.fromEntries(Object.entries(RUNNING_HALVES).map(([entry, all]) => [entry, { ...all }])),
    exported,
  );
});

Deno.test("a program's text names what its model needs beside ./runtime, and nothing else", async () => {
  const linear = () => new Linear({ inFeatures: 2, outFeatures: 2 });
  const data = [Float32Array.of(0.1, -0.4, 0.9, 0.3)];
  const { model: plain } = await quantize(new Sequential({ linear: linear() }), data);
  assertEquals(importsText(runningHalvesOf(plain)), "");
  const { model } = await quantize(
    new Sequential({
      gru: new GRU({ inputSize: 2, hiddenSize: 2 }),
      linear: linear(),
      softmax: new Softmax(),
    }),
    data,
  );
  assertEquals(
    importsText(runningHalvesOf(model)),
    'it runs with\n  import { gru } from "@splitgate/splitgate/runtime/gru";\n' +
      '  import { softmax } from "@splitgate/splitgate/runtime/softmax";\n' +
      "  loadProgram(bytes, { kinds: [gru, softmax] })\n",
  );
  assertEquals(
    runningHalvesOf(quantizeDynamic(linear())),
    [{ name: "dynamicLinear", entry: "runtime/dynamic" }],
  );
});
