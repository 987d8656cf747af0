// A sensor's readings over HTTP, in any pieces: POST /ID with float32 values x y z x y z ... answers with what the
// model says after the last of them. A Durable Object a sensor keeps the state between requests.
import { loadProgram, type Session } from "@splitgate/splitgate/runtime/state";
import { simdKernels } from "@splitgate/splitgate/simd";
// @ts-ignore: a data module, an ArrayBuffer.
import program from "./motion.bin";
// @ts-ignore: a compiled module.
import wasm from "@splitgate/splitgate/simd/relaxed.wasm";

const CLASSES = ["standing", "walking", "shaking"];
const AXES = 3;

// Once an isolate: all objects in it share the model.
const model = loadProgram(program);
const kernels = await simdKernels({ module: wasm });

interface Storage {
  get(key: string): Promise<Uint8Array | undefined>;
  put(key: string, value: Uint8Array): Promise<void>;
}

/** One sensor's stream. */
export class Sensor {
  readonly #storage: Storage;
  #session: Session | undefined;

  constructor(state: { readonly storage: Storage }) {
    this.#storage = state.storage;
  }

  async #open(): Promise<Session> {
    if (this.#session !== undefined) return this.#session;
    const session = model.createSession({ kernels, maxSteps: 64 });
    const saved = await this.#storage.get("state");
    try {
      if (saved !== undefined) session.restore(saved);
    } catch (error) {
      // The state of another model, from before an update: begin anew. The session is as it was.
      console.warn(`state left behind: ${(error as Error).message}`);
    }
    return this.#session = session;
  }

  async fetch(request: Request): Promise<Response> {
    const bytes = await request.arrayBuffer();
    if (bytes.byteLength === 0 || bytes.byteLength % (4 * AXES) !== 0) {
      return new Response("expected float32 values in threes", { status: 400 });
    }
    const session = await this.#open();
    const input = new Float32Array(bytes);
    const output = new Float32Array(input.length / AXES * CLASSES.length);
    try {
      session.run(input, output);
    } catch (error) {
      // NaN, for one. The state is as it was before the call.
      return new Response((error as Error).message, { status: 400 });
    }
    await this.#storage.put("state", session.state());
    const scores = output.subarray(output.length - CLASSES.length);
    return Response.json({
      motion: CLASSES[scores.indexOf(Math.max(...scores))],
      scores: [...scores],
    });
  }
}

interface Env {
  readonly SENSORS: {
    idFromName(name: string): unknown;
    get(id: unknown): { fetch(request: Request): Promise<Response> };
  };
}

export default {
  fetch(request: Request, env: Env): Promise<Response> | Response {
    const { pathname } = new URL(request.url);
    if (request.method !== "POST" || pathname === "/") {
      return new Response("POST float32 readings, x y z, to /ID", { status: 404 });
    }
    return env.SENSORS.get(env.SENSORS.idFromName(pathname)).fetch(request);
  },
};
