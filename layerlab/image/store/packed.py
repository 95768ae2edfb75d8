"""What a registry would send of an image: its layers as gzip packs them, estimated from samples of an export."""

from __future__ import annotations

import json
import tarfile
import zlib
from contextlib import closing, suppress
from typing import IO, Any, Final, cast

from layerlab.engine import Engine, answering
from layerlab.image import Image
from layerlab.image.formats.stream import Stream
from layerlab.paths import cache_directory, read_object, write_whole

_PIECE: Final = 2**18
_EVERY: Final = 16  # pieces of a layer of which one is packed
_SMALL: Final = 32 * 2**20  # bytes of a layer that is packed whole
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


def packed_bytes(engine: Engine, image: Image) -> int:
    """About how many bytes are pulled by whoever has none of an image's layers; known layers are not packed again.

    Raises:
        EngineGone: the engine stopped answering.

    >>> from layerlab import demo
    >>> image = demo.read(engine, "optimized")
    >>> 0.2 < packed_bytes(engine, image) / image.total_bytes < 0.6
    True
    """
    file = cache_directory() / "packed-bytes.json"
    known = read_object(file)
    if not known.keys() >= set(image.stack.diff_ids):
        known |= _exported(engine, image)
        with suppress(OSError):  # a cache that cannot be written
            write_whole(file, lambda fresh: fresh.write(json.dumps(known).encode()))
    return sum(int(known[diff_id]) for diff_id in image.stack.diff_ids)


def _exported(engine: Engine, image: Image) -> dict[str, int]:
    """The packed bytes of each layer, by its diff id."""
    sizes: dict[str, int] = {}
    names: list[str] = []
    with (
        answering(engine),
        closing(engine.client.api.get_image(image.id, chunk_size=_PIECE)) as chunks,
        tarfile.open(fileobj=cast("IO[bytes]", _Readable(chunks)), mode="r|") as archive,
    ):
        for member in archive:
            if member.isfile() and (content := archive.extractfile(member)):
                if member.name == "manifest.json":
                    (manifest,) = json.load(content)
                    names = manifest["Layers"]
                else:
                    sizes[member.name] = _packed(content, member.size)
    return {diff_id: sizes[name] for diff_id, name in zip(image.stack.diff_ids, names, strict=True)}


class _Readable(Stream):
    """A stream that gives what there is at its end, as files do."""

    def read(self, count: int) -> bytes:
        return super().read(len(self.peek(count)))


def _packed(content: IO[bytes], size: int) -> int:
    seen = packed = 0
    for number in range(-(-size // _PIECE)):
        piece: Any = content.read(_PIECE)
        if number == 0 and piece.startswith((_GZIP, _ZSTD)):
            return size  # as it was pulled
        if size <= _SMALL or number % _EVERY == 0:
            seen += len(piece)
            packed += len(zlib.compress(piece, 6))
    return round(packed * size / seen) if seen else 0
