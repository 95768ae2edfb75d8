"""The explorer's JavaScript as one piece: what a browser is given, whole, so that it needs no network.

The parts are plain scripts that share one function's scope; d3-hierarchy comes first. There is nothing to build.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Final

ASSETS: Final = Path(__file__).parent / "assets"
LIBRARY: Final = ASSETS / "vendor" / "d3-hierarchy" / "d3-hierarchy.min.js"
SCRIPTS: Final = ("data.js", "looks.js", "layout.js", "map.js", "panels.js", "words.js", "frame.js", "explorer.js")


@functools.cache
def expression() -> str:
    """A JavaScript expression: an object with the function ``mount(element, bytes)``."""
    library = LIBRARY.read_text(encoding="utf-8")
    styles = (ASSETS / "explorer.css").read_text(encoding="utf-8")
    scripts = [(ASSETS / name).read_text(encoding="utf-8") for name in SCRIPTS]
    return "\n".join(
        [
            "(() => {",
            '"use strict";',
            "const d3 = {};",
            f"((exports, module) => {{ {library}\n }})(d3, {{}});",
            f"const STYLES = {json.dumps(styles)};",
            *scripts,
            "return { mount };",
            "})()",
        ]
    )


@functools.cache
def module() -> str:
    """A module for anywidget: shows the bytes of the model's ``data``."""
    return f"""const explorer = {expression()};
async function render({{ model, el }}) {{
  const shown = await explorer.mount(el, model.get("data"));
  return () => shown.destroy();
}}
export default {{ render }};
"""
