/**
 * Rows of docs/operators.md: for each kind of module one to try, and what cannot be found out by
 * trying.
 *
 * @module
 */
import {
  Add,
  AvgPool1d,
  BatchNorm1d,
  Concat,
  Conv1d,
  Conv1dReLU,
  Dropout,
  Embedding,
  FinalHidden,
  FirstStep,
  Flatten,
  Graph,
  GRU,
  HardSigmoid,
  Identity,
  LastStep,
  LayerNorm,
  LeakyReLU,
  Linear,
  LinearReLU,
  LogSoftmax,
  LSTM,
  MaxOverTime,
  MaxPool1d,
  MeanOverTime,
  type Module,
  ReLU,
  Sequential,
  Sigmoid,
  Softmax,
  Tanh,
  UnitNorm,
  ZeroPad1d,
} from "@splitgate/splitgate";

/** A row of the table. */
export interface OperatorRow {
  /** The kind's name. */
  readonly kind: string;
  /** What sets it apart from other rows of the kind; absent where there is one. */
  readonly form?: string;
  /** A small one, by itself or as the module `op` of a Graph. */
  readonly module: () => Module;
  /**
   * Functions of torch whose recorded values it is compared with; each stands in the README's
   * table.
   */
  readonly torch: readonly string[];
}

/** Values a row of the modules that are tried. */
const WIDTH = 4;

/** Steps of the sequences that they are tried with. */
export const STEPS = 6;

/** Values a row that they give, where it is another number. */
const OUTPUTS = 3;

/** A module behind others that say how wide its input is. */
function behind(op: Module): Module {
  const linear = new Linear({ inFeatures: WIDTH, outFeatures: WIDTH });
  // A ReLU that alone reads a Linear would become part of it.
  return new Sequential({ linear, sigmoid: new Sigmoid(), op });
}

/** Sizes of a convolution. */
const channels = { inChannels: WIDTH, outChannels: OUTPUTS };

const linear = () => new Linear({ inFeatures: WIDTH, outFeatures: OUTPUTS });

/** A module that reads an LSTM. */
function behindLSTM(op: Module, bidirectional = false): Graph {
  const lstm = new LSTM({ inputSize: WIDTH, hiddenSize: OUTPUTS, bidirectional });
  return new Graph({ lstm: { module: lstm }, op: { module: op } });
}

/** A module that reads two Linears. */
function behindTwo(op: Module): Graph {
  return new Graph({
    a: { module: linear(), inputs: "input" },
    b: { module: linear(), inputs: "input" },
    op: { module: op, inputs: ["a", "b"] },
  });
}

/** Integers of a Linear for a module that takes values as they come. */
const before = { module: new LinearReLU({ inFeatures: WIDTH, outFeatures: OUTPUTS }) };

/** In the order of the table. */
export const OPERATOR_ROWS: readonly OperatorRow[] = [
  {
    kind: "Embedding",
    module: () => new Embedding({ numEmbeddings: WIDTH, embeddingDim: OUTPUTS }),
    torch: ["quantized::embedding_byte"],
  },
  {
    kind: "Linear",
    module: () => new Linear({ inFeatures: WIDTH, outFeatures: OUTPUTS }),
    torch: ["quantized::linear", "quantized::linear_dynamic"],
  },
  {
    kind: "Linear",
    form: "with ReLU",
    module: () => new LinearReLU({ inFeatures: WIDTH, outFeatures: OUTPUTS }),
    torch: ["quantized::linear_relu", "quantized::linear_relu_dynamic"],
  },
  {
    kind: "LSTM",
    module: () => new LSTM({ inputSize: WIDTH, hiddenSize: OUTPUTS }),
    torch: ["torch.ao.nn.quantized.LSTM"],
  },
  {
    kind: "LSTM",
    form: "both directions",
    module: () => new LSTM({ inputSize: WIDTH, hiddenSize: OUTPUTS, bidirectional: true }),
    torch: ["torch.ao.nn.quantized.LSTM"],
  },
  {
    kind: "LSTM",
    form: "projected",
    module: () => new LSTM({ inputSize: WIDTH, hiddenSize: OUTPUTS, projSize: 2 }),
    torch: [],
  },
  {
    kind: "Conv1d",
    form: "causal",
    module: () => new Conv1d({ ...channels, kernelSize: 3, padding: "causal" }),
    torch: ["quantized::conv1d"],
  },
  {
    kind: "Conv1d",
    form: "of whole sequences",
    module: () => new Conv1d({ ...channels, kernelSize: 3, stride: 2 }),
    torch: ["quantized::conv1d"],
  },
  {
    kind: "Conv1d",
    form: "with ReLU",
    module: () => new Conv1dReLU({ ...channels, kernelSize: 3, padding: "causal" }),
    torch: ["quantized::conv1d_relu"],
  },
  {
    kind: "MaxPool1d",
    module: () => behind(new MaxPool1d({ kernelSize: 2 })),
    torch: ["max_pool1d of quantized tensors"],
  },
  {
    kind: "AvgPool1d",
    module: () => behind(new AvgPool1d({ kernelSize: 2 })),
    torch: ["avg_pool1d of quantized tensors (channels last)"],
  },
  { kind: "ZeroPad1d", module: () => behind(new ZeroPad1d({ padding: 1 })), torch: [] },
  { kind: "Flatten", module: () => behind(new Flatten({ steps: STEPS })), torch: [] },
  {
    kind: "GRU",
    module: () => new GRU({ inputSize: WIDTH, hiddenSize: OUTPUTS }),
    torch: [],
  },
  {
    kind: "GRU",
    form: "both directions",
    module: () => new GRU({ inputSize: WIDTH, hiddenSize: OUTPUTS, bidirectional: true }),
    torch: [],
  },
  {
    kind: "GRU",
    form: "reset before the product",
    module: () => new GRU({ inputSize: WIDTH, hiddenSize: OUTPUTS, resetAfter: false }),
    torch: [],
  },
  { kind: "ReLU", module: () => behind(new ReLU()), torch: ["torch.relu"] },
  { kind: "LeakyReLU", module: () => behind(new LeakyReLU()), torch: ["quantized::leaky_relu"] },
  { kind: "Sigmoid", module: () => behind(new Sigmoid()), torch: ["torch.sigmoid"] },
  { kind: "Tanh", module: () => behind(new Tanh()), torch: ["torch.tanh"] },
  {
    kind: "HardSigmoid",
    module: () => behind(new HardSigmoid()),
    torch: ["torch.nn.functional.hardsigmoid"],
  },
  { kind: "Softmax", module: () => behind(new Softmax()), torch: ["quantized::softmax"] },
  { kind: "LogSoftmax", module: () => behind(new LogSoftmax()), torch: [] },
  { kind: "Dropout", module: () => behind(new Dropout()), torch: [] },
  { kind: "Identity", module: () => behind(new Identity()), torch: [] },
  { kind: "LastStep", module: () => behindLSTM(new LastStep()), torch: [] },
  { kind: "FirstStep", module: () => behindLSTM(new FirstStep()), torch: [] },
  {
    kind: "MeanOverTime",
    module: () => behindLSTM(new MeanOverTime()),
    torch: ["torch.mean of the last dimension of quantized tensors"],
  },
  {
    kind: "MaxOverTime",
    module: () => behindLSTM(new MaxOverTime()),
    torch: ["torch.max of quantized tensors"],
  },
  { kind: "FinalHidden", module: () => behindLSTM(new FinalHidden()), torch: [] },
  {
    kind: "FinalHidden",
    form: "both directions",
    module: () => behindLSTM(new FinalHidden({ bidirectional: true }), true),
    torch: [],
  },
  { kind: "Concat", module: () => behindTwo(new Concat()), torch: ["quantized::cat"] },
  { kind: "Add", module: () => behindTwo(new Add()), torch: ["quantized::add"] },
  {
    kind: "BatchNorm1d",
    module: () => new Graph({ before, op: { module: new BatchNorm1d({ numFeatures: OUTPUTS }) } }),
    torch: ["quantized::batch_norm1d", "torch.nn.functional.batch_norm"],
  },
  {
    kind: "BatchNorm1d",
    form: "behind a Linear",
    module: () =>
      new Graph({
        linear: { module: new Linear({ inFeatures: WIDTH, outFeatures: OUTPUTS }) },
        op: { module: new BatchNorm1d({ numFeatures: OUTPUTS }) },
      }),
    torch: ["torch.ao.quantization.fuse_modules"],
  },
  {
    kind: "LayerNorm",
    module: () =>
      new Graph({ before, op: { module: new LayerNorm({ normalizedShape: OUTPUTS }) } }),
    torch: ["quantized::layer_norm"],
  },
  { kind: "UnitNorm", module: () => behind(new UnitNorm()), torch: [] },
];
