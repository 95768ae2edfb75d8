// @ts-check
// The elements that stay, and the theme of the page around them.

import { element, nameText } from "./elements.js";
import { SHOWS } from "./words.js";

/** @import { Colouring } from "./colours.js" */
/** @import { Model } from "./data.js" */

/** The elements, by name. @param {Model} model @param {Record<string, Colouring>} colours */
export function frameOf(model, colours) {
  const { layers, source, name } = model.about;
  const beside = source.name || "The image's history";
  const option = (/** @type {string} */ value, /** @type {string} */ said) => element("option", { value }, said);
  const most = Math.max(layers.length - 1, 0);
  const parts = {
    canvas: element("canvas"),
    hint: element("div", { class: "hint", hidden: true, "aria-hidden": "true" }),
    spoken: element("p", { class: "spoken", role: "status", "aria-live": "polite" }),
    status: element("p", { class: "status", role: "status" }),
    crumbs: element("ol"),
    legend: element("ul", { class: "legend" }),
    source: element("tbody"),
    table: element("table"),
    search: element("input", { type: "search", placeholder: "part of a path, or *.pyc", spellcheck: "false" }),
    foundCount: element("p", { role: "status" }),
    foundList: element("ol", { tabindex: 0, "aria-label": "What the search has found" }),
    colour: element("select", {}, ...Object.entries(colours).map(([key, { title }]) => option(key, title))),
    show: element("select", {}, ...Object.entries(SHOWS).map(([key, said]) => option(key, said))),
    slider: element("input", { type: "range", min: 0, max: most, step: 1, disabled: !most }),
    layer: element("span", { class: "layer" }),
  };
  const named = (/** @type {string} */ said, /** @type {HTMLElement} */ control) =>
    element("label", {}, element("span", { class: "name" }, said), control);
  const map = element("div", { class: "map" }, parts.canvas, parts.hint);
  const found = element("div", { class: "found", hidden: true }, parts.foundCount, parts.foundList);
  const pane = element(
    "div",
    { class: "source", tabindex: 0, role: "region", "aria-label": `${beside}, with the bytes of each line` },
    element("table", {}, element("caption", {}, nameText(beside), ": bytes by line"), parts.source),
  );
  const contents = element(
    "div",
    { class: "contents", tabindex: 0, role: "region", "aria-label": "The same as a table" },
    parts.table,
  );
  const frame = element(
    "section",
    { class: "explorer", "aria-label": `Explorer of ${name}` },
    element(
      "div",
      { class: "controls" },
      named("Show", parts.show),
      named("Colour by", parts.colour),
      named("Search", parts.search),
      element("div", { class: "slide" }, named("Layer", parts.slider), parts.layer),
    ),
    found,
    element("nav", { "aria-label": "The folders around this one" }, parts.crumbs),
    element(
      "div",
      { class: "beside" },
      element(
        "div",
        { class: "left" },
        map,
        element("div", { "aria-label": "What the colours mean", role: "group" }, parts.legend),
      ),
      pane,
    ),
    parts.status,
    parts.spoken,
    contents,
  );
  return { ...parts, map, found, pane, contents, frame };
}

/** Whether the page around is dark: JupyterLab and VS Code say so, elsewhere the system does. */
export function themeName() {
  const { jpThemeLight, vscodeThemeKind } = document.body.dataset;
  if (jpThemeLight) return jpThemeLight === "false" ? "dark" : "light";
  if (vscodeThemeKind) return vscodeThemeKind.includes("light") ? "light" : "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Call back when the theme changes. @type {(changed: () => void, signal: AbortSignal) => void} */
export function watchTheme(changed, signal) {
  const page = new MutationObserver(changed);
  page.observe(document.body, {
    attributes: true,
    attributeFilter: ["data-jp-theme-light", "data-vscode-theme-kind"],
  });
  signal.addEventListener("abort", () => page.disconnect());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed, { signal });
}
