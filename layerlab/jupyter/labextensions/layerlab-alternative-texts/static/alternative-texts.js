// What JupyterLab's own renderers of pictures (up to 4.6) do not do: an alternative text, which their output's metadata
// has ({"image/svg+xml": {"alt": "..."}}), and the page's theme, by which an SVG file chooses its colours.
//
// An SVG file is shown before its notebook is trusted, too: in an <img>, nothing in it is run or loaded. This is a
// "prebuilt extension" without a build: the object that webpack's module federation expects, with JupyterLab's own
// modules taken from what it shares.
"use strict";

(() => {
  const NAME = "layerlab-alternative-texts";
  const CODE = new URL("code.css", document.currentScript.src).href;
  let shared;

  async function taken(module) {
    const [version] = Object.values(shared[module]);
    return (await version.get())();
  }

  async function extension() {
    const { imageRendererFactory, svgRendererFactory } = await taken(
      "@jupyterlab/rendermime",
    );
    const style = document.createElement("style");
    style.textContent = `
      .jp-RenderedSVG img { height: auto; max-width: 100% }
      [data-jp-theme-light=true] img { color-scheme: light }
      [data-jp-theme-light=false] img { color-scheme: dark }
    `;
    const code = document.createElement("link");
    code.rel = "stylesheet";
    code.href = CODE;
    document.head.append(style, code);

    function named(factory, name) {
      function createRenderer(options) {
        const made = factory.createRenderer(options);
        const render = made.renderModel.bind(made);
        made.renderModel = async (model) => {
          await render({
            data: model.data,
            metadata: model.metadata,
            trusted: true,
          });
          const about = model.metadata[options.mimeType];
          const image = made.node.querySelector("img");
          if (image && about && typeof about.alt === "string") {
            image.alt = about.alt;
          }
        };
        return made;
      }
      const rendererFactory = { ...factory, safe: true, createRenderer };
      return {
        id: `${NAME}:${name}`,
        rendererFactory,
        rank: factory.defaultRank,
        dataType: "string",
      };
    }

    return [
      named(imageRendererFactory, "factory"),
      named(svgRendererFactory, "svg"),
    ];
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
