// @ts-check
// The treemap: what is pointed at and selected, and how it moves from one picture to the next.

import { neighbour, rectangleAt } from "./layout.js";
import { Painter } from "./painter.js";

/** @import { Box, Rectangle } from "./layout.js" */
/** @import { Paint } from "./painter.js" */
/** @import { Movement } from "./state.js" */

/**
 * Told what the user does: a folder is opened, the one around is asked for, or the whole image; a rectangle, or none,
 * is pointed at.
 * @typedef {{
 *   open: (node: number, from: Rectangle) => void,
 *   close: () => void,
 *   home: () => void,
 *   point: (at: Rectangle | null, x: number, y: number, byKey?: boolean) => void,
 * }} Listener
 */

const ZOOM = 260; // milliseconds
/** @type {Record<string, number[]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const HELP =
  "Arrow keys go from one rectangle to the next, Enter opens a folder, Escape goes back to the folder around it, " +
  "Home to the whole image.";

/** The treemap on its canvas, and what the pointer and the keyboard do there. */
export class Treemap {
  tree = /** @type {Rectangle | null} */ (null);
  paint = /** @type {Paint | null} */ (null);
  selected = /** @type {Rectangle | null} */ (null);
  pointed = /** @type {Rectangle | null} */ (null);
  animation = 0; // the request for its next frame; 0 while nothing moves
  asked = 0; // the request for the frame that draws what has changed

  /** @param {HTMLCanvasElement} canvas @param {Listener} on @param {AbortSignal} signal */
  constructor(canvas, on, signal) {
    this.canvas = canvas;
    this.on = on;
    this.painter = new Painter(canvas);
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-roledescription", "treemap");
    const move = (/** @type {PointerEvent} */ event) => this.point(this.under(event), event.offsetX, event.offsetY);
    canvas.addEventListener("pointermove", move, { signal });
    canvas.addEventListener("pointerleave", () => this.point(null, 0, 0), { signal });
    canvas.addEventListener("click", (event) => this.click(this.under(event)), { signal });
    canvas.addEventListener("keydown", (event) => this.press(event), { signal });
    canvas.addEventListener("focus", () => this.select(this.selected ?? this.tree?.children[0] ?? null), { signal });
    canvas.addEventListener("blur", () => this.select(null), { signal });
    signal.addEventListener("abort", () => {
      cancelAnimationFrame(this.animation);
      cancelAnimationFrame(this.asked);
    });
  }

  get isAnimated() {
    return this.animation !== 0;
  }

  /** The rectangle under the pointer; null for the folder itself. @param {MouseEvent} event */
  under({ offsetX, offsetY }) {
    const at = this.tree && rectangleAt(this.tree, offsetX, offsetY);
    return at?.parent ? at : null;
  }

  /** @type {(at: Rectangle | null, x: number, y: number) => void} */
  point(at, x, y) {
    if (at !== this.pointed) this.requestDraw();
    this.pointed = at;
    this.on.point(at, x, y);
  }

  /** @param {Rectangle | null} at */
  select(at) {
    this.selected = at;
    this.requestDraw();
    this.on.point(at, at?.x0 ?? 0, at?.y1 ?? 0, true);
  }

  /** A click opens the outermost folder below the one that is shown. @param {Rectangle | null} at */
  click(at) {
    if (at?.parent?.parent) this.click(at.parent);
    else if (at) this.open(at);
  }

  /** @param {Rectangle | null} at */
  open(at) {
    if (at?.item.kind === "folder") this.on.open(at.item.node, at);
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || !this.tree) return;
    const { children } = this.tree;
    const arrow = ARROWS[event.key];
    if (arrow && children.length) {
      this.select(this.selected ? neighbour(children, this.selected, arrow) : children[0]);
    } else if (event.key === "Enter" || event.key === " ") this.open(this.selected);
    else if (event.key === "Escape" || event.key === "Backspace") this.on.close();
    else if (event.key === "Home") this.on.home();
    else return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab has meanings of its own for Escape and Enter
  }

  /** @type {(width: number, height: number) => void} */
  resize(width, height) {
    this.painter.resize(width, height);
  }

  /** Say what is shown, for those who do not see it. @param {string} words */
  describe(words) {
    this.canvas.setAttribute("aria-label", `${words} ${HELP}`);
  }

  /**
   * Show other rectangles, at once or by a movement.
   * @type {(tree: Rectangle, paint: Paint, movement: Movement) => void}
   */
  show(tree, paint, { from, to }) {
    const isMoved = (from || to !== undefined) && !matchMedia("(prefers-reduced-motion: reduce)").matches;
    const before = isMoved ? this.painter.copy() : null;
    const hadFocus = this.selected !== null;
    [this.tree, this.paint, this.pointed, this.selected] = [tree, paint, null, null];
    const place = from ?? rectangleFor(tree, to);
    if (before) this.animate(before, place, Boolean(from));
    else this.requestDraw();
    if (hadFocus && tree.children.length) this.select(rectangleFor(tree, to));
  }

  requestDraw() {
    if (this.asked || this.animation) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = 0;
      this.draw();
    });
  }

  draw() {
    if (this.tree && this.paint) this.painter.draw(this.tree, this.paint, this.pointed, this.selected);
  }

  /**
   * Two pictures, one over the other: the old one grows out of the frame, or shrinks into its place in the new one.
   * @type {(before: HTMLCanvasElement, place: Box, isOpened: boolean) => void}
   */
  animate(before, place, isOpened) {
    const { painter } = this;
    cancelAnimationFrame(this.animation);
    this.draw();
    const after = painter.copy();
    const [small, large] = isOpened ? [after, before] : [before, after];
    const began = performance.now();
    const step = (/** @type {number} */ now) => {
      const share = Math.min((now - began) / ZOOM, 1);
      const eased = share * (2 - share);
      const grown = isOpened ? eased : 1 - eased;
      const inner = between(place, painter.box, grown);
      const outer = around(place, inner, painter.box);
      painter.overlay({ picture: large, box: outer, alpha: 1 }, { picture: small, box: inner, alpha: grown });
      this.animation = share < 1 ? requestAnimationFrame(step) : 0;
      if (!this.animation) this.draw();
    };
    this.animation = requestAnimationFrame(step);
  }
}

/** The rectangle that stands for a node, else the first. @type {(tree: Rectangle, node?: number) => Rectangle} */
function rectangleFor(tree, node) {
  const found = tree.children.find(({ item }) =>
    item.kind === "folder" && (item.node === node || item.outer === node)
  );
  return found ?? tree.children[0] ?? tree;
}

/** @type {(one: Box, other: Box, share: number) => Box} */
function between(one, other, share) {
  const mix = (/** @type {keyof Box} */ side) => one[side] + (other[side] - one[side]) * share;
  return { x0: mix("x0"), y0: mix("y0"), x1: mix("x1"), y1: mix("y1") };
}

/** Where all is, if a place in it is here. @type {(place: Box, here: Box, whole: Box) => Box} */
function around(place, here, whole) {
  const across = (here.x1 - here.x0) / Math.max(place.x1 - place.x0, 1);
  const down = (here.y1 - here.y0) / Math.max(place.y1 - place.y0, 1);
  const x0 = here.x0 - place.x0 * across;
  const y0 = here.y0 - place.y0 * down;
  return { x0, y0, x1: x0 + whole.x1 * across, y1: y0 + whole.y1 * down };
}
