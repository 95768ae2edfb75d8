"""Finds the Chromium (or Chrome) with which the tests look at pages, and installs Debian's where that is allowed.

Playwright, which drives it, brings a Node.js of its own, and that needs a library that a bare Debian may lack.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from layerlab.engine.machine import apt_get, is_debian
from layerlab.errors import BrowserNotFound
from layerlab.ui.progress import Report, silent

NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
MAC_PATHS: Final = tuple(f"/Applications/{name}.app/Contents/MacOS/{name}" for name in ("Chromium", "Google Chrome"))
PACKAGES: Final = ("chromium", "fonts-dejavu-core")
"""Fonts are only recommended by Chromium's package, and without any a page is a page of boxes."""

DRIVER_PACKAGES: Final = ("libatomic1",)
"""What Playwright's Node.js is linked to, besides what every Debian has."""

_LEAVE_OUT: Final = "or leave the browser's tests out (./lab test --no-browser)"
CHOICE: Final = "LAB_CHROMIUM"
"""The environment variable that names another one."""


def find() -> Path | None:
    """The browser that is here: the one that ``LAB_CHROMIUM`` names, else Chromium, else Chrome.

    Raises:
        BrowserNotFound: ``LAB_CHROMIUM`` names none.
    """
    if chosen := os.environ.get(CHOICE):
        if (path := shutil.which(chosen)) is None:
            raise BrowserNotFound(
                f"{CHOICE} names {chosen}, which is no program",
                remedy=f"let {CHOICE} name a Chromium or a Chrome, or unset it",
            )
        return Path(path)
    found = filter(None, map(shutil.which, [*NAMES, *MAC_PATHS]))
    return next(map(Path, found), None)


def missing_library() -> str:
    """The shared library that Playwright's Node.js lacks here; empty if it starts, or is none of that kind."""
    found = find_spec("playwright")
    node = Path(found.origin).parent / "driver" / "node" if found and found.origin else None
    if node is None or not node.is_file():
        return ""
    try:
        said = subprocess.run([node, "--version"], capture_output=True, timeout=60, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):  # it says so itself, better than we could
        return ""
    lacks = re.search(rb"error while loading shared libraries: ([\w.+-]+):", said)
    return lacks[1].decode() if lacks else ""


def ensure(report: Report = silent) -> Path:
    """The browser that is here, else Debian's Chromium, installed now, and what Playwright needs to drive it.

    Raises:
        BrowserNotFound: something is missing, and this user or this system does not let the lab install it.
    """
    path, library = find(), missing_library()
    if path is not None and not library:
        return path
    lacking, packages = ("Chromium", PACKAGES) if path is None else (library, ())
    if not is_debian() or os.geteuid() != 0:
        raise BrowserNotFound(
            "there is no Chromium and no Chrome, and the lab installs one only as root on Debian"
            if path is None
            else f"Playwright needs {library}, which is not here, and the lab installs it only as root on Debian",
            remedy=f"install one, or name it ({CHOICE}=/path/to/chrome), {_LEAVE_OUT}"
            if path is None
            else f"install it (on Debian and Ubuntu the package {DRIVER_PACKAGES[0]}), {_LEAVE_OUT}",
        )
    apt_get(["update"], f"look for {lacking}'s packages", report, wanted=lacking, error=BrowserNotFound)
    arguments = ["install", "--yes", "--no-install-recommends", *packages, *(DRIVER_PACKAGES if library else ())]
    apt_get(arguments, f"install {lacking}", report, wanted=lacking, error=BrowserNotFound)
    if (path := find()) is None:
        raise BrowserNotFound(
            "Debian's package of Chromium is installed, and there still is no program of that name",
            remedy=f"install a Chromium by other means and name it ({CHOICE}=/path/to/chrome)",
        )
    if library := missing_library():
        raise BrowserNotFound(
            f"Playwright needs {library}, and Debian's {' '.join(DRIVER_PACKAGES)} did not bring it",
            remedy=f"install what has it, {_LEAVE_OUT}",
        )
    return path
