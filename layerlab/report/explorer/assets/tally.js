// @ts-check
// What of an image is shown at a layer, and its sums.

import { DIRECTORY, firstRow } from "./data.js";

/** @import { Model } from "./data.js" */

/**
 * Ways to show it: what a container would see if the image ended with a layer; that, and what the layers up to it store
 * although no container sees it; or what a layer added, changed and removed.
 * @typedef {"container" | "stored" | "layer"} Show
 *
 * What is shown: the state and the bytes of each entry, and the sums of each node.
 * @typedef {ReturnType<typeof tallyOf>} Tally
 */

// States of an entry: not shown; what a container sees; what is stored only; what a layer did.
const HIDDEN = 0;
const LIVE = 1;
export const WASTED = 2;
export const ADDED = 3;
export const CHANGED = 4;
export const REMOVED = 5;

/**
 * What is shown of an image at a layer.
 * @param {Model} model
 * @param {Show} show
 * @param {number} layer
 */
export function tallyOf(model, show, layer) {
  const { count, parent, node, kinds, sizes, layers, gone, files } = model;
  const entries = node.length;
  const state = new Uint8Array(entries);
  const bytes = new Float64Array(entries);
  for (let entry = 0; entry < entries; entry++) {
    if (show === "layer") state[entry] = whatLayerDid(model, entry, layer);
    else if (layers[entry] > layer) state[entry] = HIDDEN;
    else if (gone[entry] < 0 || gone[entry] > layer) state[entry] = LIVE;
    else if (show === "stored" && kinds[entry] !== DIRECTORY) state[entry] = WASTED;
    if (state[entry]) bytes[entry] = sizes[entry];
  }
  for (const group of model.links) countOnce(model, group, state, bytes, show, layer);
  const nodeBytes = new Float64Array(count);
  const nodeFiles = new Int32Array(count);
  for (let entry = 0; entry < entries; entry++) {
    if (!state[entry]) continue;
    nodeBytes[node[entry]] += bytes[entry];
    nodeFiles[node[entry]] += files[entry];
  }
  for (let at = count - 1; at > 0; at--) {
    nodeBytes[parent[at]] += nodeBytes[at];
    nodeFiles[parent[at]] += nodeFiles[at];
  }
  return { model, layer, state, bytes, nodeBytes, nodeFiles };
}

/**
 * What a layer did with an entry's path. A directory that it has again is no change of what is in it.
 * @type {(model: Model, entry: number, layer: number) => number}
 */
function whatLayerDid({ node, first, kinds, layers, gone }, entry, layer) {
  if (kinds[entry] === DIRECTORY) return HIDDEN;
  const arrives = layers[entry] === layer;
  if (!arrives && gone[entry] !== layer) return HIDDEN;
  for (let other = first[node[entry]]; other < first[node[entry] + 1]; other++) {
    if (other === entry || kinds[other] === DIRECTORY) continue;
    if (arrives && gone[other] === layer) return CHANGED;
    if (!arrives && layers[other] === layer) return HIDDEN; // its successor stands for both
  }
  return arrives ? ADDED : REMOVED;
}

/**
 * Of the names of one inode, let one have the bytes: the first that is live, else the first that is shown.
 * @type {(model: Model, group: number[], state: Uint8Array, bytes: Float64Array, show: Show, layer: number) => void}
 */
function countOnce({ layers, gone }, group, state, bytes, show, layer) {
  const shown = group.filter((entry) => state[entry]);
  let carrier = shown.find((entry) => state[entry] === LIVE) ?? shown[0];
  if (show === "layer") {
    const isNew = group.every((entry) => layers[entry] >= layer);
    const isLost = group.every((entry) => layers[entry] > layer || (gone[entry] >= 0 && gone[entry] <= layer));
    carrier = shown.find((entry) => (state[entry] === REMOVED ? isLost && !isNew : isNew)) ?? -1;
  }
  for (const entry of shown) if (entry !== carrier) bytes[entry] = 0;
}

/**
 * The bytes that came from each row of the Dockerfile on which an instruction begins: those that are there, and those
 * that are wasted or were removed.
 * @param {Tally} tally
 */
export function bytesByRow({ model, state, bytes }) {
  const { rows } = model.about.source;
  const [live, lost] = [new Float64Array(rows.length), new Float64Array(rows.length)];
  for (let entry = 0; entry < state.length; entry++) {
    const row = firstRow(model, entry);
    if (row >= 0) (state[entry] === WASTED || state[entry] === REMOVED ? lost : live)[row] += bytes[entry];
  }
  return { live, lost };
}
