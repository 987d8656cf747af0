/** Models around an activation, run in every form and held to plain loops over its kernels. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  convert,
  LeakyReLU,
  Linear,
  loadModel,
  LSTM,
  type Module,
  type PerTensorQParams,
  prepare,
  type QConfig,
  QConfigMapping,
  type QTensor,
  type QuantizedModel,
  saveModel,
  Sequential,
  type Session,
  tensor,
} from "@splitgate/splitgate";
import { type BackendConfig, dynamicQConfig, MinMaxObserver } from "@splitgate/splitgate/qconfig";
import { convertToReference, type GraphValue } from "@splitgate/splitgate/reference";
import { accurateQConfig } from "../../src/qconfig/presets.ts";
import { fbgemmQConfig, qnnpackQConfig } from "../../src/qconfig/qconfig.ts";
import type { ForwardTensor } from "../../src/modules/kind.ts";
import type { QuantizedActivation } from "../../src/modules/activation.ts";
import type { QuantizedLinear } from "../../src/modules/linear/quantized.ts";
import type { QuantizedLSTM } from "../../src/modules/lstm/quantized.ts";
import { dequantizePerTensor, quantizePerTensor } from "../../kernels/numeric/quantize.ts";
import { newQArray, type QArray } from "../../src/core/dtype.ts";
import { floatsOf, generator } from "../../src/testing/random.ts";
import { formsOf } from "../runtime/forms.ts";

/** Rows of float32 values to rows of the same width. */
export type RowFunction = (row: Float32Array) => ArrayLike<number>;

/** What a test knows of an activation. */
export interface Activation {
  /** PyTorch's name. */
  readonly kind: string;
  /** Draws one. */
  make(random: (lo: number, hi: number) => number): Module;
  /** What it computes of a row in float32. */
  float(module: Module): RowFunction;
  /**
   * What it computes of integers, where that is not the float function between dequantize and
   * quantize.
   */
  integers?(x: QTensor<PerTensorQParams>, y: QArray, to: PerTensorQParams, engine: string): boolean;
}

const wide = (quantMin: number, quantMax: number, symmetric: boolean): QConfig => ({
  ...fbgemmQConfig,
  activation: MinMaxObserver.withArgs({
    dtype: "qint32",
    quantMin,
    quantMax,
    ...symmetric ? { qscheme: "perTensorSymmetric" as const } : {},
  }),
});

/** QConfigs of every width, and those under which an activation stays float32. */
const QCONFIGS: Readonly<Record<string, QConfig>> = {
  fbgemm: fbgemmQConfig,
  qnnpack: qnnpackQConfig,
  "qnnpack, 7 bits": {
    ...qnnpackQConfig,
    activation: MinMaxObserver.withArgs({ quantMin: 0, quantMax: 127 }),
  },
  qint8: { ...fbgemmQConfig, activation: MinMaxObserver.withArgs({ dtype: "qint8" }) },
  "16 bits": wide(0, 65535, false),
  "16 bits, symmetric": wide(-32768, 32767, true),
  "24 bits": wide(-(2 ** 23), 2 ** 23 - 1, true),
  accurate: { ...accurateQConfig, weightRounding: "nearest" },
  dynamic: dynamicQConfig,
};

interface Drawn {
  readonly name: keyof typeof QCONFIGS;
  /** Whether the activation itself stays float32. */
  readonly float: boolean;
  readonly recurrent: boolean;
  readonly behind: boolean;
  /** Whether another activation comes before it. */
  readonly second: boolean;
  readonly batchFirst: boolean;
  readonly width: number;
  readonly batch: number;
  readonly steps: number;
  readonly maxSteps: number;
  readonly ragged: boolean;
  readonly seed: number;
}

const drawn: fc.Arbitrary<Drawn> = fc.record({
  name: fc.constantFrom(...Object.keys(QCONFIGS)),
  float: fc.constantFrom(false, false, false, true),
  recurrent: fc.boolean(),
  behind: fc.boolean(),
  second: fc.boolean(),
  batchFirst: fc.boolean(),
  width: fc.constantFrom(1, 2, 3, 7, 8, 9, 16, 17),
  batch: fc.integer({ min: 1, max: 3 }),
  steps: fc.integer({ min: 1, max: 7 }),
  maxSteps: fc.integer({ min: 1, max: 7 }),
  ragged: fc.boolean(),
  seed: fc.integer({ min: 0, max: 2 ** 31 }),
});

/**
 * A model with the activation in it; a case is left out whose LSTM needs what qnnpack's addition
 * cannot do.
 */
function modelOf(activation: Activation, c: Drawn) {
  const { width, seed, batchFirst, batch, steps } = c;
  const module = activation.make(generator(seed));
  const front = c.recurrent
    ? new LSTM({ inputSize: 3, hiddenSize: width, batchFirst, seed })
    : new Linear({ inFeatures: 3, outFeatures: width, seed });
  const float = new Sequential({
    front,
    // A ReLU that alone reads a Linear would become part of it.
    ...c.second || activation.kind === "ReLU" ? { first: new LeakyReLU() } : {},
    activation: module,
    ...c.behind ? { behind: new Linear({ inFeatures: width, outFeatures: 2, seed }) } : {},
  });
  // Large enough for all that saturates.
  if (front instanceof Linear) front.weight.forEach((value, i) => front.weight[i] = 6 * value);
  const qconfig = QCONFIGS[c.name]!;
  const mapping = new QConfigMapping().setGlobal(qconfig);
  const observed = prepare(
    float,
    c.float ? mapping.setModuleName("activation", null) : mapping,
  );
  const first = batchFirst && c.recurrent;
  const shape = first ? [batch, steps, 3] : [steps, batch, 3];
  const x = tensor(floatsOf(seed ^ 5, shape, 2).data, shape);
  observed.forward(x);
  const model = convert(observed);
  try {
    model.createSession();
  } catch (error) {
    if (error instanceof RangeError && error.message.includes("qnnpack's addition")) fc.pre(false);
    throw error;
  }
  return { float, module, observed, model, x, first, qconfig };
}

/** A module's output for the output of the one before it. */
function forward(module: unknown, x: ForwardTensor): ForwardTensor {
  const y = (module as QuantizedLinear | QuantizedLSTM).forward(x);
  return Array.isArray(y) ? y[0] : y as ForwardTensor;
}

/** What the kernels make of an activation's input. */
function expectedOf(
  activation: Activation,
  module: Module,
  quantized: QuantizedActivation,
  x: ForwardTensor,
  engine: string,
): ForwardTensor {
  const { size, output } = quantized;
  const { qparams } = x as { qparams?: PerTensorQParams };
  const y = output === null ? null : newQArray(output.dtype, x.data.length);
  if (
    y !== null &&
    activation.integers?.(x as QTensor<PerTensorQParams>, y, output!, engine)
  ) {
    return { data: y, shape: x.shape, qparams: output! };
  }
  const floats = Float32Array.from(x.data);
  if (qparams !== undefined) {
    dequantizePerTensor(x.data as QArray, floats, qparams.scale, qparams.zeroPoint);
  }
  const float = activation.float(module);
  for (let at = 0; at < floats.length; at += size) {
    floats.set(Array.from(float(floats.slice(at, at + size))), at);
  }
  if (y === null) return { data: floats, shape: x.shape };
  quantizePerTensor(floats, y, output!);
  return { data: y, shape: x.shape, qparams: output! };
}

/** Runs a sequence in pieces; what rows have beyond their lengths is 0. */
function runSession(
  session: Session,
  model: QuantizedModel,
  x: Float32Array,
  steps: number,
  lengths: readonly number[] | null,
): Float32Array | QArray {
  const rows = steps * session.batch;
  const out = model.output === null
    ? new Float32Array(rows * model.outputSize)
    : newQArray(model.output.dtype, rows * model.outputSize);
  session.run(x, out, lengths ?? undefined);
  return out;
}

const bytes = (x: Float32Array | QArray) => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);

/** Holds a kind of activation to what every form of it must give. */
export function holdActivation(activation: Activation, runs = 60): void {
  const { kind } = activation;

  Deno.test(`${kind}: sessions, programs, SIMD, files and modules one by one give the kernels' bytes`, () => {
    let quantized = 0;
    let floats = 0;
    fc.assert(
      fc.property(drawn, (c) => {
        const { model, x, first, module, qconfig } = modelOf(activation, c);
        const { batch, steps, maxSteps } = c;
        const own = model.modules.get("activation") as QuantizedActivation | undefined;
        // Module by module, of which the activation's is computed by the kernels.
        let value: ForwardTensor = x;
        for (const [name, each] of model.modules) {
          if (name !== "activation") value = forward(each, value);
          else {
            const expected = expectedOf(
              activation,
              module,
              own!,
              value,
              qconfig.engine ?? "fbgemm",
            );
            value = own!.forward(value);
            assertEquals(value, expected);
            if (own!.output === null) floats++;
            else quantized++;
          }
        }
        const lengths = c.ragged
          ? Array.from({ length: batch }, (_, b) => (b * 3 + c.seed) % (steps + 1))
          : null;
        const whole = value.data.slice();
        const zero = model.output?.zeroPoint ?? 0;
        for (let row = 0; row < steps * batch && lengths !== null; row++) {
          const t = first ? row % steps : Math.floor(row / batch);
          const b = first ? Math.floor(row / steps) : row % batch;
          if (t < lengths[b]!) continue;
          whole.fill(zero, row * model.outputSize, (row + 1) * model.outputSize);
        }
        const saved = saveModel(model);
        const read = loadModel(saved);
        assertEquals(bytes(Uint8Array.from(saveModel(read))), bytes(Uint8Array.from(saved)));
        assertEquals(read.fingerprint, model.fingerprint);
        const all = [...formsOf(model), ["file", read, {}] as const];
        assert(all.length > 5);
        // A dynamic module's results depend on how many steps it is given at once.
        const together = c.name === "dynamic" ? steps : maxSteps;
        if (c.name === "dynamic" && lengths !== null) return;
        for (const [name, form, options] of all) {
          const session = form.createSession({ ...options, batch, maxSteps: together });
          const out = runSession(session, model, x.data, steps, lengths);
          assertEquals(bytes(out), bytes(whole as QArray), `${name} of ${JSON.stringify(c)}`);
          if (lengths !== null || first || c.name === "dynamic") continue;
          // Step by step, by the same session.
          session.reset();
          const size = batch * model.outputSize;
          for (let t = 0; t < steps; t++) {
            const step = out.subarray(t * size, (t + 1) * size);
            session.step(x.data.subarray(t * batch * 3, (t + 1) * batch * 3), step);
          }
          assertEquals(bytes(out), bytes(whole as QArray), `${name}, step by step`);
        }
      }),
      { numRuns: runs },
    );
    assert(floats > 0, `${quantized} quantized, ${floats} in float32`);
  });

  Deno.test(`${kind}: the reference graph gives the same, in qnnpack's softmax and of 24 bits within a step`, () => {
    fc.assert(
      fc.property(drawn, (c) => {
        if (c.name === "dynamic") return;
        const { model, x, qconfig } = modelOf(activation, { ...c, batchFirst: false });
        const own = model.modules.get("activation") as QuantizedActivation;
        const values = new Map<string, GraphValue>();
        const reference = convertToReference(model);
        reference.run(x, {
          watch(node, value) {
            // A cell's come step by step.
            const before = node.cell === undefined ? undefined : values.get(node.name);
            const all = [...before?.data ?? [], ...value.data];
            const { qparams } = value;
            const data = qparams === null
              ? Float32Array.from(all)
              : newQArray(qparams.dtype, all.length);
            data.set(all);
            values.set(node.name, { data, qparams });
          },
        });
        const node = reference.nodes.find(({ name }) => name === "activation")!;
        // What the graph's operation reads, in integers where it was quantized.
        const read = reference.nodes.find(({ name }) => name === node.inputs[0])!;
        const given = values.get(read.op === "dequantize" ? read.inputs[0]! : read.name)!;
        const shape = [given.data.length / own.size, own.size];
        const input = given.qparams === null || own.input === null
          ? { data: values.get(read.name)!.data as Float32Array, shape }
          : { data: given.data, shape, qparams: given.qparams };
        const here = own.forward(input as ForwardTensor);
        const there = values.get(own.output === null ? "activation" : "activation.quantize")!;
        assertEquals(there.qparams, own.output);
        const fixed = activation.kind === "Softmax" && qconfig.engine === "qnnpack";
        // A module that keeps its integers keeps all 24 bits; float32 between two q-dq pairs need not.
        const step = (fixed || c.name === "24 bits") && own.output !== null ? 1 : 0;
        for (let i = 0; i < here.data.length; i++) {
          assert(Math.abs(here.data[i]! - there.data[i]!) <= step, `${i} of ${JSON.stringify(c)}`);
        }
        const table = reference.toTable();
        assert(table.includes("activation") && reference.toJSONText().length > 0);
      }),
      { numRuns: 40 },
    );
  });

  Deno.test(`${kind}: the float model is the kernel of each row; observing it changes nothing`, () => {
    fc.assert(
      fc.property(drawn, (c) => {
        const { float, observed, module, x } = modelOf(activation, c);
        const y = float.forward(x);
        assertEquals(observed.forward(x), y);
        const rows = (module as Module & { forward(x: unknown): typeof y }).forward(x);
        assertEquals(rows.shape, x.shape);
        const expected: number[] = [];
        for (let at = 0; at < x.data.length; at += 3) {
          expected.push(...Array.from(activation.float(module)(x.data.slice(at, at + 3))));
        }
        assertEquals([...rows.data], expected);
      }),
      { numRuns: 20 },
    );
  });
}

/** The quantized activation after a Linear of quint8, and the qparams of both. */
export function afterLinear(
  module: Module,
  qconfig: QConfig,
  backendConfig?: BackendConfig,
): { input: PerTensorQParams | null; own: QuantizedActivation; model: QuantizedModel } {
  const linear = new Linear({ inFeatures: 2, outFeatures: 3 });
  const float = new Sequential({ linear, activation: module });
  const observed = prepare(float, qconfig, backendConfig === undefined ? {} : { backendConfig });
  observed.forward(tensor([0.5, -2, 1, 1], [2, 2]));
  const model = convert(observed);
  const own = model.modules.get("activation") as QuantizedActivation;
  return { input: (model.modules.get("linear") as QuantizedLinear).output, own, model };
}
