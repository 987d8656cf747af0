import { assert, assertEquals } from "@std/assert";
import { executorCases, gruExecutorCases } from "../../src/testing/executor_cases.ts";
import { requireSame } from "../authoring/executors.ts";
import { backends, Counted } from "./backends.ts";

const cases = executorCases();
const ofGRU = gruExecutorCases();

for (const [name, backend] of backends) {
  Deno.test(`SimdKernels (${name}) give what the portable kernels give at every size at which something changes`, () => {
    const kernels = new Counted(backend);
    const compared = requireSame(cases, { name: "portable" }, [
      { name, kernels },
      { name: `${name}, split gates, 1 step at a time`, kernels, splitGates: true, maxSteps: 1 },
      { name: `${name}, 7 steps at a time`, kernels, maxSteps: 7 },
      { name: `${name}, row by row`, kernels, rowByRow: true },
    ]);
    assert(cases.filter(({ c }) => c.projSize > 0).length > 10);
    assertEquals([kernels.refused, kernels.ran], [0, cases.length]);
    assert(kernels.projected > 10, `${kernels.projected} projectors`);
    assert(compared > 10000, `${compared} outputs`);
  });

  Deno.test(`SimdKernels (${name}) give what the portable kernels give of a GRU, of every convention, at every size at which something changes`, () => {
    const kernels = new Counted(backend);
    const compared = requireSame(ofGRU, { name: "portable" }, [
      { name, kernels },
      { name: `${name}, split gates, 1 step at a time`, kernels, splitGates: true, maxSteps: 1 },
      { name: `${name}, 7 steps at a time`, kernels, maxSteps: 7 },
      { name: `${name}, row by row`, kernels, rowByRow: true },
    ]);
    assertEquals([kernels.refused, kernels.ran], [0, ofGRU.length]);
    assert(compared > 10000, `${compared} outputs`);
  });
}
