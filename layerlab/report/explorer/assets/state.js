// @ts-check
// What is chosen, and what follows from it.

import { matchesOf } from "./search.js";
import { tallyOf } from "./tally.js";

/** @import { Colouring } from "./colours.js" */
/** @import { Model } from "./data.js" */
/** @import { Rectangle } from "./layout.js" */
/** @import { Matches } from "./search.js" */
/** @import { Show, Tally } from "./tally.js" */

/**
 * What is chosen; `colour` is a key of `colourings`, and `all` says that the table has all rows.
 * @typedef {{
 *   folder: number,
 *   layer: number,
 *   show: Show,
 *   colour: string,
 *   highlight: Highlight | null,
 *   query: string,
 *   all: boolean,
 * }} State
 *
 * What stands out: a group of the legend, or what came from a row of the Dockerfile.
 * @typedef {{ by: "group", code: number } | { by: "row", row: number }} Highlight
 *
 * What is drawn: what is chosen, and what follows from it.
 * @typedef {{ state: State, tally: Tally, colouring: Colouring, matches: Matches | null }} Scene
 *
 * Where the picture moves to: into a rectangle of the old one, or out, so that a node's is one of the new one's.
 * @typedef {{ from?: Rectangle, to?: number }} Movement
 *
 * Told what the user changes.
 * @typedef {(changes: Partial<State>, movement?: Movement) => void} Choose
 */

/** What is chosen at first: the image as a container sees it. @type {(model: Model) => State} */
export function initialState({ about }) {
  const layer = Math.max(about.layers.length - 1, 0);
  return { folder: 0, layer, show: "container", colour: "part", highlight: null, query: "", all: false };
}

/**
 * The state after a change, and after what a change brings with it.
 * @type {(before: State, changes: Partial<State>) => State}
 */
export function changed(before, changes) {
  const state = { ...before, ...changes };
  if (state.show === "layer" && before.show !== "layer" && !changes.colour) state.colour = "change";
  if (state.show !== "layer" && state.colour === "change") state.colour = "part";
  if (state.colour === "waste" && before.colour !== "waste" && state.show === "container") state.show = "stored";
  if (state.colour !== before.colour && state.highlight?.by === "group") state.highlight = null;
  if (state.folder !== before.folder) state.all = false;
  return state;
}

/**
 * What is to be drawn; it takes over from the scene before what is the same.
 * @type {(model: Model, colours: Record<string, Colouring>, state: State, before?: Scene) => Scene}
 */
export function sceneOf(model, colours, state, before) {
  const isCounted = before?.state.show === state.show && before.state.layer === state.layer;
  const tally = isCounted ? before.tally : tallyOf(model, state.show, state.layer);
  const colouring = colours[state.colour];
  return { state, tally, colouring, matches: matchesOf(state, tally, colouring) };
}
