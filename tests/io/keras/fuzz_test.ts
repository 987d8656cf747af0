import { assert } from "@std/assert";
import { importKeras, readKeras } from "@splitgate/splitgate/import/keras";
import { importLayers } from "../../../src/io/keras/model.ts";
import { read } from "./models.ts";
import { mutate, random, readsOrRefuses, tryOtherValues } from "../mutations.ts";

const RUNS = 4000;

// Files of both formats with much structure and few weights.
for (const file of ["lstm.keras", "keras1.h5"]) {
  Deno.test(`${RUNS} damaged copies of ${file} are read, or refused by a named error`, () => {
    const bytes = read(`keras-made/${file}`);
    const draw = random(1);
    let worked = 0;
    for (let i = 0; i < RUNS; i++) {
      const damaged = mutate(bytes, draw);
      worked += +readsOrRefuses(() => importKeras(damaged));
    }
    assert(worked > 0 && worked < RUNS, `${worked} of ${RUNS} were read`);
  });
}

Deno.test("no file of Keras cut short is read past its end", () => {
  for (const file of ["lstm.keras", "lstm.h5", "lstm.weights.h5"]) {
    const bytes = read(`keras-made/${file}`);
    for (let length = 0; length < bytes.length; length += 97) {
      readsOrRefuses(() => importKeras(bytes.slice(0, length)));
    }
  }
});

Deno.test("a config with other values of any field is imported, or refused by a named error", () => {
  for (const name of ["both", "conv", "functional", "gru", "norm"]) {
    const file = readKeras(read(`keras-made/${name}.keras`));
    const run = () => readsOrRefuses(() => importLayers(file, { masking: "lengths" }));
    const fields = tryOtherValues(file.config as object, run);
    assert(fields > 60, `${name}: ${fields} fields`);
  }
});
