"""Why an interpreter does not find packages that are in the image: venvs that lead nowhere, folders it ignores."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from layerlab.exercise.evidence.facts import Evidence, File, Snapshot
from layerlab.exercise.tasks import judging
from layerlab.ui.text import shorten


def why_missing(
    evidence: Evidence, image: Snapshot, visible: Mapping[str, File], missing: list[str]
) -> tuple[str, int | None]:
    """What is known of why these distributions are not found (a sentence, or nothing), and the line it is about."""
    broken = _broken_environment(image, visible)
    if broken:
        return broken
    elsewhere: dict[str, list[str]] = {}
    for distribution in judging.image_distributions(image, visible):
        if distribution.name in missing:
            elsewhere.setdefault(posixpath.dirname(distribution.location), []).append(distribution.name)
    if not elsewhere:
        return "", None
    folder, names = max(elsewhere.items(), key=lambda each: len(each[1]))
    file = visible.get(folder) or next(each for path, each in visible.items() if path.startswith(f"{folder}/"))
    interpreter = evidence.running.interpreter if evidence.running else None
    asked = f", and {interpreter.executable} does not look there" if interpreter else ""
    return (
        f" {len(names)} of them lie in {shorten(folder, 100)}{asked}{_versions(interpreter, folder)}.",
        judging.line_of(image, file),
    )


def _versions(interpreter: object, folder: str) -> str:
    """If a folder is for another Python than the interpreter's: which."""
    there = re.search(r"/python(\d+\.\d+)/", folder)
    path = getattr(interpreter, "path", ())
    here = next((found[1] for each in path if (found := re.search(r"/python(\d+\.\d+)(?:/|$)", each))), None)
    if there and here and there[1] != here:
        return f" (it is Python {here}, they are for {there[1]})"
    if folder.startswith("/root/.local/") and "/root/.local" not in " ".join(path):
        return " (a user's own packages are looked for below the HOME of whoever runs the service)"
    return ""


def _broken_environment(image: Snapshot, visible: Mapping[str, File]) -> tuple[str, int | None] | None:
    """A virtual environment whose interpreter is not in the image."""
    for file in image.files:
        if not file.visible or posixpath.basename(file.path) != "pyvenv.cfg":
            continue
        folder = posixpath.dirname(file.path)
        text = (image.contents(None, file.path) or b"").decode(errors="replace")
        home = re.search(r"(?m)^home\s*=\s*(\S+)", text)
        if home is None or any(_exists(f"{home[1]}/{name}", visible) for name in _interpreters(text)):
            continue
        return (
            f" The virtual environment {shorten(folder, 80)} belongs to an interpreter in {shorten(home[1], 80)}, "
            "and this image has none there.",
            judging.line_of(image, file),
        )
    return None


def _interpreters(configuration: str) -> list[str]:
    version = re.search(r"(?m)^version(?:_info)?\s*=\s*(\d+)\.(\d+)", configuration)
    return ["python3", "python", *([f"python{version[1]}.{version[2]}"] if version else [])]


def _exists(path: str, visible: Mapping[str, File]) -> bool:
    """Whether the image holds a program; /bin and /sbin may be links into /usr, as they are in Debian."""
    return path in visible or f"/usr{path}" in visible or path.removeprefix("/usr") in visible
