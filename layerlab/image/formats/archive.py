"""Images as archives: what ``docker save`` writes, old and new, and OCI layouts, as a stream, a file or a directory.

Docker's form has a ``manifest.json`` that names configs and layers (Docker's image specification v1.2): before Docker
25 a layer is ``ID/layer.tar``, or a link to an earlier one, since then a blob of an OCI layout. A layout's
``index.json`` leads through indexes, which list an image's platforms, to manifests (``image-layout.md`` of the OCI
image specification). Attestations and other things that lie beside an image in an index are left out. Where both name
images, they must be the same ones. Of several images none is taken for the one that was meant.

The parts of a file or a directory are read when they are asked for: an archive for five platforms costs no more than
one for one. Those that an engine sends, or that come out of a compressed archive, come once, in any order, before
anybody knows which of them matter. Each is recognised by its first bytes. Nothing is ever written to disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from layerlab.errors import ArchiveError, ImageNotFound
from layerlab.image.formats import platforms
from layerlab.image.formats.changeset import WantedFiles, absolute, scan
from layerlab.image.formats.compression import expanded, recognised
from layerlab.image.formats.platforms import Platform, described
from layerlab.image.formats.stream import PIECE, Budget, Stream, Stretch, damaged
from layerlab.image.formats.tar import BLOCK, Member, is_tar, members
from layerlab.image.layer import Layer

LARGEST_JSON: Final = 4_000_000  # bytes of a description; attestations, which list an image's software, may be larger
LARGEST_TOTAL: Final = 64_000_000  # bytes of all descriptions
MOST_PARTS: Final = 10_000
MOST_LINKS: Final = 10  # that lead from one name to the next
MOST_LAYERS: Final = 500
MOST_MANIFESTS: Final = 1_000
DEEPEST_INDEX: Final = 4

_NO_IMAGE: Final = "write it with `docker save`, which keeps an image (`docker export` keeps a container's files)"
_CONFIGS: Final = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
_NAMES: Final = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_DIGEST: Final = re.compile(r"[a-z0-9]{1,20}:[a-zA-Z0-9]{1,200}")
_HEADERS: Final = 2**16  # bytes read at once where only headers are wanted
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC

Watch = Callable[[Iterator[bytes]], Iterator[bytes]]
"""Passes on the bytes that are read, so that somebody sees how far it is."""


@dataclass(frozen=True)
class StoredImage:
    """An image's layers as they were read, from an archive or from elsewhere."""

    id: str  # the digest of the image's config; from an engine, the image's id there
    config: dict[str, Any]  # the image's config (``application/vnd.oci.image.config.v1+json``)
    layers: list[Layer]  # from the bottom. The digest of each is the diff id that the config gives, verified
    origin: str = "file"  # ``directories`` or ``export`` of an engine, or ``file``

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
    """Read an image from the bytes of an archive, compressed or not; all of them are read.

    Of several platforms that the archive holds, `platform` is wanted, or else the `usual` one (None: this machine's).
    `wanted` are files of the layers whose bytes are wanted, too.

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
    parts = _Parts(budget, wanted, is_compressed=known is not None)
    for member in members(stream):
        if (name := parts.name_of(member)) is not None:
            parts.look(name, member.size, stream)
    stream.drain()
    return _put_together(parts, platform, usual)


def read_path(
    path: Path, *, platform: Platform | None = None, watch: Watch = iter, wanted: WantedFiles | None = None
) -> StoredImage:
    """Read an image from a file, or from the directory of an OCI layout; for the rest see `read_stream`.

    Raises:
        ArchiveError, ImageNotFound: see `read_stream`; or it cannot be read.
    """
    try:
        if path.is_dir():
            return _put_together(_in_directory(path, watch, wanted), platform)
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size if path.is_file() else None
            if size is not None and is_tar(os.pread(file.fileno(), BLOCK, 0)):
                return _put_together(_in_file(file.fileno(), size, watch, wanted), platform)
            whole = iter(lambda: file.read(PIECE), b"") if size is None else Stretch(file.fileno(), 0, size)
            return read_stream(watch(whole), platform=platform, wanted=wanted)
    except OSError as error:
        what = f"{str(path)!r} cannot be read ({error.strerror or error})"
        raise ArchiveError(what, remedy="check the file and its permissions") from error


def statements(path: Path, image_id: str) -> list[dict[str, Any]]:
    """What attestations beside an image say of it, as in-toto statements (`Statement v1`), which are not verified.

    The path is a file, or the directory of an OCI layout; one that is compressed as a whole is not read again.
    `image_id` is the digest of the image's config.

    Raises:
        ArchiveError: it is damaged.
    """
    with ExitStack() as opened:
        if path.is_dir():
            parts = _in_directory(path, iter, None)
        else:
            file = opened.enter_context(path.open("rb", buffering=0))
            if not path.is_file() or not is_tar(os.pread(file.fileno(), BLOCK, 0)):
                return []
            parts = _in_file(file.fileno(), os.fstat(file.fileno()).st_size, iter, None)
        if not parts.has("index.json"):
            return []
        parts.largest = LARGEST_TOTAL
        manifests = dict(_manifests(parts, parts.json("index.json"), set()))
        return [
            _dict(parts.json(blob))
            for entry, manifest in manifests.values()
            if _config(manifests.get(_dict(entry.get("annotations")).get("vnd.docker.reference.digest"))) == image_id
            for blob in map(_blob, map(_dict, _list(manifest.get("layers"))))
            if parts.document(blob) is not None
        ]


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


@contextmanager
def opened_below(folder: Path | str, path: str) -> Iterator[int]:
    """Open a file by its path below a directory.

    Raises:
        OSError: it cannot be opened, or a symbolic link is on the way.
    """
    *folders, name = path.strip("/").split("/")
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part, flags in [*((part, _DIRECTORY) for part in folders), (name, _FILE)]:
            below = os.open(part, flags, dir_fd=at)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)


@dataclass
class _Parts:
    """The parts of an archive: descriptions and layers, by their names in a manifest.

    Those that come once, one after the other, are given to `look`. Of those that can be opened, `find` gives the size
    and the bytes; None if there is none at this path.
    """

    budget: Budget
    wanted: WantedFiles | None = None
    find: Callable[[str], tuple[int, Iterator[bytes]] | None] = field(default=lambda _: None)
    is_compressed: bool = False  # as a whole
    largest: int = LARGEST_JSON
    links: dict[str, str] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)
    layers: dict[str, tuple[Layer, str]] = field(default_factory=dict)
    refused: dict[str, ArchiveError] = field(default_factory=dict)
    document_bytes: int = 0
    count: int = 0

    def name_of(self, member: Member) -> str | None:
        """The name of a member that is a part; links are noted, and whatever else there is does not count.

        Raises:
            ArchiveError: it is one too many (then it is most often an archive of a container), or leads outside.
        """
        self.count += 1
        if self.count > MOST_PARTS:
            what = f"the archive is none of an image: it has more than {MOST_PARTS:,} parts"
            raise ArchiveError(what, remedy=_NO_IMAGE)
        name = absolute(member.name)
        if member.kind == "1":
            self.links[name] = absolute(member.link)
        elif member.kind == "2":
            self.links[name] = absolute(posixpath.normpath(posixpath.join(posixpath.dirname(name), member.link)))
        return name if member.is_plain else None

    def has(self, name: str) -> bool:
        """Whether there is a part of this name."""
        path = self._followed(name)
        return path in self.layers or path in self.refused or self.find(path) is not None

    def document(self, name: str) -> bytes | None:
        """The bytes of a description; None if there is no such part, or if it is something else."""
        return self.documents.get(self._opened(name))

    def json(self, name: str) -> Any:
        """A description, which must have the digest that its name says, if it says one."""
        text = self.document(name)
        if text is None:
            raise damaged(f"{name!r} is {'no description of anything' if self.has(name) else 'missing'}")
        _, blobs, named = absolute(name).rpartition("/blobs/")
        if blobs:
            algorithm, _, digest = named.partition("/")
            if algorithm not in {"sha256", "sha512"}:
                raise damaged(f"a digest of an unknown kind, {algorithm!r}")
            if hashlib.new(algorithm, text).hexdigest() != digest:
                raise damaged(f"{name!r} does not hold what its name says")
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise damaged(f"{name!r} is not valid JSON") from error

    def layer(self, name: str) -> tuple[Layer, str]:
        """A layer, and the digest of its uncompressed bytes."""
        path = self._opened(name)
        if path not in self.layers:
            raise self.refused.get(path) or damaged(f"the layer {name!r} is missing")
        return self.layers[path]

    def _followed(self, name: str) -> str:
        path = absolute(name)
        for _ in range(MOST_LINKS):
            if path not in self.links:
                return path
            path = self.links[path]
        raise damaged("links that lead in a circle")

    def _opened(self, name: str) -> str:
        """The path of a part, which is read now if it can be and has not been."""
        path = self._followed(name)
        if path not in self.layers and path not in self.refused and (found := self.find(path)) is not None:
            self.look(path, found[0], Stream(found[1]))
        return path

    def look(self, path: str, size: int, stream: Stream) -> None:
        """Look at a part, whose bytes are the next in the stream. Whatever is not read here is left out."""
        start = stream.peek(min(size, BLOCK))[:size]
        if not is_tar(start) and start.lstrip()[:1] in {b"{", b"["}:
            self.refused[path] = damaged(f"the layer {path!r} is no layer")
            if size <= self.largest:
                self.document_bytes += size
                if self.document_bytes > LARGEST_TOTAL:
                    raise damaged("its descriptions are larger than those of any image")
                self.documents[path] = stream.read(size)
        elif is_tar(start) or recognised(start) or not size:
            try:
                self.layers[path] = self._read_layer(stream.pieces(size))
            except ArchiveError as error:  # of a part that nobody may ask for
                self.refused[path] = error
        else:
            self.refused[path] = damaged(f"the layer {path!r} is no tar archive")

    def _read_layer(self, pieces: Iterator[bytes]) -> tuple[Layer, str]:
        """A layer, compressed or not, and the digest of its uncompressed bytes."""
        stream = Stream(pieces)
        known = recognised(stream.peek(BLOCK))
        if known:
            held = stream.rest() if self.is_compressed else self.budget.holding(stream.rest())
            stream = Stream(expanded(held, known, self.budget))
        start = stream.peek(BLOCK)
        if start and not is_tar(start):
            raise damaged(f"a layer that is {f'compressed with {known.name}, but ' if known else ''}no tar archive")
        return scan(stream.rest(), self.budget, self.wanted)


def _in_file(handle: int, size: int, watch: Watch, wanted: WantedFiles | None) -> _Parts:
    """The parts of a tar archive in a file that stays open."""
    places: dict[str, tuple[int, int]] = {}

    def find(path: str) -> tuple[int, Iterator[bytes]] | None:
        return (places[path][1], watch(Stretch(handle, *places[path]))) if path in places else None

    parts, whole = _Parts(Budget(), wanted, find), Stretch(handle, 0, size, _HEADERS)
    stream = Stream(whole, whole.jump)
    for member in members(stream):
        if (name := parts.name_of(member)) is not None:
            places[name] = (stream.position, member.size)
    return parts


def _in_directory(path: Path, watch: Watch, wanted: WantedFiles | None) -> _Parts:
    """The parts in a directory; no symbolic link is followed, and nothing but regular files is opened."""
    if not is_layout(path):
        raise ArchiveError(
            f"the directory {str(path)!r} is no OCI layout (it has no index.json and blobs)",
            remedy="give an image's name, or a file that `docker save` has written",
        )

    def pieces(name: str) -> Iterator[bytes]:
        with opened_below(path, name) as handle:
            yield from watch(Stretch(handle, 0, os.fstat(handle).st_size))

    def find(name: str) -> tuple[int, Iterator[bytes]] | None:
        with suppress(FileNotFoundError, NotADirectoryError), opened_below(path, name) as handle:
            status = os.fstat(handle)
            return (status.st_size, pieces(name)) if stat.S_ISREG(status.st_mode) else None
        return None

    return _Parts(Budget(), wanted, find)


def _put_together(parts: _Parts, platform: Platform | None, usual: Platform | None = None) -> StoredImage:
    """Put the image together from what the archive holds."""
    chosen = _choose(parts, platform, usual or platforms.host())
    config, text = parts.json(chosen.config), parts.document(chosen.config)
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


@dataclass(frozen=True)
class _Described:
    """An image that an archive describes."""

    names: frozenset[str]
    platform: Platform | None  # if anything says it
    config: str = ""  # the name of its config within the archive; empty if its manifest is missing
    layers: tuple[str, ...] = ()  # their names, from the bottom


def _named(image: _Described) -> str:
    return str(image.platform or "an unknown platform")


def _choose(parts: _Parts, wanted: Platform | None, usual: Platform) -> _Described:
    """The image that is meant: for the platform that was asked for, or else for the usual one of several."""
    images = _described(parts)
    by_name: dict[frozenset[str], list[_Described]] = {}
    for image in images:
        by_name.setdefault(image.names, []).append(image)
    if len(by_name) > 1:
        listed = ", ".join(sorted(" or ".join(sorted(names)) or "one without a name" for names in by_name))
        raise ArchiveError(f"the archive holds several images ({listed:.300})", remedy="save only one of them")
    there = [image for image in images if image.config and all(map(parts.has, [image.config, *image.layers]))]
    found = _for_platform(images, there, wanted, usual)
    if len(found) > 1:
        raise ArchiveError(
            f"the archive holds {len(found)} images for {_named(found[0])} and no names to tell them apart",
            remedy="save only one of them",
        )
    return found[0]


def _for_platform(
    images: list[_Described], there: list[_Described], wanted: Platform | None, usual: Platform
) -> list[_Described]:
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
    present = sorted(set(map(_named, there)))
    absent = sorted({_named(image) for image in images if image not in there} - set(present))
    lacks = f"; it names {', '.join(absent)} without holding {'it' if len(absent) == 1 else 'them'}" if absent else ""
    if not there:
        raise ArchiveError(f"the archive holds no whole image{lacks}", remedy="write it anew with `docker save`")
    raise ImageNotFound(
        f"the archive holds no image for {meant}, but for {', '.join(present):.300}{lacks:.300}",
        remedy=f"choose one of these, such as --platform {present[0]}",
    )


_Manifest = tuple[dict[str, Any], dict[str, Any]]
"""An index's entry, and the manifest to which it leads."""


def _manifests(parts: _Parts, index: Any, seen: set[str]) -> Iterator[tuple[object, _Manifest]]:
    """All manifests that an index leads to, by their digests."""
    for entry in _entries(index):
        blob = _blob(entry)
        if blob not in seen and len(seen) < MOST_MANIFESTS and parts.has(blob):
            seen.add(blob)
            document = _dict(parts.json(blob))
            if "manifests" in document:
                yield from _manifests(parts, document, seen)
            else:
                yield entry["digest"], (entry, document)


def _config(manifest: _Manifest | None) -> object:
    return _dict(manifest[1].get("config")).get("digest") if manifest else None


def _described(parts: _Parts) -> list[_Described]:
    """All images that the archive describes, at least one."""
    readers = {"index.json": _of_index, "manifest.json": _of_manifest}
    found = {name: listed(parts) for name, listed in readers.items() if parts.has(name)}
    images = [listed for listed in found.values() if listed]
    if len(images) > 1:
        of_index, of_manifest = ({parts.document(image.config) for image in listed} for listed in images)
        if not of_manifest <= of_index:
            raise damaged("its index.json and its manifest.json describe different images")
    if not images:
        lacks = f"its {next(iter(found))} names none" if found else "it has neither a manifest.json nor an index.json"
        raise ArchiveError(f"the archive holds no image: {lacks}", remedy=_NO_IMAGE)
    return images[0]


def _of_manifest(parts: _Parts) -> list[_Described]:
    """The images of Docker's ``manifest.json``."""
    listed = parts.json("manifest.json")
    if not isinstance(listed, list) or len(listed) > MOST_MANIFESTS:
        raise damaged("its manifest.json cannot be read")
    found: dict[str, _Described] = {}
    for entry in map(_dict, listed):
        config, layers = entry.get("Config"), entry.get("Layers") or []
        names = frozenset(map(str, _list(entry.get("RepoTags"))))
        if not isinstance(config, str):
            raise damaged("its manifest.json cannot be read")
        if config in found:
            names |= found[config].names
        found[config] = _Described(names, _platform(parts, config), config, _layers(layers))
    return list(found.values())


def _of_index(parts: _Parts) -> list[_Described]:
    """The images of an OCI layout's ``index.json``."""
    listed = _entries(parts.json("index.json"))
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


def _images(parts: _Parts, entry: dict[str, Any], seen: set[str], depth: int = 0) -> Iterator[_Described]:
    """The images that an index's entry leads to, but for those that were seen, and attestations."""
    blob, platform = _blob(entry), _dict(entry.get("platform"))
    is_attestation = "vnd.docker.reference.type" in _dict(entry.get("annotations")) or platform.get("os") == "unknown"
    if blob in seen or is_attestation:
        return
    seen.add(blob)
    if len(seen) > MOST_MANIFESTS or depth > DEEPEST_INDEX:
        raise damaged("its indexes list more than those of any image")
    named = described(platform)
    if not parts.has(blob):
        yield _Described(frozenset(), named)
        return
    document = _dict(parts.json(blob))
    if "manifests" in document:
        for below in _entries(document):
            yield from _images(parts, below, seen, depth + 1)
        return
    config = _dict(document.get("config"))
    if config.get("mediaType", _CONFIGS[0]) in _CONFIGS:  # and not a chart, a signature ...
        name, layers = _blob(config), document.get("layers") or []
        blobs = [_blob(_dict(layer)) for layer in layers] if isinstance(layers, list) else layers
        yield _Described(frozenset(), _platform(parts, name) or named, name, _layers(blobs))


def _platform(parts: _Parts, config: str) -> Platform | None:
    return described(_dict(parts.json(config))) if parts.has(config) else None


def _layers(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list) or len(names) > MOST_LAYERS or not all(isinstance(name, str) for name in names):
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
