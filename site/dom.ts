/**
 * Elements of the page.
 *
 * @module
 */
/// <reference lib="dom" />

/** Attributes of an element as in HTML; event handlers are functions. */
export type Attributes = Readonly<
  Record<string, string | number | boolean | null | ((event: Event) => void)>
>;

/** A child of an element: text, a node, or nothing. */
export type Child = Node | string | null;

/** Creates an element. */
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

/** Max milliseconds of creating elements before the page may draw. */
const SLICE_MS = 8;

/** Lets the page draw and handle events. */
export const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

/**
 * Appends an element for each item, in slices; the page draws and handles events in between.
 *
 * @param wanted Whether the elements are still needed; asked after each slice.
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

/** The element with the given id. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

/** Formats a number of bytes. */
export function bytesText(count: number): string {
  if (count < 1024) return `${count} bytes`;
  if (count < 1024 ** 2) return `${(count / 1024).toFixed(1)} KB`;
  return `${(count / 1024 ** 2).toFixed(2)} MB`;
}

/** Formats a count with its noun. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** An option of a select element. */
export type Option = readonly [value: string, text: string];

const optionOf = ([value, text]: Option) => h("option", { value }, text);

/** A labelled select element. */
export function select(
  label: string,
  options: readonly Option[],
  attributes: Attributes = {},
): HTMLSelectElement {
  return h("select", { "aria-label": label, ...attributes }, ...options.map(optionOf));
}

/**
 * A select element that holds only the chosen option until it is focused or hovered, for long lists
 * of selects with many options.
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

/** The message of an error, capitalized and shortened. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.length > 600 ? `${text.slice(0, 600)} …` : text;
}
