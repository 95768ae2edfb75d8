// What is said of a rectangle: in the box beside the pointer, aloud, and in the table.

/** A line of the Dockerfile, or a layer's entry in the history, in words; empty where it is not known. */
function rowInWords(model, row) {
  if (row < 0) return "";
  const { name, rows } = model.about.source;
  return name ? `line ${rows[row].number}` : "";
}

function layerInWords(model, layer) {
  const { instruction, row } = model.about.layers[layer];
  const line = rowInWords(model, row);
  return `layer ${layer}${line ? ` (${line})` : ""}${instruction ? `: ${cut(instruction, 90)}` : ""}`;
}

/** What became of an entry, where there is something to say. */
function fateOf(model, tallied, entry) {
  const by = model.gone[entry];
  const state = tallied.state[entry];
  if (state === WASTED) return `wasted: ${model.about.causes[model.causes[entry]] ?? "taken away"} by layer ${by}`;
  return state >= ADDED ? `${STATE_NAMES[state]} by layer ${tallied.layer}` : "";
}

/** A rectangle in lines of text: its path, and what is known of it. */
function linesOf(model, tallied, item) {
  const whole = tallied.nodeBytes[0];
  const percent = `${((100 * item.bytes) / Math.max(whole, 1)).toFixed(1)} % of what is shown`;
  const files = filesInWords(item.files);
  if (item.kind !== "entry") {
    const path = pathOf(model, item.node);
    const name = item.kind === "rest" ? `${item.items.length.toLocaleString("en")} small things in ${path}` : path;
    const about = summaryOf(model, tallied, item);
    const from = about.from ? `, from ${about.from}` : "";
    return [name, `${bytesInWords(item.bytes)}, ${percent}, ${files}`, `layer ${about.layer}${from}`, about.owner];
  }
  const { entry, node } = item;
  const row = model.rows[entry];
  const stage = model.stages[entry] < 0 ? "" : `, ${model.about.stages[model.stages[entry]]}`;
  const from = row >= 0 && row !== model.about.layers[model.layers[entry]].row ? rowInWords(model, row) : "";
  return [
    item.files > 1 ? `${item.files} small files in ${pathOf(model, model.parent[node])}` : pathOf(model, node),
    `${bytesInWords(item.bytes)}, ${percent}`,
    layerInWords(model, model.layers[entry]),
    from ? `made by ${from}${stage}` : stage.slice(2),
    `${ownerOf(model, entry)}; ${model.about.parts[model.parts[entry]] ?? "part not known"}`,
    fateOf(model, tallied, entry),
    model.judged[entry] < 0 ? "" : `maybe not needed: ${model.about.judgements[model.judged[entry]]}`,
  ].filter(Boolean);
}

function ownerOf(model, entry) {
  return model.about.owners[model.owners[entry]];
}

/** Layers, lines and owners of all that is in an item, in a few words each. */
function summaryOf(model, tallied, item) {
  const [layers, rows, owners] = [new Map(), new Set(), new Map()];
  eachEntry(model, tallied, item, (entry) => {
    layers.set(model.layers[entry], true);
    if (model.rows[entry] >= 0) rows.add(model.rows[entry]);
    const owner = model.owners[entry];
    owners.set(owner, (owners.get(owner) ?? 0) + tallied.bytes[entry]);
  });
  const lines = [...rows].map((row) => model.about.source.rows[row].number).filter((number) => number !== null);
  const largest = [...owners].sort((a, b) => b[1] - a[1]).map(([owner]) => model.about.owners[owner]);
  const more = largest.length > 1 ? ` and ${largest.length - 1} more` : "";
  return {
    layer: span([...layers.keys()]),
    from: model.about.source.name && lines.length ? `line${rows.size > 1 ? "s" : ""} ${span(lines)}` : "",
    owner: largest.length ? `${largest[0]}${more}` : "",
  };
}

/** Each entry of an item that is shown and is a file, a link or the like. */
function eachEntry(model, tallied, item, tell) {
  if (item.kind === "entry") return tell(item.entry);
  if (item.kind === "rest") return item.items.forEach((inner) => eachEntry(model, tallied, inner, tell));
  for (let entry = model.first[item.node], stop = model.first[model.end[item.node]]; entry < stop; entry++) {
    if (tallied.state[entry] && model.kinds[entry] !== DIRECTORY) tell(entry);
  }
}

/** Numbers as "3" or "3–15". */
function span(numbers) {
  if (!numbers.length) return "";
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  return low === high ? `${low}` : `${low}–${high}`;
}

function cut(text, limit) {
  return text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
}

/** The rows of the table of a folder, the largest first; those without bytes, too. */
function listing(model, tallied, folder) {
  const items = [];
  const add = (owner) => {
    for (let entry = model.first[owner]; entry < model.first[owner + 1]; entry++) {
      if (!tallied.state[entry] || model.kinds[entry] === DIRECTORY) continue;
      items.push({ kind: "entry", node: owner, entry, bytes: tallied.bytes[entry], files: model.files[entry] });
    }
  };
  add(folder);
  for (let child = folder + 1; child < model.end[folder]; child = model.end[child]) {
    const isFolder = model.end[child] > child + 1;
    if (isFolder && tallied.nodeFiles[child]) items.push(folderItem(model, tallied, child));
    else if (!isFolder) add(child);
  }
  return items.sort((a, b) => b.bytes - a.bytes);
}

function tableRow(model, tallied, item) {
  const about = summaryOf(model, tallied, item);
  return {
    ...item,
    ...about,
    name: model.names[item.node] || "/",
    isFolder: item.kind === "folder",
    note: item.kind === "entry" ? fateOf(model, tallied, item.entry) : "",
  };
}
