"""Which image an archive is meant for: from its descriptions to a config and the names of its layers.

Two kinds of descriptions are in use, and today's ``docker save`` writes both. ``index.json`` (``image-layout.md`` of
the OCI image specification) leads through indexes, which list an image's platforms, to manifests. ``manifest.json``
(Docker's image specification v1.2) names configs and layers directly. Attestations and other things that lie beside
an image in an index are left out. Of several images none is taken for the one that was meant; of several platforms
the one that was asked for is taken, or else this machine's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from layerlab.errors import ArchiveError, ImageNotFound
from layerlab.image.formats.archive_parts import Parts, read_json
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
    has_index, has_manifest = parts.has("index.json"), parts.has("manifest.json")
    of_index = _of_index(parts) if has_index else []
    of_manifest = _of_manifest(parts) if has_manifest else []
    if of_index and of_manifest:
        known = {_content(parts, image.config) for image in of_index}
        if not {_content(parts, image.config) for image in of_manifest} <= known:
            raise damaged("its index.json and its manifest.json describe different images")
    if of_index or of_manifest:
        return of_index or of_manifest
    if has_index or has_manifest:
        raise ArchiveError(
            f"the archive holds no image: its {'index' if has_index else 'manifest'}.json names none",
            remedy="write it anew with `docker save`",
        )
    raise ArchiveError(
        "the archive holds no image: it has neither a manifest.json nor an index.json",
        remedy="write it with `docker save`, which keeps an image (`docker export` keeps a container's files)",
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
    walk = _Walk(parts)
    return [
        replace(image, names=frozenset(names[_blob(entry)])) for entry in listed for image in walk.images(entry, 0)
    ]


@dataclass
class _Walk:
    """A walk through indexes and manifests that visits each once."""

    parts: Parts
    seen: set[str] = field(default_factory=set)

    def images(self, entry: dict[str, Any], depth: int) -> Iterator[Described]:
        """The images that an index's entry leads to."""
        blob = _blob(entry)
        if blob in self.seen or _is_beside(entry):
            return
        self.seen.add(blob)
        if len(self.seen) > MOST_MANIFESTS or depth > DEEPEST_INDEX:
            raise damaged("its indexes list more than those of any image")
        named = described(_dict(entry.get("platform")))
        if not self.parts.has(blob):
            yield Described(frozenset(), named)
            return
        document = _dict(read_json(self.parts, blob))
        if "manifests" in document:
            for below in _entries(document):
                yield from self.images(below, depth + 1)
            return
        config = _dict(document.get("config"))
        if config.get("mediaType", _CONFIGS[0]) not in _CONFIGS:  # a chart, a signature ...
            return
        name = _blob(config)
        layers = document.get("layers") or []
        if not isinstance(layers, list):
            raise damaged("a manifest cannot be read")
        platform = _platform(self.parts, name) or named
        if platform and platform.os == "unknown":
            return
        yield Described(frozenset(), platform, name, _layers([_blob(_dict(layer)) for layer in layers]))


def _is_beside(entry: dict[str, Any]) -> bool:
    """Whether an index's entry is no image but something about one, such as where it comes from."""
    platform = _dict(entry.get("platform"))
    return platform.get("os") == "unknown" or "vnd.docker.reference.type" in _dict(entry.get("annotations"))


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
