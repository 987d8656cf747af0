import { assert, assertEquals } from "@std/assert";
import * as table from "../../kernels/simd/layout.ts";
import { layoutSource } from "../../scripts/simd_layout.ts";

const source = (name: string): Promise<string> =>
  Deno.readTextFile(new URL(`../../kernels/simd/${name}`, import.meta.url));

Deno.test("layout.as is what the table of the shared memory gives", async () => {
  assertEquals(await source("layout.as"), layoutSource());
});

Deno.test("Vectors of every layout stand at multiples of their length", () => {
  let vectors = 0;
  for (const [name, layout] of Object.entries(table)) {
    if (typeof layout !== "object" || !("SIZE" in layout)) continue;
    const fields: [string, number][] = Object.entries(layout);
    for (const [i, [field, at]] of fields.slice(0, -1).entries()) {
      const words = fields[i + 1]![1] - at;
      if (words < 4) continue;
      assertEquals(at % 4, 0, `${name}.${field}`);
      vectors++;
    }
  }
  assert(vectors > 30, `${vectors} vectors`);
});

Deno.test("lstm.as and gru.as write out no address that the table names", async () => {
  const names = [...layoutSource().matchAll(/^const (\w+):/gm)].map(([, name]) => name!);
  const kernel = await source("lstm.as") + await source("gru.as");
  const declared = [...kernel.matchAll(/^const (\w+):/gm)].map(([, name]) => name!);
  assertEquals(declared, ["HALF_BLOCK"]);
  const unused = names.filter((name) => !new RegExp(`\\b${name}\\b`).test(kernel));
  assertEquals(unused.filter((name) => !name.endsWith("SIZE")), [
    "BIAS_FUSED",
    "FIXED_SOME",
    "UNQUANTIZED_NONE",
    "UNQUANTIZED_SOME",
  ]);
});
