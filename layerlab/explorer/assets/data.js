// What layerlab/explorer/data.py packs, read into columns; and what of it is shown at a layer.

const FILE = 0;
const DIRECTORY = 1;

/** States of an entry: not shown; what a container sees; what is stored only; what a layer did. */
const HIDDEN = 0;
const LIVE = 1;
const WASTED = 2;
const ADDED = 3;
const CHANGED = 4;
const REMOVED = 5;

/** Read the packed document (deflated JSON) into a model. */
async function unpack(bytes) {
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return modelOf(await new Response(inflated).json());
}

/** Nodes and entries as typed arrays; a folder's nodes are those from its own to `end`. */
function modelOf(document_) {
  const { nodes, entries, links, ...about } = document_;
  const count = nodes.names.length;
  const model = {
    about,
    links,
    count,
    names: nodes.names,
    parent: new Int32Array(count),
    end: new Int32Array(count).fill(count),
    first: new Int32Array(count + 1), // of each node's entries; those of the next node follow
    node: new Int32Array(entries.sizes.length),
    sizes: Float64Array.from(entries.sizes),
    paths: null,
  };
  for (const name of ["kinds", "layers", "gone", "causes", "owners", "parts", "stages", "rows", "judged", "files"]) {
    model[name] = Int32Array.from(entries[name]);
  }
  const open = []; // the nodes from the root to the last one
  let entry = 0;
  for (let node = 0; node < count; node++) {
    for (const depth = nodes.depths[node]; open.length > depth; ) model.end[open.pop()] = node;
    model.parent[node] = open.length ? open[open.length - 1] : -1;
    open.push(node);
    model.first[node] = entry;
    for (const stop = entry + nodes.counts[node]; entry < stop; entry++) model.node[entry] = node;
  }
  model.first[count] = entry;
  return model;
}

/** The path of a node; the root's is "/". */
function pathOf(model, node) {
  const parts = [];
  for (let at = node; at > 0; at = model.parent[at]) parts.push(model.names[at]);
  return `/${parts.reverse().join("/")}`;
}

/** All paths in lower case, for the search; made once. */
function searchable(model) {
  if (!model.paths) {
    model.paths = new Array(model.count);
    for (let node = 0; node < model.count; node++) {
      const before = node ? model.paths[model.parent[node]] : "";
      model.paths[node] = node ? `${before}/${model.names[node].toLowerCase()}` : "";
    }
  }
  return model.paths;
}

/**
 * What is shown of each entry, and the sums of each node.
 *
 * @param show "container": what a container would see if the image ended with this layer; "stored": that, and what
 *   these layers store although no container sees it; "layer": what this layer added, changed and removed.
 */
function tally(model, show, layer) {
  const { count, parent, node, kinds, sizes, layers, gone, files } = model;
  const entries = node.length;
  const state = new Uint8Array(entries);
  for (let entry = 0; entry < entries; entry++) {
    if (show === "layer") state[entry] = whatLayerDid(model, entry, layer);
    else if (layers[entry] > layer) state[entry] = HIDDEN;
    else if (gone[entry] < 0 || gone[entry] > layer) state[entry] = LIVE;
    else if (show === "stored" && kinds[entry] !== DIRECTORY) state[entry] = WASTED;
  }
  const bytes = new Float64Array(entries);
  for (let entry = 0; entry < entries; entry++) if (state[entry]) bytes[entry] = sizes[entry];
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
  return { show, layer, state, bytes, nodeBytes, nodeFiles };
}

/** What a layer did with an entry's path. A directory that it has again is no change of what is in it. */
function whatLayerDid(model, entry, layer) {
  const { node, first, kinds, layers, gone } = model;
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

/** Of the names of one inode, let one have the bytes: the first that is live, else the first that is shown. */
function countOnce(model, group, state, bytes, show, layer) {
  const shown = group.filter((entry) => state[entry]);
  if (!shown.length) return;
  let carrier = shown.find((entry) => state[entry] === LIVE) ?? shown[0];
  if (show === "layer") {
    const isNew = group.every((entry) => model.layers[entry] >= layer);
    const isLost = group.every((entry) => model.layers[entry] > layer || (model.gone[entry] >= 0 && model.gone[entry] <= layer));
    carrier = shown.find((entry) => (state[entry] === REMOVED ? isLost && !isNew : isNew));
  }
  for (const entry of shown) if (entry !== carrier) bytes[entry] = 0;
}

/** The sums of bytes below a node by a column's code, as a Map; nothing of entries that are not shown. */
function sumsBy(model, tallied, codes, from, to) {
  const sums = new Map();
  const { state, bytes } = tallied;
  for (let entry = model.first[from], stop = model.first[to]; entry < stop; entry++) {
    if (state[entry] && bytes[entry]) sums.set(codes[entry], (sums.get(codes[entry]) ?? 0) + bytes[entry]);
  }
  return sums;
}
