/**
 * Rewrites that involve two kinds of modules. Only here are kinds named in pairs; everywhere else
 * each kind answers for itself:
 * - Dropout and Identity are left out of a model that is prepared;
 * - a BatchNorm1d that alone reads a Linear or Conv1d is folded into its weights, as
 *   torch.ao.quantization.fuse_modules does;
 * - a ReLU that alone reads a Linear or Conv1d becomes part of it, as
 *   torch.ao.quantization.fuse_modules makes it;
 * - a ZeroPad1d that only a Conv1d, or an AvgPool1d that counts padding, reads becomes padding of
 *   that;
 * - the rows of an Embedding are rounded together with the input weights of their reader;
 * - an Embedding is folded into its reader: its rows, multiplied with the input weights, become a
 * table.
 *
 * @module
 */
import type { EmbeddingTable } from "../../kernels/ops/embedding.ts";
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import type { LinearWeight } from "../../kernels/ops/linear.ts";
import { foldBatchNorm } from "../../kernels/ops/normalize.ts";
import { checkFinite, failRange } from "../core/errors.ts";
import type { Work } from "../core/work.ts";
import { INPUT, loneReaders, readersOf, type Topology } from "../core/topology.ts";
import { checkBatchNorm } from "../modules/batch_norm/check.ts";
import { AvgPool1d } from "../modules/avg_pool1d/float.ts";
import { BatchNorm1d } from "../modules/batch_norm/float.ts";
import { Conv1d, Conv1dReLU, convLike } from "../modules/conv1d/float.ts";
import { ObservedEmbedding } from "../modules/embedding/observed.ts";
import { embeddingTable, QuantizedEmbedding } from "../modules/embedding/quantized.ts";
import { checkFlow, type FloatModel } from "../modules/graph.ts";
import type { ObserveContext, ObservedModule, QuantizedModule } from "../modules/kind.ts";
import { kindOf } from "../modules/kinds.ts";
import { copyOf } from "../modules/copy.ts";
import { Linear, LinearReLU } from "../modules/linear/float.ts";
import type { Module } from "../modules/module.ts";
import { tokenTableRows, tokenTableWork } from "../modules/rounding/weight_rounding.ts";
import { ZeroPad1d } from "../modules/zero_pad1d/float.ts";
import type { ObservedModel } from "./observed_model.ts";

/** Kinds that do nothing when a model runs. */
const LEFT_OUT: readonly string[] = ["Dropout", "Identity"];

/**
 * A model without one of its modules, whose readers read its input instead, or a given replacement.
 */
function without(model: FloatModel, name: string, instead: string): FloatModel {
  const { modules, topology } = model;
  const inputs = new Map<string, readonly string[]>();
  for (const [each, reads] of topology.inputs) {
    if (each !== name) inputs.set(each, reads.map((read) => read === name ? instead : read));
  }
  // An output keeps its name even if another module gives it now.
  const outputs = new Map(
    [...topology.outputs].map(([output, from]) => [output, from === name ? instead : from]),
  );
  const rest = new Map([...modules].filter(([each]) => each !== name));
  return { ...model, modules: rest, topology: { inputs, outputs } };
}

/** A model with one of its modules replaced. */
function withModule(model: FloatModel, name: string, module: Module): FloatModel {
  const modules = new Map([...model.modules].map(([each, own]) => [
    each,
    each === name ? module : own,
  ]));
  return { ...model, modules };
}

/** Whether removal would leave an empty model, or make an output equal to the input. */
function isNeeded({ topology }: FloatModel, name: string): boolean {
  const [read] = topology.inputs.get(name)!;
  return read === INPUT && [...topology.outputs.values()].includes(name);
}

/** A layer with the batch normalization after it folded in. */
function foldedLayer(name: string, layer: Linear | Conv1d, norm: BatchNorm1d): Linear | Conv1d {
  checkBatchNorm(`modules.${name}`, norm, null);
  const before = layer instanceof Linear ? "linear" : "convolution";
  const { weight, bias } = foldBatchNorm(before, layer.weight, layer.bias, norm);
  const folded = layer instanceof Linear
    ? new Linear({ inFeatures: layer.inFeatures, outFeatures: layer.outFeatures })
    : convLike(layer, Conv1d, { bias: true });
  for (const [key, values] of Object.entries({ weight, bias })) {
    checkFinite(`modules.${name}: folded ${key}`, values);
  }
  folded.weight.set(weight);
  folded.bias!.set(bias);
  return folded;
}

/** A Linear or Conv1d with the ReLU after it. */
function withRelu(layer: Linear | Conv1d): LinearReLU | Conv1dReLU {
  if (layer instanceof Conv1d) return copyOf(layer, convLike(layer, Conv1dReLU));
  const { inFeatures, outFeatures, bias } = layer;
  return copyOf(layer, new LinearReLU({ inFeatures, outFeatures, bias: bias !== null }));
}

/** A module with the zeros around its input as padding of its own; null if it cannot have any. */
function padded(pad: ZeroPad1d, reader: Module): Module | null {
  const { left, right } = pad.window;
  if (reader instanceof Conv1d) {
    const { window } = reader;
    const padding = [window.left + left, window.right + right] as const;
    const Kind = reader instanceof Conv1dReLU ? Conv1dReLU : Conv1d;
    return copyOf(reader, convLike(reader, Kind, { padding }));
  }
  if (!(reader instanceof AvgPool1d) || !reader.countIncludePad) return null;
  const { batchFirst, window: { kernelSize, stride, ceilMode, ...own } } = reader;
  const padding = [own.left + left, own.right + right] as const;
  // An average cannot have a window that covers padding only.
  if (padding.some((steps) => steps >= kernelSize)) return null;
  return new AvgPool1d({ kernelSize, stride, padding, ceilMode, batchFirst });
}

/** Makes each ZeroPad1d part of its only reader. */
function withoutPads(model: FloatModel): FloatModel {
  let rewritten = model;
  for (const [name, module] of model.modules) {
    if (!(module instanceof ZeroPad1d)) continue;
    const reader = loneReaders(rewritten.topology).get(name);
    if (reader === undefined) continue;
    const made = padded(module, rewritten.modules.get(reader)!);
    if (made === null) continue;
    const [read] = rewritten.topology.inputs.get(name)!;
    rewritten = without(withModule(rewritten, reader, made), name, read!);
  }
  return rewritten;
}

/** Rewrites a float model before it is observed. */
export function rewriteFloat(model: FloatModel): FloatModel {
  checkFlow(model);
  let rewritten = model;
  for (const [name, module] of model.modules) {
    const [read] = rewritten.topology.inputs.get(name)!;
    if (LEFT_OUT.includes(module.kind)) {
      if (isNeeded(rewritten, name)) {
        failRange(`modules.${name}`, "a model that computes something", `a lone ${module.kind}`);
      }
      rewritten = without(rewritten, name, read!);
      continue;
    }
    const before = rewritten.modules.get(read!);
    if (
      !(before instanceof Linear || before instanceof Conv1d) || before instanceof LinearReLU ||
      before instanceof Conv1dReLU ||
      !loneReaders(rewritten.topology).has(read!)
    ) {
      continue;
    }
    // BatchNorm1d is folded before the ReLU that reads it, so that both become part of the layer.
    const fused = module instanceof BatchNorm1d
      ? foldedLayer(name, before, module)
      : module.kind === "ReLU"
      ? withRelu(before)
      : null;
    if (fused !== null) rewritten = without(withModule(rewritten, read!, fused), name, read!);
  }
  return withoutPads(rewritten);
}

/** The name of the Embedding that is a module's only input, and that only this module reads. */
function tableOf(
  topology: Topology,
  modules: ReadonlyMap<string, { readonly kind: string }>,
  name: string,
): string | null {
  const [read, ...others] = topology.inputs.get(name)!;
  if (others.length > 0 || modules.get(read!)?.kind !== "Embedding") return null;
  return loneReaders(topology).has(read!) ? read! : null;
}

/** The rows of the Embedding that only this module reads, and whether both are rounded together. */
export function tableRows(
  topology: Topology,
  observed: ReadonlyMap<string, ObservedModule>,
  name: string,
): Pick<ObserveContext, "tableRows" | "tableRounded"> {
  const table = observed.get(tableOf(topology, observed, name)!);
  if (!(table instanceof ObservedEmbedding)) return { tableRows: null, tableRounded: false };
  return {
    tableRows: table.embedding.numEmbeddings,
    tableRounded: table.qconfig?.weightRounding === "calibrated",
  };
}

/**
 * Rounds an Embedding and its reader's input weights together, so that their products stay close to
 * the float model's.
 *
 * @returns null where the two are not rounded together.
 */
export function* roundTogether(
  { topology, modules }: ObservedModel,
  quantized: ReadonlyMap<string, QuantizedModule>,
  name: string,
): Work<
  { table: string; embedding: QuantizedEmbedding; weights: readonly LinearWeight[] } | null
> {
  const table = tableOf(topology, modules, name);
  if (table === null) return null;
  const module = modules.get(name)!;
  const projections = kindOf(name, module).tableProjections?.(name, module) ?? null;
  const embedding = quantized.get(table) as QuantizedEmbedding;
  const { weight: codes, scales, biases } = embedding;
  if (projections === null || isFloat32Array(codes)) return null;
  const { counts } = projections[0]!;
  if (counts.every((count) => count === 0)) {
    const expected = "calibration data: run some through the observed model first";
    failRange(name, expected, "none");
  }
  const rounded = yield* tokenTableWork(
    (modules.get(table) as ObservedEmbedding).embedding.weight,
    { codes, scales, biases },
    projections,
    counts,
  );
  return {
    table,
    embedding: new QuantizedEmbedding({ ...embedding, weight: rounded.codes }),
    weights: rounded.projections,
  };
}

/** Units of work of {@linkcode roundTogether} for a module. */
export function rowsTogether({ topology, modules }: ObservedModel, name: string): number {
  const table = tableOf(topology, modules, name);
  if (table === null) return 0;
  const module = modules.get(name)!;
  const projections = kindOf(name, module).tableProjections?.(name, module) ?? null;
  return projections === null ? 0 : tokenTableRows(projections, projections[0]!.counts.length);
}

/** An Embedding that can be folded into its reader. */
export interface Foldable {
  /** The Embedding's name. */
  readonly table: string;
  /** The reader. */
  readonly reader: string;
  /** The Embedding's rows. */
  readonly rows: EmbeddingTable;
  /** Whether the reader rounds its input to parameters of its own. */
  readonly rounds: boolean;
  /** Size of the table in bytes. */
  readonly bytes: number;
}

/** Embeddings that can be folded. */
export function foldableTables(
  topology: Topology,
  modules: ReadonlyMap<string, QuantizedModule>,
): Foldable[] {
  const lone = loneReaders(topology);
  return readersOf(topology).get(INPUT)!.flatMap((table) => {
    const embedding = modules.get(table)!;
    const reader = lone.get(table);
    if (embedding.kind !== "Embedding" || reader === undefined) return [];
    const module = modules.get(reader)!;
    const kind = kindOf(reader, module);
    if (kind.foldedBytes === undefined || topology.inputs.get(reader)!.length > 1) return [];
    const rows = embeddingTable(embedding as QuantizedEmbedding);
    const bytes = kind.foldedBytes(module, rows.scales.length);
    if (bytes === null) return [];
    const rounds = kind.ends(module).inputs[0]!.qparams !== null;
    return [{ table, reader, rows, rounds, bytes }];
  });
}
