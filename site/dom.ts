/**
 * Elements of the page.
 *
 * @module
 */
/// <reference lib="dom" />

/** What an element is made of: attributes as they stand in HTML, handlers as functions. */
export type Attributes = Readonly<
  Record<string, string | number | boolean | null | ((event: Event) => void)>
>;

/** A child: text, a node, or nothing. */
export type Child = Node | string | null;

/** Makes an element. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice("on".length), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, `${value}`);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Milliseconds for which elements are made at a time. */
const SLICE_MS = 8;

/** Lets the page draw and answer. */
export const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

/**
 * Appends an element for each item, in slices, between which the page draws and answers.
 *
 * @param wanted Whether they still are; asked after each slice.
 */
export async function appendInSlices<T>(
  parent: HTMLElement,
  items: Iterable<T>,
  make: (item: T) => Node,
  wanted: () => boolean = () => true,
): Promise<void> {
  let until = performance.now() + SLICE_MS;
  for (const item of items) {
    parent.append(make(item));
    if (performance.now() < until) continue;
    await pause();
    if (!wanted()) return;
    until = performance.now() + SLICE_MS;
  }
}

/** The page's own element of an id. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

/** A number of bytes for people. */
export function bytesText(count: number): string {
  if (count < 1024) return `${count} bytes`;
  if (count < 1024 ** 2) return `${(count / 1024).toFixed(1)} KB`;
  return `${(count / 1024 ** 2).toFixed(2)} MB`;
}

/** A count and its noun. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** An option of a choice. */
export type Option = readonly [value: string, text: string];

const optionOf = ([value, text]: Option) => h("option", { value }, text);

/** A labelled choice of one of several. */
export function select(
  label: string,
  options: readonly Option[],
  attributes: Attributes = {},
): HTMLSelectElement {
  return h("select", { "aria-label": label, ...attributes }, ...options.map(optionOf));
}

/**
 * The same with the chosen option alone, until somebody turns to it: for lists of many choices of
 * many options.
 */
export function lazySelect(
  label: string,
  options: readonly Option[],
  chosen: string,
  attributes: Attributes = {},
): HTMLSelectElement {
  const own = options.find(([value]) => value === chosen) ?? [chosen, chosen];
  const element = select(label, [own], attributes);
  const fill = () => {
    if (element.options.length > 1) return;
    const { value } = element;
    element.replaceChildren(...options.map(optionOf));
    element.value = value;
  };
  for (const event of ["focus", "pointerdown"]) element.addEventListener(event, fill);
  return element;
}

/** Messages of errors, in one sentence that begins with a capital. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.length > 600 ? `${text.slice(0, 600)} …` : text;
}
