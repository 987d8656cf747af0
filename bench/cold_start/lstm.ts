// An LSTM of the peers' size: load, and the first step.
import { loadProgram } from "@splitgate/splitgate/runtime";
import { answered, read } from "./host.ts";

/** Put in by the bench. */
declare const MODEL: string;

const model = loadProgram(read(MODEL));
const output = new Float32Array(model.outputSize);
model.createSession().step(new Float32Array(model.inputSize).fill(0.5), output);
if (output.every((value) => value === 0)) throw new Error("no answer");
answered();
