/**
 * Texts in, words out, as one types: the int8 model beside the float model.
 *
 * @module
 */
/// <reference lib="dom" />
import { type Language, LANGUAGE_FILES, LANGUAGES } from "./names.ts";
import { loadFiles } from "./chunks.ts";
import { appendInSlices, byId, bytesText, counted, h, messageOf } from "./dom.ts";
import { live } from "./live.ts";
import type { Piece, Segmentation } from "./workers/live.ts";

/** Words that are shown: more would only slow the page down. */
const SHOWN_WORDS = 500;

/** Characters from which on a paste is put in by the page: browsers take their time, line by line. */
const LONG_PASTE = 500;

/** Milliseconds without typing, after which speed is measured. */
const QUIET_MS = 400;

const text = byId<HTMLTextAreaElement>("text");
const status = byId("segmenter-status");
const languages = byId("languages");

/** Examples of the languages that were opened: what the person wrote stays. */
const examples = new Map<string, string>();
let language = LANGUAGES[0]!;
let simd = false;
let last = 0;
let quiet: ReturnType<typeof setTimeout> | undefined;

/** What a text is shown as: words, and what stands between runs. */
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
      // A place where lines may break, and where a copy of the text is cut.
      yield h("b", {}, word);
      yield new Text("\u200b");
      left--;
    }
  }
  if (left <= 0) yield new Text(" …");
}

/** Which result is shown last. */
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
      ? "int8 and float cut alike."
      : `int8 and float differ at ${counted(differing, "place")}.`
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

/** Cuts the text, and measures when nothing is typed. */
async function update(): Promise<void> {
  clearTimeout(quiet);
  quiet = setTimeout(() => segment(true), QUIET_MS);
  await segment(false);
}

/** Characters of which a system that lacks the script's font shows boxes of one width. */
const SCRIPT_SAMPLES: Readonly<Record<string, readonly [string, string]>> = {
  th: ["ก", "ฬ"],
  lo: ["ກ", "ຮ"],
  my: ["က", "ဏ"],
};

/** Whether the system has a font of a script: boxes of missing characters all look the same. */
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
    : `This system has no font for ${next.title}: words are boxes, and right all the same.`;
  await update();
}

/** Makes the segmenter work. */
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
  // Its files are loaded when it comes into view.
  const observer = new IntersectionObserver(([entry]) => {
    if (!entry!.isIntersecting) return;
    observer.disconnect();
    const checked = languages.querySelector<HTMLInputElement>(":checked")!.value;
    if (!examples.has(checked)) open(LANGUAGES.find(({ id }) => id === checked)!);
  }, { rootMargin: "200px" });
  observer.observe(byId("words"));
}
