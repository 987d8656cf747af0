/**
 * Rows of docs/operators.md: a module to try for each kind, and facts that trying cannot show.
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
  /** The difference from other rows of the kind; absent if there is only one row. */
  readonly form?: string;
  /** A small module, alone or as the module `op` of a Graph. */
  readonly module: () => Module;
  /** Functions of torch that it is compared with; each is in the README's table. */
  readonly torch: readonly string[];
}

/** Width of the modules that are tried. */
const WIDTH = 4;

/** Number of steps of the sequences that they are tried with. */
export const STEPS = 6;

/** Width of their output, if it differs. */
const OUTPUTS = 3;

/** A module after others that determine the width of its input. */
function afterSigmoid(op: Module): Module {
  const linear = new Linear({ inFeatures: WIDTH, outFeatures: WIDTH });
  // Without the Sigmoid, a ReLU would be fused into the Linear.
  return new Sequential({ linear, sigmoid: new Sigmoid(), op });
}

/** Sizes of a convolution. */
const channels = { inChannels: WIDTH, outChannels: OUTPUTS };

const linear = () => new Linear({ inFeatures: WIDTH, outFeatures: OUTPUTS });

/** A module that reads an LSTM. */
function afterLSTM(op: Module, bidirectional = false): Graph {
  const lstm = new LSTM({ inputSize: WIDTH, hiddenSize: OUTPUTS, bidirectional });
  return new Graph({ lstm: { module: lstm }, op: { module: op } });
}

/** A module that reads two Linears. */
function afterTwo(op: Module): Graph {
  return new Graph({
    a: { module: linear(), inputs: "input" },
    b: { module: linear(), inputs: "input" },
    op: { module: op, inputs: ["a", "b"] },
  });
}

/** A quantized Linear before a module that takes any values. */
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
    module: () => afterSigmoid(new MaxPool1d({ kernelSize: 2 })),
    torch: ["max_pool1d of quantized tensors"],
  },
  {
    kind: "AvgPool1d",
    module: () => afterSigmoid(new AvgPool1d({ kernelSize: 2 })),
    torch: ["avg_pool1d of quantized tensors (channels last)"],
  },
  { kind: "ZeroPad1d", module: () => afterSigmoid(new ZeroPad1d({ padding: 1 })), torch: [] },
  { kind: "Flatten", module: () => afterSigmoid(new Flatten({ steps: STEPS })), torch: [] },
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
  { kind: "ReLU", module: () => afterSigmoid(new ReLU()), torch: ["torch.relu"] },
  {
    kind: "LeakyReLU",
    module: () => afterSigmoid(new LeakyReLU()),
    torch: ["quantized::leaky_relu"],
  },
  { kind: "Sigmoid", module: () => afterSigmoid(new Sigmoid()), torch: ["torch.sigmoid"] },
  { kind: "Tanh", module: () => afterSigmoid(new Tanh()), torch: ["torch.tanh"] },
  {
    kind: "HardSigmoid",
    module: () => afterSigmoid(new HardSigmoid()),
    torch: ["torch.nn.functional.hardsigmoid"],
  },
  { kind: "Softmax", module: () => afterSigmoid(new Softmax()), torch: ["quantized::softmax"] },
  { kind: "LogSoftmax", module: () => afterSigmoid(new LogSoftmax()), torch: [] },
  { kind: "Dropout", module: () => afterSigmoid(new Dropout()), torch: [] },
  { kind: "Identity", module: () => afterSigmoid(new Identity()), torch: [] },
  { kind: "LastStep", module: () => afterLSTM(new LastStep()), torch: [] },
  { kind: "FirstStep", module: () => afterLSTM(new FirstStep()), torch: [] },
  {
    kind: "MeanOverTime",
    module: () => afterLSTM(new MeanOverTime()),
    torch: ["torch.mean of the last dimension of quantized tensors"],
  },
  {
    kind: "MaxOverTime",
    module: () => afterLSTM(new MaxOverTime()),
    torch: ["torch.max of quantized tensors"],
  },
  { kind: "FinalHidden", module: () => afterLSTM(new FinalHidden()), torch: [] },
  {
    kind: "FinalHidden",
    form: "both directions",
    module: () => afterLSTM(new FinalHidden({ bidirectional: true }), true),
    torch: [],
  },
  { kind: "Concat", module: () => afterTwo(new Concat()), torch: ["quantized::cat"] },
  { kind: "Add", module: () => afterTwo(new Add()), torch: ["quantized::add"] },
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
  { kind: "UnitNorm", module: () => afterSigmoid(new UnitNorm()), torch: [] },
];
