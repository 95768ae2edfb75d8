// @ts-check
// Where each rectangle is: a squarified treemap of what is large enough to be seen.

import { contents, folderItem } from "./items.js";

/** @import { Folder, Item, Rest } from "./items.js" */
/** @import { Tally } from "./tally.js" */

/**
 * @typedef {{ x0: number, y0: number, x1: number, y1: number }} Box
 * @typedef {Box & { item: Item, depth: number, parent: Rectangle | null, children: Rectangle[] }} Rectangle
 */

const SMALLEST = 16; // square pixels: what is smaller is put together with its neighbours
const SMALLEST_FOLDER = 700; // square pixels: a smaller folder is one rectangle
const DEEPEST = 7; // folders in each other
const GAP = 1; // pixels between neighbours
const MARGIN = 2; // pixels around what is in a folder
const GOLDEN = (1 + Math.sqrt(5)) / 2; // width to height, or the other way round, of a rectangle that looks well
export const HEADER = 17; // pixels for a folder's name

/**
 * The rectangles of what is in a folder; the outermost is the folder's own.
 * @type {(tally: Tally, folder: number, width: number, height: number) => Rectangle}
 */
export function arrange(tally, folder, width, height) {
  const perByte = (width * height) / Math.max(tally.nodeBytes[folder], 1);
  return place(folderItem(tally, folder), null, { x0: 0, y0: 0, x1: width, y1: height });

  /** @type {(item: Item, parent: Rectangle | null, room: Box) => Rectangle} */
  function place(item, parent, room) {
    const depth = parent ? parent.depth + 1 : 0;
    const box = parent ? inset(room, GAP / 2) : room;
    const { x0, y0, x1, y1 } = box;
    const [left, top, right, bottom] = [x0, y0, x1, y1].map(Math.round);
    /** @type {Rectangle} */
    const at = { item, depth, parent, x0: left, y0: top, x1: right, y1: bottom, children: [] };
    if (item.kind !== "folder") return at;
    const items = itemsOf(item, depth);
    const margin = depth ? MARGIN : 0;
    const header = depth && x1 - x0 > 24 && y1 - y0 > 2 * HEADER ? HEADER : margin;
    const boxes = squarified(items, item.bytes, inset(box, margin - GAP / 2, header - GAP / 2));
    at.children = items.map((inner, number) => place(inner, at, boxes[number]));
    return at;
  }

  /** @type {(folder: Folder, depth: number) => Item[]} */
  function itemsOf({ node, bytes }, depth) {
    if (depth && (bytes * perByte < SMALLEST_FOLDER || depth >= DEEPEST)) return [];
    /** @type {Item[]} */
    const shown = [];
    /** @type {Rest} */
    const rest = { kind: "rest", node, bytes: 0, files: 0, items: [] };
    for (const item of contents(tally, node)) {
      if (item.bytes * perByte >= SMALLEST) shown.push(item.kind === "folder" ? innermost(tally, item) : item);
      else {
        rest.items.push(item);
        rest.bytes += item.bytes;
        rest.files += item.files;
      }
    }
    shown.sort((a, b) => b.bytes - a.bytes);
    return rest.bytes * perByte >= 1 ? [...shown, rest] : shown;
  }
}

/** The innermost of folders that hold nothing but the next one. @type {(tally: Tally, folder: Folder) => Folder} */
function innermost(tally, folder) {
  const inside = contents(tally, folder.node);
  if (inside.length !== 1 || inside[0].kind !== "folder") return folder;
  return innermost(tally, { ...folder, node: inside[0].node });
}

/**
 * A box without its margins; where there is no room for them, what is left is a line in the middle.
 * @type {(box: Box, margin: number, top?: number) => Box}
 */
function inset(box, margin, top = margin) {
  let { x0, y0, x1, y1 } = { x0: box.x0 + margin, y0: box.y0 + top, x1: box.x1 - margin, y1: box.y1 - margin };
  if (x1 < x0) x0 = x1 = (x0 + x1) / 2;
  if (y1 < y0) y0 = y1 = (y0 + y1) / 2;
  return { x0, y0, x1, y1 };
}

/**
 * Boxes for items, whose areas are to the room's as their bytes are to `bytes`. Row by row, after Bruls, Huizing and
 * van Wijk, "Squarified Treemaps" (2000): a row stands along the shorter side of the room that is left, and takes
 * items for as long as that brings its worst one nearer to the golden ratio.
 * @type {(items: { bytes: number }[], bytes: number, room: Box) => Box[]}
 */
export function squarified(items, bytes, { x0, y0, x1, y1 }) {
  /** @type {Box[]} */
  const boxes = [];
  while (boxes.length < items.length) {
    const [width, height] = [x1 - x0, y1 - y0];
    const scale = Math.max(height / width, width / height) / (bytes * GOLDEN);
    let [sum, worst, least, most, stop] = [0, Infinity, Infinity, 0, boxes.length];
    for (; stop < items.length; stop++) {
      const size = items[stop].bytes;
      [least, most] = [Math.min(least, size), Math.max(most, size)];
      const square = (sum + size) * (sum + size) * scale;
      const ratio = Math.max(most / square, square / least);
      if (ratio > worst) break;
      [sum, worst] = [sum + size, ratio];
    }
    const isTall = width < height;
    const end = isTall ? y0 + (height * sum) / bytes : x0 + (width * sum) / bytes;
    const perByte = (isTall ? width : height) / sum;
    let at = isTall ? x0 : y0;
    for (const item of items.slice(boxes.length, stop)) {
      const from = at;
      at += item.bytes * perByte;
      boxes.push(isTall ? { x0: from, y0, x1: at, y1: end } : { x0, y0: from, x1: end, y1: at });
    }
    if (isTall) y0 = end;
    else x0 = end;
    bytes -= sum;
  }
  return boxes;
}

/**
 * The innermost rectangle at a point; null outside.
 * @type {(tree: Rectangle, x: number, y: number) => Rectangle | null}
 */
export function rectangleAt(tree, x, y) {
  if (x < tree.x0 || x >= tree.x1 || y < tree.y0 || y >= tree.y1) return null;
  for (const child of tree.children) {
    const inner = rectangleAt(child, x, y);
    if (inner) return inner;
  }
  return tree;
}

/**
 * The next of a folder's rectangles in a direction, given as a step such as [1, 0]; the same one at the edge.
 * @type {(siblings: Rectangle[], from: Rectangle, step: number[]) => Rectangle}
 */
export function neighbour(siblings, from, [dx, dy]) {
  const middle = (/** @type {Box} */ at) => [(at.x0 + at.x1) / 2, (at.y0 + at.y1) / 2];
  const [x, y] = middle(from);
  let best = from;
  let least = Infinity;
  for (const at of siblings) {
    const [otherX, otherY] = middle(at);
    const ahead = (otherX - x) * dx + (otherY - y) * dy;
    const aside = Math.abs((otherX - x) * dy) + Math.abs((otherY - y) * dx);
    if (ahead > 0 && ahead + 2 * aside < least) [best, least] = [at, ahead + 2 * aside];
  }
  return best;
}
