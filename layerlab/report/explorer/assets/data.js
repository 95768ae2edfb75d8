// @ts-check
// What layerlab/report/explorer/data.py packs, read into columns.

/**
 * A line of the Dockerfile or of the history; `first` is the row that its instruction begins on.
 * @typedef {{ number: number | null, text: string, first: number }} Row
 *
 * How something looks: its colour, matplotlib's name of a pattern ("" for none), and the pattern's colour.
 * @typedef {[fill: string, hatch: string, ink: string]} Look
 *
 * What is said of each entry.
 * @typedef {"kinds" | "files" | "layers" | "gone" | "causes" | "owners" | "parts" | "stages" | "rows" | "judged"
 * } Column
 *
 * What is sent; layerlab/report/explorer/data.py says what each of it means.
 * @typedef {{
 *   name: string,
 *   layers: { instruction: string, row: number }[],
 *   source: { name: string, rows: Row[] },
 *   owners: string[],
 *   parts: string[],
 *   stages: string[],
 *   causes: string[],
 *   judgements: string[],
 *   looks: Record<"parts" | "causes", Record<string, Look>>,
 *   nodes: { names: string[], depths: number[], counts: number[] },
 *   entries: Record<Column | "sizes", number[]>,
 *   links: number[][],
 * }} Packed
 *
 * The same, to be worked with.
 * @typedef {ReturnType<typeof modelOf>} Model
 */

export const DIRECTORY = 1;

/** Read the packed document (deflated JSON) into a model. @type {(bytes: BlobPart) => Promise<Model>} */
export async function unpack(bytes) {
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return modelOf(await new Response(inflated).json());
}

/**
 * Nodes and entries as typed arrays; a folder's nodes are those from its own to `end`.
 * @param {Packed} packed
 */
function modelOf({ nodes, entries, links, ...about }) {
  const count = nodes.names.length;
  const columns = Object.entries(entries).map(([name, values]) => [name, Int32Array.from(values)]);
  const model = {
    about,
    links,
    count,
    names: nodes.names,
    parent: new Int32Array(count),
    end: new Int32Array(count).fill(count),
    first: new Int32Array(count + 1), // of each node's entries; those of the next node follow
    node: new Int32Array(entries.sizes.length),
    .../** @type {Record<Column, Int32Array>} */ (Object.fromEntries(columns)),
    sizes: Float64Array.from(entries.sizes),
    paths: /** @type {string[]} */ ([]), // in lower case; see `lowerCasePaths`
  };
  const open = []; // the nodes from the root to the last one
  let entry = 0;
  for (let node = 0; node < count; node++) {
    for (const depth = nodes.depths[node]; open.length > depth;) model.end[open.pop() ?? 0] = node;
    model.parent[node] = open.at(-1) ?? -1;
    open.push(node);
    model.first[node] = entry;
    for (const stop = entry + nodes.counts[node]; entry < stop; entry++) model.node[entry] = node;
  }
  model.first[count] = entry;
  return model;
}

/** The nodes from the root to this one. @type {(model: Model, node: number) => number[]} */
export function chainOf(model, node) {
  const chain = [];
  for (let at = node; at >= 0; at = model.parent[at]) chain.push(at);
  return chain.reverse();
}

/** The path of a node; the root's is "/". @type {(model: Model, node: number) => string} */
export function pathOf(model, node) {
  return `/${chainOf(model, node).slice(1).map((at) => model.names[at]).join("/")}`;
}

/** All paths in lower case, for the search; made once. @type {(model: Model) => string[]} */
export function lowerCasePaths({ names, parent, paths }) {
  if (!paths.length) {
    paths.push("");
    for (let node = 1; node < names.length; node++) paths.push(`${paths[parent[node]]}/${names[node].toLowerCase()}`);
  }
  return paths;
}

/**
 * The row on which the instruction begins that an entry came from; -1 for none.
 * @type {(model: Model, entry: number) => number}
 */
export function firstRow({ about, rows }, entry) {
  return rows[entry] < 0 ? -1 : about.source.rows[rows[entry]].first;
}
