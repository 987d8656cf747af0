/**
 * An edge worker: the Thai segmenter over HTTP, and a Durable Object that holds one streaming
 * session per id.
 *
 * - `POST /segment?kernels=portable|simd`: text in, text with `|` between words out.
 * - `POST /sessions/ID?at=STEPS`: float32 steps in, float32 outputs out. `at` is the number of
 *   steps that the caller has seen answered: two requests for the same place cannot both be taken,
 *   and the one that is not is told (409).
 * - `GET`, `PUT /sessions/ID/state`, `DELETE /sessions/ID`: take a session away, bring it, end it.
 *
 * @module
 */
import { loadProgram, type Program, type Session } from "@splitgate/splitgate/runtime/state";
import { type SimdKernels, simdKernels } from "@splitgate/splitgate/simd";
// @ts-ignore: workerd gives the compiled module, where Deno gives an instance's exports.
import plainWasm from "@splitgate/splitgate/simd/plain.wasm";
// @ts-ignore: data modules of the worker's configuration.
import thaiModel from "thai.program";
// @ts-ignore: as above.
import thaiDictionary from "thai.json";
// @ts-ignore: as above.
import streamingModel from "streaming.program";
import { cut, Dictionary, scriptRuns, wordEnds } from "../../../demo/segmenter.ts";

interface Storage {
  get<T>(key: string): Promise<T | undefined>;
  put(key: string, value: unknown): Promise<void>;
  deleteAll(): Promise<void>;
}

interface DurableState {
  readonly storage: Storage;
  readonly id: { readonly name?: string };
  blockConcurrencyWhile<T>(callback: () => Promise<T>): Promise<T>;
  abort(reason: string): void;
}

interface Env {
  readonly SESSIONS: {
    idFromName(name: string): unknown;
    get(id: unknown): { fetch(request: Request): Promise<Response> };
  };
}

/** What a session's object keeps: where the session stands, and how many steps it has taken. */
interface Saved {
  readonly state: Uint8Array;
  readonly steps: number;
}

/** Characters of a run of text and steps of a request that are taken at once. */
const MAX_TEXT = 20_000;
const MAX_STEPS = 4096;

const thai: Program<Session> = loadProgram(new Uint8Array(thaiModel));
const dictionary = Dictionary.parse(thaiDictionary, thai.vocabulary);
const streaming: Program<Session> = loadProgram(new Uint8Array(streamingModel));
const simd: SimdKernels = await simdKernels({ module: plainWasm });

/** A mistake of the caller. */
class HttpError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

/** Answers with the result, or with what the caller must change. */
async function answer(
  handle: () => Promise<string | Uint8Array<ArrayBuffer>>,
  headers: () => Record<string, string> = () => ({}),
): Promise<Response> {
  try {
    const body = await handle();
    return new Response(body, { headers: headers() });
  } catch (error) {
    const status = error instanceof HttpError
      ? error.status
      : error instanceof RangeError || error instanceof TypeError
      ? 400
      : 500;
    return Response.json({ error: (error as Error).message }, { status, headers: headers() });
  }
}

/**
 * Sessions of the segmenter by kernels and length: sessions for 256 characters serve nearly all
 * runs.
 */
const segmenters = new Map<string, Session>();

function segmenter(length: number, kernels: SimdKernels | undefined): Session {
  const maxSteps = 2 ** Math.max(8, Math.ceil(Math.log2(length)));
  const key = `${kernels?.name} ${maxSteps}`;
  const session = segmenters.get(key) ?? thai.createSession({ maxSteps, kernels });
  segmenters.set(key, session);
  return session;
}

function segment(text: string, kernels: SimdKernels | undefined): string {
  let out = "";
  for (const run of scriptRuns(text, dictionary)) {
    if (!run.segment) {
      out += run.text;
      continue;
    }
    const ids = dictionary.encode(run.text);
    const output = new Float32Array(ids.length * thai.outputSize);
    segmenter(ids.length, kernels).run(ids, output);
    out += cut(run.text, wordEnds(output, ids.length)).join("|");
  }
  return out;
}

/**
 * One streaming session. It answers only what its storage has taken: what was answered is never
 * lost.
 */
export class StreamingSession {
  readonly #storage: Storage;
  readonly #state: DurableState;
  readonly #session: Session = streaming.createSession();
  /** Tells this object in memory from the next one with the same id. */
  readonly #instance: string = crypto.randomUUID();
  #steps = 0;
  /** Why the saved state cannot be taken up, if so. It stays saved. */
  #unfit: string | null = null;

  constructor(state: DurableState) {
    this.#state = state;
    this.#storage = state.storage;
    state.blockConcurrencyWhile(async () => {
      const saved = await this.#storage.get<Saved>("session");
      if (saved === undefined) return;
      try {
        this.#session.restore(saved.state);
        this.#steps = saved.steps;
      } catch (error) {
        this.#unfit = (error as Error).message;
      }
    });
  }

  fetch(request: Request): Promise<Response> {
    return answer(async () => {
      const url = new URL(request.url);
      const part = url.pathname.split("/")[3];
      const { method } = request;
      if (part === "abort" && method === "POST") {
        this.#state.abort("asked to");
        return "";
      }
      if (method === "DELETE" && part === undefined) {
        this.#session.reset();
        this.#steps = 0;
        this.#unfit = null;
        await this.#storage.deleteAll();
        return "";
      }
      // All of a request is here before any of it is used: nothing below waits between reading and
      // writing the state.
      const body = new Uint8Array(await request.arrayBuffer());
      if (method === "PUT" && part === "state") return this.#bring(body, url);
      if (this.#unfit !== null) {
        throw new HttpError(409, `the session's saved state: ${this.#unfit}`);
      }
      if (method === "GET" && part === "state") return this.#session.state();
      if (method === "POST" && part === undefined) return this.#step(body, url);
      throw new HttpError(
        405,
        `${method} ${url.pathname}: expected POST, DELETE, or GET or PUT of /state`,
      );
    }, () => ({ "x-instance": this.#instance, "x-steps": `${this.#steps}` }));
  }

  #place(url: URL): number {
    const at = url.searchParams.get("at") ?? "";
    if (!/^\d{1,15}$/.test(at)) {
      throw new HttpError(400, `at: expected the number of steps taken before, got "${at}"`);
    }
    return Number(at);
  }

  async #bring(state: Uint8Array, url: URL): Promise<string> {
    const steps = this.#place(url);
    this.#session.restore(state);
    this.#steps = steps;
    this.#unfit = null;
    await this.#save();
    return "";
  }

  async #step(body: Uint8Array<ArrayBuffer>, url: URL): Promise<Uint8Array<ArrayBuffer>> {
    const at = this.#place(url);
    const width = 4 * streaming.inputSize;
    const steps = body.length / width;
    if (at !== this.#steps) {
      throw new HttpError(
        409,
        `at: expected ${this.#steps}, the steps this session has taken, got ${at}`,
      );
    }
    if (!Number.isInteger(steps) || steps < 1 || steps > MAX_STEPS) {
      throw new HttpError(
        400,
        `body: expected 1 to ${MAX_STEPS} steps of ${width} bytes, got ${body.length} bytes`,
      );
    }
    const output = new Float32Array(steps * streaming.outputSize);
    this.#session.run(new Float32Array(body.buffer), output);
    this.#steps += steps;
    await this.#save();
    return new Uint8Array(output.buffer);
  }

  #save(): Promise<void> {
    return this.#storage.put(
      "session",
      { state: this.#session.state(), steps: this.#steps } satisfies Saved,
    );
  }
}

export default {
  fetch(request: Request, env: Env): Promise<Response> {
    const url = new URL(request.url);
    const [, first, id] = url.pathname.split("/");
    if (first === "sessions" && id) {
      return env.SESSIONS.get(env.SESSIONS.idFromName(id)).fetch(request);
    }
    return answer(async () => {
      if (first === "segment" && request.method === "POST") {
        const kernels = url.searchParams.get("kernels") ?? "simd";
        if (kernels !== "simd" && kernels !== "portable") {
          throw new HttpError(400, `kernels: expected simd or portable, got "${kernels}"`);
        }
        const text = await request.text();
        if (text.length > MAX_TEXT) {
          throw new HttpError(
            413,
            `text: expected at most ${MAX_TEXT} characters, got ${text.length}`,
          );
        }
        return segment(text, kernels === "simd" ? simd : undefined);
      }
      throw new HttpError(
        404,
        `${request.method} ${url.pathname}: expected POST /segment or /sessions/ID`,
      );
    });
  },
};
