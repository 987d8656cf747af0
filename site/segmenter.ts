/**
 * Splits text into words while it is typed, with the int8 model and the float model.
 *
 * @module
 */
/// <reference lib="dom" />
import { type Language, LANGUAGE_FILES, LANGUAGES } from "./names.ts";
import { loadFiles } from "./chunks.ts";
import { appendInSlices, byId, bytesText, counted, h, messageOf } from "./dom.ts";
import { live } from "./live.ts";
import type { Piece, Segmentation } from "./workers/live.ts";

/** Max number of words on the screen, to keep the page fast. */
const SHOWN_WORDS = 500;

/** Length from which the page inserts pasted text itself: browsers do it slowly, line by line. */
const LONG_PASTE = 500;

/** Milliseconds without typing before speed is measured. */
const QUIET_MS = 400;

const text = byId<HTMLTextAreaElement>("text");
const status = byId("segmenter-status");
const languages = byId("languages");

/** Examples of the opened languages, so that text of the user's own is recognized and kept. */
const examples = new Map<string, string>();
let language = LANGUAGES[0]!;
let simd = false;
let last = 0;
let quiet: ReturnType<typeof setTimeout> | undefined;

/** The nodes that show a text: its words, and the text between runs. */
function* shownOf(pieces: readonly Piece[], form: "int8" | "float"): Iterable<Node> {
  let left = SHOWN_WORDS;
  for (const piece of pieces) {
    if (left <= 0) break;
    const words = piece[form];
    if (words === null) {
      yield new Text(piece.text);
      continue;
    }
    for (const word of words.slice(0, left)) {
      // A possible line break, at which the copied text is cut as well.
      yield h("b", {}, word);
      yield new Text("\u200b");
      left--;
    }
  }
  if (left <= 0) yield new Text(" …");
}

/** The latest result. */
let newest: Segmentation | undefined;

async function showWords(result: Segmentation): Promise<void> {
  for (const form of ["int8", "float"] as const) {
    const element = byId(`words-${form}`);
    element.lang = language.lang;
    element.replaceChildren();
    await appendInSlices(
      element,
      shownOf(result.pieces, form),
      (node) => node,
      () => newest === result,
    );
    if (newest !== result) return;
  }
}

function show(result: Segmentation): void {
  const { characters, words, differing, same, workingBytes, micros } = result;
  newest = result;
  void showWords(result);
  if (characters === 0) {
    status.textContent = text.value === ""
      ? "Type or paste some text."
      : "No character of this text is in the model's dictionary.";
    return;
  }
  status.textContent = `${counted(words, "word")} in ${counted(characters, "character")}; ${
    differing === 0
      ? "int8 and float give the same words."
      : `int8 and float differ at ${counted(differing, "position")}.`
  } ${same ? "Fused and split agree in every bit." : "Fused and split differ."}`;
  if (micros === null) return;
  byId("segmenter-figures").textContent = `A character takes ${
    micros.int8.toFixed(2)
  } µs in int8 and ${micros.float.toFixed(2)} µs in float32, measured here; a session works in ${
    bytesText(workingBytes)
  }.`;
}

async function segment(measure: boolean): Promise<void> {
  const own = ++last;
  try {
    const result = await live().call("segment", {
      id: language.id,
      text: text.value,
      simd,
      measure,
    });
    if (own === last) show(result);
  } catch (error) {
    if (own === last) status.textContent = messageOf(error);
  }
}

/** Segments the text, and measures speed when typing pauses. */
async function update(): Promise<void> {
  clearTimeout(quiet);
  quiet = setTimeout(() => segment(true), QUIET_MS);
  await segment(false);
}

/** Two characters of each script, drawn to find out whether the system has a font for it. */
const SCRIPT_SAMPLES: Readonly<Record<string, readonly [string, string]>> = {
  th: ["ก", "ฬ"],
  lo: ["ກ", "ຮ"],
  my: ["က", "ဏ"],
};

/** Whether the system has a font for a script: without one, both characters are the same box. */
function hasFont(lang: string): boolean {
  const draw = (character: string) => {
    const canvas = h("canvas", { width: 40, height: 40 });
    const context = canvas.getContext("2d")!;
    context.font = "28px sans-serif";
    context.fillText(character, 2, 32);
    return context.getImageData(0, 0, 40, 40).data.join();
  };
  const [a, b] = SCRIPT_SAMPLES[lang]!;
  return draw(a) !== draw(b);
}

async function open(next: Language): Promise<void> {
  const untouched = text.value === "" || [...examples.values()].includes(text.value);
  status.textContent = `Loading ${next.title} …`;
  try {
    if (!examples.has(next.id)) {
      const files = await loadFiles(`languages/${next.id}`);
      const textOf = (name: string) => new TextDecoder().decode(files.get(name));
      await live().call("open", {
        id: next.id,
        model: files.get(LANGUAGE_FILES.model)!,
        float: files.get(LANGUAGE_FILES.float)!,
        dictionary: textOf(LANGUAGE_FILES.dictionary),
      });
      examples.set(next.id, textOf(LANGUAGE_FILES.example));
    }
  } catch (error) {
    status.textContent = messageOf(error);
    return;
  }
  language = next;
  text.lang = next.lang;
  if (untouched) text.value = examples.get(next.id)!;
  byId("font-note").textContent = hasFont(next.lang)
    ? ""
    : `This system has no font for ${next.title}: words are shown as boxes, but are correct.`;
  await update();
}

/** Starts the segmenter. */
export function startSegmenter(): void {
  LANGUAGES.forEach((each, i) => {
    const input = h("input", { type: "radio", name: "language", value: each.id, checked: i === 0 });
    input.addEventListener("change", () => open(each));
    languages.append(h("label", {}, input, h("span", {}, each.title)));
  });
  text.addEventListener("input", update);
  text.addEventListener("paste", (event) => {
    const pasted = event.clipboardData?.getData("text/plain") ?? "";
    if (pasted.length < LONG_PASTE) return;
    event.preventDefault();
    const { selectionStart, selectionEnd, value, maxLength } = text;
    const room = maxLength - value.length + (selectionEnd - selectionStart);
    text.setRangeText(pasted.slice(0, room), selectionStart, selectionEnd, "end");
    update();
  });
  byId("clear").addEventListener("click", () => {
    text.value = "";
    text.focus();
    update();
  });
  byId("kernels").addEventListener("change", async (event) => {
    const input = event.target as HTMLInputElement;
    simd = input.value === "simd";
    if (simd) {
      const why = await live().call("simd", undefined);
      if (why !== null) {
        simd = false;
        input.disabled = true;
        document.querySelector<HTMLInputElement>('[name="kernels"][value="portable"]')!.checked =
          true;
        status.textContent = why;
        return;
      }
    }
    update();
  });
  // Its files are loaded when it scrolls into view.
  const observer = new IntersectionObserver(([entry]) => {
    if (!entry!.isIntersecting) return;
    observer.disconnect();
    const checked = languages.querySelector<HTMLInputElement>(":checked")!.value;
    if (!examples.has(checked)) open(LANGUAGES.find(({ id }) => id === checked)!);
  }, { rootMargin: "200px" });
  observer.observe(byId("words"));
}
