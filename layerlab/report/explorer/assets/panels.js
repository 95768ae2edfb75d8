// @ts-check
// What stands around the treemap, as elements.

import { fillOf } from "./colours.js";
import { chainOf, pathOf } from "./data.js";
import { button, element, nameText, pen } from "./elements.js";
import { folderItem, listing, sumsBy } from "./items.js";
import { search } from "./search.js";
import { bytesByRow } from "./tally.js";
import { bytesInWords, countInWords, fateOf, percent, sumInWords, summaryOf } from "./words.js";

/** @import { Look } from "./data.js" */
/** @import { Item } from "./items.js" */
/** @import { Choose, Scene } from "./state.js" */
/** @import { Tally } from "./tally.js" */

/** The elements of a part of the page. @typedef {(scene: Scene, choose: Choose) => HTMLElement[]} Panel */

const ROWS = 40; // of the table, before all are asked for
const FOUND = 60;
const LEGEND = 14;

/** @type {(bytes: number) => HTMLElement} */
function amount(bytes) {
  return element("span", { class: "amount" }, bytesInWords(bytes));
}

/** The folders from the root to the one that is shown, each of which can be gone back to. @type {Panel} */
export function crumbs({ state: { folder }, tally: { model } }, choose) {
  return chainOf(model, folder).map((node) => {
    const name = nameText(node ? model.names[node] : model.about.name);
    const open = () => choose({ folder: node }, node ? {} : { to: folder });
    const inside = node === folder ? element("span", { "aria-current": "location" }, name) : button(open, {}, name);
    return element("li", {}, inside);
  });
}

/** What the colours mean, the largest first; pressing one lets only that one stand out. @type {Panel} */
export function legend({ state, tally, colouring }, choose) {
  const { colour, highlight, folder } = state;
  const pressed = highlight?.by === "group" ? highlight.code : null;
  const groups = sumsBy(tally, folderItem(tally, folder), (entry) => colouring.code(tally, entry))
    .filter(([, bytes]) => bytes);
  const shown = colour === "layer" ? groups.sort(([one], [other]) => one - other) : groups.slice(0, LEGEND);
  return shown.map(([code, bytes]) => {
    const press = () => choose({ highlight: code === pressed ? null : { by: "group", code } });
    const parts = [swatch(colouring.look(code)), nameText(colouring.name(code)), amount(bytes)];
    return element("li", {}, button(press, { "aria-pressed": String(code === pressed) }, ...parts));
  });
}

/** @type {(look: Look) => HTMLElement} */
function swatch(look) {
  const canvas = element("canvas", { class: "swatch", width: 28, height: 28, "aria-hidden": "true" });
  const context = pen(canvas);
  context.scale(2, 2);
  context.fillStyle = fillOf(context, look);
  context.fillRect(0, 0, 14, 14);
  return canvas;
}

/** The Dockerfile, or the history: each line with the bytes that came from it. @type {Panel} */
export function source({ state: { highlight }, tally }, choose) {
  const { name, rows } = tally.model.about.source;
  const { live, lost } = bytesByRow(tally);
  const most = live.reduce((known, bytes, row) => Math.max(known, bytes + lost[row]), 1);
  const pressed = highlight?.by === "row" ? highlight.row : null;
  return rows.map(({ text, number, first }, row) => {
    const total = live[row] + lost[row];
    const isPressed = first === pressed;
    const press = () => choose({ highlight: row === pressed ? null : { by: "row", row } });
    const title = lost[row] ? `${bytesInWords(lost[row])} of it wasted` : null;
    const code = element("code", {}, nameText(text || " "));
    return element(
      "tr",
      { class: isPressed ? "pressed" : null },
      element("th", { scope: "row" }, number === null ? "" : `${name ? "" : "layer "}${number}`),
      total
        ? element("td", { class: "amount" }, bytesInWords(total), bar(live[row] / most, lost[row] / most))
        : element("td", { class: "amount" }),
      element("td", {}, total ? button(press, { "aria-pressed": String(isPressed), title }, code) : code),
    );
  });
}

/** @type {(live: number, wasted: number) => HTMLElement} */
function bar(live, wasted) {
  const part = (/** @type {string} */ name, /** @type {number} */ share) => {
    const made = element("span", { class: name });
    made.style.width = `${Math.max(share * 100, share > 0 ? 1 : 0)}%`;
    return made;
  };
  return element("span", { class: "bar", "aria-hidden": "true" }, part("live", live), part("wasted", wasted));
}

/**
 * What is in the folder that is shown: the same as the treemap says, as a table.
 * @type {(scene: Scene, choose: Choose, open: (node: number) => void) => HTMLElement[]}
 */
export function table({ state: { folder, all }, tally }, choose, open) {
  const head = ["Name", "Size", "Share", "Files", "Layer", "From", "Owner"];
  const items = listing(tally, folder).sort((a, b) => b.bytes - a.bytes);
  const rows = (all ? items : items.slice(0, ROWS)).map((item) =>
    tableRow(tally, item, tally.nodeBytes[folder], open)
  );
  if (rows.length < items.length) {
    const more = button(() => choose({ all: true }), {}, new Text(`Show all ${countInWords(items.length)}`));
    rows.push(element("tr", {}, element("td", { colspan: head.length }, more)));
  }
  const place = folder ? nameText(pathOf(tally.model, folder)) : "the image";
  return [
    element("caption", {}, "What is in ", place, ", the largest first"),
    element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
    element("tbody", {}, ...rows),
  ];
}

/** @type {(tally: Tally, item: Item, total: number, open: (node: number) => void) => HTMLTableRowElement} */
function tableRow(tally, item, total, open) {
  const { kind, node, bytes, files } = item;
  const { layer, from, owner } = summaryOf(tally, item);
  const name = nameText(tally.model.names[node] || "/");
  const note = kind === "entry" ? fateOf(tally, item.entry) : "";
  const number = (/** @type {string} */ text) => element("td", { class: "number" }, text);
  return element(
    "tr",
    {},
    element(
      "th",
      { scope: "row" },
      kind === "folder" ? button(() => open(node), {}, name, new Text("/")) : name,
      note ? element("span", { class: "note" }, ` ${note}`) : null,
    ),
    number(bytesInWords(bytes)),
    number(percent(bytes, total)),
    number(countInWords(files)),
    number(layer),
    element("td", {}, from),
    element("td", {}, nameText(owner)),
  );
}

/**
 * What the search has found, in words and as a list, the largest first.
 * @param {Scene} scene
 * @param {Choose} choose
 */
export function found({ state: { query }, tally }, choose) {
  const { model, nodeBytes, nodeFiles } = tally;
  const nodes = search(tally, query);
  let [bytes, files] = [0, 0];
  for (const node of nodes) [bytes, files] = [bytes + nodeBytes[node], files + nodeFiles[node]];
  const more = nodes.length > FOUND ? `, of which the ${FOUND} largest are listed` : "";
  return {
    count: nodes.length
      ? `${countInWords(nodes.length)} found, ${sumInWords(bytes, files)}${more}.`
      : "Nothing found.",
    list: nodes.slice(0, FOUND).map((node) => {
      const isFolder = model.end[node] > node + 1;
      const open = () => choose({ folder: isFolder ? node : model.parent[node] });
      return element("li", {}, button(open, {}, nameText(pathOf(model, node))), amount(nodeBytes[node]));
    }),
  };
}
