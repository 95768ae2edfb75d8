// Gives pictures in notebooks the alternative text that their output's metadata has ({"image/png": {"alt": "..."}}).
//
// JupyterLab's own renderer (up to 4.6) ignores it, and a screen reader finds a picture without a name. So this takes
// that renderer and adds the one attribute. It is a "prebuilt extension" without a build: the object that webpack's
// module federation expects, with JupyterLab's own modules taken from what it shares.
"use strict";

(() => {
  const NAME = "layerlab-alternative-texts";
  let shared;

  async function taken(module) {
    const [version] = Object.values(shared[module]);
    return (await version.get())();
  }

  async function extension() {
    const { RenderedImage, imageRendererFactory } = await taken("@jupyterlab/rendermime");

    class NamedImage extends RenderedImage {
      async render(model) {
        await super.render(model);
        const about = model.metadata[this.mimeType];
        const image = this.node.querySelector("img");
        if (image && about && typeof about.alt === "string") {
          image.alt = about.alt;
        }
      }
    }

    return {
      id: `${NAME}:factory`,
      rendererFactory: { ...imageRendererFactory, createRenderer: (options) => new NamedImage(options) },
      rank: imageRendererFactory.defaultRank,
      dataType: "string",
    };
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB[NAME] = {
    init: (scope) => {
      shared = scope;
    },
    get: async () => {
      const made = await extension();
      return () => ({ __esModule: true, default: made });
    },
  };
})();
