/**
 * Sample models that come with the page.
 *
 * @module
 */

/** A sample in the page's list; its files are in a chunk of their own. */
export interface Sample {
  readonly id: string;
  readonly title: string;
  /** A short description, and the format of its file. */
  readonly about: string;
  readonly format: string;
  readonly license: string;
  /** Its files, relative to the root of the repository; the model comes first. */
  readonly files: readonly string[];
  /** Its data: `x_calibration` and `x`, or texts with a vocabulary. */
  readonly data:
    | { readonly tensors: string }
    | { readonly calibration: string; readonly test: string; readonly vocabulary: string };
  readonly architecture?: string;
}

const MODELS = "tests/models";

/** The architecture of a chain of modules. */
function chain(...modules: readonly Readonly<Record<string, unknown>>[]): string {
  return JSON.stringify({ version: 1, modules }, null, 2);
}

/** The samples, in the order of display. */
export const SAMPLES: readonly Sample[] = [
  {
    id: "segmenter",
    title: "Thai words",
    about: "Where Thai words end: ICU4X's segmenter",
    format: "safetensors and architecture",
    license: "Unicode-3.0",
    files: ["demo/data/thai.safetensors"],
    data: {
      calibration: "demo/data/thai.calibration.txt",
      test: "demo/data/thai.test.txt",
      vocabulary: "demo/data/thai.json",
    },
    architecture: chain(
      { name: "embedding", kind: "Embedding" },
      { name: "lstm", kind: "LSTM", options: { batchFirst: true } },
      { name: "out", kind: "Linear" },
    ),
  },
  {
    id: "parsernaam",
    title: "First or last name",
    about: "Whether a name is a first or a last one, by its letters",
    format: "PyTorch",
    license: "MIT, Rajashekar Chintalapati and Gaurav Sood",
    files: [`${MODELS}/parsernaam/parsernaam.pt`],
    data: { tensors: `${MODELS}/parsernaam/parsernaam.reference.safetensors` },
    architecture: chain(
      { name: "embedding", kind: "Embedding" },
      { name: "lstm", kind: "LSTM", options: { batchFirst: true } },
      { name: "last", kind: "LastStep", options: { batchFirst: true } },
      { name: "fc", kind: "Linear" },
      { name: "log_softmax", kind: "LogSoftmax" },
    ),
  },
  {
    id: "network_intrusion",
    title: "Network intrusion",
    about: "Whether a network flow is an attack",
    format: "Keras",
    license: "MIT",
    files: [`${MODELS}/network_intrusion/cnn_lstm_unsw_finetuned.h5`],
    data: { tensors: `${MODELS}/network_intrusion/network_intrusion.reference.safetensors` },
  },
  {
    id: "sensors",
    title: "Sensors, both ways",
    about: "A bidirectional LSTM and a GRU with random weights",
    format: "TensorFlow.js",
    license: "made for this project, MIT",
    files: [
      `${MODELS}/tfjs-made/bilstm-gru-sensors/model.json`,
      `${MODELS}/tfjs-made/bilstm-gru-sensors/group1-shard1of1.bin`,
    ],
    data: {
      tensors: `${MODELS}/tfjs-made/bilstm-gru-sensors/bilstm-gru-sensors.reference.safetensors`,
    },
  },
  {
    id: "classifier",
    title: "Classes of a sequence",
    about: "LSTM, its last step, two linear layers; random weights",
    format: "ONNX",
    license: "made for this project, MIT",
    files: [`${MODELS}/onnx-made/lstm-last-mlp-softmax-bf-dyn-legacy.onnx`],
    data: {
      tensors: `${MODELS}/onnx-made/lstm-last-mlp-softmax-bf-dyn-legacy.reference.safetensors`,
    },
  },
];

/** The other files in a sample's chunk. */
export const SAMPLE_DATA = {
  calibration: "calibration",
  test: "test",
  vocabulary: "vocabulary.json",
} as const;
