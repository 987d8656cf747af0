/**
 * A page's script that digests the shared cases when it is asked to.
 *
 * @module
 */
import { simdKernels } from "@splitgate/splitgate/simd";
import { type Assets, cases, digest } from "../cases.ts";

/** Bytes cross into a page as base64. */
const bytesOf = (base64: string) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

Object.assign(globalThis, {
  async digests(
    assets: { readonly [name in keyof Assets]: string },
  ): Promise<Record<string, string>> {
    const digests: Record<string, string> = {};
    for (
      const { name, run } of cases(
        { ...assets, model: bytesOf(assets.model), files: bytesOf(assets.files) },
        await simdKernels(),
      )
    ) {
      digests[name] = await digest(run());
    }
    return digests;
  },
});
