/**
 * What each preset costs, on the demo's word segmenters and on a task with real-valued input: of the
 * segmenters boundary F1 of the int8 model against the float one on the test text, calibrated on the
 * calibration text; of the speakers of JapaneseVowels how many the model tells, calibrated on the
 * training utterances; and bytes of the files: of the model, and of the program that is deployed.
 *
 *     deno task accuracy     prints the tables and writes bench/results/accuracy.md
 */
import {
  compileModel,
  getPreset,
  loadModel,
  PRESET_NAMES,
  quantize,
  type QuantizedModel,
  saveModel,
} from "@splitgate/splitgate";
import { boundaryF1, wordEnds } from "../demo/segmenter.ts";
import { languageFiles, LANGUAGES, loadTask, sequence } from "../demo/task.ts";
import { readArguments } from "../scripts/arguments.ts";
import { writeFile } from "../scripts/write_file.ts";
import { accuracyOf, floatScores, loadSpeakers, quantizedScores, speakersOf } from "./speakers.ts";

readArguments("deno task accuracy", {});

const title = (language: string) => language[0]!.toUpperCase() + language.slice(1);
const share = (bytes: number, float: number) => (100 * bytes / float).toFixed(1);

/** A model as it comes out of its file, the file's bytes, and those of what it is compiled to. */
async function throughFile(
  model: Parameters<typeof quantize>[0],
  data: Parameters<typeof quantize>[1],
  preset: string,
): Promise<{ quantized: QuantizedModel; bytes: number; programBytes: number }> {
  const file = saveModel((await quantize(model, data, { preset, splitGates: true })).model);
  const quantized = loadModel(file);
  return { quantized, bytes: file.length, programBytes: compileModel(quantized).length };
}

const lines = [
  `| preset | ${
    LANGUAGES.map((language) => `${title(language)} F1 (ends that differ)`).join(" | ")
  } | file / float file | program / float file |`,
  `| --- | ${LANGUAGES.map(() => "---").join(" | ")} | --- | --- |`,
];
const tasks = LANGUAGES.map((language) => loadTask(languageFiles(language)));
const rows = PRESET_NAMES.flatMap((preset) => {
  // Where the embedded input is quantized, sessions can leave that out.
  const folds = [undefined, "float32"] as const;
  const rounds = getPreset(preset).input === undefined;
  return folds.slice(0, rounds ? 2 : 1).map((foldEmbedding) => ({ preset, foldEmbedding }));
});
for (const { preset, foldEmbedding } of rows) {
  const cells: string[] = [], shares: string[] = [], programShares: string[] = [];
  for (const { model, modelBytes, calibration, test } of tasks) {
    const data = calibration.map(sequence);
    const { quantized, bytes, programBytes } = await throughFile(model, data, preset);
    const maxSteps = Math.max(...test.map((run) => run.tokens.length));
    const session = quantized.createSession({ maxSteps, ...(foldEmbedding && { foldEmbedding }) });
    const ends = test.map((run) => {
      const output = new Float32Array(run.tokens.length * quantized.outputSize);
      session.run(run.tokens, output);
      return wordEnds(output, run.tokens.length);
    });
    const float = test.map((run) => wordEnds(model.forward(sequence(run)).data, run.tokens.length));
    const differ = ends.flat().filter((end, i) => end !== float.flat()[i]).length;
    cells.push(
      `${boundaryF1(ends, float).toFixed(4)} (${differ} of ${float.flat().filter(Boolean).length})`,
    );
    shares.push(share(bytes, modelBytes.length));
    programShares.push(share(programBytes, modelBytes.length));
  }
  const name = `\`${preset}\`${foldEmbedding ? `, \`foldEmbedding: "${foldEmbedding}"\`` : ""}`;
  const percents = [shares, programShares].map((each) => `${each.join(", ")} %`);
  lines.push(`| ${[name, ...cells, ...percents].join(" | ")} |`);
  console.error(lines.at(-1));
}

const { model, modelBytes, train, test } = loadSpeakers();
const float = floatScores(model, test);
lines.push(
  "",
  "JapaneseVowels: the speaker of nine, by 12 channels of real numbers (LSTM of 64 in two layers, Linear):",
  "",
  "| model | right of 370 | others than float | largest error of a score | file / float file | program / float file |",
  "| --- | --- | --- | --- | --- | --- |",
  `| float32 | ${accuracyOf(float, test).toFixed(4)} | | | | |`,
);
for (const preset of PRESET_NAMES) {
  const { quantized, bytes, programBytes } = await throughFile(model, train.x, preset);
  const scores = quantizedScores(quantized, test);
  const told = speakersOf(float);
  const others = speakersOf(scores).filter((each, i) => each !== told[i]).length;
  const errors = scores.flatMap((each, i) =>
    Array.from(each, (y, j) => Math.abs(y - float[i]![j]!))
  );
  const error = errors.reduce((max, each) => Math.max(max, each), 0);
  const part = accuracyOf(scores, test).toFixed(4);
  const sizes = [bytes, programBytes].map((each) => `${share(each, modelBytes.length)} %`);
  lines.push(`| ${[`\`${preset}\``, part, others, error.toFixed(3), ...sizes].join(" | ")} |`);
  console.error(lines.at(-1));
}
const table = `${lines.join("\n")}\n`;
console.log(table);
await writeFile(new URL("results/accuracy.md", import.meta.url), table, { makeFolder: true });
