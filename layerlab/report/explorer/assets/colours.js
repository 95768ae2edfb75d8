// @ts-check
// Colours and patterns: one for each thing that is told apart, the same as in the lab's plots where those have one.

import { pen } from "./elements.js";
import { folderItem, sumsBy } from "./items.js";
import { ADDED, CHANGED, REMOVED, tallyOf, WASTED } from "./tally.js";

/** @import { Column, Look, Model } from "./data.js" */
/** @import { Item } from "./items.js" */
/** @import { Tally } from "./tally.js" */

/**
 * A way to colour: what it is called, the code of the group that an entry is in, and a group's name and look.
 * @typedef {{
 *   title: string,
 *   code: (tally: Tally, entry: number) => number,
 *   name: (code: number) => string,
 *   look: (code: number) => Look,
 * }} Colouring
 */

const INK = "#24262b";
const PAPER = "#ffffff";
/** @type {Look} */
const OTHERS = ["#dcdad4", "", INK];

/**
 * Colours after Paul Tol's "muted" scheme, which the common kinds of colour vision tell apart, each with a pattern of
 * its own, so that it never depends on the colour alone.
 * @type {Look[]}
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
/** @type {Record<number, Look>} */
const STATES = {
  [ADDED]: ["#0072b2", "", INK],
  [CHANGED]: ["#f0e442", "//", "#8a8000"],
  [REMOVED]: ["#d55e00", "xx", "#ffb784"],
};
/** @type {Record<number, string>} */
export const STATE_NAMES = { [ADDED]: "added", [CHANGED]: "changed", [REMOVED]: "removed" };
/** From the lowest layer to the highest: a scale that grows lighter all the way, for every kind of colour vision. */
const SCALE = ["#00204d", "#31446b", "#666970", "#958f78", "#cbba69", "#ffea46"];
const LAYER_PATTERNS = ["", "//", "..", "xx", "--", "oo"];

/** The ways to colour, by their keys. @type {(model: Model) => Record<string, Colouring>} */
export function colourings(model) {
  const { parts, layers, owners, stages, looks } = model.about;
  return {
    part: {
      title: "part",
      code: (_, entry) => model.parts[entry],
      name: (code) => parts[code] ?? "not known",
      look: (code) => looks.parts[parts[code]] ?? OTHERS,
    },
    layer: {
      title: "layer",
      code: (_, entry) => model.layers[entry],
      name: (code) => `layer ${code}`,
      look: (code) => layerLook(code, layers.length),
    },
    owner: ranked(model, "owner", "owners", owners, owners.length - 1),
    ...(stages.length ? { stage: ranked(model, "stage", "stages", stages, -1) } : {}),
    waste: wasteColouring(model),
    change: {
      title: "what the layer did",
      code: ({ state }, entry) => state[entry],
      name: (code) => STATE_NAMES[code] ?? "as it was",
      look: (code) => STATES[code] ?? OTHERS,
    },
  };
}

/**
 * Groups of which the largest have looks of their own, and the others one in common.
 * @type {(model: Model, title: string, column: Column, names: string[], nobody: number) => Colouring}
 */
function ranked(model, title, column, names, nobody) {
  const codes = model[column];
  const everything = tallyOf(model, "stored", model.about.layers.length - 1);
  const order = sumsBy(everything, folderItem(everything, 0), (entry) => codes[entry])
    .filter(([code, bytes]) => bytes && code >= 0 && code !== nobody);
  const looks = new Map(order.slice(0, PALETTE.length).map(([code], rank) => [code, PALETTE[rank]]));
  const REST = -2;
  return {
    title,
    code: (_, entry) => {
      const code = codes[entry];
      return looks.has(code) || code === nobody || code < 0 ? code : REST;
    },
    name: (code) => (code === REST ? `the other ${order.length - looks.size}` : names[code] ?? "not known"),
    look: (code) => looks.get(code) ?? (code === REST ? ["#bbbbbb", "oo", "#8c8c8c"] : OTHERS),
  };
}

/**
 * Waste as a fact by its cause; what is only judged to be waste, where that is known; and all the rest.
 * @type {(model: Model) => Colouring}
 */
function wasteColouring(model) {
  const { causes, judgements, looks } = model.about;
  const FACTS = 1000;
  return {
    title: "waste",
    code: ({ state }, entry) => (state[entry] === WASTED ? FACTS + model.causes[entry] : model.judged[entry]),
    name: (code) => {
      if (code >= FACTS) return `wasted: ${causes[code - FACTS] ?? "not known why"}`;
      return code < 0 ? "a container sees it" : `maybe not needed: ${judgements[code]}`;
    },
    look: (code) => {
      if (code >= FACTS) return looks.causes[causes[code - FACTS]] ?? OTHERS;
      return code < 0 ? OTHERS : PALETTE[code % PALETTE.length];
    },
  };
}

/**
 * The look of the group that has most of an item's bytes.
 * @type {(colouring: Colouring, tally: Tally, item: Item) => Look}
 */
export function lookOf(colouring, tally, item) {
  return colouring.look(sumsBy(tally, item, (entry) => colouring.code(tally, entry))[0][0]);
}

/** @type {(layer: number, count: number) => Look} */
function layerLook(layer, count) {
  const place = count > 1 ? (layer / (count - 1)) * (SCALE.length - 1) : 0;
  const below = Math.min(Math.floor(place), SCALE.length - 2);
  const fill = mix(SCALE[below], SCALE[below + 1], place - below);
  return [
    fill,
    LAYER_PATTERNS[layer % LAYER_PATTERNS.length],
    mix(fill, luminance(fill) > 0.2 ? "#000000" : "#ffffff", 0.35),
  ];
}

/** Red, green and blue. @type {(colour: string) => number[]} */
function channels(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

/** @type {(one: string, other: string, share: number) => string} */
function mix(one, other, share) {
  const to = channels(other);
  const mixed = channels(one).map((value, at) => Math.round(value + (to[at] - value) * share));
  return `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

/** Relative luminance as WCAG 2.2 defines it. @type {(colour: string) => number} */
function luminance(colour) {
  const [red, green, blue] = channels(colour).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** Black or white, whichever reads better on this colour. @type {(fill: string) => string} */
export function inkOn(fill) {
  const light = luminance(fill);
  return (light + 0.05) / (luminance(INK) + 0.05) >= 1.05 / (light + 0.05) ? INK : PAPER;
}

/**
 * A look as a fill of a canvas: the colour, or a tile with matplotlib's pattern of that name on it.
 * @type {(context: CanvasRenderingContext2D, look: Look) => string | CanvasPattern}
 */
export function fillOf(context, look) {
  return look[1] ? context.createPattern(tile(look), "repeat") ?? look[0] : look[0];
}

/** @type {(look: Look) => HTMLCanvasElement} */
function tile([fill, hatch, ink]) {
  const size = 8;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  const brush = pen(canvas);
  brush.fillStyle = fill;
  brush.fillRect(0, 0, size, size);
  brush.strokeStyle = brush.fillStyle = ink;
  const line = (/** @type {number[]} */ ...points) => {
    brush.beginPath();
    for (let at = 0; at < points.length; at += 4) {
      brush.moveTo(points[at], points[at + 1]);
      brush.lineTo(points[at + 2], points[at + 3]);
    }
    brush.stroke();
  };
  if (hatch === "//" || hatch === "xx") {
    line(-1, size + 1, size + 1, -1, -1, 1, 1, -1, size - 1, size + 1, size + 1, size - 1);
  }
  if (hatch === "\\\\" || hatch === "xx") {
    line(-1, -1, size + 1, size + 1, -1, size - 1, 1, size + 1, size - 1, -1, size + 1, 1);
  }
  if (hatch === "--") line(0, size / 2, size, size / 2);
  if (hatch === "..") brush.fillRect(size / 2 - 1, size / 2 - 1, 2, 2);
  if (hatch === "oo") {
    brush.beginPath();
    brush.arc(size / 2, size / 2, 2.2, 0, 2 * Math.PI);
    brush.stroke();
  }
  return canvas;
}
