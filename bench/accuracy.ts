/**
 * What each preset costs on the demo's models: boundary F1 of the int8 model against the float one
 * on the test text, calibrated on the calibration text, and bytes of the file.
 *
 *     deno task accuracy     prints the table and writes bench/results/accuracy.md
 */
import {
  convert,
  getPreset,
  loadModel,
  prepare,
  PRESET_NAMES,
  saveModel,
} from "@splitgate/splitgate";
import { boundaryF1, wordEnds } from "../demo/segmenter.ts";
import { languageFiles, LANGUAGES, loadTask, sequence } from "../demo/task.ts";
import { readArguments } from "../scripts/arguments.ts";
import { writeFile } from "../scripts/write_file.ts";

readArguments("deno task accuracy", {});

const title = (language: string) => language[0]!.toUpperCase() + language.slice(1);
const lines = [
  `| preset | ${
    LANGUAGES.map((language) => `${title(language)} F1 (ends that differ)`).join(" | ")
  } | file / float file |`,
  `| --- | ${LANGUAGES.map(() => "---").join(" | ")} | --- |`,
];
const tasks = LANGUAGES.map((language) => loadTask(languageFiles(language)));
const rows = PRESET_NAMES.flatMap((preset) => {
  // Where the embedded input is quantized, sessions can leave that out.
  const folds = [undefined, "float32"] as const;
  const rounds = getPreset(preset).input === undefined;
  return folds.slice(0, rounds ? 2 : 1).map((foldEmbedding) => ({ preset, foldEmbedding }));
});
for (const { preset, foldEmbedding } of rows) {
  const cells: string[] = [], shares: string[] = [];
  for (const { model, modelBytes, calibration, test } of tasks) {
    const observed = prepare(model, getPreset(preset), { splitGates: true });
    for (const run of calibration) observed.forward(sequence(run));
    const file = saveModel(convert(observed));
    const quantized = loadModel(file);
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
    shares.push((100 * file.length / modelBytes.length).toFixed(1));
  }
  const name = `\`${preset}\`${foldEmbedding ? `, \`foldEmbedding: "${foldEmbedding}"\`` : ""}`;
  lines.push(`| ${name} | ${cells.join(" | ")} | ${shares.join(", ")} % |`);
  console.error(lines.at(-1));
}
const table = `${lines.join("\n")}\n`;
console.log(table);
await writeFile(new URL("results/accuracy.md", import.meta.url), table, { makeFolder: true });
