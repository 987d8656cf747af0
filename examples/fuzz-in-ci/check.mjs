// What every runner calls: the model that is deployed, held to the invariants of the package.
import { readFile } from "node:fs/promises";
import { loadModel } from "@splitgate/splitgate";
import { assertModel } from "@splitgate/splitgate/testing";

/** Fuzzes a model file; throws a report with the smallest input found where something breaks. */
export async function checkModel(file) {
  const model = loadModel(await readFile(file));
  // A fixed seed finds the same on every machine; CI draws a fresh one and prints it.
  const seed = Number(process.env.FUZZ_SEED ?? 1);
  const runs = Number(process.env.FUZZ_RUNS ?? 100);
  console.log(`fuzzing with FUZZ_SEED=${seed} FUZZ_RUNS=${runs}`);
  await assertModel(model, { runs, seed });
}
