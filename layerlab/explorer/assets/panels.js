// What stands around the treemap. Names come from images that anybody may have made: they are only ever text.

/** An element with attributes, listeners (names that begin with "on"), and children; strings become text. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A name or path as text of a direction of its own, so that it does not turn what stands beside it around. */
function nameText(text) {
  return element("bdi", {}, text);
}

function bar(share, wasted = 0) {
  const made = element("span", { class: "bar", "aria-hidden": "true" });
  for (const [name, width] of [["live", share], ["wasted", wasted]]) {
    const part = element("span", { class: name });
    part.style.width = `${Math.max(width * 100, width > 0 ? 1 : 0)}%`;
    made.append(part);
  }
  return made;
}

/** The folders from the root to the one that is shown, each of which can be gone back to. */
function drawCrumbs(host, model, folder, open) {
  const chain = [];
  for (let node = folder; node >= 0; node = model.parent[node]) chain.unshift(node);
  host.replaceChildren(
    ...chain.map((node, place) => {
      const name = node ? model.names[node] : model.about.name;
      const isHere = place === chain.length - 1;
      const inside = isHere
        ? element("span", { "aria-current": "location" }, nameText(name))
        : element("button", { type: "button", onclick: () => open(node) }, nameText(name));
      return element("li", {}, inside);
    }),
  );
}

/** What the colours mean, the largest first; pressing one lets only that one stand out. */
function drawLegend(host, groups, pressed, press, drawSwatch) {
  host.replaceChildren(
    ...groups.map((group) => {
      const swatch = element("canvas", { class: "swatch", width: 28, height: 28, "aria-hidden": "true" });
      drawSwatch(swatch, group.look);
      return element(
        "li",
        {},
        element(
          "button",
          { type: "button", "aria-pressed": String(pressed === group.code), onclick: () => press(group.code) },
          swatch,
          nameText(group.name),
          element("span", { class: "amount" }, bytesInWords(group.bytes)),
        ),
      );
    }),
  );
}

/** The Dockerfile, or the history: each line with the bytes that came from it. */
function drawSource(host, rows, sums, pressed, press, of) {
  const most = Math.max(1, ...[...sums.values()].map(({ live, wasted }) => live + wasted));
  host.replaceChildren(
    ...rows.map((row, place) => {
      const sum = row.first === place ? sums.get(place) : undefined;
      const total = sum ? sum.live + sum.wasted : 0;
      const isPressed = pressed !== null && row.first === pressed;
      const text = element("code", {}, nameText(row.text || " "));
      const amount = total ? bytesInWords(total) : "";
      const title = sum?.wasted ? `${bytesInWords(sum.wasted)} of it wasted` : null;
      const attributes = { type: "button", "aria-pressed": String(isPressed), onclick: () => press(place), title };
      const inside = total ? element("button", attributes, text) : text;
      return element(
        "tr",
        { class: isPressed ? "pressed" : null },
        element("th", { scope: "row" }, row.number === null ? "" : `${of} ${row.number}`.trim()),
        element("td", { class: "amount" }, amount, total ? bar(sum.live / most, sum.wasted / most) : null),
        element("td", {}, inside),
      );
    }),
  );
}

/** What is in the folder that is shown: the same as the treemap says, as a table. */
function drawTable(host, caption, rows, total, open, more) {
  const head = ["Name", "Size", "Share", "Files", "Layer", "From", "Owner"];
  host.replaceChildren(
    element("caption", {}, ...caption),
    element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
    element(
      "tbody",
      {},
      ...rows.map((row) => {
        const name = nameText(row.name);
        return element(
          "tr",
          {},
          element(
            "th",
            { scope: "row" },
            row.isFolder ? element("button", { type: "button", onclick: () => open(row.node) }, name, "/") : name,
            row.note ? element("span", { class: "note" }, ` ${row.note}`) : null,
          ),
          element("td", { class: "number" }, bytesInWords(row.bytes)),
          element("td", { class: "number" }, `${((100 * row.bytes) / Math.max(total, 1)).toFixed(1)} %`),
          element("td", { class: "number" }, row.files.toLocaleString("en")),
          element("td", { class: "number" }, row.layer),
          element("td", {}, row.from),
          element("td", {}, nameText(row.owner)),
        );
      }),
      ...(more ? [element("tr", {}, element("td", { colspan: head.length }, more))] : []),
    ),
  );
}

/** The paths that a search has found, the largest first. */
function drawFound(host, model, found, open) {
  host.replaceChildren(
    ...found.map(({ node, bytes }) =>
      element(
        "li",
        {},
        element("button", { type: "button", onclick: () => open(node) }, nameText(pathOf(model, node))),
        element("span", { class: "amount" }, bytesInWords(bytes)),
      ),
    ),
  );
}
