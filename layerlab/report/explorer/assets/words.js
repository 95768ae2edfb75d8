// @ts-check
// What is said: of a rectangle, in the box beside the pointer, aloud and in the table; and of all that is shown.

import { STATE_NAMES } from "./colours.js";
import { chainOf, pathOf } from "./data.js";
import { eachEntry, sumsBy } from "./items.js";
import { ADDED, WASTED } from "./tally.js";

/** @import { Model } from "./data.js" */
/** @import { Item } from "./items.js" */
/** @import { Scene } from "./state.js" */
/** @import { Show, Tally } from "./tally.js" */

/** @type {Record<Show, string>} */
export const SHOWS = {
  container: "what a container sees",
  stored: "all that is stored, waste too",
  layer: "only what this layer did",
};

/** @type {(count: number) => string} */
export function countInWords(count) {
  return count.toLocaleString("en");
}

/** Bytes as the lab writes them: MB are 10^6 bytes. @type {(bytes: number) => string} */
export function bytesInWords(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 999_950) return `${(bytes / 1e3).toFixed(1)} kB`;
  return `${(bytes / 1e6).toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 })} MB`;
}

/** @type {(count: number) => string} */
export function filesInWords(count) {
  return `${countInWords(count)} file${count === 1 ? "" : "s"}`;
}

/** @type {(bytes: number, files: number) => string} */
export function sumInWords(bytes, files) {
  return `${bytesInWords(bytes)} in ${filesInWords(files)}`;
}

/** @type {(bytes: number, whole: number) => string} */
export function percent(bytes, whole) {
  return `${((100 * bytes) / Math.max(whole, 1)).toFixed(1)} %`;
}

/** A line of the Dockerfile; empty where it is not known. @type {(model: Model, row: number) => string} */
function lineInWords({ about: { source } }, row) {
  return row >= 0 && source.name ? `line ${source.rows[row].number}` : "";
}

/** @type {(model: Model, layer: number) => string} */
export function layerInWords(model, layer) {
  const { instruction, row } = model.about.layers[layer];
  const line = lineInWords(model, row);
  const short = instruction.length > 90 ? `${instruction.slice(0, 89)}…` : instruction;
  return `layer ${layer}${line ? ` (${line})` : ""}${short ? `: ${short}` : ""}`;
}

/** What became of an entry, where there is something to say. @type {(tally: Tally, entry: number) => string} */
export function fateOf({ model, state, layer }, entry) {
  if (state[entry] === WASTED) {
    return `wasted: ${model.about.causes[model.causes[entry]] ?? "taken away"} by layer ${model.gone[entry]}`;
  }
  return state[entry] >= ADDED ? `${STATE_NAMES[state[entry]]} by layer ${layer}` : "";
}

/** What stands in a rectangle. @type {(model: Model, item: Item) => string} */
export function labelOf(model, item) {
  if (item.kind === "rest") return `${countInWords(item.items.length)} small`;
  if (item.kind === "entry" || item.outer === item.node) return model.names[item.node];
  const chain = chainOf(model, item.node);
  return chain.slice(chain.indexOf(item.outer)).map((node) => model.names[node]).join("/");
}

/** A rectangle in lines of text: its path, and what is known of it. @type {(tally: Tally, item: Item) => string[]} */
export function linesOf(tally, item) {
  const { model } = tally;
  const { about } = model;
  const size = `${bytesInWords(item.bytes)}, ${percent(item.bytes, tally.nodeBytes[0])} of what is shown`;
  const path = pathOf(model, item.node);
  if (item.kind !== "entry") {
    const name = item.kind === "rest" ? `${countInWords(item.items.length)} small things in ${path}` : path;
    const { layer, from, owner } = summaryOf(tally, item);
    return [name, `${size}, ${filesInWords(item.files)}`, `layer ${layer}${from ? `, from ${from}` : ""}`, owner];
  }
  const { entry, node, files } = item;
  const [row, layer] = [model.rows[entry], model.layers[entry]];
  const stage = about.stages[model.stages[entry]];
  const from = row === about.layers[layer].row ? "" : lineInWords(model, row);
  return [
    files > 1 ? `${files} small files in ${pathOf(model, model.parent[node])}` : path,
    size,
    layerInWords(model, layer),
    [from && `made by ${from}`, stage].filter(Boolean).join(", "),
    `${about.owners[model.owners[entry]]}; ${about.parts[model.parts[entry]] ?? "part not known"}`,
    fateOf(tally, entry),
    model.judged[entry] < 0 ? "" : `maybe not needed: ${about.judgements[model.judged[entry]]}`,
  ].filter(Boolean);
}

/**
 * Layers, lines and owners of all that is in an item, in a few words each.
 * @param {Tally} tally
 * @param {Item} item
 */
export function summaryOf(tally, item) {
  const { about, layers, rows, owners } = tally.model;
  const [inLayers, fromRows] = [new Set(), new Set()];
  eachEntry(tally, item, (entry) => {
    inLayers.add(layers[entry]);
    if (rows[entry] >= 0) fromRows.add(rows[entry]);
  });
  const lines = [...fromRows].map((row) => about.source.rows[row].number).filter((number) => number !== null);
  const [largest, ...others] = sumsBy(tally, item, (entry) => owners[entry]);
  const more = others.length ? ` and ${others.length} more` : "";
  return {
    layer: span([...inLayers]),
    from: about.source.name && lines.length ? `line${fromRows.size > 1 ? "s" : ""} ${span(lines)}` : "",
    owner: largest ? `${about.owners[largest[0]]}${more}` : "",
  };
}

/** Numbers as "3" or "3–15". @type {(numbers: number[]) => string} */
function span(numbers) {
  if (!numbers.length) return "";
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  return low === high ? `${low}` : `${low}–${high}`;
}

/** The folder that is shown, and how much is in it. @type {(scene: Scene) => [where: string, what: string]} */
export function folderInWords({ state: { folder }, tally: { model, nodeBytes, nodeFiles } }) {
  return [folder ? pathOf(model, folder) : model.about.name, sumInWords(nodeBytes[folder], nodeFiles[folder])];
}

/** All that is chosen, in a sentence, and what the layer did. @type {(scene: Scene) => string} */
export function statusOf(scene) {
  const { state, tally, colouring } = scene;
  const said = `${folderInWords(scene).join(": ")}; ${SHOWS[state.show]}, coloured by ${colouring.title}.`;
  return state.show === "layer" ? `${said} ${changesInWords(tally)}` : said;
}

/** What a layer did, in figures. @type {(tally: Tally) => string} */
function changesInWords({ model, layer, state, bytes }) {
  const said = Object.entries(STATE_NAMES).flatMap(([code, name]) => {
    let [size, files] = [0, 0];
    for (let entry = 0; entry < state.length; entry++) {
      if (state[entry] !== Number(code)) continue;
      size += bytes[entry];
      files += model.files[entry];
    }
    return files ? [`${name} ${sumInWords(size, files)}`] : [];
  });
  return `Layer ${layer} ${said.join(", ") || "did nothing to any file"}.`;
}
