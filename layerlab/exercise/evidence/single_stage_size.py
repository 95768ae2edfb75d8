"""The size of the single-stage image of the same level, which a solution has to halve."""

from __future__ import annotations

import hashlib
import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from layerlab import bases, demo, image
from layerlab.builder import build
from layerlab.engine import Engine, runs
from layerlab.engine.locks import exclusive
from layerlab.errors import ImageNotFound
from layerlab.exercise import new_workspace
from layerlab.paths import cache_directory, read_object
from layerlab.ui.progress import Report, silent

_NAME: Final = "Dockerfile.single"
_MOST: Final = 8  # sizes that are remembered


def single_bytes(engine: Engine, level: int, *, report: Report = silent) -> int:
    """What the layers of the single-stage image of this level store, bytes.

    It is remembered for as long as what it is built from stays the same, the base images included. Level 1's is the
    lab's own image; where none of a level is here, one is built, and removed once it has been measured.

    Raises:
        BaseImageError, BuildError, ImageNotFound, EngineError: it cannot be had.
    """
    # One at a time: two checks that build it at once would build, and remove, the same image.
    with exclusive("single-stage"), tempfile.TemporaryDirectory(prefix="layerlab-single-") as scratch:
        folder = new_workspace.make(Path(scratch) / "workspace", level=level)
        bases.ensure(engine, report=report)
        # What decides the size: the recipe, what it installs, and the bases on this engine.
        parts = [(folder / name).read_bytes() for name in (_NAME, "requirements.txt")]
        parts += [str(engine.client.images.get(name).id).encode() for name in sorted(bases.BASES)]
        file, key = cache_directory() / "single-stage-bytes.json", hashlib.sha256(b"".join(parts)).hexdigest()
        known = {each: size for each, size in read_object(file).items() if type(size) is int and size > 0}
        size = known.pop(key, None) or _measured(engine, folder, level, report)
        latest = [*known.items(), (key, size)][-_MOST:]
        with suppress(OSError):  # a cache that cannot be written: it is measured again next time
            file.write_text(json.dumps(dict(latest)))
        return size


def _measured(engine: Engine, folder: Path, level: int, report: Report) -> int:
    if level == 1:
        with suppress(ImageNotFound):
            return image.read(engine, str(demo.find(engine, "single").id)).total_bytes
    with runs.temporary(engine) as (labels, _):
        built = build(engine, folder, dockerfile=_NAME, labels=labels, report=report)
        return image.read(engine, built.image_id).total_bytes
