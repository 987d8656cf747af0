/**
 * What sessions and programs do besides running: counting inputs beyond the range, refusing wrong
 * arguments and files, and keeping their state where a result is infinite.
 *
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { compileModel, type QuantizedModel } from "@splitgate/splitgate";
import { simdKernels } from "@splitgate/splitgate/simd";
import { loadProgram } from "@splitgate/splitgate/runtime/state";
import { trials } from "@splitgate/splitgate/testing";
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import { RUNNING_KINDS } from "../../src/modules/kinds.ts";
import { checksum } from "../../src/runtime/program_file.ts";
import type { Session } from "../../src/runtime/session.ts";
import { exact, nearestEven } from "../../src/testing/exact.ts";
import { arraysFor, runSteps } from "../../src/testing/forms.ts";
import { inverse, mul32 } from "../../src/testing/rules.ts";
import type { Trial } from "../../src/testing/trial.ts";

/** Requires an error that says what was expected and what came, if there is one. */
function refusesByName(call: () => unknown): boolean {
  try {
    call();
    return false;
  } catch (error) {
    const named = error instanceof TypeError || error instanceof RangeError;
    if (named && /: expected [^]+, got /.test(error.message)) return true;
    throw error;
  }
}

/** A trial whose outputs are reals. */
function play(model: QuantizedModel, session: Session, trial: Trial, calls: readonly number[]) {
  const arrays = arraysFor(model, session, trial, trial.steps);
  let from = 0;
  for (const count of calls) {
    runSteps(model, session, trial, [from, count], arrays);
    from += count;
  }
}

/** A session counts the reals beyond the range of the model's input, padding aside. */
function countsSaturated(model: QuantizedModel, trial: Trial): void {
  const { input: q, inputSize, looksAhead } = model;
  const { input, steps, batch, lengths } = trial;
  let beyond = 0;
  if (q !== null && isFloat32Array(input)) {
    input.forEach((x, i) => {
      const row = Math.floor(i / inputSize);
      if (lengths !== null && Math.floor(row / batch) >= lengths[row % batch]!) return;
      const integer = Number(nearestEven(exact(mul32(x, inverse(q.scale))))) + q.zeroPoint;
      if (integer < q.quantMin || integer > q.quantMax) beyond++;
    });
  }
  for (const calls of looksAhead ? [[steps]] : [[steps], Array<number>(steps).fill(1)]) {
    const session = model.createSession({ batch, maxSteps: steps });
    session.countSaturated();
    play(model, session, trial, calls);
    assertEquals(session.saturated, beyond);
    assertEquals(session.outputSteps(steps), session.outputSteps(steps, model.outputs[0]!.name));
  }
}

/** As large as a float32 value can be. */
const HUGE = 3.4028234663852886e38;

/** A result that is infinite is refused, and the state is as it was. */
function keepsStateWhereInfinite(model: QuantizedModel, trial: Trial): void {
  const { steps, batch, input } = trial;
  if (!isFloat32Array(input)) return;
  const session = model.createSession({ batch, maxSteps: steps });
  if (!model.looksAhead) play(model, session, trial, [steps]);
  const before = model.looksAhead ? null : session.state();
  const huge = { ...trial, input: input.map((_, i) => i % 3 === 0 ? -HUGE : HUGE) };
  const refused = refusesByName(() => play(model, session, huge, [steps]));
  if (refused && before !== null) assertEquals(session.state(), before);
}

/** Arguments that no session, program or file has. */
function refusesWrongArguments(model: QuantizedModel): void {
  assert(refusesByName(() => model.createSession({ kernels: {} as never })));
  assert(refusesByName(() => model.createSession({ batch: 0 })));
  assert(refusesByName(() => compileModel({} as never)));
  assert(refusesByName(() => compileModel(model, { kernels: {} as never })));
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = compileModel(model).slice();
  } catch {
    return; // No program can hold it.
  }
  const load = (given: Uint8Array, kinds: unknown = RUNNING_KINDS) =>
    loadProgram(given, { kinds: kinds as typeof RUNNING_KINDS });
  assert(refusesByName(() => load(bytes, {})));
  assert(refusesByName(() => load(bytes, [{}])));
  assert(refusesByName(() => load(bytes).createSession({ kernels: {} as never })));
  refusesByName(() => load(bytes, []));
  // Of another version, and of this one with something else in it, each with its checksum.
  const words = new Int32Array(bytes.buffer);
  const changes = [() => words[1]!++, () => words.fill(0x20202020, words[3]! >> 2, -1)];
  for (const change of changes) {
    const kept = words.slice();
    change();
    words[words.length - 1] = checksum(words.subarray(0, -1));
    assert(refusesByName(() => load(bytes)));
    words.set(kept);
  }
}

/** Modules that are given to {@linkcode simdKernels}: theirs, and one that exports nothing. */
const GIVEN = [
  await WebAssembly.compile(
    await Deno.readFile(new URL("../../kernels/simd/plain.wasm", import.meta.url)),
  ),
  await WebAssembly.compile(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)),
] as const;

/** Kernels are loaded from a module of theirs, or by themselves, and from nothing else. */
async function loadsKernels(): Promise<void> {
  assertEquals((await simdKernels()).name, "simd");
  assertEquals((await simdKernels({ module: GIVEN[0] })).name, "simd");
  for (const module of [GIVEN[1], {}, null]) {
    await assertRejects(
      () => simdKernels({ module: module as never }),
      TypeError,
      "module: expected",
    );
  }
}

/** Trials that are checked of a model. */
const TRIALS = 3;

/** Holds a model to all of these. */
export async function keepCalls(
  model: QuantizedModel,
  seed: number,
  maxSteps: number,
): Promise<void> {
  await loadsKernels();
  refusesWrongArguments(model);
  for (const trial of fc.sample(trials(model, { maxSteps }), { numRuns: TRIALS, seed })) {
    const reals = { ...trial, integersOut: false };
    countsSaturated(model, reals);
    keepsStateWhereInfinite(model, reals);
  }
}
