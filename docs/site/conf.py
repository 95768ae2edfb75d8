"""The website: README, the notebooks as they were saved, the exercise and the docs, made by Sphinx.

docs/contributing.md says how to make it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any, Final

from docutils import nodes
from sphinx.application import Sphinx

ROOT: Final = Path(__file__).resolve().parents[2]
EXPLORER: Final = ROOT / "artifacts" / "explorer.html"
"""A report on an image, which takes an engine to make: without it, the site has no page about the explorer."""

project = "The multi-stage lab"
extensions = ["myst_nb"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "exercise/README.md", "notebooks/*.ipynb"]
html_extra_path = []
if EXPLORER.exists():
    include_patterns.append("docs/site/explorer.md")
    html_extra_path.append(str(EXPLORER))
exclude_patterns = ["notebooks/.ipynb_checkpoints"]
nb_execution_mode = "off"  # what was saved is what is shown
nb_merge_streams = True
myst_heading_anchors = 3
myst_links_external_new_tab = True
html_theme = "furo"
html_title = project
html_copy_source = False
html_show_sphinx = False
html_favicon = "static/icon.svg"
html_static_path = ["static"]
html_css_files = ["site.css"]

# README has no table of contents: its own tables lead to everything, where files are read one by one.
CONTENTS: Final = """

```{toctree}
:hidden:
:caption: The notebooks
:glob:
notebooks/*
```

```{toctree}
:hidden:
:caption: Your turn
exercise/README
EXPLORER
```

```{toctree}
:hidden:
:caption: Look it up
:glob:
docs/*
How to begin <CONTRIBUTING>
CHANGELOG
```
"""


def add_contents(_app: Sphinx, document: str, source: list[str]) -> None:
    """Give the first page what the side bar is made of, and take away what leads to GitHub's own pages."""
    if document == root_doc:
        source[0] = re.sub(r"(?m)^.*\]\(\.\./\.\./.*\n", "", source[0])
        source[0] += CONTENTS.replace("EXPLORER\n", "docs/site/explorer\n" if EXPLORER.exists() else "")


def folder_or_nothing(app: Sphinx, _environment: Any, node: Any, text: nodes.Node) -> nodes.Node | None:
    """A link to a folder of the repository is text here: the site has pages and files, but no folders."""
    target = str(node.get("reftarget", "")).partition("#")[0]
    place = (Path(app.srcdir) / node.get("refdoc", "")).parent / target
    return text if target and place.is_dir() else None


def lead_home(app: Sphinx, error: Exception | None) -> None:
    """A website begins at index.html."""
    if error is None and app.builder.name == "html":
        shutil.copy(Path(app.outdir) / "README.html", Path(app.outdir) / "index.html")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_contents)
    app.connect("missing-reference", folder_or_nothing)
    app.connect("build-finished", lead_home)
