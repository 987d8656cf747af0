/**
 * Rows of docs/operators.md: for each kind of module one to try, and what cannot be found out by trying.
 *
 * @module
 */
import { Embedding, Linear, LinearReLU, LSTM, type Module } from "@splitgate/splitgate";

/** A row of the table. */
export interface OperatorRow {
  /** The kind's name. */
  readonly kind: string;
  /** What sets it apart from other rows of the kind; absent where there is one. */
  readonly form?: string;
  /** A small one, by itself or as the module `op` of a Graph. */
  readonly module: () => Module;
  /** Functions of torch whose recorded values it is compared with; each stands in the README's table. */
  readonly torch: readonly string[];
}

/** Values a row of the modules that are tried. */
const WIDTH = 4;

/** Values a row that they give, where it is another number. */
const OUTPUTS = 3;

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
];
