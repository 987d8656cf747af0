/**
 * What every runtime must compute alike: cases whose outputs are digested. Nothing here knows which
 * runtime it is in, and everything comes from the package by its name, so that the same list runs
 * over the sources and over the packed tarball.
 *
 * @module
 */
import { dynamicLinear, dynamicLSTM } from "@splitgate/splitgate/runtime/dynamic";
import {
  compileModel,
  convert,
  Embedding,
  Generator,
  getPreset,
  Linear,
  loadModel,
  LSTM,
  prepare,
  quantizeDynamic,
  saveModel,
  Sequential,
  tensor,
  tokens,
} from "@splitgate/splitgate";
import { dynamicQConfig } from "@splitgate/splitgate/qconfig";
import { parseSafetensors } from "@splitgate/splitgate/safetensors";
import { sigmoidFloat32, tanhFloat32 } from "@splitgate/splitgate/kernels";
import { loadProgram, type Program, type Session } from "@splitgate/splitgate/runtime/state";
import type { SimdKernels } from "@splitgate/splitgate/simd";
import { floatModel } from "../../demo/float_model.ts";
import { Dictionary, parseRuns } from "../../demo/segmenter.ts";
import { type Files, readerCases } from "./readers.ts";

/** One thing to compute. */
export interface Case {
  readonly name: string;
  /** Gives the bytes to digest; throws if forms that must agree do not. */
  run(): Iterable<Uint8Array>;
}

/** The demo's Thai task, as its files hold it. */
export interface ThaiTask {
  readonly model: Uint8Array;
  readonly dictionary: string;
  readonly calibration: string;
  readonly test: string;
}

/** What the cases need beside themselves. */
export interface Assets extends ThaiTask {
  /** Files of other libraries: a safetensors file of {@linkcode Files}, as tensors of bytes. */
  readonly files: Uint8Array;
}

const PRESETS = ["fbgemm", "qnnpack", "accurate"];

const STEPS = 29;
const BATCH = 3;
const INPUT = 5;
const HIDDEN = 13;
const VOCABULARY = 33;

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function requireSame(what: string, a: ArrayBufferView, b: ArrayBufferView): void {
  const x = bytesOf(a);
  const y = bytesOf(b);
  if (x.length !== y.length) throw new Error(`${what}: ${x.length} and ${y.length} bytes`);
  const at = x.findIndex((byte, i) => byte !== y[i]);
  if (at >= 0) throw new Error(`${what}: byte ${at} is ${x[at]} and ${y[at]}`);
}

/** Mostly small reals, with zeros, a large one and a denormal one among them. */
function reals(count: number, seed: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(count);
  new Generator(seed).uniform(out, -2, 2);
  for (let i = 0; i < count; i += 17) out[i] = [0, -0, 6, 1e-41][(i / 17) % 4]!;
  return out;
}

function ids(count: number, seed: number): Int32Array<ArrayBuffer> {
  const draw = new Float32Array(count);
  new Generator(seed).uniform(draw, 0, VOCABULARY);
  return Int32Array.from(draw, (x) => Math.min(VOCABULARY - 1, Math.floor(x)));
}

const streaming = () => new LSTM({ inputSize: INPUT, hiddenSize: HIDDEN, numLayers: 2, seed: 7 });

const KINDS: Record<string, () => LSTM | Sequential> = {
  "two layers": streaming,
  "both directions": () =>
    new LSTM({ inputSize: INPUT, hiddenSize: HIDDEN, bidirectional: true, seed: 8 }),
  "no bias": () => new LSTM({ inputSize: INPUT, hiddenSize: HIDDEN, bias: false, seed: 9 }),
  "token classifier": () =>
    new Sequential({
      embedding: new Embedding({ numEmbeddings: VOCABULARY, embeddingDim: INPUT, seed: 10 }),
      lstm: new LSTM({ inputSize: INPUT, hiddenSize: HIDDEN, seed: 11 }),
      out: new Linear({ inFeatures: HIDDEN, outFeatures: 4, seed: 12 }),
    }),
};

/** A model file, from seeds all the way. */
export function modelFile(
  kind: string,
  preset: string,
  splitGates: boolean,
): Uint8Array<ArrayBuffer> {
  const model = KINDS[kind]!();
  const takesTokens = model instanceof Sequential;
  const observed = prepare(model, getPreset(preset), { splitGates });
  for (let seed = 20; seed < 23; seed++) {
    observed.forward(
      takesTokens
        ? tokens(ids(STEPS * BATCH, seed), [STEPS, BATCH])
        : tensor(reals(STEPS * BATCH * INPUT, seed), [STEPS, BATCH, INPUT]),
    );
  }
  return saveModel(convert(observed));
}

/** What the runtime makes of a model's file, compiled, perhaps for kernels. */
function programOf(file: Uint8Array, kernels?: SimdKernels): Program<Session> {
  return loadProgram(compileModel(loadModel(file), { kernels }));
}

/** A state after its header, which is tied to the bytes of the model's file. */
function valuesOf(state: Uint8Array): Uint8Array {
  return state.subarray(20);
}

/**
 * Every way to run a model over the same input: the bytes agree, and are given once, with the
 * state's.
 */
function* outputs(
  model: Program<Session>,
  input: Float32Array | Int32Array,
  batch: number,
  simd: SimdKernels,
): Iterable<Uint8Array> {
  const width = batch * model.inputSize;
  const outWidth = batch * model.outputSize;
  const steps = input.length / width;
  const reference = new Float32Array(steps * outWidth);
  const whole = model.createSession({ batch, maxSteps: steps, splitGates: false });
  whole.run(input, reference);
  yield bytesOf(reference);
  const state = model.looksAhead ? null : whole.state();
  if (state !== null) yield valuesOf(state);
  for (const kernels of [undefined, simd]) {
    for (const splitGates of [false, true]) {
      const form = `${kernels?.name ?? "portable"}, ${splitGates ? "split" : "fused"}`;
      const out = new Float32Array(steps * outWidth);
      for (const maxSteps of state === null ? [steps] : [steps, 7, 1]) {
        const session = model.createSession({ batch, maxSteps, splitGates, kernels });
        session.run(input, out);
        requireSame(`${form}, ${maxSteps} steps at a time`, out, reference);
        if (state !== null) requireSame(`${form}: the state`, session.state(), state);
      }
      if (state === null) continue;
      // One step at a time, each in another session, by turns in this form and in plain kernels.
      out.fill(0);
      let session: Session = model.createSession({ batch, splitGates, kernels });
      for (let t = 0; t < steps; t++) {
        session.step(
          input.subarray(t * width, (t + 1) * width),
          out.subarray(t * outWidth, (t + 1) * outWidth),
        );
        const next = model.createSession(t % 2 === 0 ? { batch } : { batch, splitGates, kernels });
        next.restore(session.state());
        session = next;
      }
      requireSame(`${form}, step by step`, out, reference);
    }
  }
}

/** The integers themselves, where the output is quantized. */
function* integers(model: Program<Session>, input: Float32Array): Iterable<Uint8Array> {
  if (model.output?.dtype !== "quint8") return;
  const steps = input.length / model.inputSize;
  const out = new Uint8Array(steps * model.outputSize);
  model.createSession({ maxSteps: steps }).run(input, out);
  yield out;
}

function* seeded(simd: SimdKernels): Iterable<Case> {
  for (const preset of PRESETS) {
    for (const kind of Object.keys(KINDS)) {
      for (const splitGates of [false, true]) {
        yield {
          name: `${kind}, ${preset}, observed ${splitGates ? "split" : "fused"}`,
          *run() {
            const model = programOf(
              modelFile(kind, preset, splitGates),
              splitGates ? simd : undefined,
            );
            const count = STEPS * BATCH * model.inputSize;
            yield* outputs(
              model,
              model.vocabulary > 0 ? ids(count, 30) : reals(count, 30),
              BATCH,
              simd,
            );
            if (model.vocabulary === 0) yield* integers(model, reals(11 * model.inputSize, 31));
          },
        };
      }
    }
  }
}

/** What is written: only this changes with the form of a file or of a state. */
function* written(): Iterable<Case> {
  yield {
    name: "model files, compiled ones and states, as bytes",
    *run() {
      for (const kind of Object.keys(KINDS)) {
        yield saveModel(quantizeDynamic(KINDS[kind]!(), dynamicQConfig));
        for (const preset of PRESETS) {
          const file = modelFile(kind, preset, true);
          const model = loadModel(file);
          const session = model.createSession();
          yield file;
          yield compileModel(model);
          if (kind !== "both directions") yield session.state();
        }
      }
    },
  };
}

/** Dynamically quantized models, here and compiled: the bytes agree, and are given once. */
function* dynamic(): Iterable<Case> {
  for (const engine of ["fbgemm", "qnnpack"] as const) {
    for (const [kind, make] of Object.entries(KINDS)) {
      yield {
        name: `${kind}, dynamic ${engine}`,
        *run() {
          const file = saveModel(quantizeDynamic(make(), { ...dynamicQConfig, engine }));
          const model = loadModel(file);
          const program = loadProgram(compileModel(model), { kinds: [dynamicLinear, dynamicLSTM] });
          const count = STEPS * BATCH * model.inputSize;
          const input = model.vocabulary > 0 ? ids(count, 30) : reals(count, 30);
          for (const maxSteps of model.looksAhead ? [STEPS] : [STEPS, 7, 1]) {
            const [first, second] = [model, program].map((each) => {
              const session = each.createSession({ batch: BATCH, maxSteps });
              const out = new Float32Array(STEPS * BATCH * model.outputSize);
              session.run(input, out, [STEPS, 3, STEPS - 1]);
              return [bytesOf(out), ...model.looksAhead ? [] : [valuesOf(session.state())]];
            });
            if (second!.join() !== first!.join()) throw new Error("compiled: other bytes");
            yield* first!;
          }
        },
      };
    }
  }
}

/** The demo's Thai model under a preset, as its file. */
export function thaiFile(assets: ThaiTask, preset: string): Uint8Array<ArrayBuffer> {
  const { model, numEmbeddings } = floatModel(parseSafetensors(assets.model).tensors);
  const observed = prepare(model, getPreset(preset), { splitGates: true });
  const dictionary = Dictionary.parse(assets.dictionary, numEmbeddings);
  for (
    const { tokens: run } of parseRuns("calibration", assets.calibration, dictionary).slice(0, 8)
  ) {
    observed.forward(tokens(run, [run.length, 1]));
  }
  return saveModel(convert(observed));
}

function* thai(assets: ThaiTask, simd: SimdKernels): Iterable<Case> {
  for (const preset of PRESETS) {
    yield {
      name: `Thai, ${preset}`,
      *run() {
        const model = programOf(thaiFile(assets, preset), simd);
        const dictionary = Dictionary.parse(assets.dictionary, model.vocabulary);
        for (const { tokens: run } of parseRuns("test", assets.test, dictionary).slice(0, 12)) {
          yield* outputs(model, run, 1, simd);
        }
      },
    };
  }
}

function* activations(): Iterable<Case> {
  for (const [name, activation] of [["sigmoid", sigmoidFloat32], ["tanh", tanhFloat32]] as const) {
    yield {
      name: `${name} of float32 values of every exponent`,
      *run() {
        const bits = new Uint32Array(1 << 16).map((_, i) => (i << 16 | i * 40503 & 0xffff) >>> 0);
        yield bytesOf(
          new Float32Array(bits.buffer).map((x) => Number.isNaN(x) ? 0 : activation(x)),
        );
      },
    };
  }
}

/** Calls what must fail, and gives the kind of error it failed with, never its words. */
function refusal(what: string, call: () => unknown): Uint8Array {
  try {
    call();
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) {
      return new TextEncoder().encode(`${what}: ${error.name}`);
    }
    throw new Error(`${what}: threw ${error}`, { cause: error });
  }
  throw new Error(`${what}: was taken`);
}

function* refusals(): Iterable<Case> {
  yield {
    name: "a model file cut off in transit is refused, wherever it was cut",
    *run() {
      const file = modelFile("two layers", "fbgemm", true);
      const program = compileModel(loadModel(file));
      for (let i = 0; i < 100; i++) {
        const size = (whole: Uint8Array) => i < 64 ? i : Math.floor(i * whole.length / 100);
        yield refusal(`${i} %`, () => loadModel(file.subarray(0, size(file))));
        yield refusal(`${i} %, compiled`, () => loadProgram(program.subarray(0, size(program))));
      }
    },
  };
  yield {
    name: "a state that does not fit is refused, and the session goes on from its own",
    *run() {
      const model = programOf(modelFile("two layers", "fbgemm", true));
      const other = programOf(modelFile("two layers", "qnnpack", true));
      const session = model.createSession();
      const out = new Float32Array(HIDDEN);
      session.step(reals(INPUT, 40), out);
      const before = session.state();
      const wrong: [string, Uint8Array][] = [
        ["another model", other.createSession().state()],
        ["another batch", model.createSession({ batch: 2 }).state()],
        ["cut off", before.subarray(0, before.length - 1)],
        ["too long", Uint8Array.of(...before, 0)],
        ["nothing", new Uint8Array(0)],
        ["no state", new Uint8Array(before.length)],
        ["another version", before.map((byte, i) => i === 4 ? byte + 1 : byte)],
        ["a value out of range", before.map((byte, i) => i > 20 ? 255 : byte)],
      ];
      for (const [what, bytes] of wrong) {
        yield refusal(what, () => session.restore(bytes));
        requireSame(`the state after ${what}`, session.state(), before);
      }
      const input = reals(INPUT, 41);
      input[INPUT - 1] = NaN;
      yield refusal("NaN", () => session.step(input, out));
      yield refusal("a short output", () => session.step(reals(INPUT, 41), out.subarray(1)));
      requireSame("the state after bad input", session.state(), before);
    },
  };
}

/** The files of other libraries by their paths. */
function filesOf({ files }: Assets): Files {
  const { tensors } = parseSafetensors(files);
  return new Map([...tensors].map(([path, { data }]) => [path, data as Uint8Array]));
}

/**
 * All cases.
 *
 * @param simd The WebAssembly kernels, as the runtime gets them.
 */
export function cases(assets: Assets, simd: SimdKernels): Case[] {
  return [
    ...activations(),
    ...seeded(simd),
    ...written(),
    ...dynamic(),
    ...thai(assets, simd),
    ...readerCases(filesOf(assets)),
    ...refusals(),
  ];
}

/** SHA-256 of the chunks, each with its length before it, in hexadecimal. */
export async function digest(chunks: Iterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for (const chunk of chunks) {
    parts.push(bytesOf(Uint32Array.of(chunk.length)), chunk);
    size += 4 + chunk.length;
  }
  const all = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return Array.from(
    new Uint8Array(await crypto.subtle.digest("SHA-256", all)),
    (byte) => byte.toString(16).padStart(2, "0"),
  ).join("");
}

/** One digest over all, from each case's. */
export function digestOfAll(digests: Readonly<Record<string, string>>): Promise<string> {
  return digest([new TextEncoder().encode(JSON.stringify(digests))]);
}
