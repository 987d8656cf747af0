// Random graphs: everything that runs one gives the same values, to the bit.
import {
  convert,
  loadModel,
  type QTensor,
  type QuantizedModel,
  saveModel,
  type Tensor,
  tensor,
  type TokenTensor,
} from "@splitgate/splitgate";
import { convertToReference, verifyGraph } from "@splitgate/splitgate/reference";
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import fc from "fast-check";
import { dequantizeValue } from "../../kernels/numeric/requantize.ts";
import { rewriteFloat } from "../../src/authoring/rewrites.ts";
import { INPUT } from "../../src/core/topology.ts";
import { flatten } from "../../src/modules/graph.ts";
import type { ForwardTensor } from "../../src/modules/kind.ts";
import { kindOf } from "../../src/modules/kinds.ts";
import { ReferenceModel } from "../../src/reference/reference.ts";
import type { Program } from "../../src/runtime/program.ts";
import type { OutputArray, SessionInput } from "../../src/runtime/basic_session.ts";
import type { Session } from "../../src/runtime/session.ts";
import { floatWeights } from "../../src/tune/report.ts";
import { bytesOf } from "../../src/testing/values.ts";
import { formsOf } from "../runtime/forms.ts";
import { generator } from "../../src/testing/random.ts";
import {
  type GraphCase,
  graphCases,
  graphInput,
  graphOf,
  observedGraph,
} from "../../src/testing/graphs.ts";

/** The observed and the quantized model of a case; null where its numbers do not allow one. */
function modelsOf(c: GraphCase, naming = 0) {
  try {
    const float = graphOf(c, naming);
    const observed = observedGraph(c, float, [...rewriteFloat(flatten(float)).modules.keys()]);
    const model = convert(observed);
    model.lower();
    return { float, observed, model };
  } catch (error) {
    const { message } = error as Error;
    const known =
      /qnnpack's addition|nothing but zeros|multiplier|how wide the model's input|computes something/;
    if (error instanceof RangeError && known.test(message)) return null;
    throw error;
  }
}

/** Arrays for what a model gives, by the names of its outputs. */
type Arrays = ReadonlyMap<string, Float32Array>;

function roomFor({ outputs }: Program<Session> | QuantizedModel, rows: number): Arrays {
  return new Map(outputs.map(({ name, size }) => [name, new Float32Array(rows * size)]));
}

/** Arrays as a session takes them. */
function given(arrays: ReadonlyMap<string, OutputArray>) {
  return arrays.size === 1 ? [...arrays.values()][0]! : Object.fromEntries(arrays);
}

function bytes(arrays: Arrays): unknown {
  return [...arrays].map(([name, array]) => [name, bytesOf(array)]);
}

/** The output of a session for a sequence in parts of at most `steps` steps. */
function runCut(
  model: Program<Session> | QuantizedModel,
  session: Session,
  x: SessionInput,
  cuts: readonly number[],
  steps: number,
): Arrays {
  const whole = roomFor(model, steps * session.batch);
  const { batch } = session;
  const width = model.inputSize;
  let done = 0;
  for (const count of cuts) {
    // Rows of [steps, batch] or [batch, steps].
    const at = (t: number, b: number) =>
      model.batchFirst ? b * steps + done + t : (done + t) * batch + b;
    const to = (t: number, b: number) => model.batchFirst ? b * count + t : t * batch + b;
    const part = x.slice(0, count * batch * width) as SessionInput;
    const arrays = roomFor(model, count * batch);
    for (let t = 0; t < count; t++) {
      for (let b = 0; b < batch; b++) {
        const row = x.subarray(at(t, b) * width, (at(t, b) + 1) * width);
        part.set(row as never, to(t, b) * width);
      }
    }
    if (count === 1) session.step(part, given(arrays));
    else session.run(part, given(arrays));
    for (const { name, size } of model.outputs) {
      for (let t = 0; t < count; t++) {
        for (let b = 0; b < batch; b++) {
          const row = arrays.get(name)!.subarray(to(t, b) * size, (to(t, b) + 1) * size);
          whole.get(name)!.set(row, at(t, b) * size);
        }
      }
    }
    done += count;
  }
  return whole;
}

/** Real numbers of a tensor. */
function reals(x: ForwardTensor): Tensor {
  const { qparams, data, shape } = x as QTensor;
  if (qparams === undefined) return x as Tensor;
  const { scale, zeroPoint } = qparams as { scale: number; zeroPoint: number };
  return tensor(Float32Array.from(data, (q) => dequantizeValue(q, scale, zeroPoint)), [...shape]);
}

/** Any quantized module; a recurrent one gives its states, too. */
interface Forward {
  forward(x: ForwardTensor | TokenTensor): ForwardTensor | readonly [ForwardTensor, unknown];
}

/** What the modules give one by one. */
function walk({ modules, topology }: QuantizedModel, x: Tensor | TokenTensor): Arrays {
  const values = new Map<string, ForwardTensor | TokenTensor>([[INPUT, x]]);
  for (const [name, module] of modules) {
    const value = values.get(topology.inputs.get(name)![0]!)!;
    const taken = kindOf(name, module).ends(module).inputs[0]!.qparams;
    const { qparams } = value as QTensor;
    const same = qparams === undefined || JSON.stringify(qparams) === JSON.stringify(taken);
    const read = same ? value : reals(value as ForwardTensor);
    const { forward } = module as unknown as Forward;
    const given = forward.call(module, read);
    values.set(name, Array.isArray(given) ? given[0] : given);
  }
  return new Map(
    [...topology.outputs].map(([name, module]) =>
      [name, reals(values.get(module) as ForwardTensor).data] as const
    ),
  );
}

Deno.test("whatever runs a graph gives the same bits: forms, kernels, cuts, batches, files, modules one by one", () => {
  const seen = { ran: 0, several: 0, compiled: 0, shared: 0, tokens: 0, stepped: 0 };
  fc.assert(
    fc.property(
      graphCases,
      fc.constantFrom(1, 2, 3),
      fc.constantFrom(1, 4, 19),
      fc.nat(),
      (c, batch, steps, seed) => {
        const models = modelsOf(c);
        if (models === null) return;
        const { model } = models;
        const random = generator(seed);
        const x = graphInput(c, steps, batch);
        const data = x.data as SessionInput;
        const expected = roomFor(model, steps * batch);
        model.createSession({ batch, maxSteps: steps }).run(data, given(expected));
        const same = (arrays: Arrays, name: string) =>
          assertEquals(bytes(arrays), bytes(expected), name);
        same(walk(model, x), "modules one by one");
        const forms = formsOf(model);
        const read = loadModel(saveModel(model));
        assertEquals(saveModel(read), saveModel(model));
        assertEquals(read.fingerprint, model.fingerprint);
        for (const [name, made, options] of [...forms, ["read", read, {}] as const]) {
          const sized = { batch, maxSteps: steps, ...options };
          const arrays = roomFor(model, steps * batch);
          made.createSession(sized).run(data, given(arrays));
          same(arrays, name);
          // Dynamic modules give by what they are given at once.
          if (made.looksAhead || c.family === "dynamic") continue;
          const session = made.createSession({ ...sized, maxSteps: 3 });
          const cuts: number[] = [];
          for (let left = steps; left > 0; left -= cuts.at(-1)!) {
            cuts.push(Math.min(left, Math.floor(random(1, 6))));
          }
          same(runCut(made, session, data, cuts, steps), `${name}, cut into ${cuts}`);
          const whole = made.createSession(sized);
          whole.run(data, given(arrays));
          assertEquals(session.state(), whole.state());
          seen.stepped++;
        }
        if (c.family !== "dynamic") {
          const cut = roomFor(model, steps * batch);
          for (let b = 0; b < batch; b++) {
            const at = (t: number) => model.batchFirst ? b * steps + t : t * batch + b;
            const width = model.inputSize;
            const own = data.slice(0, steps * width) as SessionInput;
            for (let t = 0; t < steps; t++) {
              own.set(data.subarray(at(t) * width, (at(t) + 1) * width) as never, t * width);
            }
            const arrays = roomFor(model, steps);
            model.createSession({ maxSteps: steps }).run(own, given(arrays));
            for (const { name, size } of model.outputs) {
              for (let t = 0; t < steps; t++) {
                const row = arrays.get(name)!.subarray(t * size, (t + 1) * size);
                cut.get(name)!.set(row, at(t) * size);
              }
            }
          }
          same(cut, "row by row");
        }
        seen.ran++;
        if (model.outputs.length > 1) seen.several++;
        if (forms.some(([name]) => name.startsWith("program"))) seen.compiled++;
        if (c.tables > 0) seen.tokens++;
        const inputs = [...model.topology.inputs.values()].flat();
        if (new Set(inputs).size < inputs.length) seen.shared++;
      },
    ),
    { numRuns: 70 },
  );
  const { ran, ...others } = seen;
  assert(ran > 45, `${ran}`);
  for (const [what, count] of Object.entries(others)) assert(count > 10, `${what}: ${count}`);
});

Deno.test("a graph is the same model under other names and in another order, and its states move", () => {
  let ran = 0;
  fc.assert(
    fc.property(graphCases, fc.integer({ min: 1, max: 99999 }), (c, naming) => {
      const models = modelsOf(c);
      if (models === null) return;
      const other = modelsOf(c, naming)!;
      const { model } = models;
      assertEquals(other.model.fingerprint, model.fingerprint);
      const x = graphInput(c, 3, 2).data as SessionInput;
      const [a, b] = [models, other].map(({ model }) => {
        const session = model.createSession({ batch: 2 });
        const arrays = roomFor(model, 6);
        session.run(x, given(arrays));
        return { session, values: [...arrays.values()].map(bytesOf) };
      });
      assertEquals(b!.values, a!.values);
      if (!model.looksAhead) {
        const state = a!.session.state();
        assertEquals(b!.session.state(), state);
        b!.session.restore(state);
      }
      ran++;
    }),
    { numRuns: 150 },
  );
  assert(ran > 100, `${ran}`);
});

Deno.test("a graph's observed and float forms and its reference graph on float weights give the same bits", () => {
  let ran = 0;
  fc.assert(
    fc.property(graphCases, (c) => {
      if (c.family === "dynamic") return;
      const models = modelsOf(c);
      if (models === null) return;
      const { float, observed, model } = models;
      const x = graphInput(c, 5, 2);
      const expected = float.run(x);
      const flat = (outputs: ReadonlyMap<string, Tensor>) =>
        [...outputs].map(([name, { data, shape }]) => [name, shape, bytesOf(data)]);
      assertEquals(flat(observed.run(x)), flat(expected));
      const twin = new ReferenceModel(model, floatWeights(observed)).run(x);
      assertEquals(
        flat(new Map([...twin.outputs].map(([name, { output }]) => [name, output]))),
        flat(expected),
      );
      const reference = convertToReference(model);
      assertEquals(verifyGraph(reference.nodes), []);
      const { outputs } = reference.run(x);
      assertEquals([...outputs.keys()], model.outputs.map(({ name }) => name));
      ran++;
    }),
    { numRuns: 80 },
  );
  assert(ran > 40, `${ran}`);
});

Deno.test("a graph is another model when one module reads another value, and the widths still fit", () => {
  let ran = 0;
  fc.assert(
    fc.property(graphCases, fc.nat(), fc.nat(), (c, at, pick) => {
      const square = {
        ...c,
        outputs: [],
        bidirectional: false,
        width: 3,
        nodes: c.nodes.map((node) => ({ ...node, size: 3 })),
      };
      const models = modelsOf(square);
      if (models === null) return;
      const { model } = models;
      const names = [...model.modules.keys()];
      const i = at % names.length;
      const before = [...c.tables > 0 ? [] : [INPUT], ...names.slice(0, i)];
      if (before.length === 0) return;
      const [name, read] = [names[i]!, before[pick % before.length]!];
      if (model.modules.get(name)!.kind === "Embedding") return;
      if (model.topology.inputs.get(name)![0] === read) return;
      const inputs = new Map([...model.topology.inputs, [name, [read]]]);
      const other = new (model.constructor as typeof QuantizedModel)(model.modules, {
        inputs,
        outputs: model.topology.outputs,
      });
      assertNotEquals(other.fingerprint, model.fingerprint);
      const outputs = new Map(names.slice(-1).map((name) => [name, name]));
      const one = new (model.constructor as typeof QuantizedModel)(model.modules, {
        inputs: model.topology.inputs,
        outputs,
      });
      assertEquals(
        one.fingerprint.join() === model.fingerprint.join(),
        model.outputs.length === 1,
      );
      ran++;
    }),
    { numRuns: 150 },
  );
  assert(ran > 40, `${ran}`);
});
