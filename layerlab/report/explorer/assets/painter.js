// @ts-check
// Rectangles on a canvas.

import { fillOf, inkOn } from "./colours.js";
import { pen } from "./elements.js";
import { HEADER } from "./layout.js";
import { bytesInWords } from "./words.js";

/** @import { Look } from "./data.js" */
/** @import { Item } from "./items.js" */
/** @import { Box, Rectangle } from "./layout.js" */

/**
 * How rectangles look: the page's colours, and of an item its label, its look, and how much of it stands out.
 * @typedef {{
 *   theme: Record<"background" | "text" | "folder" | "inner" | "focus", string>,
 *   label: (item: Item) => string,
 *   fill: (item: Item) => { look: Look, share: number },
 * }} Paint
 */

const FADED = 0.14;
const FONT = "11px system-ui, sans-serif";

/** Draws rectangles on one canvas, and keeps what takes long to make: patterns, and the widths of texts. */
export class Painter {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = pen(canvas);
    this.scale = 1;
    this.fills = /** @type {Map<string, string | CanvasPattern>} */ (new Map());
    this.widths = /** @type {Map<string, number>} */ (new Map());
  }

  /** @type {(width: number, height: number) => void} */
  resize(width, height) {
    this.scale = Math.min(devicePixelRatio, 2);
    this.canvas.width = Math.round(width * this.scale);
    this.canvas.height = Math.round(height * this.scale);
    this.canvas.style.height = `${height}px`;
  }

  /** The whole canvas. @returns {Box} */
  get box() {
    return { x0: 0, y0: 0, x1: this.canvas.width / this.scale, y1: this.canvas.height / this.scale };
  }

  /** What is on the canvas, to be drawn again. */
  copy() {
    const still = document.createElement("canvas");
    still.width = this.canvas.width;
    still.height = this.canvas.height;
    if (still.width && still.height) pen(still).drawImage(this.canvas, 0, 0);
    return still;
  }

  /**
   * Pictures, one over the other.
   * @type {(...pictures: { picture: HTMLCanvasElement, box: Box, alpha: number }[]) => void}
   */
  overlay(...pictures) {
    const { context, scale, box: { x1, y1 } } = this;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, x1, y1);
    for (const { picture, box, alpha } of pictures) {
      context.globalAlpha = alpha;
      context.drawImage(picture, box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0);
    }
    context.globalAlpha = 1;
  }

  /** @type {(tree: Rectangle, paint: Paint, pointed: Rectangle | null, selected: Rectangle | null) => void} */
  draw(tree, paint, pointed, selected) {
    const { context, scale, box: { x1, y1 } } = this;
    const { theme } = paint;
    if (!x1) return;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.globalAlpha = 1;
    context.fillStyle = theme.background;
    context.fillRect(0, 0, x1, y1);
    context.font = FONT;
    context.textBaseline = "middle";
    if (!tree.children.length) {
      context.fillStyle = theme.text;
      context.fillText("Nothing here has any bytes.", 12, 20);
      return;
    }
    for (const child of tree.children) this.rectangle(child, paint);
    if (pointed) this.outline(pointed, theme.text, 1.5);
    if (selected) {
      this.outline(selected, theme.background, 3); // within the margin that names keep
      this.outline(selected, theme.focus, 2);
    }
  }

  /** @type {(at: Rectangle, paint: Paint) => void} */
  rectangle(at, paint) {
    if (at.x1 - at.x0 < 1 || at.y1 - at.y0 < 1) return;
    if (at.children.length) this.folder(at, paint);
    else this.leaf(at, paint);
    for (const child of at.children) this.rectangle(child, paint);
  }

  /** @type {(at: Rectangle, paint: Paint) => void} */
  folder({ x0, y0, x1, y1, depth, item, children }, { theme, label }) {
    const { context } = this;
    const width = x1 - x0;
    context.fillStyle = depth % 2 ? theme.folder : theme.inner;
    context.fillRect(x0, y0, width, y1 - y0);
    if (width < 30 || Math.min(...children.map((child) => child.y0)) - y0 < HEADER) return;
    context.fillStyle = theme.text;
    const size = bytesInWords(item.bytes);
    const name = this.shortened(label(item), width - 8);
    context.fillText(name, x0 + 4, y0 + HEADER / 2);
    const room = width - this.widthOf(name) - 16;
    if (this.widthOf(size) < room) context.fillText(size, x1 - 4 - this.widthOf(size), y0 + HEADER / 2);
  }

  /** @type {(at: Rectangle, paint: Paint) => void} */
  leaf({ x0, y0, x1, y1, item }, paint) {
    const { context } = this;
    const [width, height] = [x1 - x0, y1 - y0];
    const { look, share } = paint.fill(item);
    context.globalAlpha = FADED + (1 - FADED) * share;
    context.fillStyle = this.fill(look);
    context.fillRect(x0, y0, width, height);
    const name = width > 34 && height > 15 && share > 0.5 ? this.shortened(paint.label(item), width - 8) : "";
    if (name) {
      const size = bytesInWords(item.bytes);
      const y = y0 + Math.min(height / 2, 10);
      this.text(name, x0 + 3, y, look);
      if (height > 32 && this.widthOf(size) < width - 8) this.text(size, x0 + 3, y + 14, look);
    }
    context.globalAlpha = 1;
  }

  /**
   * Text on a strip of the plain colour, so that no pattern runs through it.
   * @type {(text: string, x: number, y: number, look: Look) => void}
   */
  text(text, x, y, [fill, hatch]) {
    if (hatch) {
      this.context.fillStyle = fill;
      this.context.fillRect(x - 1, y - 7, this.widthOf(text) + 4, 14);
    }
    this.context.fillStyle = inkOn(fill);
    this.context.fillText(text, x + 1, y);
  }

  /** @type {(at: Box, colour: string, width: number) => void} */
  outline({ x0, y0, x1, y1 }, colour, width) {
    this.context.strokeStyle = colour;
    this.context.lineWidth = width;
    this.context.strokeRect(x0 + width / 2, y0 + width / 2, x1 - x0 - width, y1 - y0 - width);
  }

  /** @type {(look: Look) => string | CanvasPattern} */
  fill(look) {
    return cached(this.fills, look.join(" "), () => fillOf(this.context, look));
  }

  /** @type {(text: string) => number} */
  widthOf(text) {
    if (this.widths.size > 5000) this.widths.clear();
    return cached(this.widths, text, () => this.context.measureText(text).width);
  }

  /** As much of a name as there is room for. @type {(text: string, room: number) => string} */
  shortened(text, room) {
    if (this.widthOf(text) <= room) return text;
    let count = Math.floor((text.length * room) / this.widthOf(text));
    while (count > 1 && this.widthOf(`${text.slice(0, count)}…`) > room) count--;
    return count > 1 ? `${text.slice(0, count)}…` : "";
  }
}

/**
 * The value of a key; made when it is first asked for.
 * @template Key, Value
 * @param {Map<Key, Value>} map
 * @param {Key} key
 * @param {() => Value} make
 */
export function cached(map, key, make) {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
