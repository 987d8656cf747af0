/**
 * A report that every runtime makes, to the last byte the same.
 *
 * @module
 */
import { Linear, LSTM, quantize, Sequential } from "@splitgate/splitgate";
import { measureReport, reportHTML } from "@splitgate/splitgate/report";

/** What a report of a small model is, and how often its maker let others have their turn. */
export interface ReportCase {
  readonly page: string;
  readonly turns: number;
}

/** Quantizes a small model and makes its report, without times, which no two runs share. */
export async function makeReport(): Promise<ReportCase> {
  const model = new Sequential({
    lstm: new LSTM({ inputSize: 2, hiddenSize: 16, bidirectional: true, seed: 1 }),
    out: new Linear({ inFeatures: 32, outFeatures: 3, seed: 2 }),
  });
  const sequence = (seed: number) =>
    Float32Array.from({ length: 400 }, (_, i) => ((i * seed) % 17) / 8 - 1);
  const result = await quantize(model, [sequence(3), sequence(5)], { preset: "fbgemm" });
  const test = Array.from({ length: 10 }, (_, i) => sequence(7 + i));
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  const report = await measureReport(model, result, test, {
    title: "a <small> model",
    labels: test.map((_, b) => Array.from({ length: 200 }, (_, i) => (i * b) % 3)),
    speed: false,
  });
  clearInterval(timer);
  return { page: reportHTML(report), turns };
}
