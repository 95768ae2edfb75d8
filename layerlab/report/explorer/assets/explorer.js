// @ts-check
// The explorer of an image's files: what the user chooses becomes the state, and the state is drawn.

import { colourings } from "./colours.js";
import { unpack } from "./data.js";
import { folderAround } from "./items.js";
import { changed, initialState, sceneOf } from "./state.js";
import { View } from "./view.js";

/** @import { Model } from "./data.js" */
/** @import { Movement, State } from "./state.js" */

/**
 * Show an image's files in an element, whose content is replaced. The bytes are what layerlab/report/explorer/data.py packs.
 * @type {(host: HTMLElement, bytes: BlobPart) => Promise<Explorer>}
 */
export async function mount(host, bytes) {
  return new Explorer(host, await unpack(bytes));
}

/** The controller: it holds the scene, changes it as the user chooses, and has it drawn. */
class Explorer {
  /** @param {HTMLElement} host @param {Model} model */
  constructor(host, model) {
    this.model = model;
    this.colours = colourings(model);
    this.scene = sceneOf(model, this.colours, initialState(model));
    this.view = new View(host, model, this.colours, (...choice) => this.choose(...choice), () => this.close());
    this.view.draw(this.scene);
  }

  get state() {
    return this.scene.state;
  }

  /** Change what is chosen, and show what follows. @type {(changes: Partial<State>, movement?: Movement) => void} */
  choose(changes, movement) {
    this.scene = sceneOf(this.model, this.colours, changed(this.state, changes), this.scene);
    this.view.draw(this.scene, movement);
  }

  /** Go to the folder around the one that is shown. */
  close() {
    const { folder } = this.state;
    if (folder) this.choose({ folder: folderAround(this.scene.tally, folder) }, { to: folder });
  }

  destroy() {
    this.view.destroy();
  }
}
