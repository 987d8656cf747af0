/**
 * Feeds a signal to an LSTM step by step, and draws its gates, cell state and hidden state.
 *
 * @module
 */
/// <reference lib="dom" />
import { SIGNAL_FILES, type Utterance } from "./names.ts";
import { loadFiles } from "./chunks.ts";
import { byId, h, messageOf, select } from "./dom.ts";
import { live } from "./live.ts";
import type { PartStep, SignalStep } from "./workers/live.ts";

/** Title of each part, and the range of its colours. */
const PARTS: Readonly<Record<string, readonly [title: string, low: number, high: number]>> = {
  input_gate: ["Input gate", 0, 1],
  forget_gate: ["Forget gate", 0, 1],
  cell_gate: ["Cell gate", -1, 1],
  output_gate: ["Output gate", 0, 1],
  fgate_cx_igate_cgate: ["Cell state", -2, 2],
  ogate_cy: ["Hidden state", -1, 1],
};

/** Number of steps on the screen; older steps scroll out. */
const SHOWN_STEPS = 32;

/** Duration of a step in milliseconds. */
const STEP_MS = 160;

/** Width of a step and height of a unit in pixels. */
const STEP_PIXELS = 12;
const UNIT_PIXELS = 2;

const status = byId("signal-status");
const curve = byId<HTMLCanvasElement>("curve");
const scores = byId("scores");
const hand = byId<HTMLInputElement>("hand");

let utterances: readonly Utterance[] = [];
let outputs = 0;
let step = 0;
let timer: ReturnType<typeof setTimeout> | undefined;
/** Number of the latest run; answers for earlier runs are not drawn. */
let round = 0;
const pictures = new Map<string, HTMLCanvasElement>();
/** Values of the steps on the screen. */
let history: Float32Array[] = [];
let newest: SignalStep | undefined;

const layer = byId<HTMLSelectElement>("layer");
const utterance = byId<HTMLSelectElement>("utterance");
const play = byId<HTMLButtonElement>("play");

/** A colour between blue, the background and orange. */
function colour(value: number, low: number, high: number): string {
  const at = Math.max(-1, Math.min(1, 2 * (value - low) / (high - low) - 1));
  const strength = Math.round(100 * Math.abs(at));
  return `color-mix(in srgb, var(${at < 0 ? "--cold" : "--warm"}) ${strength}%, var(--card))`;
}

/** Resolved colours of the current scheme: a canvas cannot use CSS variables. */
const resolved = new Map<string, string>();
const probe = h("i", { hidden: true });

function paint(css: string): string {
  let known = resolved.get(css);
  if (known === undefined) {
    probe.style.color = css;
    known = getComputedStyle(probe).color;
    resolved.set(css, known);
  }
  return known;
}

function drawPart(part: PartStep): void {
  const canvas = pictures.get(part.name)!;
  const { length } = part.values;
  const context = canvas.getContext("2d")!;
  if (canvas.height !== length * UNIT_PIXELS) canvas.height = length * UNIT_PIXELS;
  const column = step % SHOWN_STEPS;
  if (column === 0) context.clearRect(0, 0, canvas.width, canvas.height);
  const [, low, high] = PARTS[part.name]!;
  part.values.forEach((value, unit) => {
    // Colours are rounded to sixteen shades per side, so that they can be looked up.
    const rounded = low + Math.round(32 * (value - low) / (high - low)) / 32 * (high - low);
    context.fillStyle = paint(colour(rounded, low, high));
    context.fillRect(column * STEP_PIXELS, unit * UNIT_PIXELS, STEP_PIXELS - 1, UNIT_PIXELS);
  });
}

function drawCurve(): void {
  const context = curve.getContext("2d")!;
  const { width, height } = curve;
  context.clearRect(0, 0, width, height);
  const from = step - step % SHOWN_STEPS;
  const own = history.slice(from, step + 1);
  const channels = own[0]?.length ?? 0;
  for (let c = channels - 1; c >= 0; c--) {
    context.strokeStyle = paint(c === 0 ? "var(--accent)" : "var(--line)");
    context.lineWidth = c === 0 ? 3 : 1.5;
    context.beginPath();
    own.forEach((values, t) => {
      const y = height / 2 - values[c]! * height / 4;
      if (t === 0) context.moveTo(STEP_PIXELS / 2, y);
      else context.lineTo((t + 0.5) * STEP_PIXELS, y);
    });
    context.stroke();
  }
}

function drawScores(output: Float32Array): void {
  const best = output.indexOf(Math.max(...output));
  const exps = output.map((value) => Math.exp(value - output[best]!));
  const sum = exps.reduce((a, b) => a + b, 0);
  [...scores.children].forEach((item, i) => {
    const share = exps[i]! / sum;
    item.querySelector("meter")!.value = share;
    item.classList.toggle("best", i === best);
  });
}

/** Shows the integers of the latest step, if they are asked for. */
function showIntegers(): void {
  const details = byId<HTMLDetailsElement>("integers");
  if (!details.open || newest === undefined) return;
  const parts = newest.layers[Number(layer.value)] ?? [];
  byId("integers-view").replaceChildren(
    ...parts.map(({ name, integers, scale, zeroPoint, dtype, saturated, values }) =>
      h(
        "p",
        {},
        h("b", {}, PARTS[name]![0]),
        integers === null
          ? " (float32) "
          : ` (${dtype}, scale ${
            scale.toPrecision(4)
          }, zero point ${zeroPoint}, ${saturated} saturated) `,
        h("code", {}, [...(integers ?? values)].join(" ")),
      )
    ),
  );
}

function drawStep(result: SignalStep): void {
  newest = result;
  drawCurve();
  for (const part of result.layers[Number(layer.value)] ?? []) drawPart(part);
  drawScores(result.output);
  showIntegers();
}

const byHand = () => utterance.value === "hand";

/** The values of the next step; null at the end of the utterance. */
function nextValues(): Float32Array | null {
  if (byHand()) {
    // One channel follows the pointer; the others are constant.
    const values = new Float32Array(12);
    values[0] = Number(hand.value);
    return values;
  }
  const values = utterances[Number(utterance.value)]!.steps[step];
  return values === undefined ? null : Float32Array.from(values);
}

async function tick(own: number): Promise<void> {
  const values = nextValues();
  if (values === null) {
    pause();
    return;
  }
  try {
    const result = await live().call("stepSignal", { values });
    if (own !== round) return;
    history.push(values);
    drawStep(result);
    step++;
    const speaker = byHand()
      ? ""
      : ` Speaker ${utterances[Number(utterance.value)]!.speaker} speaks.`;
    byId("step").textContent = `Step ${step}.${speaker}`;
    timer = setTimeout(() => tick(own), STEP_MS);
  } catch (error) {
    status.textContent = messageOf(error);
    pause();
  }
}

function pause(): void {
  clearTimeout(timer);
  timer = undefined;
  play.textContent = "Play";
}

async function begin(): Promise<void> {
  clearTimeout(timer);
  const own = ++round;
  step = 0;
  history = [];
  newest = undefined;
  for (const canvas of pictures.values()) {
    canvas.getContext("2d")!.clearRect(0, 0, canvas.width, canvas.height);
  }
  byId("hand-row").hidden = !byHand();
  await live().call("resetSignal", undefined);
  if (own !== round) return;
  play.textContent = "Pause";
  await tick(own);
}

async function toggle(): Promise<void> {
  if (timer !== undefined) {
    // The state is kept, so that playing continues from here.
    pause();
    return;
  }
  if (utterances.length === 0) {
    if (!await open()) return;
  }
  if (step === 0 || (!byHand() && step >= utterances[Number(utterance.value)]!.steps.length)) {
    await begin();
    return;
  }
  play.textContent = "Pause";
  await tick(round);
}

async function open(): Promise<boolean> {
  status.textContent = "Loading the model …";
  try {
    const files = await loadFiles("signal");
    const opened = await live().call("openSignal", { model: files.get(SIGNAL_FILES.model)! });
    outputs = opened.outputSize;
    utterances = JSON.parse(new TextDecoder().decode(files.get(SIGNAL_FILES.utterances)));
  } catch (error) {
    status.textContent = messageOf(error);
    return false;
  }
  status.textContent = "";
  utterance.replaceChildren(
    ...utterances.map(({ speaker }, i) =>
      h("option", { value: i }, `Speaker ${speaker}, an utterance`)
    ),
    h("option", { value: "hand" }, "Your own curve"),
  );
  scores.replaceChildren(
    ...Array.from({ length: outputs }, (_, i) =>
      h(
        "li",
        {},
        h("span", {}, `${i + 1}`),
        h("meter", { min: 0, max: 1, value: 0, "aria-label": `Speaker ${i + 1}` }),
      )),
  );
  return true;
}

/** Starts the signal demo. */
export function startSignal(): void {
  document.body.append(probe);
  const view = byId("parts");
  for (const [name, [title, low, high]] of Object.entries(PARTS)) {
    const canvas = h("canvas", {
      width: SHOWN_STEPS * STEP_PIXELS,
      height: 64 * UNIT_PIXELS,
      role: "img",
      "aria-label": `${title}: a row a unit, a column a step, from ${low} to ${high}`,
    });
    pictures.set(name, canvas);
    view.append(
      h("figure", {}, canvas, h("figcaption", {}, title, h("small", {}, ` ${low} … ${high}`))),
    );
  }
  const choice = select("Layer", [["0", "First layer"], ["1", "Second layer"]]);
  layer.append(...choice.children);
  layer.value = "0";
  layer.addEventListener("change", () => {
    for (const canvas of pictures.values()) {
      canvas.getContext("2d")!.clearRect(0, 0, canvas.width, canvas.height);
    }
    if (newest !== undefined) showIntegers();
  });
  utterance.append(h("option", { value: 0 }, "An utterance"));
  utterance.addEventListener("change", begin);
  play.addEventListener("click", toggle);
  byId("restart").addEventListener("click", async () => {
    if (utterances.length > 0 || await open()) await begin();
  });
  byId("integers").addEventListener("toggle", showIntegers);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => resolved.clear());
}
