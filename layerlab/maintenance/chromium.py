"""Finds the Chromium (or Chrome) with which the tests look at pages, and installs Debian's where that is allowed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from layerlab.engine.machine import install, is_debian
from layerlab.errors import LabError
from layerlab.ui.progress import Report, silent

NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
MAC_PATHS: Final = tuple(f"/Applications/{name}.app/Contents/MacOS/{name}" for name in ("Chromium", "Google Chrome"))
PACKAGES: Final = ("chromium", "fonts-dejavu-core", "libatomic1")
"""A page without a font is a page of boxes; Playwright's Node.js needs a library that a bare Debian lacks."""
CHOICE: Final = "LAB_CHROMIUM"
"""The environment variable that names another one."""


def find() -> Path | None:
    """The browser that is here: the one that ``LAB_CHROMIUM`` names, else Chromium, else Chrome.

    Raises:
        LabError: ``LAB_CHROMIUM`` names none.
    """
    if chosen := os.environ.get(CHOICE):
        if (path := shutil.which(chosen)) is None:
            raise LabError(
                f"{CHOICE} names {chosen}, which is no program",
                remedy=f"let {CHOICE} name a Chromium or a Chrome, or unset it",
            )
        return Path(path)
    found = filter(None, map(shutil.which, [*NAMES, *MAC_PATHS]))
    return next(map(Path, found), None)


def ensure(report: Report = silent) -> Path:
    """The browser that is here, else Debian's Chromium, installed now.

    Raises:
        LabError: there is none, and this user or this system does not let the lab install one.
    """
    if (path := find()) is not None:
        return path
    if is_debian() and os.geteuid() == 0:
        install("Chromium", PACKAGES, report)
        if (path := find()) is not None:
            return path
    raise LabError(
        "there is no Chromium and no Chrome, and the lab installs one only as root on Debian",
        remedy=f"install one, or name it ({CHOICE}=/path/to/chrome), or leave the browser's tests out "
        "(./lab test --no-browser)",
    )
