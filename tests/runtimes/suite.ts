/**
 * The shared cases as tests of a runtime that can read files.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { simdKernels } from "@splitgate/splitgate/simd";
import { type Assets, cases, digest, digestOfAll, type ThaiTask } from "./cases.ts";

/** What each case must digest to, and all together. */
export interface Expected {
  readonly all: string;
  readonly cases: Readonly<Record<string, string>>;
}

/** The demo's Thai task, from a folder. */
export function readThai(folder: URL): ThaiTask {
  const read = (ending: string) => readFileSync(new URL(`thai.${ending}`, folder));
  return {
    model: new Uint8Array(read("safetensors")),
    dictionary: read("json").toString(),
    calibration: read("calibration.txt").toString(),
    test: read("test.txt").toString(),
  };
}

/** All assets from one folder, where a test of the packed package has put them. */
export function readAssets(folder: URL): Assets {
  const files = new Uint8Array(readFileSync(new URL("models.safetensors", folder)));
  return { ...readThai(folder), files };
}

/** Gives every case to the runtime's own test function. */
export async function suite(
  test: (name: string, body: () => Promise<void>) => void,
  assets: Assets,
  expected: Expected,
): Promise<void> {
  const got: Record<string, string> = {};
  for (const { name, run } of cases(assets, await simdKernels())) {
    test(name, async () => {
      got[name] = await digest(run());
      if (got[name] !== expected.cases[name]) {
        throw new Error(`${name}: expected the digest ${expected.cases[name]}, got ${got[name]}`);
      }
    });
  }
  test("all cases digest to what every runtime gives", async () => {
    const all = await digestOfAll(got);
    if (all !== expected.all) throw new Error(`expected the digest ${expected.all}, got ${all}`);
  });
}
