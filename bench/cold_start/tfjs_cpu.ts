// TensorFlow.js on its cpu backend, an LSTM cell of its own operations: load, and the first step.
// @ts-ignore: installed in bench/peers.
import * as tf from "@tensorflow/tfjs-core";
// @ts-ignore: as above.
import "@tensorflow/tfjs-backend-cpu";
import { answered, read } from "./host.ts";

/** Put in by the bench: float32 weights [2 * SIZE, 4 * SIZE]. */
declare const MODEL: string, SIZE: number;

await tf.setBackend("cpu");
await tf.ready();
const bytes = read(MODEL);
const rows = 4 * SIZE;
const values = new Float32Array(
  bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength),
);
const kernel = tf.tensor2d(values, [2 * SIZE, rows]);
const bias = tf.zeros([rows]);
const zero = tf.zeros([1, SIZE]);
const x = tf.fill([1, SIZE], 0.5);
const [, [h]] = tf.multiRNNCell(
  [(data: unknown, c: unknown, h: unknown) =>
    tf.basicLSTMCell(tf.scalar(0), kernel, bias, data, c, h)],
  x,
  [zero],
  [zero],
);
if (h.dataSync().every((value: number) => value === 0)) throw new Error("no answer");
answered();
