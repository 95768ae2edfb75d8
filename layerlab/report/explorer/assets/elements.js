// @ts-check
// Elements of the page. Names come from images that anybody may have made: they are only ever text.

/**
 * An element with attributes, listeners (names that begin with "on"), and children; strings become text.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [attributes]
 * @param {(Node | string | null)[]} children
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/**
 * A button, and what happens when it is pressed.
 * @type {(press: () => void, attributes: Record<string, any>, ...children: Node[]) => HTMLButtonElement}
 */
export function button(press, attributes, ...children) {
  return element("button", { type: "button", onclick: press, ...attributes }, ...children);
}

/**
 * A name or path as text of a direction of its own, so that it does not turn what stands beside it around.
 * @type {(text: string) => HTMLElement}
 */
export function nameText(text) {
  return element("bdi", {}, text);
}

/** What draws on a canvas. @type {(canvas: HTMLCanvasElement) => CanvasRenderingContext2D} */
export function pen(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}
