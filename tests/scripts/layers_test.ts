import { assertEquals } from "@std/assert";
import { faultsOf, LAYERS } from "../../scripts/layers.ts";

const graph = (imports: Record<string, string[]>) => new Map(Object.entries(imports));

Deno.test("each layer imports only layers that stand before it", () => {
  const before: string[] = [];
  for (const [layer, imports] of Object.entries(LAYERS)) {
    assertEquals(imports.filter((each) => !before.includes(each)), [], layer);
    before.push(layer);
  }
});

Deno.test("faultsOf() finds no fault where arrows point one way", () => {
  const imports = {
    "runtime.ts": ["src/runtime/session.ts"],
    "src/runtime/session.ts": ["src/core/a.ts", "kernels/b.ts"],
    "src/core/a.ts": ["kernels/b.ts"],
    "kernels/b.ts": [],
  };
  assertEquals(faultsOf(graph(imports)), []);
});

Deno.test("faultsOf() finds circles, arrows that point back, files without a layer and ways into what is closed", () => {
  assertEquals(
    faultsOf(graph({ "src/core/a.ts": ["src/core/b.ts"], "src/core/b.ts": ["src/core/a.ts"] })),
    ["circle: src/core/a.ts -> src/core/b.ts -> src/core/a.ts"],
  );
  assertEquals(
    faultsOf(graph({ "src/core/a.ts": ["src/modules/b.ts"], "src/modules/b.ts": [] })),
    ["src/core must not import src/modules: src/core/a.ts -> src/modules/b.ts"],
  );
  assertEquals(faultsOf(graph({ "src/new/a.ts": [] })), ["no layer: src/new/a.ts"]);
  for (const entry of ["runtime.ts", "runtime_dynamic.ts", "runtime_joins.ts", "simd.ts"]) {
    assertEquals(
      faultsOf(graph({ [entry]: ["bridge.ts"], "bridge.ts": ["src/modules/a.ts"] })),
      [`no way from ${entry} to there: ${entry} -> bridge.ts -> src/modules/a.ts`],
    );
  }
});
