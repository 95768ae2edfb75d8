"""What the service knows about itself."""

from __future__ import annotations

import os
import platform
import socket
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Final

PACKAGES: Final = ("flask", "gunicorn", "matplotlib", "numpy", "pandas", "pillow", "psycopg2", "werkzeug")


@cache
def package_versions() -> dict[str, str]:
    """The version of each of `PACKAGES` that is installed."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # another server than gunicorn is fine, and psycopg2 is for level 2 only
            continue
    return versions


@cache
def libpq() -> dict[str, str | None]:
    """The version of PostgreSQL's client library, where psycopg2, which is compiled against it, is installed.

    Where psycopg2 cannot be loaded, mostly since the shared library is missing, the service works all the same, and
    says why.
    """
    if find_spec("psycopg2") is None:
        return {}
    try:
        number = int(import_module("psycopg2.extensions").libpq_version())
    except ImportError as error:
        return {"libpq": None, "libpq_error": str(error)}
    return {"libpq": f"{number // 10_000}.{number % 10_000}"}  # 170006 is 17.6


def describe() -> dict[str, Any]:
    """What ``/info`` answers. Nothing of the environment, which is where secrets are."""
    return {
        "python": platform.python_version(),
        "packages": package_versions(),
        **libpq(),
        "process_id": os.getpid(),
        "user_id": os.getuid(),
        "group_id": os.getgid(),
        "container": socket.gethostname(),
    }
