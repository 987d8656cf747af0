/**
 * Choosing the dtypes of the parts of recurrent cells.
 *
 * @module
 */
import { copyArray, isInt32Array } from "../../kernels/numeric/typed_array.ts";
import { failRange, failType } from "../core/errors.ts";
import { PART_SLOTS, type PartSlot } from "../cells/names.ts";
import { checkOptions } from "../core/check.ts";
import { FixedQParamsObserver } from "../observer/fixed.ts";
import { MinMaxObserver } from "../observer/min_max.ts";
import type { Observer, ObserverFactory } from "../observer/observer.ts";
import type { BackendConfig } from "../qconfig/backend.ts";
import { QConfigMapping } from "../qconfig/mapping.ts";
import { int8x16QConfig } from "../qconfig/presets.ts";
import type { QConfig } from "../qconfig/qconfig.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { INPUT } from "../core/topology.ts";
import { convert } from "../authoring/convert.ts";
import { type ModelInput, readInputs } from "../authoring/inputs.ts";
import type { ObservedModule, QuantizedModule } from "../modules/kind.ts";
import { kindOf } from "../modules/kinds.ts";
import type { Module } from "../modules/module.ts";
import type { ObservedModel } from "../authoring/observed_model.ts";
import { prepare } from "../authoring/prepare.ts";
import { QuantizedModel } from "../authoring/model.ts";
import { ReferenceModel } from "../reference/reference.ts";
import type { Tensor, TokenTensor } from "../core/tensor.ts";
import { floatWeights, Noise, roundTo, textTable } from "./report.ts";

/**
 * Options of {@linkcode tune}.
 *
 * @example
 * ```ts
 * import { LSTM, tensor } from "@splitgate/splitgate";
 * import { tune, type TuneOptions } from "@splitgate/splitgate/tune";
 * import { assert } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
 * const x = tensor(Float32Array.from({ length: 40 }, (_, i) => Math.sin(i)), [20, 1, 2]);
 * const options: TuneOptions = { budget: 35 }; // dB of signal to noise that the output keeps
 * assert(tune(lstm, [x], options).outputSqnr >= 35);
 * ```
 */
export interface TuneOptions {
  /**
   * Signal to noise of the model's output against the float model's, in dB, that must be reached.
   */
  readonly budget: number;
  /**
   * QConfig for everything that is not tuned: weights, input, projections, other modules;
   * `int8x16QConfig` by default.
   */
  readonly qconfig?: QConfig;
  /** Whether gates are split; false by default. */
  readonly splitGates?: boolean;
  /** Only dtypes that this target runs are chosen. */
  readonly backendConfig?: BackendConfig;
}

/**
 * Measurements of one slot of one recurrent module, and the choice for it.
 *
 * @example
 * ```ts
 * import { LSTM, tensor } from "@splitgate/splitgate";
 * import { tune, type TunedPart } from "@splitgate/splitgate/tune";
 * import { assert } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
 * const x = tensor(Float32Array.from({ length: 40 }, (_, i) => Math.sin(i)), [20, 1, 2]);
 * const parts: readonly TunedPart[] = tune(lstm, [x], { budget: 30 }).parts;
 * for (const { slot, bits, sqnr8 } of parts) console.log(slot, `${bits} bits, ${sqnr8} dB in 8`);
 * assert(parts.every(({ bits }) => bits === 8 || bits === 16));
 * ```
 */
export interface TunedPart {
  /** The module's name. */
  readonly module: string;
  /** The slot: all parts that it configures have the same width. */
  readonly slot: PartSlot;
  /** The choice: 8 or 16. */
  readonly bits: number;
  /**
   * Signal to noise in dB of the slot's float values rounded to 8 bits; Infinity where nothing is
   * lost.
   */
  readonly sqnr8: number;
  /** The same at 16 bits. */
  readonly sqnr16: number;
  /** Number of its values that are clamped at 8 bits. */
  readonly saturated8: number;
  /** Number of its values that are clamped at 16 bits. */
  readonly saturated16: number;
  /** Number of the slot's values over all calibration data. */
  readonly values: number;
  /**
   * Signal to noise in dB of the model's output with this slot alone in 8 bits and all others in
   * 16.
   */
  readonly outputSqnr8: number;
}

/**
 * The result of {@linkcode tune}.
 *
 * @example
 * ```ts
 * import { LSTM, saveModel, tensor } from "@splitgate/splitgate";
 * import { tune, type TuneResult } from "@splitgate/splitgate/tune";
 * import { assert } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
 * const x = tensor(Float32Array.from({ length: 40 }, (_, i) => Math.sin(i)), [20, 1, 2]);
 * const result: TuneResult = tune(lstm, [x], { budget: 30 });
 * console.log(result.toTable());
 * const file = saveModel(result.model); // quantized as it was found
 * assert(result.outputSqnr16 >= result.outputSqnr - 1);
 * ```
 */
export interface TuneResult {
  /** For `prepare`: the chosen dtypes, with observers still to be calibrated. */
  readonly qconfig: QConfigMapping;
  /** The model with these dtypes, calibrated on the data that was given. */
  readonly model: QuantizedModel;
  /** Signal to noise of its output against the float model's, in dB. */
  readonly outputSqnr: number;
  /** The same with every part in 16 bits: the largest budget that can be met. */
  readonly outputSqnr16: number;
  /** One entry a slot of a recurrent module, in the order of modules and slots. */
  readonly parts: readonly TunedPart[];
  /** A text table, one slot a line. */
  toTable(): string;
}

type Width = 8 | 16;

function fixed(bits: Width, scale: number, zeroPoint: number): ObserverFactory {
  const unsigned = zeroPoint === 0;
  return bits === 8
    ? FixedQParamsObserver.withArgs({ scale: scale * 256, zeroPoint: unsigned ? 0 : 128 })
    : FixedQParamsObserver.withArgs({
      dtype: "qint32",
      scale,
      zeroPoint: 0,
      quantMin: unsigned ? 0 : -32768,
      quantMax: unsigned ? 65535 : 32767,
    });
}

const range8 = MinMaxObserver.withArgs({});
const range16 = MinMaxObserver.withArgs({
  dtype: "qint32",
  qscheme: "perTensorSymmetric",
  quantMin: -32768,
  quantMax: 32767,
});

/**
 * A slot's observer for a bit width: fixed where its function is bounded, else of the observed
 * range.
 */
function candidate(slot: PartSlot, bits: Width): ObserverFactory {
  if (slot === "sigmoid") return fixed(bits, 2 ** -16, 0);
  if (slot === "tanh" || slot === "cellTanh") return fixed(bits, 2 ** -15, 1);
  return bits === 8 ? range8 : range16;
}

/**
 * The slots that are tuned. Projections of the gates are left out: they are summed unrounded, which
 * costs nothing.
 */
function slotsOf(name: string, module: ObservedModule): readonly PartSlot[] {
  const parts = kindOf(name, module).cells?.parts(module) ?? [];
  return PART_SLOTS.filter((slot) =>
    slot !== "inputProjection" && slot !== "hiddenProjection" &&
    parts.some((part) => part.slot === slot)
  );
}

interface Choice {
  readonly module: string;
  readonly slot: PartSlot;
  bits: Width;
}

function mappingOf(base: QConfig, choices: readonly Choice[]): QConfigMapping {
  return choices.reduce(
    (mapping, { module, slot, bits }) => mapping.setPart(slot, candidate(slot, bits), module),
    new QConfigMapping().setGlobal(base),
  );
}

/** A slot's qparams for a bit width, from the range that its observer has seen. */
function qparamsOf(slot: PartSlot, bits: Width, observer: Observer): PerTensorQParams {
  const own = candidate(slot, bits)();
  if (own instanceof MinMaxObserver) {
    own.setRange(observer.minVal as number, observer.maxVal as number);
  }
  return own.calculateQParams() as PerTensorQParams;
}

/** The model with the chosen parameters in the parts of its cells. Weights are shared. */
function withChoices(
  model: QuantizedModel,
  observed: ObservedModel,
  choices: readonly Choice[],
): QuantizedModel {
  const { topology, modules } = model;
  const bits = new Map(choices.map((choice) => [`${choice.module}.${choice.slot}`, choice.bits]));
  const changed = new Map<string, QuantizedModule>();
  const outputs = new Map<string, PerTensorQParams | null>([[INPUT, null]]);
  for (const [name, module] of modules) {
    const own = observed.modules.get(name)!;
    const kind = kindOf(name, module);
    const given = topology.inputs.get(name)!.map((read) => outputs.get(read)!);
    let next = own.input === "previous" ? kind.withInputs(module, given) : module;
    if (kind.cells !== undefined) {
      next = kind.cells.withQParams(next, (cell, { name: part, slot }, before) => {
        const width = bits.get(`${name}.${slot}`);
        if (width === undefined) return before;
        const observers = kind.cells!.observers(own, cell, part);
        return observers.map((each) => qparamsOf(slot, width, each));
      });
    }
    changed.set(name, next);
    outputs.set(name, kind.ends(next).output.qparams);
  }
  return new QuantizedModel(changed, topology);
}

/** One input. */
interface Sequence {
  readonly x: Float32Array | Int32Array;
  readonly steps: number;
  readonly batch: number;
  readonly lengths: ArrayLike<number> | undefined;
  /** The float model's output. */
  readonly exact: Float32Array;
}

/** Signal and noise of a model's output over all sequences. */
function noiseOf(model: QuantizedModel, sequences: readonly Sequence[]): Noise {
  const noise = new Noise();
  const { outputSize, batchFirst } = model;
  const { time } = model.outputs[0]!;
  const longest = new Map<number, number>();
  for (const { batch, steps } of sequences) {
    longest.set(batch, Math.max(longest.get(batch) ?? 0, steps));
  }
  for (const [rows, maxSteps] of longest) {
    const session = model.createSession({ batch: rows, maxSteps });
    for (const { x, batch, steps, lengths, exact } of sequences) {
      if (batch !== rows) continue;
      const y = new Float32Array((time ? steps : 1) * batch * outputSize);
      session.reset();
      session.run(x, y, lengths);
      for (let i = 0; i < y.length; i++) {
        const row = Math.floor(i / outputSize);
        const [t, b] = batchFirst
          ? [row % steps, Math.floor(row / steps)]
          : [Math.floor(row / batch), row % batch];
        if (!time || lengths === undefined || t < lengths[b]!) noise.add(exact[i]!, y[i]!);
      }
    }
  }
  return noise;
}

/** Errors of a slot's float values in 8 and in 16 bits. */
interface SlotNoise {
  readonly noise: { readonly 8: Noise; readonly 16: Noise };
  readonly saturated: { 8: number; 16: number };
  values: number;
}

/** Rounds every float value of every slot to both widths. */
function slotNoises(
  observed: ObservedModel,
  model: QuantizedModel,
  inputs: readonly { x: Tensor | TokenTensor; lengths?: ArrayLike<number> }[],
): Map<string, SlotNoise> {
  const twin = new ReferenceModel(model, floatWeights(observed));
  const found = new Map<string, SlotNoise>();
  const qparams = new Map<string, Record<Width, PerTensorQParams>>();
  for (const { x, lengths } of inputs) {
    twin.run(x, {
      ...(lengths === undefined ? {} : { lengths }),
      watch(node, { data }) {
        if (node.op !== "quantize" || node.part === undefined || node.name.includes(".inputs[")) {
          return;
        }
        const name = node.module!;
        const own = observed.modules.get(name)!;
        const { parts, observers } = kindOf(name, own).cells!;
        const { slot } = parts(own).find((part) => part.name === node.part)!;
        const key = `${node.module}.${slot}`;
        let sum = found.get(key);
        let both = qparams.get(node.name);
        if (sum === undefined) {
          found.set(
            key,
            sum = {
              noise: { 8: new Noise(), 16: new Noise() },
              saturated: { 8: 0, 16: 0 },
              values: 0,
            },
          );
        }
        if (both === undefined) {
          const all = observers(own, node.cell!, node.part);
          const each = all[node.gate ?? 0] ?? all[0]!;
          qparams.set(
            node.name,
            both = { 8: qparamsOf(slot, 8, each), 16: qparamsOf(slot, 16, each) },
          );
        }
        sum.values += data.length;
        for (const width of [8, 16] as const) {
          (data as Float32Array).forEach((value) => {
            const [rounded, saturated] = roundTo(value, both[width]);
            sum.noise[width].add(value, rounded);
            if (saturated) sum.saturated[width]++;
          });
        }
      },
    });
  }
  return found;
}

/**
 * Chooses the dtypes of the parts of LSTMs and GRUs: 8 bits where the budget allows it, else 16.
 * Each slot of each of them is measured in 8 bits with all others in 16; then slots are narrowed in
 * the order of the noise that this adds to the output, for as long as the noise together stays
 * within the budget, and the outcome is measured whole.
 *
 * @param model A model with at least one LSTM or GRU.
 * @param calibration Inputs as the model takes them; ranges and errors are measured on these alone.
 * @param options.budget Signal to noise of the output against the float model's, in dB, that must
 * be reached.
 * @returns The chosen QConfigMapping, the model quantized with it, and what was measured of each
 * slot.
 * @throws {TypeError} If an argument is of the wrong kind.
 * @throws {RangeError} If there is no LSTM or GRU, or no data, the target runs no 16-bit parts, or
 * not even 16 bits everywhere reach the budget: the message says what they reach.
 *
 * @example
 * ```ts
 * import { LSTM, tensor } from "@splitgate/splitgate";
 * import { tune } from "@splitgate/splitgate/tune";
 * import { assert } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
 * const x = tensor(Float32Array.from({ length: 40 }, (_, i) => Math.sin(i)), [20, 1, 2]);
 * const { outputSqnr, parts } = tune(lstm, [x], { budget: 30 });
 * assert(outputSqnr >= 30);
 * assert(parts.some(({ bits }) => bits === 8));
 * ```
 */
export function tune(
  model: Module,
  calibration: Iterable<ModelInput>,
  options: TuneOptions,
): TuneResult {
  checkOptions("options", options, ["budget", "qconfig", "splitGates", "backendConfig"]);
  const { budget, qconfig = int8x16QConfig, splitGates = false, backendConfig } = options;
  if (typeof budget !== "number") failType("options.budget", "a number of dB", budget);
  if (!Number.isFinite(budget)) failRange("options.budget", "a finite number of dB", budget);
  const prepared = (choices: readonly Choice[]) =>
    prepare(model, mappingOf(qconfig, choices), {
      splitGates,
      ...(backendConfig === undefined ? {} : { backendConfig }),
    });

  const wide: Choice[] = [...prepare(model, qconfig).modules].flatMap(([module, each]) =>
    slotsOf(module, each).map((slot) => ({ module, slot, bits: 16 as const }))
  );
  if (wide.length === 0) failRange("model", "a model with an LSTM or a GRU", "none");
  const observed = prepared(wide);
  // Copies: a caller may reuse one array for all inputs.
  const inputs = Array.from(
    readInputs("calibration", calibration, observed.inputSize),
    (input) =>
      ArrayBuffer.isView(input.x?.data)
        ? { ...input, x: { ...input.x, data: copyArray(input.x.data) } as Tensor | TokenTensor }
        : input,
  );
  const { batchFirst } = observed;
  const sequences = inputs.map(({ x, lengths }): Sequence => {
    const y = observed.forward(x, lengths === undefined ? {} : { lengths });
    const outer = isInt32Array(x.data) ? x.shape : x.shape.slice(0, -1);
    const [steps, batch] = outer.length === 1
      ? [outer[0], 1]
      : batchFirst
      ? [outer[1], outer[0]]
      : outer;
    return { x: x.data, steps: steps!, batch: batch!, lengths, exact: y.data };
  });
  const converted = convert(observed);
  const measure = (choices: readonly Choice[]) =>
    noiseOf(withChoices(converted, observed, choices), sequences);

  const before = measure(wide);
  const limit = before.signal / 10 ** (budget / 10);
  if (before.noise > limit) {
    failRange(
      "options.budget",
      `at most ${before.sqnr.toFixed(1)} dB, what 16-bit parts reach`,
      budget,
    );
  }
  const alone = wide.map((choice, i) => {
    const choices = wide.map((each, k) => k === i ? { ...each, bits: 8 as const } : each);
    // Some targets run 16 bits only.
    let runs = true;
    if (backendConfig !== undefined) {
      try {
        prepared(choices);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        runs = false;
      }
    }
    return { choice: { ...choice }, noise: measure(choices), runs };
  });
  const order = alone.filter(({ runs }) => runs).sort((a, b) => a.noise.noise - b.noise.noise);
  const narrowed: Choice[] = [];
  let sum = before.noise;
  for (const { choice, noise } of order) {
    sum += Math.max(0, noise.noise - before.noise);
    if (sum > limit) break;
    choice.bits = 8;
    narrowed.push(choice);
  }
  const chosen = alone.map(({ choice }) => choice);
  // Noise adds up only approximately; the slot that was narrowed last is widened first.
  while (narrowed.length > 0 && measure(chosen).noise > limit) narrowed.pop()!.bits = 16;

  const final = prepared(chosen);
  for (const { x, lengths } of inputs) final.forward(x, lengths === undefined ? {} : { lengths });
  const quantized = convert(final);
  const local = slotNoises(observed, converted, inputs);
  const parts = alone.map(({ choice: { module, slot, bits }, noise }): TunedPart => {
    const { noise: own, saturated, values } = local.get(`${module}.${slot}`)!;
    return {
      module,
      slot,
      bits,
      sqnr8: own[8].sqnr,
      sqnr16: own[16].sqnr,
      saturated8: saturated[8],
      saturated16: saturated[16],
      values,
      outputSqnr8: noise.sqnr,
    };
  });
  return {
    qconfig: mappingOf(qconfig, chosen),
    model: quantized,
    outputSqnr: noiseOf(quantized, sequences).sqnr,
    outputSqnr16: before.sqnr,
    parts,
    toTable: () => tableOf(parts),
  };
}

function tableOf(parts: readonly TunedPart[]): string {
  const decibels = (value: number) => value === Infinity ? "exact" : value.toFixed(1);
  return textTable([
    [
      "part",
      "bits",
      "SQNR 8",
      "SQNR 16",
      "saturated 8",
      "saturated 16",
      "values",
      "output SQNR, 8 bits here alone",
    ],
    ...parts.map((part) => [
      `${part.module}.${part.slot}`,
      String(part.bits),
      decibels(part.sqnr8),
      decibels(part.sqnr16),
      String(part.saturated8),
      String(part.saturated16),
      String(part.values),
      decibels(part.outputSqnr8),
    ]),
  ]);
}
