/**
 * Word segmentation beside ICU4X's own WebAssembly: the same runs of text in the same process, text
 * in and word ends out on both sides, rounds interleaved.
 *
 *     deno task bench:icu [--record]     prints the table; --record writes bench/results/icu.md
 */
import { simdKernels } from "@splitgate/splitgate/simd";
import { WordSegmenter } from "icu";
import { convert, getPreset, loadModel, prepare, saveModel } from "@splitgate/splitgate";
import { type Run, wordEnds } from "../demo/segmenter.ts";
import { languageFiles, LANGUAGES, loadTask, sequence } from "../demo/task.ts";
import { readArguments } from "../scripts/arguments.ts";
import { writeFile } from "../scripts/write_file.ts";

const { record } =
  readArguments("deno task bench:icu [--record]", { record: { type: "boolean" } }).values;

const ROUNDS = 31;

const icu = WordSegmenter.createLstm();
const kernels = await simdKernels();

/** Ends of ICU4X's words, as offsets in UTF-16 units. */
function icuEnds(text: string): number[] {
  const ends: number[] = [];
  const breaks = icu.segment(text);
  for (let at = breaks.next(); at >= 0; at = breaks.next()) if (at > 0) ends.push(at);
  return ends;
}

function median(times: number[]): number {
  return times.toSorted((a, b) => a - b)[times.length >> 1]!;
}

const lines = [
  "| language | ICU4X wasm, µs a character | portable | ICU4X / portable | SIMD | ICU4X / SIMD | word ends in common |",
  "| --- | --- | --- | --- | --- | --- | --- |",
];
for (const language of LANGUAGES) {
  const { model, dictionary, calibration, test } = loadTask(languageFiles(language));
  const observed = prepare(model, getPreset("accurate"), { splitGates: true });
  for (const run of calibration) observed.forward(sequence(run));
  const quantized = loadModel(saveModel(convert(observed)));
  const maxSteps = Math.max(...test.map((run) => run.tokens.length));
  const outputs = new Float32Array(maxSteps * quantized.outputSize);
  const [portable, simd] = [undefined, kernels].map((kernels) => {
    const session = quantized.createSession({ maxSteps, kernels });
    return (run: Run): boolean[] => {
      const ids = dictionary.encode(run.text);
      const output = outputs.subarray(0, ids.length * quantized.outputSize);
      session.run(ids, output);
      return wordEnds(output, ids.length);
    };
  });
  let ends = 0;
  let same = 0;
  for (const run of test) {
    const expected = new Set(icuEnds(run.text));
    const own = simd!(run);
    if (portable!(run).some((end, i) => end !== own[i])) {
      throw new Error(`portable and SIMD differ on ${run.text}`);
    }
    let at = 0;
    Array.from(run.text).forEach((character, i) => {
      at += character.length;
      if (own[i] || expected.has(at)) ends++;
      if (own[i] && expected.has(at)) same++;
    });
  }
  const characters = test.reduce((sum, run) => sum + run.tokens.length, 0);
  const sides = [(run: Run) => icuEnds(run.text).length, portable, simd];
  const times: number[][] = sides.map(() => []);
  for (let round = 0; round < ROUNDS; round++) {
    sides.forEach((side, i) => {
      const from = performance.now();
      for (const run of test) side!(run);
      times[i]!.push((performance.now() - from) * 1000 / characters);
    });
  }
  const [theirs, ...own] = times.map(median);
  const columns = own.map((micros) => `${micros.toFixed(2)} | ${(theirs! / micros).toFixed(2)}`);
  lines.push(
    `| ${language} | ${theirs!.toFixed(2)} | ${columns.join(" | ")} | ${same} of ${ends} |`,
  );
  console.error(lines.at(-1));
}
const table = `${lines.join("\n")}\n`;
console.log(table);
if (record) await writeFile(new URL("results/icu.md", import.meta.url), table);
