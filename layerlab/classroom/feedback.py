"""A page of feedback for each learner: one HTML file that asks no network for anything and runs no script.

It says what ``./lab check`` says, with the hints behind folds. All that a submission says is escaped; the page's
policy forbids everything but its own style and its pictures, which are in it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Final

from layerlab.classroom.marks import Mark
from layerlab.errors import UsageError
from layerlab.exercise import panel, terminal, wording
from layerlab.exercise.workspace import NAME
from layerlab.paths import write_output
from layerlab.ui.text import plain, shown
from layerlab.ui.units import how_large

_STYLE: Final = (
    ":root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;"
    "padding:0 1rem}h2{font-size:1.15rem}section{margin:1.2rem 0}"
    "section h2{border-left:.4em solid;padding-left:.6em}section>div,details{margin-left:1.5rem}"
    "pre{overflow:auto;border:1px solid;padding:.5rem}img{background:#fff}"
)
_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"


def write(marks: Sequence[Mark], folder: Path) -> list[Path]:
    """Write a page for each mark into a folder, which is made where there is none.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the feedback cannot be written into {folder} ({error.strerror or error})", remedy="name another folder"
        ) from error
    written: dict[str, Path] = {}  # by names in lower case, as some file systems see them
    for mark in marks:
        stem = re.sub(r"[^\w()-]+", "_", shown(mark.learner)).strip("_")[:80] or "learner"
        names = chain([stem], (f"{stem}-{number}" for number in count(2)))
        name = next(one for one in names if one.lower() not in written)
        written[name.lower()] = folder / f"{name}.html"
        write_output(written[name.lower()], page(mark))
    return list(written.values())


def page(mark: Mark) -> str:
    """The page's text."""
    verdict = mark.checked.verdict
    title = _safe(f"{mark.learner}: {wording.score(verdict) if verdict else 'not checked'}")
    parts = [f"<h1>{title}</h1>"]
    if mark.checked.image_bytes is not None:
        parts.append(f"<p>The image stores {how_large(mark.checked.image_bytes)}.</p>")
    parts += [f"<p>{_safe(note)}.</p>" for note in mark.notes]
    if verdict is None:
        parts.append(f"<p>{_safe(mark.why_not)}</p>")
    else:
        told = wording.told_once(verdict)
        for task in verdict.tasks:
            said = f"{wording.heading(task)}: {wording.told_of(task, told[task.id])}"
            rows = [f'<h2 style="border-color:{panel.COLOURS[task.status]}">{said}</h2>']
            if task.findings and not told[task.id]:
                rows.append("<div>What was found is told above.</div>")
            for finding in told[task.id]:
                rows.append(panel.finding_html(finding, terminal.excerpt_of(finding, lambda name: _text(mark, name))))
                hints = enumerate(finding.hints, start=1)
                folds = "".join(f"<details><summary>Hint {number}</summary>{_safe(hint)}" for number, hint in hints)
                rows.append(folds + "</details>" * len(finding.hints))
            parts.append(f"<section>{''.join(rows)}</section>")
    parts.append(mark.checked.picture)
    if NAME in mark.files:
        lines = (_text(mark, NAME) or "").splitlines()[:2_000]
        numbered = "\n".join(f"{number:>4}  {line}" for number, line in enumerate(lines, start=1))
        parts.append(f"<h2>Your {NAME}</h2><pre>{_safe(numbered)}</pre>")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>{''.join(parts)}</body></html>\n"
    )


def _text(mark: Mark, name: str) -> str | None:
    content = mark.files.get(name)
    return None if content is None else content.decode(errors="replace")


def _safe(text: str) -> str:
    return html.escape(shown(plain(text)))
