/**
 * The editor of an architecture: one row per module, starting from a draft, and the same as JSON.
 *
 * @module
 */
/// <reference lib="dom" />
import type { Architecture, ArchitectureModule } from "../src/io/architecture.ts";
import { appendInSlices, h, lazySelect, messageOf } from "./dom.ts";

/** A kind that is still to be chosen. */
const BLANK = "?";

/** A field with its label in front. */
function labelled(title: string, label: string, control: HTMLElement): HTMLElement {
  control.setAttribute("aria-label", label);
  return h("span", {}, h("small", { "aria-hidden": "true" }, title), control);
}

/** The row of a module. */
function row(
  module: ArchitectureModule,
  kinds: readonly string[],
  move: (row: HTMLElement, by: number) => void,
): HTMLElement {
  const { name, kind, inputs, options, note } = module;
  const label = name || "the new module";
  const choice = lazySelect(
    `Kind of ${label}`,
    [
      ...kind === BLANK ? [[BLANK, "choose …"] as const] : [],
      ...kinds.map((each) => [each, each] as const),
    ],
    kind,
    { class: "kind" },
  );
  const reads = inputs === undefined ? "" : typeof inputs === "string" ? inputs : inputs.join(", ");
  const element = h(
    "li",
    {},
    labelled("Name", `Name of ${label}`, h("input", { class: "name", value: name, size: 14 })),
    labelled("Kind", `Kind of ${label}`, choice),
    labelled(
      "Options",
      `Options of ${label}`,
      h("input", {
        class: "options",
        value: options === undefined ? "" : JSON.stringify(options),
        placeholder: '{ "batchFirst": true }',
        size: 22,
      }),
    ),
    labelled(
      "Reads",
      `What ${label} reads`,
      h("input", { class: "reads", value: reads, placeholder: "the one above", size: 12 }),
    ),
    h(
      "span",
      { class: "moves" },
      ...([["↑", "up", -1], ["↓", "down", 1]] as const).map(([sign, way, by]) =>
        h("button", {
          type: "button",
          "aria-label": `Move ${label} ${way}`,
          onclick: () => move(element, by),
        }, sign)
      ),
      h("button", {
        type: "button",
        "aria-label": `Remove ${label}`,
        onclick: () => move(element, 0),
      }, "×"),
    ),
    note === undefined ? null : h("small", { class: "note" }, note),
  );
  // Properties without a field of their own are kept as they were.
  const { tensors, modules, outputs } = module;
  otherProperties.set(element, { tensors, modules, outputs });
  return element;
}

const otherProperties = new WeakMap<
  HTMLElement,
  Pick<ArchitectureModule, "tensors" | "modules" | "outputs">
>();

function field(element: HTMLElement, name: string): string {
  return element.querySelector<HTMLInputElement>(`.${name}`)!.value.trim();
}

/** The module that a row describes. */
function moduleOf(element: HTMLElement): ArchitectureModule {
  const name = field(element, "name");
  const options = field(element, "options");
  const reads = field(element, "reads");
  let parsed: Record<string, unknown> | undefined;
  try {
    parsed = options === "" ? undefined : JSON.parse(options);
  } catch {
    throw new Error(`${name}: options are JSON, such as { "batchFirst": true }, not ${options}`);
  }
  const { tensors, modules, outputs } = otherProperties.get(element)!;
  return {
    name,
    kind: field(element, "kind"),
    ...reads !== "" && { inputs: reads.split(",").map((each) => each.trim()) },
    ...parsed !== undefined && { options: parsed },
    ...tensors !== undefined && { tensors },
    ...modules !== undefined && { modules },
    ...outputs !== undefined && { outputs },
  };
}

/**
 * The editor.
 *
 * @param build Takes the JSON text of the architecture; shows problems in the given element.
 */
export function architectureEditor(
  draft: Architecture,
  kinds: readonly string[],
  build: (architecture: string, error: HTMLElement) => Promise<void>,
): HTMLElement {
  const body = h("ol", { class: "rows", "aria-label": "Architecture" });
  const json = h("textarea", { rows: 12, "aria-label": "Architecture as JSON", spellcheck: false });
  const error = h("p", { class: "error", role: "alert" });
  let outputs = draft.outputs;
  const move = (element: HTMLElement, by: number) => {
    if (by < 0) element.previousElementSibling?.before(element);
    else if (by > 0) element.nextElementSibling?.after(element);
    else element.remove();
  };
  const rowOf = (module: ArchitectureModule) => row(module, kinds, move);
  let shown: Architecture | undefined;
  const show = async (architecture: Architecture) => {
    shown = architecture;
    outputs = architecture.outputs;
    body.replaceChildren();
    // An incomplete architecture must not be built: rows are still being added.
    editor.setAttribute("aria-busy", "true");
    const wanted = () => shown === architecture;
    await appendInSlices(body, architecture.modules, rowOf, wanted);
    if (wanted()) editor.removeAttribute("aria-busy");
  };
  const current = (): string => {
    if (editor.hasAttribute("aria-busy")) throw new Error("Its modules are still being listed.");
    const modules = [...body.children].map((each) => moduleOf(each as HTMLElement));
    const blank = modules.find(({ kind }) => kind === BLANK);
    if (blank !== undefined) throw new Error(`${blank.name}: choose its kind, or remove it`);
    return JSON.stringify({ version: 1, modules, ...outputs && { outputs } }, null, 2);
  };
  /** Runs an action on the current architecture, and shows its error here. */
  const attempt = (work: () => void) => {
    error.textContent = "";
    try {
      work();
    } catch (cause) {
      error.textContent = messageOf(cause);
    }
  };
  const details = h(
    "details",
    {
      ontoggle: () => {
        if (!details.open) return;
        const modules = () => [...body.children].map((each) => moduleOf(each as HTMLElement));
        attempt(() => json.value = JSON.stringify({ version: 1, modules: modules() }, null, 2));
      },
    },
    h("summary", {}, "As JSON"),
    json,
    h("button", {
      type: "button",
      onclick: () =>
        attempt(() => {
          const value = JSON.parse(json.value);
          if (!Array.isArray(value?.modules)) throw new Error("Expected { modules: [...] }.");
          show(value);
        }),
    }, "Take this JSON"),
  );
  const editor = h(
    "div",
    { class: "editor" },
    body,
    h(
      "p",
      { class: "buttons" },
      h("button", {
        type: "button",
        onclick: () =>
          body.append(rowOf({ name: `module${body.children.length + 1}`, kind: BLANK })),
      }, "Add a module"),
      h("button", {
        type: "button",
        class: "primary",
        onclick: () => attempt(() => void build(current(), error)),
      }, "Build the model"),
    ),
    error,
    details,
  );
  void show(draft);
  return editor;
}
