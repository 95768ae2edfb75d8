"""The repository's texts, as a reader and a browser take them: links, headings, code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from layerlab.paths import ROOT

TEXTS = (
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "exercise").rglob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.ipynb")),
)
IDENTIFIED = re.compile(r"""\b(?:id|name)=["']([^"']+)["']""")
HTML_LINK = re.compile(r"""\b(?:href|src)=["']([^"']+)["']""")


@dataclass(frozen=True)
class Document:
    """A text in Markdown, or the Markdown cells of a notebook."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def tokens(self) -> list[Token]:
        """All tokens, those inside of lines too."""
        found = []
        for token in MarkdownIt("commonmark").enable("table").parse(self._text()):
            found += [token, *(token.children or [])]
        return found

    def links(self) -> Iterator[str]:
        """Where links and pictures point to."""
        for token in self.tokens:
            if token.type == "link_open":
                yield str(token.attrGet("href"))
            elif token.type == "image":
                yield str(token.attrGet("src"))
            elif token.type in {"html_block", "html_inline"}:
                yield from HTML_LINK.findall(token.content)

    @cached_property
    def anchors(self) -> set[str]:
        """What a link may point to within it: GitHub's names of its headings (JupyterLab's in a notebook)."""
        anchors: set[str] = set()
        for number, token in enumerate(self.tokens):
            if token.type == "heading_open":
                text = "".join(child.content for child in self.tokens[number + 1].children or [])
                anchor = text.replace(" ", "-") if self.path.suffix == ".ipynb" else github_anchor(text)
                repeated = sum(re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", other) is not None for other in anchors)
                anchors.add(f"{anchor}-{repeated}" if repeated else anchor)
            elif token.type in {"html_block", "html_inline"}:
                anchors |= set(IDENTIFIED.findall(token.content))
        return anchors

    def code(self) -> Iterator[str]:
        """What stands in the typewriter's letters: words in a line, and each line of a block."""
        for token in self.tokens:
            if token.type == "code_inline":
                yield token.content
            elif token.type in {"fence", "code_block"}:
                yield from token.content.splitlines()

    def shell_blocks(self) -> list[list[str]]:
        """The commands of each block marked ``sh``, without comments."""
        blocks = [token.content for token in self.tokens if token.type == "fence" and token.info.strip() == "sh"]
        return [
            [line for text in block.splitlines() if (line := text.partition("  #")[0].strip())] for block in blocks
        ]

    def _text(self) -> str:
        text = self.path.read_text(encoding="utf-8")
        if self.path.suffix != ".ipynb":
            return text
        cells = json.loads(text)["cells"]
        return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def github_anchor(heading: str) -> str:
    """The name that GitHub gives to a heading: lower case, no punctuation, a dash for a space."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


DOCUMENTS = {document.name: document for document in map(Document, TEXTS)}
