"""Which machine an image is for: ``os/architecture/variant``, as registries and ``docker --platform`` write it.

The values are those of the OCI image specification (``config.md``: Go's GOOS and GOARCH). Names and defaults that
mean the same are made equal as containerd does it: ``aarch64`` is ``arm64``, which is ``arm64/v8``; ``arm`` is
``arm/v7``.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from layerlab.errors import UsageError

_ARCHITECTURES: Final = {
    "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "i686": "386",
    "armhf": "arm", "armv7l": "arm", "armv6l": "arm/v6", "armel": "arm/v6",
}  # fmt: skip
_VARIANTS: Final = {
    ("amd64", "v1"): "", ("arm64", "v8"): "", ("arm64", "8"): "", ("arm", ""): "v7", ("arm", "7"): "v7"
}  # fmt: skip
_PART: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")


class Platform(NamedTuple):
    """What an image runs on, such as ``linux/arm64``; ``str`` gives that."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, self))


def parse(text: str) -> Platform:
    """A platform as a user writes it; without an operating system, Linux is meant.

    >>> str(parse("linux/aarch64"))
    'linux/arm64'
    >>> str(parse("arm/v6"))
    'linux/arm/v6'

    Raises:
        UsageError: it is none.
    """
    parts = text.split("/")
    if parts[0].lower() not in {"linux", "windows", "darwin", "freebsd"} and len(parts) < 3:
        parts.insert(0, "linux")
    if not 2 <= len(parts) <= 3 or not all(map(_PART.fullmatch, parts)):
        raise UsageError(f"{text!r} is no platform", remedy="write it like linux/amd64, linux/arm64 or linux/arm/v7")
    return _normal(*parts)


def host() -> Platform:
    """The platform of this machine's Linux images; on other systems, engines run them in a Linux of their own."""
    return _normal("linux", platform.machine())


def described(document: Mapping[str, Any]) -> Platform | None:
    """The platform that an index's entry, or an image's config, names; None if it names none."""
    fields = [document.get(name) or "" for name in ("os", "architecture", "variant")]
    parts = [part if isinstance(part, str) and _PART.fullmatch(part) else "" for part in fields]
    return _normal(*parts) if parts[0] and parts[1] else None


def _normal(system: str, architecture: str, variant: str = "") -> Platform:
    system, architecture, variant = system.lower(), architecture.lower(), variant.lower()
    architecture, _, implied = _ARCHITECTURES.get(architecture, architecture).partition("/")
    variant = variant or implied
    return Platform(system, architecture, _VARIANTS.get((architecture, variant), variant))
