/**
 * A page's script that digests the shared cases when it is asked to.
 *
 * @module
 */
import { simdKernels } from "@splitgate/splitgate/simd";
import { type Assets, cases, digest } from "../cases.ts";

Object.assign(globalThis, {
  async digests(
    assets: Omit<Assets, "model"> & { model: number[] },
  ): Promise<Record<string, string>> {
    const digests: Record<string, string> = {};
    for (
      const { name, run } of cases(
        { ...assets, model: Uint8Array.from(assets.model) },
        await simdKernels(),
      )
    ) {
      digests[name] = await digest(run());
    }
    return digests;
  },
});
