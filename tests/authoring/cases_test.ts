import { assert } from "@std/assert";
import { byParts } from "../../src/modules/recurrent/by_parts.ts";
import { executorCases, gruExecutorCases } from "../../src/testing/executor_cases.ts";
import { requireSame } from "./executors.ts";

Deno.test("The portable kernels give what execution by parts gives at every size at which something changes", () => {
  const cases = executorCases();
  const compared = requireSame(cases, { name: "by parts", kernels: byParts() }, [
    { name: "portable" },
    { name: "portable, split gates", splitGates: true },
    { name: "portable, fused gates, 1 step at a time", splitGates: false, maxSteps: 1 },
    { name: "portable, 7 steps at a time", maxSteps: 7 },
    { name: "portable, row by row", rowByRow: true },
  ]);
  assert(cases.length > 200, `${cases.length} cases`);
  assert(compared > 10000, `${compared} outputs`);
});

Deno.test("The portable kernels give what execution by parts gives of a GRU at every such size", () => {
  const cases = gruExecutorCases();
  const compared = requireSame(cases, { name: "by parts", kernels: byParts() }, [
    { name: "portable" },
    { name: "portable, split gates, 1 step at a time", splitGates: true, maxSteps: 1 },
    { name: "portable, 7 steps at a time", maxSteps: 7 },
    { name: "portable, row by row", rowByRow: true },
  ]);
  assert(cases.length > 150, `${cases.length} cases`);
  assert(compared > 8000, `${compared} outputs`);
});
