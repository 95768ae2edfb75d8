// The explorer: what is chosen, and what follows from it.

const ROWS = 40; // of the table, before all are asked for
const FOUND = 60;
const LEGEND = 14;

/**
 * Show an image's files in an element.
 *
 * @param host The element; what it holds is replaced.
 * @param bytes What layerlab.explorer.data.packed() gives.
 * @returns A promise of a handle: `state`, `choose(changes)`, `destroy()`.
 */
async function mount(host, bytes) {
  const model = await unpack(bytes);
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLES);
  root.adoptedStyleSheets = [sheet];
  const parts = skeleton(model);
  root.replaceChildren(parts.frame);
  host.dataset.lmSuppressShortcuts = "true"; // what is typed here is no command to JupyterLab, such as to delete a cell

  const last = Math.max(model.about.layers.length - 1, 0);
  const colours = colourings(model);
  const state = { folder: 0, layer: last, show: "container", colour: "part", highlight: null, query: "", all: false };
  let tallied = tally(model, state.show, state.layer);
  let matches = null; // of what stands out: a flag per entry, and the bytes of each node; null for everything
  let shownIn = "";
  let followed = null; // the layer at which the Dockerfile was scrolled to

  const map = mapOn(parts.canvas, {
    open: (node, from) => choose({ folder: node }, { from }),
    close: () => {
      if (!state.folder) return;
      choose({ folder: outerFolder() }, { to: state.folder });
    },
    home: () => choose({ folder: 0 }),
    point,
  });

  /** The folder around the one that is shown: the next one that holds anything else. */
  function outerFolder() {
    let node = model.parent[state.folder];
    while (node > 0 && contents(model, tallied, node).length === 1) node = model.parent[node];
    return node;
  }

  /** Change what is chosen, and show what follows. */
  function choose(changes, movement = {}) {
    const before = { ...state };
    Object.assign(state, changes);
    if (state.show === "layer" && before.show !== "layer" && !changes.colour) state.colour = "change";
    if (state.show !== "layer" && state.colour === "change") state.colour = "part";
    if (state.colour === "waste" && before.colour !== "waste" && state.show === "container") state.show = "stored";
    if (before.colour !== state.colour && state.highlight?.by === "group") state.highlight = null;
    const isCounted = state.show !== before.show || state.layer !== before.layer;
    if (isCounted) tallied = tally(model, state.show, state.layer);
    if (state.folder !== before.folder) state.all = false;
    update(movement, isCounted || state.query !== before.query);
  }

  function update(movement, isSearched) {
    matches = matching();
    arrangeMap(movement);
    const { folder } = state;
    drawCrumbs(parts.crumbs, model, folder, (node) => choose({ folder: node }, node ? {} : { to: folder }));
    drawControls();
    updateLegend();
    updateSource();
    updateTable();
    if (isSearched) updateFound();
    followLayer();
    const what = `${bytesInWords(tallied.nodeBytes[folder])} in ${filesInWords(tallied.nodeFiles[folder])}`;
    const where = folder ? pathOf(model, folder) : model.about.name;
    parts.status.textContent = `${where}: ${what}; ${SHOWS[state.show]}, coloured by ${colours[state.colour].title}.${
      state.show === "layer" ? deeds() : ""
    }`;
    map.describe(`Treemap of ${where}, ${what}. The table below has the same in words.`);
  }

  function arrangeMap(movement = {}) {
    const width = parts.canvas.parentElement.clientWidth;
    if (!width) return;
    const height = Math.round(Math.min(Math.max(width * 0.62, 300), 560));
    const size = `${width} ${height} ${window.devicePixelRatio}`;
    if (size !== shownIn) {
      map.resize(width, height);
      movement = {};
      shownIn = size;
    }
    map.show(arrange(model, tallied, state.folder, width, height), paint(), movement);
  }

  /** How rectangles look now. */
  function paint() {
    const colouring = colours[state.colour];
    const known = new Map();
    const styles = getComputedStyle(parts.frame);
    const theme = Object.fromEntries(
      ["background", "text", "folder", "inner", "focus"].map((name) => [name, styles.getPropertyValue(`--${name}`).trim()]),
    );
    return {
      theme: () => theme,
      label: (at) => labelOf(at),
      of: (at) => {
        if (!known.has(at)) known.set(at, { look: colouring.look(mainCode(at.data, colouring)), share: shareOf(at.data) });
        return known.get(at);
      },
    };
  }

  function codeOf(colouring, entry) {
    return colouring.code ? colouring.code(entry, tallied.state[entry]) : tallied.state[entry];
  }

  /** The group that has most of a rectangle's bytes. */
  function mainCode(item, colouring) {
    if (item.kind === "entry") return codeOf(colouring, item.entry);
    const sums = new Map();
    eachEntry(model, tallied, item, (entry) => {
      const code = codeOf(colouring, entry);
      sums.set(code, (sums.get(code) ?? 0) + tallied.bytes[entry]);
    });
    let [main, most] = [-1, -1];
    for (const [code, sum] of sums) if (sum > most) [main, most] = [code, sum];
    return main;
  }

  function shareOf(item) {
    if (!matches) return 1;
    if (item.kind === "entry") return matches.entries[item.entry];
    const sum = item.kind === "rest" ? item.items.reduce((all, inner) => all + matchedBytes(inner), 0) : matchedBytes(item);
    return item.bytes ? sum / item.bytes : 0;
  }

  function matchedBytes(item) {
    return item.kind === "entry" ? matches.entries[item.entry] * item.bytes : matches.nodes[item.node];
  }

  function labelOf(at) {
    const { kind, node, outer, items } = at.data;
    if (kind === "rest") return `${items.length.toLocaleString("en")} small`;
    if (kind === "entry" || outer === undefined || outer === node) return model.names[node];
    const before = pathOf(model, model.parent[outer]);
    return pathOf(model, node).slice(before.length === 1 ? 1 : before.length + 1);
  }

  /** What stands out: what is searched for, and what the legend or the Dockerfile was asked for. */
  function matching() {
    const { query, highlight } = state;
    if (!query && !highlight) return null;
    const isFound = query ? searchFor(query) : () => true;
    const colouring = colours[state.colour];
    const first = (row) => (row < 0 ? -1 : model.about.source.rows[row].first);
    const isAsked = {
      group: (entry) => codeOf(colouring, entry) === highlight.code,
      row: (entry) => first(model.rows[entry]) === highlight.row,
    }[highlight?.by] ?? (() => true);
    const entries = new Uint8Array(model.node.length);
    const nodes = new Float64Array(model.count);
    for (let entry = 0; entry < entries.length; entry++) {
      if (!tallied.state[entry] || !isFound(model.node[entry]) || !isAsked(entry)) continue;
      entries[entry] = 1;
      nodes[model.node[entry]] += tallied.bytes[entry];
    }
    for (let node = model.count - 1; node > 0; node--) nodes[model.parent[node]] += nodes[node];
    return { entries, nodes };
  }

  function searchFor(query) {
    const paths = searchable(model);
    const wanted = query.toLowerCase();
    if (!/[*?]/.test(wanted)) return (node) => paths[node].includes(wanted);
    const escaped = wanted.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".");
    const pattern = new RegExp(`${escaped}$`, "s");
    return (node) => pattern.test(paths[node]);
  }

  function updateFound() {
    parts.found.hidden = !state.query;
    if (!state.query) return;
    const isFound = searchFor(state.query);
    const found = [];
    let files = 0;
    for (let node = 1; node < model.count; node++) {
      if (!isFound(node)) continue;
      const isThere = tallied.nodeFiles[node] || hasEntry(node);
      if (isThere && !isFound(model.parent[node])) {
        found.push({ node, bytes: tallied.nodeBytes[node] });
        files += tallied.nodeFiles[node];
      }
    }
    found.sort((a, b) => b.bytes - a.bytes);
    const sum = found.reduce((all, one) => all + one.bytes, 0);
    const more = found.length > FOUND ? `, of which the ${FOUND} largest are listed` : "";
    parts.foundCount.textContent = found.length
      ? `${found.length.toLocaleString("en")} found, ${bytesInWords(sum)} in ${filesInWords(files)}${more}.`
      : "Nothing found.";
    drawFound(parts.foundList, model, found.slice(0, FOUND), (node) => {
      const isFolder = model.end[node] > node + 1;
      choose({ folder: isFolder ? node : model.parent[node] });
    });
  }

  function hasEntry(node) {
    for (let entry = model.first[node]; entry < model.first[node + 1]; entry++) if (tallied.state[entry]) return true;
    return false;
  }

  function drawControls() {
    parts.show.value = state.show;
    parts.colour.value = state.colour;
    for (const option of parts.colour.options) option.disabled = option.value === "change" && state.show !== "layer";
    parts.slider.value = state.layer;
    const about = model.about.layers.length ? layerInWords(model, state.layer) : "no layers";
    parts.slider.setAttribute("aria-valuetext", about);
    parts.layer.textContent = about;
  }

  /** What a layer did, in figures. */
  function deeds() {
    const sums = { [ADDED]: [0, 0], [CHANGED]: [0, 0], [REMOVED]: [0, 0] };
    for (let entry = 0; entry < tallied.state.length; entry++) {
      const sum = sums[tallied.state[entry]];
      if (!sum) continue;
      sum[0] += tallied.bytes[entry];
      sum[1] += model.files[entry];
    }
    const said = Object.entries(sums)
      .filter(([, [, files]]) => files)
      .map(([code, [size, files]]) => `${STATE_NAMES[code]} ${bytesInWords(size)} in ${filesInWords(files)}`);
    return ` Layer ${state.layer} ${said.join(", ") || "did nothing to any file"}.`;
  }

  function updateLegend() {
    const colouring = colours[state.colour];
    const sums = new Map();
    eachEntry(model, tallied, { kind: "folder", node: state.folder }, (entry) => {
      const code = codeOf(colouring, entry);
      if (tallied.bytes[entry]) sums.set(code, (sums.get(code) ?? 0) + tallied.bytes[entry]);
    });
    const groups = [...sums].map(([code, size]) => ({ code, bytes: size, name: colouring.name(code), look: colouring.look(code) }));
    groups.sort((a, b) => (state.colour === "layer" ? a.code - b.code : b.bytes - a.bytes));
    const shown = state.colour === "layer" ? groups : groups.slice(0, LEGEND);
    const pressed = state.highlight?.by === "group" ? state.highlight.code : null;
    drawLegend(
      parts.legend,
      shown,
      pressed,
      (code) => choose({ highlight: pressed === code ? null : { by: "group", code } }),
      (canvas, look) => {
        const pen = canvas.getContext("2d");
        pen.scale(2, 2);
        pen.fillStyle = fillOf(pen, look, new Map());
        pen.fillRect(0, 0, 14, 14);
      },
    );
  }

  function updateSource() {
    const sums = new Map();
    for (let entry = 0; entry < tallied.state.length; entry++) {
      const row = model.rows[entry];
      if (row < 0 || !tallied.bytes[entry] || !tallied.state[entry]) continue;
      const first = model.about.source.rows[row].first;
      if (!sums.has(first)) sums.set(first, { live: 0, wasted: 0 });
      const isLost = tallied.state[entry] === WASTED || tallied.state[entry] === REMOVED;
      sums.get(first)[isLost ? "wasted" : "live"] += tallied.bytes[entry];
    }
    const pressed = state.highlight?.by === "row" ? state.highlight.row : null;
    const press = (row) => choose({ highlight: pressed === row ? null : { by: "row", row } });
    drawSource(parts.source, model.about.source.rows, sums, pressed, press, model.about.source.name ? "" : "layer");
  }

  /** Mark the line of the layer that the slider is at, and let the Dockerfile follow it. */
  function followLayer() {
    const row = model.about.layers[state.layer]?.row ?? -1;
    const line = row >= 0 ? parts.source.rows[model.about.source.rows[row].first] : null;
    if (!line) return;
    line.setAttribute("aria-current", "step");
    const pane = parts.source.closest(".source");
    if (state.layer === followed) return;
    if (followed !== null) pane.scrollTop = line.offsetTop - pane.clientHeight / 2;
    followed = state.layer;
  }

  function updateTable() {
    const items = listing(model, tallied, state.folder);
    const shown = state.all ? items : items.slice(0, ROWS);
    const show = () => choose({ all: true });
    const more =
      shown.length < items.length
        ? element("button", { type: "button", onclick: show }, `Show all ${items.length.toLocaleString("en")}`)
        : null;
    const caption = ["What is in ", state.folder ? nameText(pathOf(model, state.folder)) : "the image", ", the largest first"];
    const rows = shown.map((item) => tableRow(model, tallied, item));
    const open = (node) => {
      choose({ folder: node });
      parts.table.parentElement.focus();
    };
    drawTable(parts.table, caption, rows, tallied.nodeBytes[state.folder], open, more);
  }

  /** Say what a rectangle is: beside it, and aloud where the keyboard went there. */
  function point(at, place) {
    parts.hint.hidden = !at;
    if (!at) return;
    const lines = linesOf(model, tallied, at.data);
    const [path, ...rest] = lines.map((line, number) => element("div", { class: number ? null : "path" }, nameText(line)));
    parts.hint.replaceChildren(path, ...rest);
    const room = parts.canvas.clientWidth;
    parts.hint.style.left = `${Math.max(Math.min(place.x + 14, room - parts.hint.offsetWidth - 4), 0)}px`;
    const below = place.y + 16;
    const isLow = below + parts.hint.offsetHeight > parts.canvas.clientHeight + 40;
    parts.hint.style.top = `${isLow ? Math.max(place.y - parts.hint.offsetHeight - 10, 0) : below}px`;
    if (place.byKey) parts.spoken.textContent = `${lines.join(". ")}.${at.data.kind === "folder" ? " Folder." : ""}`;
  }

  // What listens.
  const redraw = () => {
    parts.frame.dataset.theme = themeName();
    arrangeMap();
    updateLegend();
  };
  const watching = watchTheme(redraw);
  parts.frame.dataset.theme = themeName();
  let waiting = 0;
  parts.search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => choose({ query: parts.search.value.trim() }), 150);
  });
  parts.colour.append(...Object.entries(colours).map(([key, { title }]) => element("option", { value: key }, title)));
  parts.colour.addEventListener("change", () => choose({ colour: parts.colour.value }));
  parts.show.addEventListener("change", () => choose({ show: parts.show.value }));
  parts.slider.addEventListener("input", () => choose({ layer: Number(parts.slider.value) }));
  const sizes = new ResizeObserver(() => {
    if (`${parts.canvas.parentElement.clientWidth}` !== shownIn.split(" ")[0]) arrangeMap();
  });
  sizes.observe(parts.canvas.parentElement);
  update({}, true);
  return {
    state,
    choose,
    map,
    model,
    get tallied() {
      return tallied;
    },
    destroy() {
      watching();
      sizes.disconnect();
      clearTimeout(waiting);
      map.destroy();
      root.replaceChildren();
    },
  };
}
