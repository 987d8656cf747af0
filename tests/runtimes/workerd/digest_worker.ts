/**
 * A worker that runs the shared cases: answers with each case's digest.
 *
 * @module
 */
import { simdKernels } from "@splitgate/splitgate/simd";
// @ts-ignore: workerd gives the compiled module, where Deno gives an instance's exports.
import plainWasm from "@splitgate/splitgate/simd/plain.wasm";
// @ts-ignore: data modules of the worker's configuration.
import model from "thai.safetensors";
// @ts-ignore: as above.
import dictionary from "thai.json";
// @ts-ignore: as above.
import calibration from "thai.calibration.txt";
// @ts-ignore: as above.
import test from "thai.test.txt";
// @ts-ignore: as above.
import files from "models.safetensors";
import { cases, digest } from "../cases.ts";

const simd = await simdKernels({ module: plainWasm });

export default {
  async fetch(): Promise<Response> {
    const digests: Record<string, string> = {};
    try {
      for (
        const { name, run } of cases({
          model: new Uint8Array(model),
          dictionary,
          calibration,
          test,
          files: new Uint8Array(files),
        }, simd)
      ) {
        digests[name] = await digest(run());
      }
      return Response.json(digests);
    } catch (error) {
      return new Response(`${(error as Error).stack}`, { status: 500 });
    }
  },
};
