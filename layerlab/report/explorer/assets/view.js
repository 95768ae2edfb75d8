// @ts-check
// All that is seen: it draws scenes, and tells what the user chooses.

import { lookOf } from "./colours.js";
import { element, nameText } from "./elements.js";
import styles from "./explorer.css" with { type: "text" };
import { frameOf, themeName, watchTheme } from "./frame.js";
import { arrange } from "./layout.js";
import { Treemap } from "./map.js";
import { cached } from "./painter.js";
import { crumbs, found, legend, source, table } from "./panels.js";
import { shareOf } from "./search.js";
import { folderInWords, labelOf, layerInWords, linesOf, statusOf } from "./words.js";

/** @import { Colouring } from "./colours.js" */
/** @import { Look, Model } from "./data.js" */
/** @import { Item } from "./items.js" */
/** @import { Listener } from "./map.js" */
/** @import { Paint } from "./painter.js" */
/** @import { Choose, Movement, Scene } from "./state.js" */
/** @import { Show } from "./tally.js" */

const PAUSE = 150; // milliseconds without a key before a search begins

/** The page's part that shows one image. */
export class View {
  ended = new AbortController();
  scene = /** @type {Scene | null} */ (null);
  size = ""; // for which the map is arranged
  isOpened = false;

  /**
   * @param {HTMLElement} host What it holds is replaced.
   * @param {Model} model
   * @param {Record<string, Colouring>} colours
   * @param {Choose} choose
   * @param {() => void} close Told when the folder around is asked for.
   */
  constructor(host, model, colours, choose, close) {
    const { signal } = this.ended;
    const parts = frameOf(model, colours);
    this.parts = parts;
    this.model = model;
    this.choose = choose;
    this.root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(styles);
    this.root.adoptedStyleSheets = [sheet];
    this.root.replaceChildren(parts.frame);
    host.dataset.lmSuppressShortcuts = "true"; // JupyterLab would take keys for commands: "dd" deletes a cell

    this.map = new Treemap(parts.canvas, {
      open: (folder, from) => choose({ folder }, { from }),
      close,
      home: () => choose({ folder: 0 }),
      point: (at, x, y, byKey) => this.point(at, x, y, byKey),
    }, signal);
    const { search, colour, show, slider } = parts;
    let waiting = 0;
    search.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => choose({ query: search.value.trim() }), PAUSE);
    });
    colour.addEventListener("change", () => choose({ colour: colour.value }));
    show.addEventListener("change", () => choose({ show: /** @type {Show} */ (show.value) }));
    slider.addEventListener("input", () => choose({ layer: Number(slider.value) }));
    parts.frame.dataset.theme = themeName();
    watchTheme(() => this.applyTheme(), signal);
    const sizes = new ResizeObserver(() => {
      if (!this.isOpened && parts.map.clientWidth) this.openSource();
      if (this.scene && parts.map.clientWidth !== Number.parseInt(this.size)) this.arrange(this.scene);
    });
    sizes.observe(parts.map);
    signal.addEventListener("abort", () => {
      clearTimeout(waiting);
      sizes.disconnect();
    });
  }

  destroy() {
    this.ended.abort();
    this.root.replaceChildren();
  }

  /** @type {(scene: Scene, movement?: Movement) => void} */
  draw(scene, movement = {}) {
    const { parts, choose } = this;
    const { state, tally } = scene;
    const before = this.scene;
    this.scene = scene;
    this.arrange(scene, movement);
    parts.crumbs.replaceChildren(...crumbs(scene, choose));
    parts.legend.replaceChildren(...legend(scene, choose));
    parts.source.replaceChildren(...source(scene, choose));
    const open = (/** @type {number} */ folder) => {
      choose({ folder });
      parts.contents.focus();
    };
    parts.table.replaceChildren(...table(scene, choose, open));
    if (tally !== before?.tally || state.query !== before.state.query) this.drawFound(scene);
    this.drawControls(scene);
    this.followLayer(state.layer, before !== null && state.layer !== before.state.layer);
    parts.status.textContent = statusOf(scene);
    this.map.describe(`Treemap of ${folderInWords(scene).join(", ")}. The table below has the same in words.`);
  }

  /** @type {(scene: Scene, movement?: Movement) => void} */
  arrange(scene, movement = {}) {
    const width = this.parts.map.clientWidth;
    if (!width) return;
    const height = Math.round(Math.min(Math.max(width * 0.62, 300), 560));
    const size = `${width} ${height} ${devicePixelRatio}`;
    const isSame = size === this.size;
    if (!isSame) this.map.resize(width, height);
    this.size = size;
    this.map.show(arrange(scene.tally, scene.state.folder, width, height), this.paint(scene), isSame ? movement : {});
  }

  /** How rectangles look in a scene, in the theme of now. @type {(scene: Scene) => Paint} */
  paint({ tally, colouring, matches }) {
    const styles = getComputedStyle(this.parts.frame);
    const colour = (/** @type {string} */ name) => styles.getPropertyValue(`--${name}`).trim();
    const known = /** @type {Map<Item, { look: Look, share: number }>} */ (new Map());
    return {
      theme: {
        background: colour("background"),
        text: colour("text"),
        folder: colour("folder"),
        inner: colour("inner"),
        focus: colour("focus"),
      },
      label: (item) => labelOf(this.model, item),
      fill: (item) =>
        cached(known, item, () => ({ look: lookOf(colouring, tally, item), share: shareOf(matches, item) })),
    };
  }

  /** Take over the theme of the page. */
  applyTheme() {
    this.parts.frame.dataset.theme = themeName();
    if (!this.scene) return;
    this.arrange(this.scene);
    this.parts.legend.replaceChildren(...legend(this.scene, this.choose));
  }

  /** @param {Scene} scene */
  drawControls({ state }) {
    const { show, colour, slider, layer } = this.parts;
    show.value = state.show;
    colour.value = state.colour;
    for (const option of colour.options) option.disabled = option.value === "change" && state.show !== "layer";
    slider.value = String(state.layer);
    const about = this.model.about.layers.length ? layerInWords(this.model, state.layer) : "no layers";
    slider.setAttribute("aria-valuetext", about);
    layer.textContent = about;
  }

  /** @param {Scene} scene */
  drawFound(scene) {
    this.parts.found.hidden = !scene.state.query;
    if (!scene.state.query) return;
    const { count, list } = found(scene, this.choose);
    this.parts.foundCount.textContent = count;
    this.parts.foundList.replaceChildren(...list);
  }

  /** Bring the first instruction to the top, once there is room: what stands above it are comments. */
  openSource() {
    const { source, pane } = this.parts;
    const first = this.model.about.source.rows.findIndex(({ text }) => /^\s*[^\s#]/.test(text));
    const line = source.rows[first];
    if (line) pane.scrollTop += line.getBoundingClientRect().top - pane.getBoundingClientRect().top;
    this.isOpened = Boolean(line);
  }

  /**
   * Mark the line of the layer that the slider is at, and bring it into view.
   * @type {(layer: number, isAnother: boolean) => void}
   */
  followLayer(layer, isAnother) {
    const { source, pane } = this.parts;
    const { layers, source: { rows } } = this.model.about;
    const line = source.rows[rows[layers[layer]?.row]?.first];
    line?.setAttribute("aria-current", "step");
    if (line && isAnother) pane.scrollTop = line.offsetTop - pane.clientHeight / 2;
  }

  /** Say what a rectangle is: beside it, and aloud where the keyboard went there. @type {Listener["point"]} */
  point(at, x, y, byKey = false) {
    const { hint, canvas, spoken } = this.parts;
    hint.hidden = !at;
    if (!at || !this.scene) return;
    const lines = linesOf(this.scene.tally, at.item);
    hint.replaceChildren(
      ...lines.map((line, number) => element("div", { class: number ? null : "path" }, nameText(line))),
    );
    hint.style.left = `${Math.max(Math.min(x + 14, canvas.clientWidth - hint.offsetWidth - 4), 0)}px`;
    const isLow = y + 16 + hint.offsetHeight > canvas.clientHeight + 40;
    hint.style.top = `${isLow ? Math.max(y - hint.offsetHeight - 10, 0) : y + 16}px`;
    if (byKey) spoken.textContent = `${lines.join(". ")}.${at.item.kind === "folder" ? " Folder." : ""}`;
  }
}
