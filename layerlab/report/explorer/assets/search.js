// @ts-check
// What a search finds, and what stands out.

import { firstRow, lowerCasePaths } from "./data.js";

/** @import { Colouring } from "./colours.js" */
/** @import { Model } from "./data.js" */
/** @import { Item } from "./items.js" */
/** @import { State } from "./state.js" */
/** @import { Tally } from "./tally.js" */

/**
 * What stands out: a flag for each entry, and the bytes of each node.
 * @typedef {{ entries: Uint8Array, nodes: Float64Array }} Matches
 */

/**
 * Tells whether a node's path holds what is searched for; with "*" or "?" for anything, whether it ends with it.
 * @type {(model: Model, query: string) => (node: number) => boolean}
 */
function finder(model, query) {
  const paths = lowerCasePaths(model);
  const wanted = query.toLowerCase();
  if (!/[*?]/.test(wanted)) return (node) => paths[node].includes(wanted);
  const escaped = wanted.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".");
  const pattern = new RegExp(`${escaped}$`, "s");
  return (node) => pattern.test(paths[node]);
}

/** The outermost nodes that a search finds, the largest first. @type {(tally: Tally, query: string) => number[]} */
export function search({ model, state, nodeBytes, nodeFiles }, query) {
  const { count, parent, first } = model;
  const isFound = finder(model, query);
  const isShown = (/** @type {number} */ node) =>
    nodeFiles[node] > 0 || state.subarray(first[node], first[node + 1]).some(Boolean);
  const found = [];
  for (let node = 1; node < count; node++) {
    if (isFound(node) && isShown(node) && !isFound(parent[node])) found.push(node);
  }
  return found.sort((a, b) => nodeBytes[b] - nodeBytes[a]);
}

/**
 * What is searched for, and what the legend or the Dockerfile was asked for; null for everything.
 * @type {(state: State, tally: Tally, colouring: Colouring) => Matches | null}
 */
export function matchesOf({ query, highlight }, tally, colouring) {
  if (!query && !highlight) return null;
  const { model, state, bytes } = tally;
  const isFound = query ? finder(model, query) : () => true;
  const isAsked = (/** @type {number} */ entry) => {
    if (!highlight) return true;
    return highlight.by === "row"
      ? firstRow(model, entry) === highlight.row
      : colouring.code(tally, entry) === highlight.code;
  };
  const entries = new Uint8Array(state.length);
  const nodes = new Float64Array(model.count);
  for (let entry = 0; entry < entries.length; entry++) {
    const node = model.node[entry];
    if (!state[entry] || !isFound(node) || !isAsked(entry)) continue;
    entries[entry] = 1;
    nodes[node] += bytes[entry];
  }
  for (let node = model.count - 1; node > 0; node--) nodes[model.parent[node]] += nodes[node];
  return { entries, nodes };
}

/** The share of an item's bytes that stands out. @type {(matches: Matches | null, item: Item) => number} */
export function shareOf(matches, item) {
  return matches ? matchedBytes(matches, item) / item.bytes : 1;
}

/** @type {(matches: Matches, item: Item) => number} */
function matchedBytes(matches, item) {
  if (item.kind === "entry") return matches.entries[item.entry] * item.bytes;
  if (item.kind === "folder") return matches.nodes[item.node];
  return item.items.reduce((sum, inner) => sum + matchedBytes(matches, inner), 0);
}
