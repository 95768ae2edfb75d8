"""What the service knows about itself."""

from __future__ import annotations

import os
import platform
import socket
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

PACKAGES: Final = ("flask", "gunicorn", "matplotlib", "numpy", "pandas", "pillow", "werkzeug")


@cache
def package_versions() -> dict[str, str]:
    """The version of each of `PACKAGES` that is installed."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # another server than gunicorn is fine
            continue
    return versions


def describe() -> dict[str, Any]:
    """What ``/info`` answers. Nothing of the environment, which is where secrets are."""
    return {
        "python": platform.python_version(),
        "packages": package_versions(),
        "process_id": os.getpid(),
        "user_id": os.getuid(),
        "group_id": os.getgid(),
        "container": socket.gethostname(),
    }
