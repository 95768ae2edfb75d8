"""Images as archives: what ``docker save`` writes, old and new, and OCI layouts, as a stream, a file or a directory.

``docker save`` has had two forms. Both hold a ``manifest.json`` that names the config and the layers; before Docker
25 a layer is ``ID/layer.tar`` (and a symbolic link, where an earlier one is the same), since then it is
``blobs/sha256/DIGEST`` of an OCI layout, compressed where the containerd store keeps it so.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from layerlab.errors import ArchiveError
from layerlab.image.formats import platforms
from layerlab.image.formats.archive_parts import Parts, Watch, in_directory, in_file, read_json
from layerlab.image.formats.changeset import WantedFiles
from layerlab.image.formats.compression import expanded, recognised
from layerlab.image.formats.expansion_limits import Budget
from layerlab.image.formats.manifests import choose
from layerlab.image.formats.platforms import Platform
from layerlab.image.formats.stream import PIECE, Stream, Stretch, damaged
from layerlab.image.formats.tar import BLOCK, is_tar, members
from layerlab.image.layer import Layer


@dataclass(frozen=True)
class StoredImage:
    """An image's layers as they were read, from an archive or from elsewhere.

    Attributes:
        id: The digest of the image's config; from an engine, the image's id there.
        config: The image's config (``application/vnd.oci.image.config.v1+json``).
        layers: From the bottom. The digest of each is the diff id that the config gives, verified.
        origin: ``directories`` or ``export`` of an engine, or ``file``.
        files: Of a directory, the names of the files that this comes from.
    """

    id: str
    config: dict[str, Any]
    layers: list[Layer]
    origin: str = "file"
    files: tuple[str, ...] = ()

    @property
    def diff_ids(self) -> list[str]:
        """The digests of the layers."""
        return diff_ids(self.config)


def read_stream(
    pieces: Iterable[bytes],
    *,
    platform: Platform | None = None,
    usual: Platform | None = None,
    wanted: WantedFiles | None = None,
) -> StoredImage:
    """Read an image from the bytes of an archive, compressed or not.

    Args:
        pieces: The bytes; all are read.
        platform: The platform that is wanted, of those that the archive holds.
        usual: Which of several to take where none is wanted; this machine's if None.
        wanted: Files of the layers whose bytes are wanted, too.

    Raises:
        ArchiveError: it is damaged, hostile, or of an unknown kind, or holds several images.
        ImageNotFound: it holds none for this platform.
    """
    stream, budget = Stream(pieces), Budget()
    known = recognised(stream.peek(BLOCK))
    if known:
        stream = Stream(expanded(budget.holding(stream.rest()), known, budget))
    if not is_tar(stream.peek(BLOCK)):
        raise ArchiveError(
            "the file is no archive of an image",
            remedy="give a file that `docker save` has written, or the image's name with its tag",
        )
    parts = Parts(budget, is_compressed=known is not None, wanted=wanted)
    for member in members(stream):
        parts.add(member, stream)
    stream.drain()
    return _put_together(parts, platform, usual)


def read_path(
    path: Path, *, platform: Platform | None = None, watch: Watch = iter, wanted: WantedFiles | None = None
) -> StoredImage:
    """Read an image from a file, or from the directory of an OCI layout.

    Args:
        path: The file or directory.
        platform: See `read_stream`.
        watch: Passes on all the bytes that are read.
        wanted: See `read_stream`.

    Raises:
        ArchiveError, ImageNotFound: see `read_stream`; or it cannot be read.
    """
    try:
        if path.is_dir():
            return _from_directory(path, platform, watch, wanted)
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _from_file(handle, platform, watch, wanted)
        finally:
            os.close(handle)
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
    root = config.get("rootfs")
    found = (root.get("diff_ids") if isinstance(root, dict) else None) or []
    if not isinstance(found, list) or not all(isinstance(diff_id, str) for diff_id in found):
        raise damaged("the image's config does not name its layers")
    return found


def _from_file(handle: int, platform: Platform | None, watch: Watch, wanted: WantedFiles | None) -> StoredImage:
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        return read_stream(watch(iter(lambda: os.read(handle, PIECE), b"")), platform=platform, wanted=wanted)
    if is_tar(os.pread(handle, BLOCK, 0)):
        return _put_together(in_file(handle, Budget(), watch, wanted), platform)
    return read_stream(watch(Stretch(handle, 0, status.st_size)), platform=platform, wanted=wanted)


def _from_directory(path: Path, platform: Platform | None, watch: Watch, wanted: WantedFiles | None) -> StoredImage:
    if not is_layout(path):
        raise ArchiveError(
            f"the directory {str(path)!r} is no OCI layout (it has no index.json and blobs)",
            remedy="give an image's name, or a file that `docker save` has written",
        )
    parts = in_directory(path, Budget(), watch, wanted)
    return replace(_put_together(parts, platform), files=tuple(sorted(parts.read)))


def _put_together(parts: Parts, platform: Platform | None, usual: Platform | None = None) -> StoredImage:
    """Put the image together from what the archive holds."""
    chosen = choose(parts, platform, usual or platforms.host())
    config = read_json(parts, chosen.config)
    text = parts.document(chosen.config)
    if not isinstance(config, dict) or text is None:
        raise damaged("the image's config cannot be read")
    wanted = diff_ids(config)
    if len(wanted) != len(chosen.layers):
        raise damaged("its layers are not those that the image's config names")
    layers, again = [], Budget()
    for name, diff_id in zip(chosen.layers, wanted, strict=True):
        layer, digest = parts.layer(name)
        if digest != diff_id:
            raise damaged(f"the layer {name!r} is not the one that the image's config names")
        again.entries -= len(layer)  # one layer may be named again and again
        again.spend("")
        layers.append(layer)
    return StoredImage(f"sha256:{hashlib.sha256(text).hexdigest()}", config, layers)
