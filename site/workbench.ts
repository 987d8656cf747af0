/**
 * The workbench: from a model and data to an int8 model, in steps. A worker does the work. An error
 * is shown next to the control that caused it, and changes nothing else.
 *
 * @module
 */
/// <reference lib="dom" />
import { loadFiles, startsWhenAsked } from "./chunks.ts";
import {
  appendInSlices,
  byId,
  bytesText,
  counted,
  h,
  lazySelect,
  messageOf,
  type Option,
  select,
} from "./dom.ts";
import { type Sample, SAMPLE_DATA, SAMPLES } from "./samples.ts";
import { PLATFORMS, snippet } from "./snippets.ts";
import { architectureEditor } from "./architecture_editor.ts";
import { showReport } from "./report.ts";
import type { ReportMethods } from "./workers/report.ts";
import type {
  GivenFile,
  MadeFiles,
  OpenedModel,
  OpenedTensors,
  OpenOptions,
  QuantizeChoices,
  TakenData,
  WorkbenchMethods,
} from "./workers/workbench.ts";

type Choices = Awaited<ReturnType<WorkbenchMethods["choices"]>>;

/** Descriptions of the presets. */
const PRESETS: Readonly<Record<string, string>> = {
  accurate: "accurate: near to the float model (recommended)",
  int8x16: "int8x16: nearer still, 16 bits but for weights",
  fbgemm: "fbgemm: PyTorch's default on x86",
  x86: "x86: as PyTorch's x86",
  qnnpack: "qnnpack: PyTorch's default on phones",
};

/** Descriptions of the slots of cells. */
const SLOTS: Readonly<Record<string, string>> = {
  linearOutput: "sums of the gates",
  sigmoid: "sigmoids of the gates",
  tanh: "tanh of the cell gate",
  cellState: "cell state",
  cellTanh: "tanh of the cell state",
  hiddenState: "hidden state",
};

/** File types that can be opened as models. */
const MODEL_TYPES =
  ".pt,.pth,.bin,.ckpt,.h5,.hdf5,.keras,.json,.onnx,.safetensors,.sgpr,application/octet-stream";
const DATA_TYPES = ".npy,.npz,.csv,.jsonl,.ndjson,.safetensors";

/** Files whose layers can be selected. */
const HAS_LAYERS = /\.(onnx|h5|hdf5|keras|json)$/i;

/** Number of modules of a graph that are shown at first. */
const SHOWN_MODULES = 60;

/** Number of sequences and steps of generated data. */
const GENERATED = { count: 32, steps: 32 };

/** The worker that does the work, and the worker that draws reports. */
const worker = startsWhenAsked<WorkbenchMethods>("workbench");
const drawer = startsWhenAsked<ReportMethods>("report");

let choices: Choices | undefined;

/** The files of the current model, for opening them again with other options. */
let given: readonly GivenFile[] = [];
let opened: OpenedModel | undefined;
/** Number of the latest opening; earlier ones that finish later are ignored. */
let opening = 0;
/** Number of models shown so far; results for an earlier model are ignored. */
let shown = 0;

const status = byId("model-status");
const modelError = byId("model-error");
const modelView = byId("model-view");
const dataSection = byId("data-section");
const settingsSection = byId("settings-section");
const resultSection = byId("result-section");
const dataError = byId("data-error");
const settings = byId("settings");
const runError = byId("run-error");
const runStatus = byId("run-status");
const progress = byId<HTMLProgressElement>("progress");
const start = byId<HTMLButtonElement>("start");
const stop = byId<HTMLButtonElement>("stop");

function givenFiles(list: Iterable<File>): GivenFile[] {
  return [...list].map((file) => ({ name: file.name, contents: file }));
}

/** Shows an error in an element, or clears it. */
function tell(element: HTMLElement, error: unknown): void {
  element.textContent = error === null ? "" : messageOf(error);
}

/** Describes the input of a model. */
function inputText({ input }: OpenedModel): string {
  return input.vocabulary > 0
    ? `token ids below ${input.vocabulary}`
    : `${counted(input.size, "value")} a step`;
}

function graphOf({ modules, outputs }: OpenedModel): HTMLElement {
  const given = new Set(outputs.map(({ name }) => name));
  const items = modules.map(({ name, kind, reads }, i) => () => {
    const last = i === 0 ? "input" : modules[i - 1]!.name;
    const chained = reads.length === 0 || (reads.length === 1 && reads[0] === last);
    return h(
      "li",
      given.has(name) ? { class: "given" } : {},
      h("b", {}, kind),
      h("span", {}, name),
      chained ? null : h("small", {}, `reads ${reads.join(", ")}`),
    );
  });
  const list = h(
    "ol",
    { class: "graph", "aria-label": "Modules, in order" },
    ...items.slice(0, SHOWN_MODULES).map((item) => item()),
  );
  if (items.length <= SHOWN_MODULES) return list;
  const all = h("button", {
    type: "button",
    onclick: () => {
      all.remove();
      appendInSlices(list, items.slice(SHOWN_MODULES), (item) => item());
    },
  }, `Show all ${items.length} modules`);
  return h("div", {}, list, all);
}

function showModel(model: OpenedModel): void {
  shown++;
  opened = model;
  const outputs = model.outputs.map(({ name, size, time }) =>
    `${name}: ${counted(size, "value")} a ${time ? "step" : "sequence"}`
  );
  modelView.replaceChildren(
    h(
      "p",
      {},
      h("strong", {}, model.name),
      ` (${model.format}, ${bytesText(model.bytes)}) takes ${inputText(model)} and gives ${
        outputs.join("; ")
      }.`,
    ),
    graphOf(model),
    ...model.notes.length === 0 ? [] : [
      h("ul", { class: "notes" }, ...model.notes.map((note) => h("li", {}, note))),
    ],
    ...model.state === "quantized"
      ? [h("p", {}, "It is quantized already: choose a float model to quantize one.")]
      : [],
  );
  const isFloat = model.state === "float";
  dataSection.hidden = settingsSection.hidden = !isFloat;
  resultSection.hidden = true;
  runStatus.textContent = "";
  stop.hidden = progress.hidden = true;
  tell(runError, null);
  if (isFloat) {
    showData();
    showSettings(model);
  }
}

function showTensors(tensors: OpenedTensors): void {
  shown++;
  opened = undefined;
  dataSection.hidden = settingsSection.hidden = resultSection.hidden = true;
  modelView.replaceChildren(
    h(
      "p",
      {},
      h("strong", {}, tensors.name),
      ` (${tensors.format}, ${bytesText(tensors.bytes)}) holds ${
        counted(tensors.tensors, "tensor")
      } and no graph. This is what its tensors look like; say how they are wired.`,
    ),
    architectureEditor(
      tensors.draft,
      choices!.kinds,
      (architecture, error) => open({ architecture }, error),
    ),
  );
}

/**
 * @param error The element in which to show why a model cannot be opened.
 */
async function open(options: OpenOptions, error: HTMLElement = modelError): Promise<void> {
  const own = ++opening;
  tell(modelError, null);
  status.textContent = "Reading …";
  byId("import-options").hidden = true;
  try {
    choices ??= await worker().call("choices", undefined);
    const result = await worker().call("open", { files: given, options });
    if (own !== opening) return;
    status.textContent = "";
    if (result.state === "tensors") showTensors(result);
    else showModel(result);
  } catch (cause) {
    if (own !== opening) return;
    status.textContent = "";
    tell(error, cause);
    byId("import-options").hidden = !given.some(({ name }) => HAS_LAYERS.test(name));
  }
}

async function openFiles(list: Iterable<File>): Promise<void> {
  const files = givenFiles(list);
  if (files.length === 0) return;
  // Shards that arrive after their model.json.
  const isMore = files.every(({ name }) => /^group\d+-shard|\.bin$/.test(name)) &&
    given.some(({ name }) => name.endsWith(".json"));
  given = isMore ? [...given, ...files] : files;
  await open({});
}

async function openSample(sample: Sample): Promise<void> {
  const own = ++opening;
  tell(modelError, null);
  status.textContent = `Loading ${sample.title} …`;
  try {
    const all = await loadFiles(`samples/${sample.id}`);
    if (own !== opening) return;
    const data = Object.values(SAMPLE_DATA);
    given = [...all].filter(([name]) => !data.includes(name as never))
      .map(([name, bytes]) => ({ name, contents: new Blob([bytes]) }));
    await open(sample.architecture === undefined ? {} : { architecture: sample.architecture });
    // Another model may have been opened meanwhile.
    if (opening !== own + 1 || opened === undefined || modelError.textContent !== "") return;
    const text = (name: string) => new TextDecoder().decode(all.get(name));
    for (const role of ["calibration", "test"] as const) {
      if ("tensors" in sample.data) {
        const contents = new Blob([all.get(SAMPLE_DATA[role])!]);
        const file = { name: `${sample.id}.${role}.safetensors`, contents };
        await take(role, () => worker().call("takeData", { role, file }));
      } else {
        const vocabulary = text(SAMPLE_DATA.vocabulary);
        await take(
          role,
          () => worker().call("takeText", { role, text: text(SAMPLE_DATA[role]), vocabulary }),
        );
      }
    }
  } catch (error) {
    if (own !== opening) return;
    status.textContent = "";
    tell(modelError, error);
  }
}

const taken: { calibration: HTMLElement; test: HTMLElement } = {
  calibration: byId("calibration-taken"),
  test: byId("test-taken"),
};

/** Whether there is calibration data. */
let calibrated = false;

function updateStart(): void {
  start.disabled = !calibrated;
  byId("start-hint").hidden = calibrated;
}

function showData(): void {
  calibrated = false;
  taken.calibration.textContent = "none yet";
  taken.test.textContent = "none: the calibration data will be used";
  tell(dataError, null);
  byId("text-data").hidden = opened!.input.vocabulary === 0;
  byId("data-form").textContent = `The model takes ${inputText(opened!)}. An array is ${
    opened!.input.vocabulary > 0
      ? "[sequences, steps] of ids; a line of CSV or JSON is a sequence"
      : `[sequences, steps, ${
        opened!.input.size
      }]; a row of CSV is a step, a column "sequence" separates sequences`
  }.`;
  updateStart();
}

async function take(role: "calibration" | "test", ask: () => Promise<TakenData>): Promise<void> {
  tell(dataError, null);
  try {
    const { name, sequences, steps, labelled } = await ask();
    taken[role].textContent = `${name}: ${counted(sequences, "sequence")}, ${
      counted(steps, "step")
    }${labelled ? ", with labels" : ""}`;
    if (role === "calibration") calibrated = true;
    updateStart();
  } catch (error) {
    tell(dataError, error);
  }
}

async function takeFile(role: "calibration" | "test", list: Iterable<File>): Promise<void> {
  const [file] = givenFiles(list);
  if (file !== undefined) await take(role, () => worker().call("takeData", { role, file }));
}

function showSettings(model: OpenedModel): void {
  const { presets, recommended, slots } = choices!;
  const preset = select("Preset", presets.map((name) => [name, PRESETS[name] ?? name]), {
    id: "preset",
  });
  preset.value = recommended;
  const list = (label: string, items: HTMLElement) => [h("h4", {}, label), items];
  const modules = h("ul", { class: "choices", "aria-label": "Modules" });
  const parts = h("ul", { class: "choices", "aria-label": "Parts of recurrent cells" });
  const details = h(
    "details",
    {},
    h("summary", {}, "Integers by module and part"),
    ...list("Modules", modules),
    ...model.recurrent ? list("Parts of recurrent cells", parts) : [],
  );
  details.addEventListener("toggle", () => {
    const options: Option[] = [
      ["", "as chosen above"],
      ["float32", "float32"],
      ...presets.map((each) => [each, each] as const),
    ];
    appendInSlices(
      modules,
      model.modules,
      ({ name, kind }) =>
        choice(
          [name, h("small", {}, ` ${kind}`)],
          lazySelect(`Integers of ${name}`, options, "", { "data-module": name }),
        ),
      () => opened === model,
    );
    parts.append(
      ...slots.filter((slot) => slot in SLOTS).map((slot) =>
        choice(
          [SLOTS[slot]!],
          select(`Integers of the ${SLOTS[slot]}`, [
            ["", "as the preset says"],
            ["8", "8 bits"],
            ["16", "16 bits"],
          ], { "data-slot": slot }),
        )
      ),
    );
  }, { once: true });
  settings.replaceChildren(h(
    "div",
    {},
    h("p", {}, h("label", { for: "preset" }, "Preset "), preset),
    model.recurrent
      ? h(
        "p",
        {},
        h("input", { type: "checkbox", id: "split-gates", checked: true }),
        h("label", { for: "split-gates" }, " split gates: each gate with a scale of its own"),
      )
      : null,
    details,
  ));
}

/** An entry of a list of choices. */
function choice(name: readonly (string | HTMLElement)[], control: HTMLElement): HTMLElement {
  return h("li", {}, h("span", {}, ...name), control);
}

/** The user's choices. */
function chosen(): QuantizeChoices {
  const all = (attribute: string) =>
    [...settings.querySelectorAll<HTMLSelectElement>(`[data-${attribute}]`)]
      .filter(({ value }) => value !== "")
      .map((each) => [each.dataset[attribute]!, each.value] as const);
  return {
    preset: byId<HTMLSelectElement>("preset").value,
    splitGates: settings.querySelector<HTMLInputElement>("#split-gates")?.checked ?? false,
    modules: Object.fromEntries(
      all("module").map(([name, value]) => [name, value === "float32" ? null : value]),
    ),
    parts: Object.fromEntries(all("slot").map(([slot, bits]) => [slot, Number(bits) as 8 | 16])),
  };
}

const STAGES: Readonly<Record<string, string>> = {
  calibrate: "Calibrating",
  convert: "Converting weights",
  compare: "Comparing with the float model",
  parts: "Measuring each part",
  speed: "Measuring speed",
};

async function run(): Promise<void> {
  const own = shown;
  start.disabled = true;
  stop.hidden = progress.hidden = false;
  progress.removeAttribute("value");
  runStatus.textContent = "Starting…";
  tell(runError, null);
  const from = performance.now();
  try {
    const made = await worker().call("quantize", chosen(), ({ stage, done, total }) => {
      runStatus.textContent = `${STAGES[stage] ?? stage}: ${
        total === undefined || total === 1 ? "…" : `${done} of ${total}`
      }`;
      if (total === undefined || total === 1) progress.removeAttribute("value");
      else progress.value = done / total;
    });
    const drawn = await drawer().call("draw", made.report);
    if (own !== shown) return;
    const total = (performance.now() - from) / 1000;
    runStatus.textContent = `Done in ${total.toFixed(1)} s; calibration took ${
      made.seconds.calibrate!.toFixed(1)
    } s of it.`;
    resultSection.hidden = false;
    showDownloads(made.files, drawn.page);
    byId("result-heading").focus();
    await showReport(byId("report"), drawn, () => own === shown);
  } catch (error) {
    if (own !== shown) return;
    runStatus.textContent = "";
    tell(runError, error);
  } finally {
    if (own === shown) {
      stop.hidden = progress.hidden = true;
      updateStart();
    }
  }
}

/** The model's file name without its extension. */
function baseName(): string {
  return opened!.name.replace(/\.[^.]*$/, "") || "model";
}

function download(name: string, contents: Blob): void {
  const url = URL.createObjectURL(contents);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function showDownloads(
  { model, program, architecture, snippet: facts }: MadeFiles,
  report: Blob,
): void {
  const base = baseName();
  const file = `${base}.bin`;
  const button = (text: string, name: string, contents: Blob) =>
    h("button", { type: "button", onclick: () => download(name, contents) }, text);
  byId("downloads").replaceChildren(
    button(`Program, ${bytesText(program.size)}`, file, program),
    button(`Model file, ${bytesText(model.size)}`, `${base}.int8.safetensors`, model),
    button("Architecture", `${base}.architecture.json`, architecture),
    button("Report", `${base}.report.html`, report),
  );
  const code = h("code", {});
  const platform = byId<HTMLSelectElement>("platform");
  const show = () => code.textContent = snippet(platform.value, { file, ...facts });
  platform.onchange = show;
  show();
  byId("snippet").replaceChildren(code);
}

/** Accepts files that are dropped on an element or chosen with an input inside it. */
function takesFiles(element: HTMLElement, onFiles: (files: Iterable<File>) => void): void {
  const input = element.querySelector("input")!;
  input.addEventListener("change", () => {
    onFiles([...input.files ?? []]);
    // Allows choosing the same file again after a change.
    input.value = "";
  });
  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    element.classList.add("dragging");
  });
  element.addEventListener("dragleave", () => element.classList.remove("dragging"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    element.classList.remove("dragging");
    onFiles([...event.dataTransfer?.files ?? []]);
  });
}

/** Starts the workbench. */
export function startWorkbench(): void {
  byId<HTMLInputElement>("model-file").accept = MODEL_TYPES;
  takesFiles(byId("model-drop"), openFiles);
  for (const role of ["calibration", "test"] as const) {
    byId<HTMLInputElement>(`${role}-file`).accept = DATA_TYPES;
    takesFiles(byId(`${role}-drop`), (list) => takeFile(role, list));
  }
  byId("samples").append(...SAMPLES.map((sample) =>
    h(
      "li",
      {},
      h("button", { type: "button", onclick: () => openSample(sample) }, sample.title),
      h("span", {}, `${sample.about}. `, h("small", {}, `${sample.format}; ${sample.license}`)),
    )
  ));
  byId("import-options").addEventListener("submit", (event) => {
    event.preventDefault();
    const cut = byId<HTMLInputElement>("cut").value.trim();
    open({ ...cut !== "" && { cut } });
  });
  byId("generate").addEventListener("click", async () => {
    await take("calibration", () => worker().call("generate", GENERATED));
    if (dataError.textContent !== "") return;
    taken.calibration.textContent +=
      ". Random numbers show that the model runs, not what it loses: ranges, and so accuracy, " +
      "are those of noise. Use real data before you trust it.";
    taken.test.textContent = "generated too";
  });
  byId("take-text").addEventListener("click", async () => {
    const [vocabulary] = givenFiles(byId<HTMLInputElement>("vocabulary").files ?? []);
    await take("calibration", async () => {
      if (vocabulary === undefined) {
        throw new Error(
          "Choose the vocabulary's file: JSON, an object of ids by token, or a list.",
        );
      }
      return await worker().call("takeText", {
        role: "calibration",
        text: byId<HTMLTextAreaElement>("own-text").value,
        vocabulary: await vocabulary.contents.text(),
      });
    });
  });
  byId("platform").append(...PLATFORMS.map((name) => h("option", { value: name }, name)));
  start.addEventListener("click", run);
  stop.addEventListener("click", () => worker().call("stop", undefined));
  byId("copy").addEventListener("click", async () => {
    const status = byId("copied");
    try {
      await navigator.clipboard.writeText(byId("snippet").textContent!);
      status.textContent = "Copied.";
    } catch {
      status.textContent = "The browser forbids it: select the text and copy it.";
    }
  });
}
