// @ts-check
// What is in a folder, as items: what a rectangle, or a row of the table, stands for.

import { DIRECTORY } from "./data.js";

/** @import { Tally } from "./tally.js" */

/**
 * A folder; `outer` is another one if it holds nothing but this one.
 * @typedef {{ kind: "folder", node: number, outer: number, bytes: number, files: number }} Folder
 *
 * A file (or a link or the like), as one layer has it.
 * @typedef {{ kind: "entry", node: number, entry: number, bytes: number, files: number }} Entry
 *
 * What in a folder is too small to be seen by itself.
 * @typedef {{ kind: "rest", node: number, items: Item[], bytes: number, files: number }} Rest
 *
 * @typedef {Folder | Entry | Rest} Item
 */

/** A folder and all that is in it. @type {(tally: Tally, node: number) => Folder} */
export function folderItem({ nodeBytes, nodeFiles }, node) {
  return { kind: "folder", node, outer: node, bytes: nodeBytes[node], files: nodeFiles[node] };
}

/**
 * What is directly in a folder: folders with files, and an item for each version of each file.
 * @type {(tally: Tally, folder: number) => (Folder | Entry)[]}
 */
export function listing(tally, folder) {
  const { first, end, kinds, files } = tally.model;
  /** @type {(Folder | Entry)[]} */
  const items = [];
  const add = (/** @type {number} */ node) => {
    for (let entry = first[node]; entry < first[node + 1]; entry++) {
      if (!tally.state[entry] || kinds[entry] === DIRECTORY) continue;
      items.push({ kind: "entry", node, entry, bytes: tally.bytes[entry], files: files[entry] });
    }
  };
  add(folder); // a path that is a folder in one layer and a file in another
  for (let child = folder + 1; child < end[folder]; child = end[child]) {
    if (end[child] === child + 1) add(child);
    else if (tally.nodeFiles[child]) items.push(folderItem(tally, child));
  }
  return items;
}

/** What is directly in a folder and has bytes. @type {(tally: Tally, folder: number) => (Folder | Entry)[]} */
export function contents(tally, folder) {
  return listing(tally, folder).filter((item) => item.bytes);
}

/** The folder around one: the next that holds anything else. @type {(tally: Tally, folder: number) => number} */
export function folderAround(tally, folder) {
  const { parent } = tally.model;
  let node = parent[folder];
  while (node > 0 && contents(tally, node).length === 1) node = parent[node];
  return node;
}

/**
 * Each entry of an item that is shown and is a file, a link or the like.
 * @type {(tally: Tally, item: Item, tell: (entry: number) => void) => void}
 */
export function eachEntry(tally, item, tell) {
  const { first, end, kinds } = tally.model;
  if (item.kind === "entry") tell(item.entry);
  else if (item.kind === "rest") { for (const inner of item.items) eachEntry(tally, inner, tell); }
  else {
    const stop = first[end[item.node]];
    for (let entry = first[item.node]; entry < stop; entry++) {
      if (tally.state[entry] && kinds[entry] !== DIRECTORY) tell(entry);
    }
  }
}

/**
 * The bytes of an item's entries by the code of their group, the largest first.
 * @type {(tally: Tally, item: Item, codeOf: (entry: number) => number) => [code: number, bytes: number][]}
 */
export function sumsBy(tally, item, codeOf) {
  const sums = new Map();
  eachEntry(tally, item, (entry) => {
    const code = codeOf(entry);
    sums.set(code, (sums.get(code) ?? 0) + tally.bytes[entry]);
  });
  return [...sums].sort((a, b) => b[1] - a[1]);
}
