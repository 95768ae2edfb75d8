// @ts-check
// Puts the explorer in the place of the sentence that stands for it where nothing runs.

import { mount } from "../explorer/assets/explorer.js";

const host = /** @type {HTMLElement & { explorer: object }} */ (document.getElementById("explorer"));
const packed = atob(document.getElementById("data")?.textContent ?? "");
mount(host, Uint8Array.from(packed, (letter) => letter.charCodeAt(0)))
  .then((shown) => host.explorer = shown)
  .catch((error) => {
    const said = document.createElement("p");
    said.textContent = `The explorer cannot be shown in this browser (${error.message}).`;
    host.prepend(said);
  });
