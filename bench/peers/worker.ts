/**
 * The child process of one runtime: holds all its peers and measures the one it is asked for. It
 * reads one JSON request a line and answers each with one JSON line, so that whoever drives several
 * children interleaves them.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { measure } from "./measure.ts";
import { liteRtJs } from "./litert_js.ts";
import { onnxruntimeNode, onnxruntimeWeb } from "./onnxruntime.ts";
import { type Mode, MODES, type Outputs, type Peer, type PeerSource, type Runner } from "./peer.ts";
import { createProblem, fileName, type Problem, type ProblemKind, STEPS } from "./problem.ts";
import type { Reply, Request } from "./protocol.ts";
import { splitgatePortable, splitgateSimd } from "./splitgate.ts";
import { tfjs } from "./tfjs.ts";

const SOURCES: readonly PeerSource[] = [
  splitgatePortable,
  splitgateSimd,
  onnxruntimeWeb,
  onnxruntimeNode,
  tfjs,
  liteRtJs,
];

interface Prepared {
  readonly runner: Runner;
  readonly call: () => Outputs;
}

const peers = new Map<string, Peer>();
const problems = new Map<string, Problem>();
const prepared = new Map<string, Prepared>();

function largestError(got: Float32Array, want: Float32Array): number {
  if (got.length !== want.length) {
    throw new Error(`expected ${want.length} outputs, got ${got.length}`);
  }
  let error = 0;
  // Written so that NaN is an error of its own size.
  for (let i = 0; i < want.length; i++) {
    if (!(Math.abs(got[i]! - want[i]!) <= error)) {
      error = Math.abs(got[i]! - want[i]!);
    }
  }
  return error;
}

async function check(runner: Runner, mode: Mode, problem: Problem): Promise<number> {
  const { outputSize, expected } = problem;
  runner.reset();
  if (mode === "sequence") {
    return largestError(await runner.sequence!(), expected);
  }
  let error = 0;
  for (let t = 0; t < STEPS; t++) {
    error = Math.max(
      error,
      largestError(await runner.step!(t), expected.subarray(t * outputSize, (t + 1) * outputSize)),
    );
  }
  return error;
}

function caller(runner: Runner, mode: Mode): () => Outputs {
  if (mode === "sequence") return () => runner.sequence!();
  let t = 0;
  return () => {
    const outputs = runner.step!(t);
    t = t + 1 < STEPS ? t + 1 : 0;
    return outputs;
  };
}

/**
 * Checks a peer's results for a problem, warms it up and keeps its fastest way for each mode it has.
 */
async function prepare(
  name: string,
  kind: ProblemKind,
  size: number,
  milliseconds: number,
): Promise<Reply> {
  const peer = peers.get(name);
  if (peer === undefined) throw new Error(`no peer ${name}`);
  const key = fileName(kind, size);
  const problem = problems.get(key) ?? createProblem(kind, size);
  problems.set(key, problem);
  const runners = await peer.prepare(problem);
  const errors: Partial<Record<Mode, number>> = {};
  for (const mode of MODES) {
    let best = Infinity;
    for (const runner of runners) {
      if (runner[mode === "stream" ? "step" : "sequence"] === undefined) {
        continue;
      }
      await runner.activate?.();
      const error = await check(runner, mode, problem);
      if (!(error <= peer.tolerance)) {
        throw new Error(
          `${mode}: off the float64 reference by ${error}, more than ${peer.tolerance}`,
        );
      }
      const call = caller(runner, mode);
      const { micros } = await measure(call, milliseconds);
      if (micros < best) {
        best = micros;
        errors[mode] = error;
        prepared.set(`${name} ${key} ${mode}`, { runner, call });
      }
    }
  }
  return { errors };
}

async function load(): Promise<Reply> {
  const missing: { peer: string; reason: string }[] = [];
  for (const source of SOURCES) {
    try {
      const loaded = await source.load();
      for (const peer of loaded) peers.set(peer.name, peer);
      for (const peer of source.names) {
        if (!peers.has(peer)) {
          missing.push({ peer, reason: "not supported here" });
        }
      }
    } catch (error) {
      for (const peer of source.names) {
        missing.push({ peer, reason: missingReason(error) });
      }
    }
  }
  const { deno, bun, node } = process.versions;
  const loaded = [...peers.values()].map(({ name, problems }) => ({ name, problems }));
  return { version: deno ?? bun ?? node, peers: loaded, missing };
}

/** Why a package could not be loaded; that it is not there, each runtime says in its own words. */
function missingReason(error: unknown): string {
  const text = message(error);
  return /^(cannot find|could not resolve|import .* not a dependency)/i.test(text)
    ? "not installed"
    : text;
}

/** When this process last measured something. */
let active = -Infinity;

/**
 * How long a process that has been idle warms up: JavaScriptCore throws away what it has compiled
 * then, and takes up to an eighth of a second to have it back, which whatever is measured first
 * would pay for.
 */
const IDLE = 1000;
const AFTER_IDLE = 200;

async function answer(request: Request): Promise<Reply> {
  switch (request.op) {
    case "load":
      return await load();
    case "prepare":
      return await prepare(request.peer, request.problem, request.size, request.milliseconds);
    case "measure": {
      const { peer, problem, size, mode, milliseconds } = request;
      const found = prepared.get(`${peer} ${fileName(problem, size)} ${mode}`);
      if (found === undefined) {
        throw new Error(`${peer} is not prepared for ${problem}, ${mode}, at ${size}`);
      }
      await found.runner.activate?.();
      const idle = performance.now() - active > IDLE;
      const timing = await measure(
        found.call,
        milliseconds,
        Math.max(milliseconds / 5, idle ? AFTER_IDLE : 0),
      );
      active = performance.now();
      return timing;
    }
  }
}

function message(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0]!
    .slice(0, 300);
}

// Answers alone go to stdout: what the peers print goes elsewhere.
console.log = console.info = console.debug = console.error;
console.warn = () => {};
for await (const line of createInterface({ input: process.stdin })) {
  let reply: Reply;
  try {
    reply = await answer(JSON.parse(line) as Request);
  } catch (error) {
    reply = { failed: message(error) };
  }
  process.stdout.write(JSON.stringify(reply) + "\n");
}
process.exit(0);
