#!/usr/bin/env node
// Readings as lines "x y z" on standard input; prints what the motion is when it has changed for a while.
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { loadProgram } from "@splitgate/splitgate/runtime";

const RATE = 50; // readings a second
const HELD = 15; // readings for which an answer must hold before it is told
const CLASSES = ["standing", "walking", "shaking"];

function fail(message) {
  console.error(`motion: ${message}`);
  process.exit(1);
}

const file = process.argv[2] ?? new URL("motion.bin", import.meta.url);
const bytes = await readFile(file).catch((error) => fail(error.message));
let session;
try {
  session = loadProgram(bytes).createSession();
} catch (error) {
  fail(`${file}: ${error.message}`);
}

const input = new Float32Array(3), output = new Float32Array(CLASSES.length);
let last = -1, next = -1, since = 0, line = 0;
for await (const text of createInterface({ input: process.stdin })) {
  line++;
  const values = text.trim().split(/\s+/).map(Number);
  if (values.length !== 3 || !values.every(Number.isFinite)) {
    fail(`line ${line}: expected x y z, got ${JSON.stringify(text)}`);
  }
  input.set(values);
  session.step(input, output);
  const now = output.indexOf(Math.max(...output));
  if (now !== next) {
    next = now;
    since = line;
  } else if (now !== last && line - since === HELD) {
    last = now;
    console.log(`${(line / RATE).toFixed(2)} s: ${CLASSES[now]}`);
  }
}
