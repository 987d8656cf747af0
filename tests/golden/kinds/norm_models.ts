/**
 * norm_models: whole models of Linear, BatchNorm1d, LayerNorm and ReLU, fused and converted by
 * torch.ao.
 *
 * @module
 */
import type { Engine } from "../../../kernels/ops/linear.ts";
import { convert } from "../../../src/authoring/convert.ts";
import { QuantizedModel, type QuantizedModule } from "../../../src/authoring/model.ts";
import { prepare } from "../../../src/authoring/prepare.ts";
import { isPerChannel, type PerTensorQParams } from "../../../src/core/qparams.ts";
import { type QTensor, type Tensor, tensor } from "../../../src/core/tensor.ts";
import { BatchNorm1d } from "../../../src/modules/batch_norm/float.ts";
import { QuantizedBatchNorm1d } from "../../../src/modules/batch_norm/quantized.ts";
import { Sequential } from "../../../src/modules/graph.ts";
import { QuantizedLayerNorm } from "../../../src/modules/layer_norm/quantized.ts";
import { Linear } from "../../../src/modules/linear/float.ts";
import type { ObservedLinear } from "../../../src/modules/linear/observed.ts";
import { QuantizedLinear } from "../../../src/modules/linear/quantized.ts";
import { ReLU } from "../../../src/modules/relu/float.ts";
import {
  defaultPerChannelQConfig,
  defaultQConfig,
  type QConfig,
} from "../../../src/qconfig/qconfig.ts";
import type { Check, Row } from "../check.ts";
import type { Kind } from "../kind.ts";
import type { Field } from "../read.ts";

const FUSED: Row = {
  operation: "BatchNorm1d folded into Linear by prepare: float and int8 weights",
  torch: "torch.ao.quantization.fuse_modules",
};
const MODELS: Row = {
  operation: "whole models with BatchNorm1d, LayerNorm and Linear + ReLU: every layer's output",
  torch: "torch.ao.nn.quantized and intrinsic.quantized, quantized::batch_norm1d",
};

/** The members of a record that are tensors, as a state dict. */
function stateDict(golden: Field): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  for (const name of golden.keys()) {
    const own = golden.maybe(name);
    if (name !== "eps" && own !== null) tensors.set(name, own.tensor());
  }
  return tensors;
}

/**
 * A Linear as from `prepare` and `convert`, with the BatchNorm1d and the ReLU that follow it, if
 * any.
 */
function fuse(golden: Field, engine: Engine, check: Check): QuantizedLinear {
  const weights = stateDict(golden.get("linear"));
  const [outFeatures, inFeatures] = weights.get("weight")!.shape as [number, number];
  const linear = new Linear({ inFeatures, outFeatures, bias: weights.has("bias") });
  linear.loadStateDict(weights);
  const own = golden.maybe("norm");
  const model = new Sequential({
    linear,
    ...own && { norm: batchNormOf(own) },
    ...golden.get("relu").boolean() && { relu: new ReLU() },
  });
  const torch = golden.get("integers").qtensor();
  const perChannel = isPerChannel(torch.qparams);
  const qconfig: QConfig = {
    ...perChannel ? defaultPerChannelQConfig : defaultQConfig,
    engine,
  };
  const observed = prepare(model, qconfig);
  const folded = golden.get("folded");
  const { linear: fused } = observed.modules.get("linear") as ObservedLinear;
  const { path } = golden;
  for (const part of ["weight", "bias"] as const) {
    const values = folded.maybe(part)?.tensor().data;
    if (values === undefined) continue;
    check.floats(FUSED, engine, `${path}.folded.${part}`, fused[part]!, values);
  }
  observed.forward(tensor(new Float32Array(inFeatures).fill(1), [1, inFeatures]));
  const made = convert(observed).modules.get("linear") as QuantizedLinear;
  check.integers(FUSED, engine, `${path}.integers`, made.weight.data, torch.data);
  const scales = isPerChannel(torch.qparams) ? torch.qparams.scales : [torch.qparams.scale];
  check.floats(FUSED, engine, `${path}.integers.scales`, made.weight.scales, scales);
  return made;
}

/** A float BatchNorm1d. */
function batchNormOf(golden: Field): BatchNorm1d {
  const state = stateDict(golden);
  const norm = new BatchNorm1d({
    numFeatures: state.get("running_mean")!.shape[0]!,
    eps: golden.get("eps").number(),
    affine: state.has("weight"),
  });
  norm.loadStateDict(state);
  return norm;
}

function moduleOf(
  golden: Field,
  engine: Engine,
  input: PerTensorQParams,
  output: QTensor<PerTensorQParams>,
  check: Check,
): QuantizedModule {
  const ports = { input, output: output.qparams };
  const layer = golden.maybe("layer");
  if (layer !== null) {
    return new QuantizedLayerNorm({
      normalizedShape: output.shape.at(-1)!,
      weight: layer.maybe("weight")?.tensor().data ?? null,
      bias: layer.maybe("bias")?.tensor().data ?? null,
      eps: layer.get("eps").number(),
      ...ports,
    });
  }
  const alone = golden.maybe("alone");
  if (alone !== null) {
    const { weight, bias, runningMean, runningVar, eps } = batchNormOf(alone);
    return new QuantizedBatchNorm1d({ weight, bias, runningMean, runningVar, eps, ...ports });
  }
  return new QuantizedLinear({ ...fuse(golden, engine, check), ...ports });
}

function run(golden: Field, check: Check): void {
  const engine = golden.get("engine").oneOf("fbgemm", "qnnpack");
  const x = golden.get("x").tensor();
  const rows = x.shape[0]!;
  const layers = golden.get("layers").list();
  const modules = new Map<string, QuantizedModule>();
  let given: QTensor<PerTensorQParams> = layers[0]!.get("input").quint8();
  for (const layer of layers) {
    const output = layer.get("output").quint8();
    const module = moduleOf(layer, engine, given.qparams, output, check);
    modules.set(layer.path, module);
    const { forward } = module as QuantizedLinear;
    const { data } = forward.call(module as QuantizedLinear, given);
    check.integers(MODELS, engine, `${layer.path}.output`, data, output.data);
    given = output;
  }
  const model = new QuantizedModel(modules);
  const y = new Uint8Array(given.data.length);
  model.createSession({ maxSteps: 4 }).run(x.data, y);
  check.integers(MODELS, engine, `output of ${rows} steps`, y, given.data);
}

/** norm_models*.json */
export const normModelsKind: Kind = {
  files: /^norm_models/,
  nameOf: (golden) => golden.get("name").string(),
  run,
};
