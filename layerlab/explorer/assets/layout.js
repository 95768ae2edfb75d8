// Where each rectangle is: d3's squarified treemap of what is large enough to be seen.

const SMALLEST = 16; // square pixels: what is smaller is put together with its neighbours
const SMALLEST_FOLDER = 700; // square pixels: a smaller folder is one rectangle
const DEEPEST = 7; // folders in each other
const HEADER = 17; // pixels for a folder's name

/**
 * The rectangles of what is in a folder.
 *
 * @returns d3's hierarchy; each element's `data` has `node`, `bytes`, `files`, and a `kind`: "folder" (with children, or
 *   too small to be opened), "entry" (a file, with its `entry`), "rest" (what is too small, with its `items`).
 */
function arrange(model, tallied, folder, width, height) {
  const perByte = (width * height) / Math.max(tallied.nodeBytes[folder], 1);
  const tree = d3.hierarchy(folderItem(model, tallied, folder), (item) =>
    item.kind === "folder" ? itemsOf(model, tallied, item, perByte, folder) : null,
  );
  tree.eachAfter((at) => (at.value = at.data.bytes));
  tree.sort((a, b) => (a.data.kind === "rest") - (b.data.kind === "rest") || b.value - a.value);
  d3
    .treemap()
    .size([width, height])
    .round(true)
    .paddingInner(1)
    .paddingOuter((at) => (at.depth ? 2 : 0))
    .paddingTop((at) => (at.depth && at.x1 - at.x0 > 24 && at.y1 - at.y0 > 2 * HEADER ? HEADER : at.depth ? 2 : 0))(tree);
  return tree;
}

function folderItem(model, tallied, node) {
  return { kind: "folder", node, bytes: tallied.nodeBytes[node], files: tallied.nodeFiles[node], depth: 0 };
}

/** What is in a folder, as items: folders that hold nothing but one folder are passed through. */
function itemsOf(model, tallied, item, perByte, top) {
  const isTop = item.node === top;
  if (!isTop && (item.bytes * perByte < SMALLEST_FOLDER || item.depth >= DEEPEST)) return null;
  const shown = [];
  const small = { kind: "rest", node: item.node, bytes: 0, files: 0, items: [] };
  for (const child of contents(model, tallied, item.node)) {
    child.depth = item.depth + 1;
    if (child.bytes * perByte >= SMALLEST) shown.push(child.kind === "folder" ? passedThrough(model, tallied, child) : child);
    else {
      small.items.push(child);
      small.bytes += child.bytes;
      small.files += child.files;
    }
  }
  if (small.bytes * perByte >= 1) shown.push(small);
  return shown.length ? shown : null;
}

/** What is directly in a folder and has bytes: folders, and an item for each version of each file. */
function contents(model, tallied, node) {
  const found = [];
  const add = (owner) => {
    for (let entry = model.first[owner]; entry < model.first[owner + 1]; entry++) {
      if (tallied.state[entry] && tallied.bytes[entry]) {
        found.push({ kind: "entry", node: owner, entry, bytes: tallied.bytes[entry], files: model.files[entry] });
      }
    }
  };
  add(node); // a path that is a folder in one layer and a file in another
  for (let child = node + 1; child < model.end[node]; child = model.end[child]) {
    if (!tallied.nodeBytes[child]) continue;
    if (model.end[child] > child + 1) found.push(folderItem(model, tallied, child));
    else add(child);
  }
  return found;
}

/** The innermost of folders that hold nothing but the next one. */
function passedThrough(model, tallied, item) {
  let node = item.node;
  for (;;) {
    const inside = contents(model, tallied, node);
    if (inside.length !== 1 || inside[0].kind !== "folder") break;
    node = inside[0].node;
  }
  return { ...item, node, outer: item.node };
}

/** The innermost rectangle at a point; null outside. */
function rectangleAt(tree, x, y) {
  const holds = (at) => x >= at.x0 && x < at.x1 && y >= at.y0 && y < at.y1;
  let found = holds(tree) ? tree : null;
  while (found?.children) {
    const next = found.children.find(holds);
    if (!next) break;
    found = next;
  }
  return found;
}

/** The next of a folder's rectangles in a direction, given as a step such as [1, 0]; the same one at the edge. */
function neighbour(siblings, from, [dx, dy]) {
  const middle = (at) => [(at.x0 + at.x1) / 2, (at.y0 + at.y1) / 2];
  const [x, y] = middle(from);
  let best = from;
  let least = Infinity;
  for (const at of siblings) {
    if (at === from) continue;
    const [otherX, otherY] = middle(at);
    const ahead = (otherX - x) * dx + (otherY - y) * dy;
    const aside = Math.abs((otherX - x) * dy) + Math.abs((otherY - y) * dx);
    if (ahead > 0 && ahead + 2 * aside < least) [best, least] = [at, ahead + 2 * aside];
  }
  return best;
}
