// Colours and patterns: one for each thing that is told apart, the same as in the lab's pictures where those have one.

const INK = "#24262b";
const PAPER = "#ffffff";
const OTHERS = ["#dcdad4", "", INK];

/**
 * Colours after Paul Tol's "muted" scheme, which the common kinds of colour vision tell apart, each with a pattern of
 * its own, so that it never depends on the colour alone.
 */
const PALETTE = [
  ["#44aa99", "", INK],
  ["#882255", "//", "#c98aa5"],
  ["#ddcc77", "..", "#8a7a2b"],
  ["#332288", "\\\\", "#8f84c9"],
  ["#88ccee", "xx", "#4f93b5"],
  ["#cc6677", "--", "#8f3444"],
  ["#117733", "oo", "#6db588"],
  ["#aa4499", "..", "#e0a6d6"],
  ["#999933", "//", "#5f5f14"],
  ["#6699cc", "--", "#2f5f8f"],
];
const STATES = {
  [ADDED]: ["#0072b2", "", INK],
  [CHANGED]: ["#f0e442", "//", "#8a8000"],
  [REMOVED]: ["#d55e00", "xx", "#ffb784"],
};
const STATE_NAMES = { [ADDED]: "added", [CHANGED]: "changed", [REMOVED]: "removed" };
/** From the lowest layer to the highest: a scale that grows lighter all the way, for every kind of colour vision. */
const SCALE = ["#00204d", "#31446b", "#666970", "#958f78", "#cbba69", "#ffea46"];
const LAYER_PATTERNS = ["", "//", "..", "xx", "--", "oo"];

/** The ways to colour, by their keys: what they are called, and for an entry the code of its group. */
function colourings(model) {
  const named = (title, column, names, looks) => ({
    title,
    code: (entry) => model[column][entry],
    name: (code) => names[code] ?? "not known",
    look: (code) => looks[code] ?? OTHERS,
  });
  const found = {
    part: named("part", "parts", model.about.parts, model.about.parts.map((name) => model.about.looks.parts[name])),
    layer: {
      title: "layer",
      code: (entry) => model.layers[entry],
      name: (code) => `layer ${code}`,
      look: (code) => layerLook(code, model.about.layers.length),
    },
    owner: ranked(model, "owner", "owners", model.about.owners, model.about.owners.length - 1),
  };
  if (model.about.stages.length) found.stage = ranked(model, "stage", "stages", model.about.stages, -1);
  found.waste = wasteColouring(model);
  found.change = {
    title: "what the layer did",
    code: null, // the state
    name: (code) => STATE_NAMES[code] ?? "as it was",
    look: (code) => STATES[code] ?? OTHERS,
  };
  return found;
}

/** Groups of which the largest have looks of their own, and the others one in common. */
function ranked(model, title, column, names, nobody) {
  const everything = tally(model, "stored", model.about.layers.length - 1);
  const sums = sumsBy(model, everything, model[column], 0, model.count);
  const order = [...sums.keys()].filter((code) => code >= 0 && code !== nobody).sort((a, b) => sums.get(b) - sums.get(a));
  const looks = new Map(order.slice(0, PALETTE.length).map((code, rank) => [code, PALETTE[rank]]));
  const REST = -2;
  return {
    title,
    code: (entry) => {
      const code = model[column][entry];
      return looks.has(code) || code === nobody || code < 0 ? code : REST;
    },
    name: (code) => (code === REST ? `the other ${order.length - looks.size}` : names[code] ?? "not known"),
    look: (code) => looks.get(code) ?? (code === REST ? ["#bbbbbb", "oo", "#8c8c8c"] : OTHERS),
  };
}

/** Waste as a fact by its cause; what is only judged to be waste, where that is known; and all the rest. */
function wasteColouring(model) {
  const FACTS = 1000;
  return {
    title: "waste",
    code: (entry, state) => (state === WASTED ? FACTS + model.causes[entry] : model.judged[entry]),
    name: (code) => {
      if (code >= FACTS) return `wasted: ${model.about.causes[code - FACTS] ?? "not known why"}`;
      return code < 0 ? "a container sees it" : `maybe not needed: ${model.about.judgements[code]}`;
    },
    look: (code) => {
      if (code >= FACTS) return model.about.looks.causes[model.about.causes[code - FACTS]] ?? OTHERS;
      return code < 0 ? OTHERS : PALETTE[code % PALETTE.length];
    },
  };
}

function layerLook(layer, count) {
  const place = count > 1 ? (layer / (count - 1)) * (SCALE.length - 1) : 0;
  const below = Math.min(Math.floor(place), SCALE.length - 2);
  const fill = mix(SCALE[below], SCALE[below + 1], place - below);
  return [fill, LAYER_PATTERNS[layer % LAYER_PATTERNS.length], mix(fill, luminance(fill) > 0.2 ? "#000000" : "#ffffff", 0.35)];
}

function channels(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

function mix(one, other, share) {
  const to = channels(other);
  const mixed = channels(one).map((value, at) => Math.round(value + (to[at] - value) * share));
  return `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

/** Relative luminance as WCAG 2.2 defines it. */
function luminance(colour) {
  const [red, green, blue] = channels(colour).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** Black or white, whichever reads better on this colour. */
function inkOn(fill) {
  const light = luminance(fill);
  return (light + 0.05) / (luminance(INK) + 0.05) >= 1.05 / (light + 0.05) ? INK : PAPER;
}

/** A look as a fill of a canvas: the colour, or a tile with matplotlib's pattern of that name on it. */
function fillOf(context, look, made) {
  const [fill, hatch, ink] = look;
  if (!hatch) return fill;
  const key = look.join(" ");
  if (!made.has(key)) made.set(key, context.createPattern(tile(fill, hatch, ink), "repeat"));
  return made.get(key);
}

function tile(fill, hatch, ink) {
  const size = 8;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  const pen = canvas.getContext("2d");
  pen.fillStyle = fill;
  pen.fillRect(0, 0, size, size);
  pen.strokeStyle = pen.fillStyle = ink;
  const line = (...points) => {
    pen.beginPath();
    for (let at = 0; at < points.length; at += 4) {
      pen.moveTo(points[at], points[at + 1]);
      pen.lineTo(points[at + 2], points[at + 3]);
    }
    pen.stroke();
  };
  if (hatch === "//" || hatch === "xx") line(-1, size + 1, size + 1, -1, -1, 1, 1, -1, size - 1, size + 1, size + 1, size - 1);
  if (hatch === "\\\\" || hatch === "xx") line(-1, -1, size + 1, size + 1, -1, size - 1, 1, size + 1, size - 1, -1, size + 1, 1);
  if (hatch === "--") line(0, size / 2, size, size / 2);
  if (hatch === "..") pen.fillRect(size / 2 - 1, size / 2 - 1, 2, 2);
  if (hatch === "oo") {
    pen.beginPath();
    pen.arc(size / 2, size / 2, 2.2, 0, 2 * Math.PI);
    pen.stroke();
  }
  return canvas;
}
