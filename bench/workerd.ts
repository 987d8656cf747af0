/**
 * The edge worker under load, in real workerd, timed and weighed from outside. The client runs on
 * the same machine, and what its HTTP costs is part of every figure.
 *
 *     deno task bench:workerd            prints and writes bench/results/workerd.json
 */
import { loadavg } from "node:os";
import { stop } from "esbuild";
import { Generator } from "@splitgate/splitgate";
import { buildWorker } from "../tests/runtimes/workerd/build.ts";
import { storageFolder, Workerd } from "../tests/runtimes/workerd/workerd.ts";
import { readArguments } from "../scripts/arguments.ts";
import { writeFile } from "../scripts/write_file.ts";
import { machine } from "./machine.ts";
import { quantile } from "./peers/measure.ts";

readArguments("deno task bench:workerd", {});

const INPUT = 64;
const HIDDEN = 128;
const SESSIONS = 1000;
const STEPS = 10;
const WIRE = 16;
const MANY = 10_000;

/** What a series of requests took. */
interface Load {
  readonly requests: number;
  readonly requestsPerSecond: number;
  /** Of a request, with others on the wire. */
  readonly medianMs: number;
  readonly p99Ms: number;
}

/** Sends all requests, `WIRE` at a time, and requires each to be answered with `status` 200. */
async function load(requests: Iterable<() => Promise<Response>>): Promise<Load> {
  const times: number[] = [];
  const queue = requests[Symbol.iterator]();
  const start = performance.now();
  await Promise.all(Array.from({ length: WIRE }, async () => {
    for (let next = queue.next(); !next.done; next = queue.next()) {
      const from = performance.now();
      const response = await next.value();
      await response.arrayBuffer();
      if (!response.ok) throw new Error(`bench: answered ${response.status}`);
      times.push(performance.now() - from);
    }
  }));
  const seconds = (performance.now() - start) / 1000;
  const sorted = Float64Array.from(times).sort();
  return {
    requests: times.length,
    requestsPerSecond: Math.round(times.length / seconds),
    medianMs: Number(quantile(sorted, 0.5).toFixed(2)),
    p99Ms: Number(quantile(sorted, 0.99).toFixed(2)),
  };
}

/**
 * Objects that store what a streaming session's do and hold no session: what workerd itself takes
 * for each.
 */
const BARE = `export class StreamingSession {
  constructor({ storage }) {
    this.storage = storage;
  }
  async fetch(request) {
    await request.arrayBuffer();
    await this.storage.put("session", { state: new Uint8Array(${20 + 5 * HIDDEN}), steps: 0 });
    return new Response(new Uint8Array(${4 * STEPS * HIDDEN}));
  }
}
export default {
  fetch(request, { SESSIONS }) {
    const { pathname } = new URL(request.url);
    return pathname === "/" ? new Response("") : SESSIONS.get(SESSIONS.idFromName(pathname)).fetch(request);
  },
};`;

const megabytes = (bytes: number): number => Number((bytes / 2 ** 20).toFixed(1));

const before = loadavg()[0]!;
const folder = await Deno.makeTempDir({ prefix: "splitgate-bench-" });
const objects = await storageFolder();
const bareObjects = await storageFolder();
const running: Workerd[] = [];
try {
  const built = await buildWorker(folder, INPUT, HIDDEN);
  await Deno.writeTextFile(
    `${folder}/empty.js`,
    `export default { fetch: () => new Response("") };`,
  );
  const empty = await Workerd.start({
    modules: [{ name: "worker.js", kind: "esModule", path: `${folder}/empty.js` }],
  });
  running.push(empty);
  const emptyBytes = await empty.residentBytes();
  await empty.stop();

  const worker = await Workerd.start({
    modules: built.modules(),
    objects: { className: "StreamingSession", binding: "SESSIONS", folder: objects },
  });
  running.push(worker);
  const text = (await Deno.readTextFile(new URL("../demo/data/thai.test.txt", import.meta.url)))
    .replaceAll("|", "");
  const lines = text.split("\n").filter((line) => line !== "");
  const segment = (kernels: string, rounds: number) =>
    load(
      Array.from(
        { length: lines.length * rounds },
        (_, i) => () =>
          fetch(`${worker.url}/segment?kernels=${kernels}`, {
            method: "POST",
            body: lines[i % lines.length],
          }),
      ),
    );
  await segment("portable", 5);
  await segment("simd", 5);
  const portable = await segment("portable", 20);
  const simd = await segment("simd", 20);
  const segmenterBytes = await worker.residentBytes();

  const chunk = new Float32Array(STEPS * INPUT);
  new Generator(5).uniform(chunk, -2, 2);
  const round = (at: number, worker: Workerd) =>
    load(
      Array.from(
        { length: SESSIONS },
        (_, i) => () =>
          fetch(`${worker.url}/sessions/s${i}?at=${at}`, { method: "POST", body: chunk }),
      ),
    );
  const opening = await round(0, worker);
  await round(STEPS, worker);
  const going = await round(2 * STEPS, worker);
  const sessionsBytes = await worker.residentBytes();
  await worker.stop();

  await Deno.writeTextFile(`${folder}/bare.js`, BARE);
  const bare = await Workerd.start({
    modules: [{ name: "worker.js", kind: "esModule", path: `${folder}/bare.js` }],
    objects: { className: "StreamingSession", binding: "SESSIONS", folder: bareObjects },
  });
  running.push(bare);
  const bareBytes = await bare.residentBytes();
  for (let i = 0; i < 3; i++) await round(i * STEPS, bare);
  const bareObjectsBytes = await bare.residentBytes() - bareBytes;
  await bare.stop();

  const step = chunk.slice(0, INPUT);
  /** Sessions opened together and stepped: memory, and microseconds a step. */
  const many = async (count: number, steps: number) => {
    const worker = await Workerd.start({ modules: built.many });
    running.push(worker);
    const ask = async (path: string, body?: Float32Array<ArrayBuffer>) => {
      const response = await fetch(worker.url + path, { method: "POST", body });
      if (!response.ok) throw new Error(await response.text());
      await response.arrayBuffer();
    };
    await ask(`/open?count=${count}`);
    const from = performance.now();
    for (let i = 0; i < steps; i++) await ask("/step", step);
    const micros = (performance.now() - from) * 1000 / (steps * count);
    const bytes = await worker.residentBytes();
    await worker.stop();
    return { micros, bytes };
  };
  const one = await many(1, 200);
  const all = await many(MANY, 3);

  const result = {
    // Of the minute before: over 1, others were at work and every figure is too large.
    loadBefore: before,
    machine: `${machine()}, workerd and client on them`,
    model:
      `LSTM ${INPUT} to ${HIDDEN}, fbgemm's preset, split gates; the Thai segmenter, accurate preset`,
    segmentPortable: portable,
    segmentSimd: simd,
    sessions: {
      open: SESSIONS,
      stepsPerRequest: STEPS,
      firstRequests: opening,
      laterRequests: going,
    },
    memoryMb: {
      emptyWorker: megabytes(emptyBytes),
      segmenter: megabytes(segmenterBytes),
      [`durableObjects${SESSIONS}`]: megabytes(sessionsBytes),
      ofThemWithoutSessions: megabytes(bareObjectsBytes),
      session1: megabytes(one.bytes),
      [`sessions${MANY}`]: megabytes(all.bytes),
    },
    bytesPerSession: Math.round((all.bytes - one.bytes) / (MANY - 1)),
    microsPerStepOfManySessions: Number(all.micros.toFixed(1)),
  };
  const json = JSON.stringify(result, null, 2);
  console.log(json);
  const results = new URL("results/", import.meta.url);
  await writeFile(new URL("workerd.json", results), `${json}\n`, { makeFolder: true });
} finally {
  for (const worker of running) await worker.stop();
  await stop();
  for (const path of [folder, objects, bareObjects]) await Deno.remove(path, { recursive: true });
}
