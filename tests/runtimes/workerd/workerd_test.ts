/**
 * The edge worker in real workerd, over HTTP.
 */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { stop } from "esbuild";
import { Generator } from "@splitgate/splitgate";
import { loadProgram } from "@splitgate/splitgate/runtime/state";
import { cut, Dictionary, parseRuns, wordEnds } from "../../../demo/segmenter.ts";
import expected from "../expected.json" with { type: "json" };
import { readThai } from "../suite.ts";
import { buildWorker, streamingFile } from "./build.ts";
import { storageFolder, Workerd } from "./workerd.ts";

const INPUT = 8;
const HIDDEN = 24;

/** How long workerd keeps an idle object in memory is 10 s; it looks from time to time. */
const EVICTION = 40_000;

function inputOf(seed: number, steps: number): Float32Array<ArrayBuffer> {
  const input = new Float32Array(steps * INPUT);
  new Generator(seed).uniform(input, -2, 2);
  return input;
}

interface Reply {
  readonly status: number;
  readonly bytes: Uint8Array;
  readonly instance: string | null;
  /** What an error says. */
  readonly error: string;
}

async function ask(
  method: string,
  url: string,
  body?: Uint8Array<ArrayBuffer> | string,
): Promise<Reply> {
  const response = await fetch(url, { method, body });
  const bytes = new Uint8Array(await response.arrayBuffer());
  return {
    status: response.status,
    bytes,
    instance: response.headers.get("x-instance"),
    error: response.ok ? "" : JSON.parse(new TextDecoder().decode(bytes)).error,
  };
}

Deno.test({
  name: "the worker runs in workerd",
  async fn(t) {
    const folder = await Deno.makeTempDir({ prefix: "splitgate-workerd-" });
    const objects = await storageFolder();
    const running: Workerd[] = [];
    try {
      const built = await buildWorker(folder, INPUT, HIDDEN);
      const start = async (modules = built.modules(), store = objects) => {
        await Deno.mkdir(store, { recursive: true });
        const worker = await Workerd.start({
          modules,
          objects: { className: "StreamingSession", binding: "SESSIONS", folder: store },
        });
        running.push(worker);
        return worker;
      };
      const model = loadProgram(built.streaming);
      /** What an uninterrupted session gives. */
      const whole = (input: Float32Array): { output: Uint8Array; state: Uint8Array } => {
        const session = model.createSession();
        const output = new Float32Array(input.length / INPUT * HIDDEN);
        session.run(input, output);
        return { output: new Uint8Array(output.buffer), state: session.state() };
      };
      /** Steps [from, to) of an input, sent to a session. */
      const send = (
        worker: Workerd,
        id: string,
        input: Float32Array<ArrayBuffer>,
        from: number,
        to: number,
      ) =>
        ask(
          "POST",
          `${worker.url}/sessions/${id}?at=${from}`,
          new Uint8Array(input.slice(from * INPUT, to * INPUT).buffer),
        );
      const slice = (output: Uint8Array, from: number, to: number) =>
        output.slice(from * HIDDEN * 4, to * HIDDEN * 4);

      await t.step("every shared case digests alike", async () => {
        const worker = await Workerd.start({ modules: built.digest });
        running.push(worker);
        const response = await fetch(worker.url);
        const text = await response.text();
        assertEquals(response.status, 200, text);
        assertEquals(JSON.parse(text), expected.cases);
        await worker.stop();
      });

      let worker = await start();

      await t.step("it segments Thai over HTTP, portable and SIMD, as Deno does", async () => {
        const assets = readThai(new URL("../../../demo/data/", import.meta.url));
        const thai = loadProgram(built.thai);
        const dictionary = Dictionary.parse(assets.dictionary, thai.vocabulary);
        for (const run of parseRuns("test", assets.test, dictionary).slice(0, 10)) {
          const output = new Float32Array(run.tokens.length * thai.outputSize);
          thai.createSession({ maxSteps: run.tokens.length }).run(run.tokens, output);
          const words = cut(run.text, wordEnds(output, run.tokens.length)).join("|");
          for (const kernels of ["portable", "simd"]) {
            const { status, bytes } = await ask(
              "POST",
              `${worker.url}/segment?kernels=${kernels}`,
              `abc ${run.text}!`,
            );
            assertEquals([status, new TextDecoder().decode(bytes)], [200, `abc ${words}!`]);
          }
        }
      });

      await t.step("it says what is wrong with a request", async () => {
        for (
          const [method, path, body, status, message] of [
            [
              "POST",
              "/segment?kernels=none",
              "ก",
              400,
              'kernels: expected simd or portable, got "none"',
            ],
            [
              "POST",
              "/segment",
              "ก".repeat(20_001),
              413,
              "text: expected at most 20000 characters, got 20001",
            ],
            [
              "GET",
              "/nowhere",
              undefined,
              404,
              "GET /nowhere: expected POST /segment or /sessions/ID",
            ],
            [
              "POST",
              "/sessions/a",
              "",
              400,
              'at: expected the number of steps taken before, got ""',
            ],
            [
              "POST",
              "/sessions/a?at=0",
              "abc",
              400,
              "body: expected 1 to 4096 steps of 32 bytes, got 3 bytes",
            ],
            [
              "PATCH",
              "/sessions/a",
              "",
              405,
              "PATCH /sessions/a: expected POST, DELETE, or GET or PUT of /state",
            ],
          ] as const
        ) {
          const reply = await ask(method, worker.url + path, body);
          assertEquals([reply.status, reply.error], [status, message]);
        }
        const nan = inputOf(1, 2).fill(NaN, INPUT + 3, INPUT + 4);
        const reply = await send(worker, "a", nan, 0, 2);
        assertEquals([reply.status, reply.error], [
          400,
          `sequence[${INPUT + 3}]: expected a finite number, got NaN`,
        ]);
        assertEquals(
          (await send(worker, "a", inputOf(1, 2), 0, 2)).bytes,
          whole(inputOf(1, 2)).output,
        );
      });

      await t.step("a session survives its object's eviction", async () => {
        const input = inputOf(2, 30);
        const { output, state } = whole(input);
        const first = await send(worker, "evicted", input, 0, 13);
        assertEquals(first.bytes, slice(output, 0, 13));
        assertEquals((await send(worker, "evicted", input, 13, 14)).instance, first.instance);
        let { instance } = first;
        for (
          const since = Date.now();
          instance === first.instance && Date.now() - since < EVICTION;
        ) {
          await new Promise((resolve) => setTimeout(resolve, 11_000));
          ({ instance } = await ask("GET", `${worker.url}/sessions/evicted/state`));
        }
        assertNotEquals(instance, first.instance, "the object was not evicted");
        assertEquals((await send(worker, "evicted", input, 14, 30)).bytes, slice(output, 14, 30));
        assertEquals((await ask("GET", `${worker.url}/sessions/evicted/state`)).bytes, state);
      });

      await t.step("a session survives its object's abort", async () => {
        const input = inputOf(3, 9);
        const { output } = whole(input);
        const before = await send(worker, "aborted", input, 0, 5);
        const abort = await fetch(`${worker.url}/sessions/aborted/abort`, { method: "POST" });
        await abort.body?.cancel();
        const after = await send(worker, "aborted", input, 5, 9);
        assertNotEquals(after.instance, before.instance);
        assertEquals(after.bytes, slice(output, 5, 9));
      });

      await t.step("a session survives the kill of its worker in mid-stream", async () => {
        const input = inputOf(4, 40);
        const { output, state } = whole(input);
        let at = 0;
        for (const to of [1, 8, 21, 22, 40]) {
          assertEquals((await send(worker, "killed", input, at, to)).bytes, slice(output, at, to));
          at = to;
          await worker.stop();
          worker = await start();
        }
        assertEquals((await ask("GET", `${worker.url}/sessions/killed/state`)).bytes, state);
      });

      await t.step("a session goes on in another worker", async () => {
        const input = inputOf(5, 20);
        const { output } = whole(input);
        const other = await start(undefined, `${folder}/elsewhere`);
        await send(worker, "moved", input, 0, 11);
        const { bytes } = await ask("GET", `${worker.url}/sessions/moved/state`);
        const brought = await ask(
          "PUT",
          `${other.url}/sessions/moved/state?at=11`,
          Uint8Array.from(bytes),
        );
        assertEquals(brought.status, 200, brought.error);
        assertEquals((await send(other, "moved", input, 11, 20)).bytes, slice(output, 11, 20));
        // The first worker's copy is untouched by it.
        assertEquals((await send(worker, "moved", input, 11, 20)).bytes, slice(output, 11, 20));
        await other.stop();
      });

      await t.step(
        "of requests for the same place of a session one is taken, the others are told",
        async () => {
          const input = inputOf(6, 12);
          const { output } = whole(input);
          const replies = await Promise.all(
            Array.from({ length: 8 }, () => send(worker, "raced", input, 0, 6)),
          );
          const taken = replies.filter(({ status }) => status === 200);
          const told = replies.filter((r) => r.status === 409);
          assertEquals([taken.length, told.length], [1, 7]);
          assertEquals(taken[0]!.bytes, slice(output, 0, 6));
          for (const { error } of told) {
            assertEquals(error, "at: expected 6, the steps this session has taken, got 0");
          }
          // Two at once for places of their own: whichever comes first, nothing is mixed up.
          const [a, b] = await Promise.all([
            send(worker, "raced", input, 6, 9),
            send(worker, "raced", input, 9, 12),
          ]);
          assertEquals(a.bytes, slice(output, 6, 9));
          const last = b.status === 200 ? b : await send(worker, "raced", input, 9, 12);
          assertEquals(last.bytes, slice(output, 9, 12));
        },
      );

      await t.step("a state that does not fit is refused, and the session goes on", async () => {
        const input = inputOf(7, 10);
        const { output } = whole(input);
        await send(worker, "guarded", input, 0, 4);
        const { bytes } = await ask("GET", `${worker.url}/sessions/guarded/state`);
        const other = loadProgram(streamingFile(INPUT, HIDDEN, 99)).createSession().state();
        for (
          const [state, message] of [
            [other, /a state of this model/],
            [bytes.slice(0, -1), /expected \d+ bytes/],
            [bytes.map((byte, i) => i === 4 ? byte + 1 : byte), /version/],
            [new Uint8Array(0), /state/],
          ] as const
        ) {
          const reply = await ask(
            "PUT",
            `${worker.url}/sessions/guarded/state?at=4`,
            Uint8Array.from(state),
          );
          assertEquals(reply.status, 400);
          assertMatch(reply.error, message);
        }
        assertEquals((await send(worker, "guarded", input, 4, 10)).bytes, slice(output, 4, 10));
      });

      await t.step("a worker with another model refuses the saved state and keeps it", async () => {
        const input = inputOf(8, 10);
        const { output } = whole(input);
        await send(worker, "kept", input, 0, 4);
        await worker.stop();
        await Deno.writeFile(`${folder}/other.safetensors`, streamingFile(INPUT, HIDDEN, 99));
        worker = await start(built.modules(`${folder}/other.safetensors`));
        const refused = await send(worker, "kept", input, 4, 10);
        assertEquals(refused.status, 409);
        assertMatch(refused.error, /^the session's saved state: state: .*a state of this model/);
        assertEquals((await ask("GET", `${worker.url}/sessions/kept/state`)).status, 409);
        await worker.stop();
        worker = await start();
        assertEquals((await send(worker, "kept", input, 4, 10)).bytes, slice(output, 4, 10));
        // Where it is not wanted back, it is ended by name.
        assertEquals((await ask("DELETE", `${worker.url}/sessions/kept`)).status, 200);
        assertEquals((await send(worker, "kept", input, 0, 10)).bytes, output);
      });

      await t.step("1,000 sessions run interleaved, none mixed up", async () => {
        const sessions = Array.from({ length: 1000 }, (_, i) => {
          const input = inputOf(1000 + i, 9);
          return { id: `s${i}`, input, ...whole(input) };
        });
        for (const [from, to] of [[0, 2], [2, 3], [3, 7], [7, 9]]) {
          // All at once in an order of their own each round, 50 on the wire at a time.
          const queue = sessions.toSorted((a, b) => a.input[from!]! - b.input[from!]!).values();
          await Promise.all(Array.from({ length: 50 }, async () => {
            for (const { id, input, output } of queue) {
              const reply = await send(worker, id, input, from!, to!);
              assertEquals(reply.status, 200, reply.error);
              assertEquals(reply.bytes, slice(output, from!, to!), id);
            }
          }));
        }
        assert(new Set(sessions.map(({ output }) => output.join())).size === sessions.length);
      });

      await t.step("10,000 sessions of 128 units are open in a worker of 128 MB", async () => {
        const limit = 128 * 2 ** 20;
        const file = `${folder}/128.safetensors`;
        await Deno.writeFile(file, streamingFile(64, 128, 2));
        const modules = [built.many[0]!, { ...built.many[1]!, path: file }];
        const many = await Workerd.start({ modules, v8Flags: ["--max-old-space-size=128"] });
        running.push(many);
        const before = await many.residentBytes();
        const input = new Float32Array(64).fill(0.5);
        const opened = await fetch(`${many.url}/open?count=10000`, { method: "POST" });
        assertEquals(await opened.text(), "10000");
        const session = loadProgram(await Deno.readFile(file)).createSession();
        const output = new Float32Array(128);
        for (let t = 0; t < 3; t++) {
          session.step(input, output);
          const stepped = await fetch(`${many.url}/step`, { method: "POST", body: input });
          assertEquals(new Uint8Array(await stepped.arrayBuffer()), new Uint8Array(output.buffer));
        }
        const grown = await many.residentBytes() - before;
        assert(grown < limit, `the process grew by ${grown} bytes`);
        await many.stop();
      });

      await t.step("a worker whose model file was cut off does not start", async () => {
        const cut = `${folder}/cut.safetensors`;
        await Deno.writeFile(cut, built.streaming.subarray(0, built.streaming.length - 1000));
        let started = true;
        await start(built.modules(cut)).catch(() => started = false);
        assertEquals(started, false);
      });
    } finally {
      for (const worker of running) await worker.stop();
      await stop();
      for (const path of [folder, objects]) await Deno.remove(path, { recursive: true });
    }
  },
});
