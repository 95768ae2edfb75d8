"""Images as archives: what ``docker save`` writes, old and new, and OCI layouts, as a stream, a file or a directory.

``docker save`` has had two forms. Both hold a ``manifest.json`` that names the config and the layers; before Docker
25 a layer is ``ID/layer.tar`` (and a symbolic link, where an earlier one is the same), since then it is
``blobs/sha256/DIGEST`` of an OCI layout, compressed where the containerd store keeps it so. Parts come in any order,
so each is recognised by its first bytes and read as it comes; nothing is written to disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import posixpath
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from layerlab.errors import ArchiveError
from layerlab.image.changeset import Budget, absolute, scan
from layerlab.image.layer import Layer
from layerlab.image.tar import BLOCK, Stream, damaged, gunzip, is_tar, members

LARGEST_JSON: Final = 4_000_000
"""Bytes of a description that is still read. Attestations, which list an image's software, are larger: not needed."""
LARGEST_TOTAL: Final = 64_000_000
"""Bytes of all descriptions."""
MOST_PARTS: Final = 10_000
MOST_LAYERS: Final = 500

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_PIECE: Final = 2**20
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Contents:
    """What an archive holds.

    Attributes:
        id: The digest of the image's config.
        config: The image's config.
        layers: From the bottom. The digest of each is the diff id that the config gives, verified.
    """

    id: str
    config: dict[str, Any]
    layers: list[Layer]

    @property
    def diff_ids(self) -> list[str]:
        """The digests of the layers."""
        return diff_ids(self.config)


@dataclass
class _Parts:
    """What has been found in an archive so far, by name within it."""

    budget: Budget
    documents: dict[str, bytes] = field(default_factory=dict)
    layers: dict[str, tuple[Layer, str]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    count: int = 0
    document_bytes: int = 0

    def add(self, name: str, size: int, stream: Stream) -> None:
        """Look at a part, whose bytes are the next in the stream. Whatever is not read here is left out."""
        start = stream.peek(min(size, BLOCK))[:size]
        if is_tar(start) or not size:
            self.layers[name] = scan(stream.pieces(size), self.budget)
        elif start.lstrip()[:1] in {b"{", b"["} and size <= LARGEST_JSON:
            self.document_bytes += size
            if self.document_bytes > LARGEST_TOTAL:
                raise damaged("its descriptions are larger than those of any image")
            self.documents[name] = stream.read(size)
        elif start.startswith(_ZSTD):
            self.refused[name] = "compressed with zstd, which this lab cannot read"
        elif start.startswith(_GZIP):
            inner = Stream(gunzip(stream.pieces(size)))
            if is_tar(inner.peek(BLOCK)) or not inner.peek(1):
                self.layers[name] = scan(inner.rest(), self.budget)
            else:
                self.refused[name] = "compressed, but no archive"

    def spend(self) -> None:
        self.count += 1
        if self.count > MOST_PARTS:
            raise damaged("it has more parts than any image has")

    def document(self, name: str) -> Any:
        """A JSON document.

        Raises:
            ArchiveError: it is not there, or cannot be read, or is not what its name says.
        """
        text = self.documents.get(self._target(name))
        if text is None:
            raise damaged(f"{name!r} is missing")
        _, _, digest = absolute(name).rpartition("/blobs/sha256/")
        if digest != absolute(name) and digest != hashlib.sha256(text).hexdigest():
            raise damaged(f"{name!r} does not hold what its name says")
        return _json(text, name)

    def layer(self, name: str) -> tuple[Layer, str]:
        """A layer and its digest.

        Raises:
            ArchiveError: it is not there, or cannot be read.
        """
        target = self._target(name)
        if why := self.refused.get(target):
            raise ArchiveError(
                f"the layer {name!r} is {why}",
                remedy="load the archive with `docker load` and look at the image by its name",
            )
        if target not in self.layers:
            raise damaged(f"the layer {name!r} is missing")
        return self.layers[target]

    def _target(self, name: str) -> str:
        path = absolute(name)
        for _ in range(10):
            if path not in self.aliases:
                return path
            path = self.aliases[path]
        raise damaged("links that lead in a circle")


def read_stream(pieces: Iterable[bytes]) -> Contents:
    """Read an image from the bytes of an archive, compressed with gzip or not.

    Raises:
        ArchiveError: it is damaged, hostile, or of an unknown kind.
    """
    stream = Stream(pieces)
    if stream.peek(2) == _GZIP:
        stream = Stream(gunzip(stream.rest()))
    start = stream.peek(BLOCK)
    if not is_tar(start):
        zstd = start.startswith(_ZSTD)
        raise ArchiveError(
            "the file is compressed with zstd" if zstd else "the file is no archive of an image",
            remedy="expand it with `zstd -d` first"
            if zstd
            else "give a file that `docker save` has written, or the image's name with its tag",
        )
    parts = _Parts(Budget())
    for member in members(stream):
        parts.spend()
        name = absolute(member.name)
        if member.kind == "0" and member.size == member.apparent_size:
            parts.add(name, member.size, stream)
        elif member.kind == "1":
            parts.aliases[name] = absolute(member.link)
        elif member.kind == "2":
            folder = posixpath.dirname(name)
            parts.aliases[name] = posixpath.normpath(posixpath.join(folder, member.link))
    return _contents(parts)


def read_path(path: Path) -> Contents:
    """Read an image from a file, or from the directory of an OCI layout.

    Raises:
        ArchiveError: it is damaged, hostile, of an unknown kind, or cannot be read.
    """
    try:
        if path.is_dir():
            return _contents(_directory(path))
        with path.open("rb") as file:
            return read_stream(iter(lambda: file.read(_PIECE), b""))
    except OSError as error:
        raise ArchiveError(
            f"{str(path)!r} cannot be read ({error.strerror or error})", remedy="check the file and its permissions"
        ) from error


def is_layout(path: Path) -> bool:
    """Whether this is the directory of an OCI layout."""
    return path.is_dir() and (path / "index.json").is_file() and (path / "blobs").is_dir()


def diff_ids(config: dict[str, Any]) -> list[str]:
    """The digests of the uncompressed layers that a config names, from the bottom.

    Raises:
        ArchiveError: it is not the config of an image.
    """
    found = _dict(config.get("rootfs")).get("diff_ids") or []
    if not isinstance(found, list) or not all(isinstance(diff_id, str) for diff_id in found):
        raise damaged("the image's config does not name its layers")
    return found


def _directory(path: Path) -> _Parts:
    if not is_layout(path):
        raise ArchiveError(
            f"the directory {str(path)!r} is no OCI layout (it has no index.json and blobs)",
            remedy="give an image's name, or a file that `docker save` has written",
        )
    parts = _Parts(Budget())
    with os.scandir(path) as entries:
        tops = [entry.name for entry in entries if entry.name.endswith(".json")]
    blobs = path / "blobs" / "sha256"
    with os.scandir(blobs) as entries:
        names = [*sorted(tops), *sorted(f"blobs/sha256/{entry.name}" for entry in entries)]
    for name in names:
        parts.spend()
        handle = os.open(path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb") as file:  # noqa: PTH123
            status = os.fstat(handle)
            if stat.S_ISREG(status.st_mode):
                parts.add(f"/{name}", status.st_size, Stream(iter(lambda: file.read(_PIECE), b"")))
    return parts


def _contents(parts: _Parts) -> Contents:
    """Put the image together from what the archive holds."""
    if "/manifest.json" in parts.documents:
        described = parts.document("manifest.json")
        if not isinstance(described, list) or not described:
            raise damaged("its manifest.json describes no image")
        if len(described) > 1:
            raise _several(str(_dict(image).get("RepoTags")) for image in described)
        manifest = _dict(described[0])
        config_name, layer_names = manifest.get("Config"), manifest.get("Layers") or []
    elif "/index.json" in parts.documents:
        manifest = _manifest(parts, _dict(parts.document("index.json")))
        layers = manifest.get("layers") or []
        config_name = _blob(_dict(manifest.get("config")))
        layer_names = [_blob(_dict(layer)) for layer in layers] if isinstance(layers, list) else None
    else:
        raise ArchiveError(
            "the archive holds no image: it has neither a manifest.json nor an index.json",
            remedy="write it with `docker save`, which keeps an image (`docker export` keeps a container's files)",
        )
    if (
        not isinstance(config_name, str)
        or not isinstance(layer_names, list)
        or not all(isinstance(name, str) for name in layer_names)
        or len(layer_names) > MOST_LAYERS
    ):
        raise damaged("its manifest cannot be read")
    config = _dict(parts.document(config_name))
    text = parts.documents[parts._target(config_name)]
    found = [parts.layer(name) for name in layer_names]
    if [digest for _, digest in found] != diff_ids(config):
        raise damaged("its layers are not those that the image's config names")
    budget = Budget()
    for layer, _ in found:
        budget.entries -= len(layer)
        budget.spend("")
    return Contents(f"sha256:{hashlib.sha256(text).hexdigest()}", config, [layer for layer, _ in found])


def _manifest(parts: _Parts, index: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """The manifest of an OCI layout: the one for this machine's architecture, else the first of an image."""
    listed = index.get("manifests")
    entries = [_dict(entry) for entry in listed] if isinstance(listed, list) else []
    if not entries or depth > 3:
        raise damaged("its index names no image")
    names = {_dict(entry.get("annotations")).get("org.opencontainers.image.ref.name") for entry in entries} - {None}
    if len(names) > 1:
        raise _several(map(str, names))
    chosen = _dict(parts.document(_blob(min(entries, key=_unfitness))))
    return _manifest(parts, chosen, depth + 1) if "manifests" in chosen else chosen


def _unfitness(entry: dict[str, Any]) -> int:
    """How far an index's entry is from what would run here."""
    system, machine = _dict(entry.get("platform")), platform.machine()
    if system.get("os") == "unknown":  # an attestation beside the image
        return 2
    return int(bool(system) and system.get("architecture") != _ARCHITECTURES.get(machine, machine))


def _several(names: Iterable[str]) -> ArchiveError:
    listed = ", ".join(sorted(names))
    return ArchiveError(f"the archive holds several images ({listed:.300})", remedy="save only one of them")


def _blob(descriptor: dict[str, Any]) -> str:
    algorithm, colon, digest = str(descriptor.get("digest")).partition(":")
    if not colon or not algorithm.isalnum() or not digest.isalnum():
        raise damaged("a digest that cannot be read")
    return f"blobs/{algorithm}/{digest}"


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _json(text: bytes, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(f"{name!r} is not valid JSON") from error
