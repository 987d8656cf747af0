/**
 * Embedding as a kind of module.
 *
 * @module
 */
import { embeddingRow } from "../../../kernels/ops/embedding.ts";
import { isFloat32Array } from "../../../kernels/numeric/typed_array.ts";
import type { TokenTensor } from "../../core/tensor.ts";
import { MinMaxObserver } from "../../observer/min_max.ts";
import { embedding as running, type EmbeddingProgram } from "../../runtime/kinds/embedding.ts";
import { supports } from "../fit_backend.ts";
import { failWidth, type Kind, type ObserveContext, type QuantizedEnds } from "../kind.ts";
import { Embedding } from "./float.ts";
import { convertEmbedding, ObservedEmbedding } from "./observed.ts";
import { embeddingTable, QuantizedEmbedding } from "./quantized.ts";

const WIDE_ROWS = { dtype: "qint32", quantMin: 0, quantMax: 65535 } as const;

function observe(module: Embedding, { name, qconfig, fit }: ObserveContext): ObservedEmbedding {
  const weight = new MinMaxObserver(qconfig?.embeddingBits === 16 ? WIDE_ROWS : {});
  const floats = qconfig?.dynamic === true && qconfig.embeddingBits === undefined;
  const runs = qconfig === null || fit === null ||
    supports(fit, name, "embedding", { inputs: [], weight, output: null });
  return new ObservedEmbedding(module, runs && !floats ? qconfig : null);
}

function ends({ numEmbeddings, embeddingDim }: QuantizedEmbedding): QuantizedEnds {
  return {
    inputs: [{ size: 1, qparams: null }],
    tokens: numEmbeddings,
    output: { size: embeddingDim, qparams: null },
    batchFirst: null,
  };
}

/** Embedding: rows of a table by token id. */
export const embeddingKind: Kind<Embedding, ObservedEmbedding, QuantizedEmbedding> = {
  name: "Embedding",
  time: "row",
  inputs: 1,
  hasState: false,
  hasWeight: false,

  inputSize: () => null,
  outputSize(name, { embeddingDim }, [given]) {
    if (given !== null) failWidth(name, given!, null);
    return embeddingDim;
  },
  batchFirst: () => null,
  options: [],
  create(_options, shapes) {
    const [numEmbeddings, embeddingDim] = shapes.of("weight", undefined, undefined);
    return new Embedding({ numEmbeddings: numEmbeddings!, embeddingDim: embeddingDim! });
  },
  forward: (module, [x]) => module.forward(x as TokenTensor),

  parts: () => [],
  observe,
  check: (observed, [x]) => observed.forward(x as TokenTensor),
  watch: (observed, [x]) => observed.forward(x as TokenTensor),

  convert: convertEmbedding,
  withInputs: (embedding) => embedding,
  ends,
  fingerprint: ({ weight, numEmbeddings, embeddingDim, scales, biases }) => [
    weight,
    numEmbeddings,
    embeddingDim,
    scales,
    biases,
  ],

  running: [running],
  lower(_name, quantized) {
    const program: EmbeddingProgram = {
      kind: "Embedding",
      inputs: ends(quantized).inputs,
      output: ends(quantized).output,
      ...embeddingTable(quantized),
    };
    return program;
  },

  ops: {
    embedding: {
      inputs: 1,
      width: ({ constants }) => (constants!.embedding as QuantizedEmbedding).embeddingDim,
      readsTokens: true,
      hasWeight: true,
      compute({ constants, width }, [tokens], _layout, weight) {
        const embedding = constants!.embedding as QuantizedEmbedding;
        const data = new Float32Array(tokens!.length * width);
        const table = embeddingTable(weight === null ? embedding : { ...embedding, weight });
        tokens!.forEach((token, i) => embeddingRow(table, token, data, i * width));
        return data;
      },
    },
  },
  reference(quantized, name, [value], builder) {
    const node = {
      name,
      op: "embedding",
      inputs: [value!.float],
      width: quantized.embeddingDim,
      constants: { embedding: quantized },
      module: name,
    };
    return builder.operation(node, { module: name }, null);
  },
  floatWeight: ({ embedding }) => embedding.weight,

  write({ weight, numEmbeddings, embeddingDim, scales, biases }, file) {
    file.tensor("weight", weight, numEmbeddings, embeddingDim);
    if (!isFloat32Array(weight)) {
      file.tensor("weight.scale", scales, numEmbeddings);
      file.tensor("weight.bias", biases, numEmbeddings);
    }
    return {};
  },
  read(file) {
    const { data: weight, shape } = file.tensor<Uint8Array | Uint16Array | Float32Array>(
      "weight",
      "F32, U16 or U8",
      undefined,
      undefined,
    );
    const [numEmbeddings, embeddingDim] = shape as [number, number];
    const float = isFloat32Array(weight);
    const rows = (key: string) => float ? new Float32Array(0) : file.floats(key, numEmbeddings);
    return new QuantizedEmbedding({
      weight,
      numEmbeddings,
      embeddingDim,
      scales: rows("weight.scale"),
      biases: rows("weight.bias"),
    });
  },
};
