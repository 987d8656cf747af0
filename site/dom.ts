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

/** A labelled choice of one of several. */
export function select(
  label: string,
  options: readonly (readonly [value: string, text: string])[],
  attributes: Attributes = {},
): HTMLSelectElement {
  return h(
    "select",
    { "aria-label": label, ...attributes },
    ...options.map(([value, text]) => h("option", { value }, text)),
  );
}

/** Messages of errors, in one sentence that begins with a capital. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.length > 600 ? `${text.slice(0, 600)} …` : text;
}
