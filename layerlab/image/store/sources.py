"""Where an image's layers are read from: the engine's own directories, its export, or a file."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import stat
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import docker.errors

from layerlab.engine import Engine, answering
from layerlab.errors import ImageNotFound
from layerlab.image.formats import archive, platforms
from layerlab.image.formats.archive import StoredImage
from layerlab.image.formats.platforms import Platform, described
from layerlab.image.formats.stream import Stream
from layerlab.image.formats.tar import members
from layerlab.image.layer import Layer
from layerlab.image.store import cache, overlay
from layerlab.ui.progress import Ongoing, Report, ongoing, silent

if TYPE_CHECKING:
    from layerlab.image import Image

_REFERENCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]*")
_PIECE: Final = 2**21
PATIENCE: Final = 0.5  # seconds after which a look says how far it is; most end before

_SAMPLE: Final = 2**18  # bytes of a layer that are packed at once
_EVERY: Final = 16  # of which one is packed
_SMALL: Final = 32 * 2**20  # bytes of a layer that is packed whole
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


def load(
    engine: Engine | None, name: str, *, platform: Platform | None = None, report: Report = silent
) -> StoredImage:
    """The layers of an image, see `layerlab.image.read`; what was seen before is taken from the cache."""
    with ongoing(report, f"read {name}", patience=PATIENCE) as step:
        if is_file(name):
            return _from_file(Path(name), platform, step)
        if engine is None:
            raise ImageNotFound(
                f"there is no file {name!r}{_folder(name)}",
                remedy="check the path, or start Docker if an image of that name is meant",
            )
        found = inspect(engine, name)
        return _from_directories(engine, found, platform, step) or _from_export(engine, found, platform, step)


def directories(engine: Engine, name: str) -> list[str] | None:
    """The directories of an image's layers on this machine, from the bottom; None where they cannot be read.

    Raises:
        ImageNotFound, EngineGone, EngineError: see `layerlab.image.read`.
    """
    return _directories(engine, inspect(engine, name))


def is_file(name: str) -> bool:
    """Whether a name means a file (or the directory of an OCI layout) rather than an image on the engine."""
    try:
        path = Path(name)
        return bool(name) and (path.is_file() or path.is_fifo() or archive.is_layout(path))
    except (OSError, ValueError):  # too long, or with a null byte: no name of a file
        return False


def inspect(engine: Engine, name: str) -> dict[str, Any]:
    """What the engine says of an image; errors as in `directories`."""
    # What is no reference must not become part of a URL.
    if not _REFERENCE.fullmatch(name) or ".." in name:
        raise _not_found(engine, name)
    with answering(engine):
        try:
            found: dict[str, Any] = engine.client.api.inspect_image(name)  # type: ignore[no-untyped-call]
        except docker.errors.APIError as error:
            if error.is_client_error():  # it is not there, or the engine does not take this for a reference
                raise _not_found(engine, name) from error
            raise
    return found


def _not_found(engine: Engine, name: str) -> ImageNotFound:
    with answering(engine):
        listed = engine.client.api.images()
    known = sorted({tag for image in listed for tag in image.get("RepoTags") or []} - {"<none>:<none>"})
    repository = name.partition(":")[0]
    near = [tag for tag in known if tag.partition(":")[0] == repository]
    near += [tag for tag in difflib.get_close_matches(name, known, n=3, cutoff=0.5) if tag not in near]
    near += [tag for tag in known if tag.partition(":")[0].endswith(f"/{repository}") and tag not in near]
    remedy = f"did you mean {' or '.join(near[:3])}?" if near else "see `docker images` for the images that there are"
    return ImageNotFound(f"there is no image and no file {name!r}{_folder(name)}", remedy=remedy.rstrip("?"))


def _folder(name: str) -> str:
    """What to add about a folder of this name."""
    with suppress(OSError, ValueError):
        if Path(name).is_dir():
            return ", and the folder of that name is no OCI layout (it has no index.json and blobs)"
    return ""


def _from_directories(
    engine: Engine, found: dict[str, Any], wanted: Platform | None, step: Ongoing
) -> StoredImage | None:
    """The image from overlay2's directories; None where they cannot be read or might not tell all."""
    directories = _directories(engine, found)
    config = _stored_config(engine, found) if directories is not None else None
    diff_ids = archive.diff_ids(config or {})
    if directories is None or config is None or len(diff_ids) != len(directories):
        return None
    _expect(config, wanted)
    layers = []
    try:
        for number, (path, diff_id) in enumerate(zip(directories, diff_ids, strict=True)):
            step.say(f"layer {number + 1} of {len(diff_ids)}")
            key = cache.directory_key("overlay2", path, diff_id)
            if (layer := cache.load_layer(key)) is None:
                layer = overlay.scan(path, _origin(engine, diff_ids[: number + 1]))
                cache.store_layer(key, layer)
            layers.append(layer)
    except (OSError, overlay.UnusualLayerError):
        return None
    cache.prune()
    return StoredImage(str(found["Id"]), config, layers, "directories")


def _expect(config: dict[str, Any], wanted: Platform | None) -> None:
    """Raise an error if an image of which the engine has one platform only is not for the one that is wanted."""
    there = described(config)
    if wanted is not None and there not in {None, wanted}:
        raise ImageNotFound(
            f"the engine has this image for {there}, and not for {wanted}",
            remedy=f"pull it with `docker pull --platform {wanted}`, or leave --platform out",
        )


def reads_directories(engine: Engine) -> bool:
    """Whether layers are read where the engine keeps them.

    Their directories tell all only on this machine, and only with true owners: an engine that maps users stores
    shifted ones, and as rootless it marks opaque directories otherwise.
    """
    return engine.storage_driver == "overlay2" and engine.is_local and not engine.maps_users and overlay.can_read()


def _directories(engine: Engine, found: dict[str, Any]) -> list[str] | None:
    """The directories of the layers, from the bottom."""
    driver = found.get("GraphDriver") or {}
    if driver.get("Name") != "overlay2" or not reads_directories(engine):
        return None
    data = driver.get("Data") or {}
    folders = [data.get("UpperDir") or "", *(data.get("LowerDir") or "").split(":")]
    return [folder for folder in reversed(folders) if folder]


def _stored_config(engine: Engine, found: dict[str, Any]) -> dict[str, Any] | None:
    """The image's config as the engine keeps it: the API tells no history with its empty layers marked."""
    algorithm, _, digest = str(found["Id"]).partition(":")
    path = Path(engine.root_directory, "image", engine.storage_driver, "imagedb/content", algorithm, digest)
    content = b""
    with suppress(OSError):
        content = path.read_bytes()
    config = json.loads(content) if hashlib.sha256(content).hexdigest() == digest else None
    return config if isinstance(config, dict) else None


def _origin(engine: Engine, diff_ids: list[str]) -> Path:
    """Where the engine keeps what it needs to write the uppermost of these layers as it once came."""
    chain = diff_ids[0]
    for diff_id in diff_ids[1:]:
        chain = f"sha256:{hashlib.sha256(f'{chain} {diff_id}'.encode()).hexdigest()}"
    layers = Path(engine.root_directory, "image", engine.storage_driver, "layerdb")
    return layers / chain.replace(":", "/") / "tar-split.json.gz"


def _from_export(engine: Engine, found: dict[str, Any], wanted: Platform | None, step: Ongoing) -> StoredImage:
    """The image from ``docker save``'s stream, or from the cache if all its layers have been read before."""
    identity = str(found["Id"])
    usual = described({name.lower(): found.get(name) for name in ("Os", "Architecture", "Variant")})
    config_key = cache.key("config", identity, str(wanted or usual))
    config = cache.load_document(config_key)
    if config is not None and (layers := _read_before(archive.diff_ids(config))) is not None:
        return StoredImage(identity, config, layers, "export")
    with exported(engine, identity) as pieces:
        counted = step.reading(pieces, int(found.get("Size") or 0))
        image = archive.read_stream(counted, platform=wanted, usual=usual)
    _remember(image)
    cache.store_document(config_key, image.config)
    return replace(image, id=identity, origin="export")


@contextmanager
def exported(engine: Engine, identity: str) -> Iterator[Iterator[bytes]]:
    """The bytes that ``docker save`` sends of an image.

    Raises:
        ImageNotFound: it is not there any more.
        EngineGone: the engine stopped answering, also within the block.
        EngineError: the engine failed.
    """
    with answering(engine):
        try:
            with closing(engine.client.api.get_image(identity, chunk_size=_PIECE)) as pieces:
                yield pieces
        except docker.errors.NotFound as error:
            raise _not_found(engine, identity) from error


def _from_file(path: Path, wanted: Platform | None, step: Ongoing) -> StoredImage:
    """The image from a file: known by its inode and times, a layout by those of its index, if it was read before."""
    key = cache.key("file", str(path.resolve()), str(wanted or platforms.host()))
    known, stamp, began = cache.load_document(key), _stamp(path), time.time_ns()
    if known and known["stamp"] == stamp and (layers := _read_before(archive.diff_ids(known["config"]))) is not None:
        return StoredImage(known["id"], known["config"], layers)
    total = path.stat().st_size if path.is_file() else 0
    image = archive.read_path(path, platform=wanted, watch=partial(step.reading, total=total))
    _remember(image)
    if stamp is not None and stamp[-1] < began:
        cache.store_document(key, {"stamp": stamp, "id": image.id, "config": image.config})
    return image


def _stamp(path: Path) -> list[int] | None:
    """What tells whether a file is still what it was; None for a pipe, from which the same does not come again."""
    one = (path / "index.json" if path.is_dir() else path).stat()
    found = [one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns]
    return found if stat.S_ISREG(one.st_mode) else None


def _read_before(diff_ids: list[str]) -> list[Layer] | None:
    layers = []
    for diff_id in diff_ids:
        if (layer := cache.load_layer(cache.key("digest", diff_id))) is None:
            return None
        layers.append(layer)
    return layers


def _remember(image: StoredImage) -> None:
    for diff_id, layer in zip(image.diff_ids, image.layers, strict=True):
        cache.store_layer(cache.key("digest", diff_id), layer)
    cache.prune()


def packed_bytes(engine: Engine, image: Image) -> int:
    """About how many bytes are pulled by whoever has none of an image's layers; what came of it is remembered.

    Raises:
        EngineGone: the engine stopped answering.

    >>> from layerlab import demo
    >>> image = demo.read(engine, "optimized")
    >>> 0.2 < packed_bytes(engine, image) / image.total_bytes < 0.6
    True
    """
    key = cache.key("packed", *image.stack.diff_ids)
    if (known := cache.load_document(key)) is None:
        known = _packed_layers(engine, image)
        cache.store_document(key, known)
    return sum(known[diff_id] for diff_id in image.stack.diff_ids)


def _packed_layers(engine: Engine, image: Image) -> dict[str, int]:
    """The packed bytes of each layer, by its diff id."""
    sizes: dict[str, int] = {}
    names: list[str] = []
    with exported(engine, image.id) as pieces:
        stream = Stream(pieces)
        for member in members(stream):
            if member.name == "manifest.json":
                names = json.loads(stream.read(member.size))[0]["Layers"]
            elif member.kind == "0":
                sizes[member.name] = _packed(stream, member.size)
    # A layer that is the same as an earlier one may be a link to it.
    pairs = zip(image.stack.diff_ids, names, strict=True)
    return {diff_id: sizes[name] for diff_id, name in pairs if name in sizes}


def _packed(stream: Stream, size: int) -> int:
    if stream.peek(4).startswith((_GZIP, _ZSTD)):
        return size  # as it was pulled
    seen = packed = 0
    for number, start in enumerate(range(0, size, _SAMPLE)):
        piece = stream.read(min(_SAMPLE, size - start))
        if size <= _SMALL or number % _EVERY == 0:
            seen += len(piece)
            packed += len(zlib.compress(piece, 6))
    return round(packed * size / seen) if seen else 0
