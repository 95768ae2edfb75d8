// The treemap on its canvas: drawing, the pointer, the keyboard.

const ZOOM = 260; // milliseconds
const FADED = 0.14;
const FONT = "11px system-ui, sans-serif";
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const HELP =
  "Arrow keys go from one rectangle to the next, Enter opens a folder, Escape goes back to the folder around it, " +
  "Home to the whole image.";

/**
 * A treemap on a canvas.
 *
 * @param on `open(node)`, `close()`, `home()`, `point(rectangle, {x, y} or null)`: told what the user does.
 */
function mapOn(canvas, on) {
  const context = canvas.getContext("2d");
  const patterns = new Map();
  const widths = new Map();
  let tree = null;
  let paint = null; // what says how a rectangle looks; see `show`
  let selected = null;
  let pointed = null;
  let animation = 0;
  let scale = 1;

  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-roledescription", "treemap");

  const listen = {
    pointermove: (event) => point(rectangleUnder(event), { x: event.offsetX, y: event.offsetY }),
    pointerleave: () => point(null, null),
    click: (event) => {
      const at = rectangleUnder(event);
      if (at) openAt(at);
    },
    keydown: (event) => press(event),
    focus: () => {
      if (!selected && tree?.children) select(tree.children[0]);
    },
    blur: () => select(null),
  };
  for (const [name, listener] of Object.entries(listen)) canvas.addEventListener(name, listener);

  function rectangleUnder(event) {
    return tree && rectangleAt(tree, event.offsetX, event.offsetY);
  }

  function point(at, place) {
    const found = at && at.depth ? at : null;
    if (found !== pointed) {
      pointed = found;
      requestDraw();
    }
    on.point(found, place);
  }

  function select(at) {
    selected = at;
    requestDraw();
    on.point(at, at && { x: at.x0, y: at.y1, byKey: true });
  }

  /** A click opens the outermost folder below the one that is shown. */
  function openAt(at) {
    let outer = at;
    while (outer.depth > 1) outer = outer.parent;
    if (outer.depth && outer.data.kind === "folder") on.open(outer.data.node, outer);
  }

  function press(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || !tree) return;
    const siblings = tree.children ?? [];
    if (event.key in ARROWS && siblings.length) {
      select(selected ? neighbour(siblings, selected, ARROWS[event.key]) : siblings[0]);
    } else if (event.key === "Enter" || event.key === " ") {
      if (selected?.data.kind === "folder") on.open(selected.data.node, selected);
    } else if (event.key === "Escape" || event.key === "Backspace") {
      on.close();
    } else if (event.key === "Home") {
      on.home();
    } else return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab has meanings of its own for Escape and Enter
  }

  /** Take a new arrangement; from a rectangle of the old one that grows, to one of the new one that was all, or at once. */
  function show(newTree, newPaint, { from = null, to = null } = {}) {
    const before = from || to ? copy() : null;
    const hadFocus = selected !== null;
    tree = newTree;
    paint = newPaint;
    pointed = null;
    selected = null;
    patterns.clear();
    if (before && !matchMedia("(prefers-reduced-motion: reduce)").matches) animate(before, from, to);
    else requestDraw();
    if (hadFocus && tree.children) select(to ? nearest(to) : tree.children[0]);
  }

  /** The rectangle of the new arrangement that stands for a node or holds it. */
  function nearest(node) {
    return tree.children.find((at) => holdsNode(at, node)) ?? tree.children[0];
  }

  function holdsNode(at, node) {
    return at.data.kind === "folder" && (at.data.node === node || at.data.outer === node);
  }

  function resize(width, height) {
    scale = Math.min(window.devicePixelRatio || 1, 2);
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.height = `${height}px`;
    patterns.clear();
  }

  let asked = 0;
  function requestDraw() {
    if (!asked && !animation) {
      asked = requestAnimationFrame(() => {
        asked = 0;
        draw();
      });
    }
  }

  function copy() {
    const still = document.createElement("canvas");
    still.width = canvas.width;
    still.height = canvas.height;
    if (canvas.width && canvas.height) still.getContext("2d").drawImage(canvas, 0, 0);
    return still;
  }

  /** Two pictures, one over the other: the old one grows out of the frame, or shrinks into its place in the new one. */
  function animate(before, from, to) {
    cancelAnimationFrame(animation);
    draw();
    const after = copy();
    const place = from ?? nearestRectangle(to);
    const whole = { x0: 0, y0: 0, x1: canvas.width / scale, y1: canvas.height / scale };
    const began = performance.now();
    const step = (now) => {
      const share = Math.min((now - began) / ZOOM, 1);
      const eased = share * (2 - share);
      const grown = from ? eased : 1 - eased;
      const inner = between(place, whole, grown); // where the small one of the two is
      const outer = around(place, inner, whole); // where the other one is, of which it is a part
      const [small, large] = from ? [after, before] : [before, after];
      context.setTransform(scale, 0, 0, scale, 0, 0);
      context.clearRect(0, 0, whole.x1, whole.y1);
      context.globalAlpha = 1;
      stretch(large, outer);
      context.globalAlpha = grown;
      stretch(small, inner);
      context.globalAlpha = 1;
      animation = share < 1 ? requestAnimationFrame(step) : 0;
      if (!animation) draw();
    };
    animation = requestAnimationFrame(step);
  }

  function nearestRectangle(node) {
    return tree.children ? nearest(node) : tree;
  }

  function between(one, other, share) {
    const mixed = {};
    for (const side of ["x0", "y0", "x1", "y1"]) mixed[side] = one[side] + (other[side] - one[side]) * share;
    return mixed;
  }

  function around(place, inner, whole) {
    const across = (inner.x1 - inner.x0) / Math.max(place.x1 - place.x0, 1);
    const down = (inner.y1 - inner.y0) / Math.max(place.y1 - place.y0, 1);
    const x0 = inner.x0 - place.x0 * across;
    const y0 = inner.y0 - place.y0 * down;
    return { x0, y0, x1: x0 + whole.x1 * across, y1: y0 + whole.y1 * down };
  }

  function stretch(picture, { x0, y0, x1, y1 }) {
    context.drawImage(picture, x0, y0, x1 - x0, y1 - y0);
  }

  function draw() {
    if (!tree || !canvas.width) return;
    const theme = paint.theme();
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.globalAlpha = 1;
    context.fillStyle = theme.background;
    context.fillRect(0, 0, canvas.width / scale, canvas.height / scale);
    context.font = FONT;
    context.textBaseline = "middle";
    if (!tree.children) {
      context.fillStyle = theme.text;
      context.fillText("Nothing here has any bytes.", 12, 20);
      return;
    }
    tree.each((at) => {
      if (!at.depth || at.x1 - at.x0 < 1 || at.y1 - at.y0 < 1) return;
      if (at.children) drawFolder(at, theme);
      else drawLeaf(at);
    });
    outline(pointed, theme.text, 1.5);
    if (selected) {
      outline(selected, theme.background, 5);
      outline(selected, theme.focus, 3);
    }
  }

  function drawFolder(at, theme) {
    const width = at.x1 - at.x0;
    context.fillStyle = at.depth % 2 ? theme.folder : theme.inner;
    context.fillRect(at.x0, at.y0, width, at.y1 - at.y0);
    const room = at.children[0] ? Math.min(...at.children.map((child) => child.y0)) - at.y0 : 0;
    if (room < HEADER || width < 30) return;
    context.fillStyle = theme.text;
    const size = bytesInWords(at.value);
    const name = shortened(paint.label(at), width - 8);
    context.fillText(name, at.x0 + 4, at.y0 + HEADER / 2);
    const used = widthOf(name) + 16;
    if (used + widthOf(size) < width) context.fillText(size, at.x1 - 4 - widthOf(size), at.y0 + HEADER / 2);
  }

  function drawLeaf(at) {
    const { x0, y0, x1, y1 } = at;
    const [width, height] = [x1 - x0, y1 - y0];
    const { look, share } = paint.of(at);
    context.globalAlpha = FADED + (1 - FADED) * share;
    context.fillStyle = fillOf(context, look, patterns);
    context.fillRect(x0, y0, width, height);
    if (width > 34 && height > 15 && share > 0.5) {
      const name = shortened(paint.label(at), width - 8);
      if (name) {
        const twoLines = height > 32;
        const y = y0 + (twoLines ? 10 : Math.min(height / 2, 10));
        labelled(name, x0 + 3, y, look);
        if (twoLines) {
          const size = bytesInWords(at.value);
          if (widthOf(size) < width - 8) labelled(size, x0 + 3, y + 14, look);
        }
      }
    }
    context.globalAlpha = 1;
  }

  /** Text on a strip of the plain colour, so that no pattern runs through it. */
  function labelled(text, x, y, look) {
    if (look[1]) {
      context.fillStyle = look[0];
      context.fillRect(x - 1, y - 7, widthOf(text) + 4, 14);
    }
    context.fillStyle = inkOn(look[0]);
    context.fillText(text, x + 1, y);
  }

  function outline(at, colour, width) {
    if (!at) return;
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.strokeRect(at.x0 + width / 2, at.y0 + width / 2, at.x1 - at.x0 - width, at.y1 - at.y0 - width);
  }

  function widthOf(text) {
    if (widths.size > 5000) widths.clear();
    if (!widths.has(text)) widths.set(text, context.measureText(text).width);
    return widths.get(text);
  }

  /** As much of a name as there is room for. */
  function shortened(text, room) {
    if (widthOf(text) <= room) return text;
    let count = Math.floor((text.length * room) / widthOf(text));
    while (count > 1 && widthOf(`${text.slice(0, count)}…`) > room) count--;
    return count > 1 ? `${text.slice(0, count)}…` : "";
  }

  return {
    show,
    resize,
    redraw: requestDraw,
    describe: (words) => canvas.setAttribute("aria-label", `${words} ${HELP}`),
    get tree() {
      return tree;
    },
    get isAnimated() {
      return animation !== 0;
    },
    destroy() {
      cancelAnimationFrame(animation);
      cancelAnimationFrame(asked);
      for (const [name, listener] of Object.entries(listen)) canvas.removeEventListener(name, listener);
    },
  };
}

/** Bytes as the lab writes them: MB are 10^6 bytes. */
function bytesInWords(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 999_950) return `${(bytes / 1e3).toFixed(1)} kB`;
  return `${(bytes / 1e6).toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 })} MB`;
}

function filesInWords(count) {
  return `${count.toLocaleString("en")} file${count === 1 ? "" : "s"}`;
}
