"""Which image an archive is meant for: from its descriptions to a config and the names of its layers.

Two kinds of descriptions are in use, and today's ``docker save`` writes both. ``index.json`` (``image-layout.md`` of
the OCI image specification) leads through indexes, which list an image's platforms, to manifests. ``manifest.json``
(Docker's image specification v1.2) names configs and layers directly. Attestations and other things that lie beside
an image in an index are left out. Where both name images, they must be the same ones. Of several images none is taken
for the one that was meant; of several platforms the one that was asked for is taken, or else this machine's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from layerlab.errors import ArchiveError, ImageNotFound
from layerlab.image.formats.archive_parts import NO_IMAGE, Parts, read_json
from layerlab.image.formats.platforms import Platform, described
from layerlab.image.formats.stream import damaged

MOST_LAYERS: Final = 500
MOST_MANIFESTS: Final = 1_000
DEEPEST_INDEX: Final = 4

_CONFIGS: Final = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
_NAMES: Final = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_DIGEST: Final = re.compile(r"[a-z0-9]{1,20}:[a-zA-Z0-9]{1,200}")


@dataclass(frozen=True)
class Described:
    """An image that an archive describes.

    Attributes:
        names: What it is called; empty if it has no name.
        platform: What it runs on; None if nothing says so.
        config: The name of its config within the archive; empty if its manifest is missing.
        layers: The names of its layers, from the bottom.
    """

    names: frozenset[str]
    platform: Platform | None
    config: str = ""
    layers: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """Its platform in words."""
        return str(self.platform) if self.platform else "an unknown platform"


def choose(parts: Parts, wanted: Platform | None, usual: Platform) -> Described:
    """The image that is meant.

    Args:
        parts: Of the archive.
        wanted: The platform that was asked for.
        usual: The one to take of several where none was asked for.

    Raises:
        ArchiveError: there is no image, or there are several, or the descriptions cannot be.
        ImageNotFound: there is none for this platform.
    """
    images = _described(parts)
    by_name: dict[frozenset[str], list[Described]] = {}
    for image in images:
        by_name.setdefault(image.names, []).append(image)
    if len(by_name) > 1:
        listed = ", ".join(sorted(" or ".join(sorted(names)) or "one without a name" for names in by_name))
        raise ArchiveError(f"the archive holds several images ({listed:.300})", remedy="save only one of them")
    there = [image for image in images if image.config and all(map(parts.has, [image.config, *image.layers]))]
    found = _for_platform(images, there, wanted, usual)
    if len(found) > 1:
        raise ArchiveError(
            f"the archive holds {len(found)} images for {found[0].shown} and no names to tell them apart",
            remedy="save only one of them",
        )
    return found[0]


def _for_platform(
    images: list[Described], there: list[Described], wanted: Platform | None, usual: Platform
) -> list[Described]:
    """The images for one platform, at least one."""
    if len(images) == 1 and (wanted is None or images[0].platform in {None, wanted}):
        return images  # whatever it lacks is an error of its own
    if wanted is None and len(there) == 1:
        return there
    meant = wanted or usual
    found = [image for image in there if image.platform == meant]
    if not found and wanted is None:
        found = [image for image in there if image.platform and image.platform[:2] == usual[:2]]
    if found:
        return found
    platforms = sorted({image.shown for image in there})
    absent = sorted({image.shown for image in images if image not in there} - set(platforms))
    lacks = f"; it names {', '.join(absent)} without holding {'it' if len(absent) == 1 else 'them'}" if absent else ""
    if not there:
        raise ArchiveError(f"the archive holds no whole image{lacks}", remedy="write it anew with `docker save`")
    raise ImageNotFound(
        f"the archive holds no image for {meant}, but for {', '.join(platforms):.300}{lacks:.300}",
        remedy=f"choose one of these, such as --platform {platforms[0]}",
    )


def _described(parts: Parts) -> list[Described]:
    """All images that the archive describes, at least one."""
    found = {
        name: listed(parts)
        for name, listed in (("index.json", _of_index), ("manifest.json", _of_manifest))
        if parts.has(name)
    }
    images = [listed for listed in found.values() if listed]
    if len(images) > 1:
        of_index, of_manifest = ({_content(parts, image.config) for image in listed} for listed in images)
        if not of_manifest <= of_index:
            raise damaged("its index.json and its manifest.json describe different images")
    if images:
        return images[0]
    if found:
        raise ArchiveError(
            f"the archive holds no image: its {next(iter(found))} names none",
            remedy="write it anew with `docker save`",
        )
    raise ArchiveError(
        "the archive holds no image: it has neither a manifest.json nor an index.json",
        remedy=NO_IMAGE,
    )


def _content(parts: Parts, config: str) -> bytes | None:
    """What tells a config apart from others, whatever it is called; None if it is missing."""
    text = parts.document(config) if config else None
    return None if text is None else hashlib.sha256(text).digest()


def _of_manifest(parts: Parts) -> list[Described]:
    """The images of Docker's ``manifest.json``."""
    listed = read_json(parts, "manifest.json")
    if not isinstance(listed, list) or len(listed) > MOST_MANIFESTS:
        raise damaged("its manifest.json cannot be read")
    found: dict[str, Described] = {}
    for entry in map(_dict, listed):
        config, layers = entry.get("Config"), entry.get("Layers") or []
        names = frozenset(map(str, _list(entry.get("RepoTags"))))
        if not isinstance(config, str) or not isinstance(layers, list):
            raise damaged("its manifest.json cannot be read")
        if config in found:
            names |= found[config].names
        found[config] = Described(names, _platform(parts, config), config, _layers(layers))
    return list(found.values())


def _of_index(parts: Parts) -> list[Described]:
    """The images of an OCI layout's ``index.json``."""
    listed = _entries(read_json(parts, "index.json"))
    names: dict[str, set[str]] = {}
    for entry in listed:
        annotations = _dict(entry.get("annotations"))
        named = next((annotations[name] for name in _NAMES if isinstance(annotations.get(name), str)), None)
        names.setdefault(_blob(entry), set()).update([named] if named else [])
    seen: set[str] = set()
    images = [
        replace(image, names=frozenset(names[_blob(entry)]))
        for entry in listed
        for image in _images(parts, entry, seen)
    ]
    return [image for image in images if not image.platform or image.platform.os != "unknown"]  # an attestation


def _images(parts: Parts, entry: dict[str, Any], seen: set[str], depth: int = 0) -> Iterator[Described]:
    """The images that an index's entry leads to, but for those that were seen."""
    blob = _blob(entry)
    if blob in seen or "vnd.docker.reference.type" in _dict(entry.get("annotations")):
        return
    if _dict(entry.get("platform")).get("os") == "unknown":  # an attestation
        return
    seen.add(blob)
    if len(seen) > MOST_MANIFESTS or depth > DEEPEST_INDEX:
        raise damaged("its indexes list more than those of any image")
    named = described(_dict(entry.get("platform")))
    if not parts.has(blob):
        yield Described(frozenset(), named)
        return
    document = _dict(read_json(parts, blob))
    if "manifests" in document:
        for below in _entries(document):
            yield from _images(parts, below, seen, depth + 1)
        return
    config = _dict(document.get("config"))
    if config.get("mediaType", _CONFIGS[0]) in _CONFIGS:  # and not a chart, a signature ...
        name, layers = _blob(config), document.get("layers") or []
        if not isinstance(layers, list):
            raise damaged("a manifest cannot be read")
        names = _layers([_blob(_dict(layer)) for layer in layers])
        yield Described(frozenset(), _platform(parts, name) or named, name, names)


def _platform(parts: Parts, config: str) -> Platform | None:
    """The platform that a config names; None if it is missing or names none."""
    return described(_dict(read_json(parts, config))) if parts.has(config) else None


def _layers(names: list[Any]) -> tuple[str, ...]:
    if len(names) > MOST_LAYERS or not all(isinstance(name, str) for name in names):
        raise damaged("a manifest cannot be read, or names more layers than any image has")
    return tuple(names)


def _entries(index: Any) -> list[dict[str, Any]]:
    listed = _list(_dict(index).get("manifests"))
    if len(listed) > MOST_MANIFESTS:
        raise damaged("its indexes list more than those of any image")
    return [_dict(entry) for entry in listed]


def _blob(descriptor: dict[str, Any]) -> str:
    """Where a layout keeps what a descriptor describes."""
    algorithm, _, digest = str(descriptor.get("digest")).partition(":")
    if not _DIGEST.fullmatch(f"{algorithm}:{digest}"):
        raise damaged("a digest that cannot be read")
    return f"blobs/{algorithm}/{digest}"


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
