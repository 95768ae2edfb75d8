// @ts-check
// The explorer in a notebook, as anywidget calls it.

import { mount } from "./explorer.js";

/**
 * Show the model's data in an element; what is returned ends that.
 * @param {{ model: { get: (name: string) => DataView<ArrayBuffer> }, el: HTMLElement }} widget
 */
export async function render({ model, el }) {
  const shown = await mount(el, model.get("data"));
  return () => shown.destroy();
}
