/**
 * The page: text in, words out, fused and split side by side.
 *
 * @module
 */
/// <reference lib="dom" />
import { type SimdKernels, simdKernels } from "@splitgate/splitgate/simd";
// @ts-ignore: put in by the build.
import builtIn from "built-in-tasks";
import { type FormResult, segment, type Segmentation } from "./forms.ts";
import { type BuiltInTask, createTask, openBuiltIn, type Task } from "./tasks.ts";

/** Words that one form shows: more would only slow the page down. */
const SHOWN_WORDS = 4000;

/**
 * Measurements of each form: the first ones, before the engine has compiled the loops, do not count
 * once others do.
 */
const TIMINGS = 24;
const COLD_TIMINGS = 4;

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

const text = element<HTMLTextAreaElement>("text");
const status = element("status");
const own = element("own");
const ownError = element("own-error");
const tasks = element<HTMLFieldSetElement>("tasks");
const tasksBuiltIn: readonly BuiltInTask[] = builtIn;

/** One form's panel. */
class Panel {
  readonly #words: HTMLElement;
  readonly #values: Record<string, HTMLElement> = {};

  constructor(title: string, about: string) {
    const copy = element<HTMLTemplateElement>("form").content.cloneNode(true) as DocumentFragment;
    const section = copy.querySelector("section")!;
    const heading = copy.querySelector("h2")!;
    heading.textContent = title;
    heading.id = `form-${title.toLowerCase()}`;
    section.setAttribute("aria-labelledby", heading.id);
    copy.querySelector(".about")!.textContent = about;
    this.#words = copy.querySelector(".words")!;
    this.#words.setAttribute("aria-label", `Words, ${title.toLowerCase()}`);
    this.#words.setAttribute("role", "group");
    for (const value of copy.querySelectorAll<HTMLElement>("[data-value]")) {
      this.#values[value.dataset.value!] = value;
    }
    element("forms").append(copy);
  }

  show({ pieces, workingBytes }: FormResult, task: Task): void {
    this.#words.lang = task.lang;
    const parts: Node[] = [];
    let left = SHOWN_WORDS;
    for (const { words, segmented } of pieces) {
      if (left <= 0) break;
      for (const word of words.slice(0, left)) {
        if (!segmented) {
          parts.push(new Text(word));
          continue;
        }
        const mark = document.createElement("b");
        mark.textContent = word;
        // A place where lines may break, and where a copy of the text is cut.
        parts.push(mark, new Text("\u200b"));
        left--;
      }
    }
    if (left <= 0) parts.push(new Text(" …"));
    this.#words.replaceChildren(...parts);
    this.#set("memory", bytes(workingBytes));
    const float = task.floatBytes;
    this.#set(
      "model",
      bytes(task.modelBytes),
      float === null ? "" : `from ${bytes(float)} in float32`,
    );
  }

  showTime(micros: number | null, characters: number): void {
    if (micros === null) this.#set("time", "–");
    else {this.#set(
        "time",
        `${micros.toFixed(2)} µs`,
        `${(micros * characters / 1000).toFixed(2)} ms in all`,
      );}
  }

  #set(name: string, value: string, note = ""): void {
    const small = document.createElement("small");
    small.textContent = note;
    this.#values[name]!.replaceChildren(value, small);
  }
}

function bytes(count: number): string {
  return count < 1024 ? `${count} bytes` : `${(count / 1024).toFixed(1)} KB`;
}

const panels = {
  fused: new Panel("Fused", "All gates of all units first, then the state."),
  split: new Panel("Split", "Each sum in the place of its term, none kept beside it."),
};

let task: Task = openBuiltIn(tasksBuiltIn[0]!);
let kernels: SimdKernels | undefined;
let running = 0;
let timer: ReturnType<typeof setTimeout> | undefined;

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

/** Measures while nothing is typed, a little at a time. */
function measure(result: Segmentation): void {
  const times: [number[], number[]] = [[], []];
  const round = ++running;
  const again = (): void => {
    if (round !== running) return;
    result.time().forEach((micros, i) => times[i]!.push(micros));
    const skip = times[0].length > 2 * COLD_TIMINGS ? COLD_TIMINGS : 0;
    panels.fused.showTime(median(times[0].slice(skip)), result.characters);
    panels.split.showTime(median(times[1].slice(skip)), result.characters);
    if (times[0].length < TIMINGS) timer = setTimeout(again, 30);
  };
  timer = setTimeout(again, 150);
}

function update(): void {
  clearTimeout(timer);
  running++;
  const result = segment(text.value, task, kernels);
  const { characters, words, same } = result;
  panels.fused.show(result.fused, task);
  panels.split.show(result.split, task);
  text.lang = task.lang;
  if (characters === 0) {
    status.textContent = text.value === ""
      ? "Type or paste some text."
      : "No character of this text is in the model's dictionary.";
    for (const panel of Object.values(panels)) panel.showTime(null, 0);
    return;
  }
  const count = (n: number, word: string) =>
    `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
  status.textContent = `${count(words, "word")} in ${count(characters, "character")}. ${
    same ? "Fused and split agree in every bit." : "Fused and split differ."
  }`;
  measure(result);
}

function addTask(
  id: string,
  title: string,
  open: () => Task,
  example: string | null,
): HTMLInputElement {
  const label = document.createElement("label");
  const input = document.createElement("input");
  const name = document.createElement("span");
  Object.assign(input, { type: "radio", name: "task", value: id });
  name.textContent = title;
  label.append(input, name);
  tasks.append(label);
  input.addEventListener("change", () => {
    task = open();
    // What the person wrote stays.
    const untouched = text.value === "" || tasksBuiltIn.some((each) => each.example === text.value);
    if (example !== null && untouched) text.value = example;
    update();
  });
  return input;
}

tasksBuiltIn.forEach((each, i) => {
  const input = addTask(each.id, each.title, () => openBuiltIn(each), each.example);
  input.checked = i === 0;
});
text.value = tasksBuiltIn[0]!.example;
text.addEventListener("input", update);
element("clear").addEventListener("click", () => {
  text.value = "";
  update();
  text.focus();
});

element("kernels").addEventListener("change", async (event) => {
  const input = event.target as HTMLInputElement;
  try {
    kernels = input.value === "simd" ? await simdKernels() : undefined;
    update();
  } catch (error) {
    input.disabled = true;
    document.querySelector<HTMLInputElement>('[name="kernels"][value="portable"]')!.checked = true;
    status.textContent = (error as Error).message;
  }
});

/** The person's own files, as far as they are here. */
const given: { model?: File; dictionary?: File } = {};
let ownInput: HTMLInputElement | null = null, ownTask: Task | null = null;

async function takeOwn(files: Iterable<File>): Promise<void> {
  ownError.textContent = "";
  for (const file of files) {
    if (file.name.endsWith(".safetensors")) given.model = file;
    else if (file.name.endsWith(".json")) given.dictionary = file;
    else {
      ownError.textContent = `${file.name}: expected a .safetensors or a .json file`;
      return;
    }
  }
  const { model, dictionary } = given;
  if (model === undefined || dictionary === undefined) {
    status.textContent = model === undefined
      ? "Now the model's file, please."
      : "Now the dictionary's file, please.";
    return;
  }
  try {
    ownTask = createTask(new Uint8Array(await model.arrayBuffer()), await dictionary.text(), "");
  } catch (error) {
    ownError.textContent = `This model cannot be used: ${(error as Error).message}`;
    return;
  }
  ownInput ??= addTask("own", "Yours", () => ownTask!, null);
  ownInput.checked = true;
  task = ownTask;
  update();
}

for (const id of ["own-model", "own-dictionary"]) {
  const input = element<HTMLInputElement>(id);
  input.addEventListener("change", () => takeOwn(input.files ?? []));
}
addEventListener("dragover", (event) => {
  event.preventDefault();
  own.classList.add("dragging");
});
addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) own.classList.remove("dragging");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  own.classList.remove("dragging");
  takeOwn(event.dataTransfer?.files ?? []);
});

update();
