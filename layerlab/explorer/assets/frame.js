// The elements that stay, and the theme of the page around them.

const SHOWS = {
  container: "what a container sees",
  stored: "all that is stored, waste too",
  layer: "only what this layer did",
};

/** The elements that stay. */
function skeleton(model) {
  const { layers, source, name } = model.about;
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
    found: element("div", { class: "found", hidden: true }),
    foundCount: element("p", { role: "status" }),
    foundList: element("ol", { tabindex: 0, "aria-label": "What the search has found" }),
    colour: element("select"),
    show: element("select", {}, ...Object.entries(SHOWS).map(([key, said]) => element("option", { value: key }, said))),
    slider: element("input", { type: "range", min: 0, max: Math.max(layers.length - 1, 0), step: 1, disabled: layers.length < 2 }),
    layer: element("span", { class: "layer" }),
  };
  parts.found.append(parts.foundCount, parts.foundList);
  const label = (said, control, ...more) => element("label", {}, element("span", { class: "name" }, said), control, ...more);
  const beside = source.name || "The image's history";
  parts.frame = element(
    "section",
    { class: "explorer", "aria-label": `Explorer of ${name}` },
    element(
      "div",
      { class: "controls" },
      label("Show", parts.show),
      label("Colour by", parts.colour),
      label("Search", parts.search),
      element("div", { class: "slide" }, label("Layer", parts.slider), parts.layer),
    ),
    parts.found,
    element("nav", { "aria-label": "The folders around this one" }, parts.crumbs),
    element(
      "div",
      { class: "beside" },
      element(
        "div",
        { class: "left" },
        element("div", { class: "map" }, parts.canvas, parts.hint),
        element("div", { "aria-label": "What the colours mean", role: "group" }, parts.legend),
      ),
      element(
        "div",
        { class: "source", tabindex: 0, role: "region", "aria-label": `${beside}, with the bytes of each line` },
        element("table", {}, element("caption", {}, nameText(beside), ": bytes by line"), parts.source),
      ),
    ),
    parts.status,
    parts.spoken,
    element("div", { class: "contents", tabindex: 0, role: "region", "aria-label": "The same as a table" }, parts.table),
  );
  return parts;
}

/** Whether the page around is dark: JupyterLab and VS Code say so, elsewhere the system does. */
function themeName() {
  const { jpThemeLight, vscodeThemeKind } = document.body.dataset;
  if (jpThemeLight) return jpThemeLight === "false" ? "dark" : "light";
  if (vscodeThemeKind) return vscodeThemeKind.includes("light") ? "light" : "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Call back when the theme changes; returns what ends that. */
function watchTheme(changed) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const page = new MutationObserver(changed);
  system.addEventListener("change", changed);
  page.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-vscode-theme-kind"] });
  return () => {
    system.removeEventListener("change", changed);
    page.disconnect();
  };
}
