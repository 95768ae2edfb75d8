"""What the multi-stage image holds, beside the single-stage image of the same service.

Bytes are those of the layers' regular files, as ``./lab compare`` counts them; what is pulled is packed here.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.rows import Row, Setting
from layerlab import demo
from layerlab.image.store.sources import packed_bytes


def rows(setting: Setting) -> Iterator[Row]:
    """Sizes, waste, files and packages of both images."""
    with setting.step("look into both images"):
        multi, single = (demo.read(setting.engine, name) for name in ("optimized", "single"))
    instead = "the single-stage image"
    mega = 1e6
    yield Row("the multi-stage image", multi.total_bytes / mega, "MB", instead, single.total_bytes / mega)
    with setting.step("pack both images"):
        packed = [packed_bytes(setting.engine, image) / mega for image in (multi, single)]
    yield Row("the multi-stage image, as pulled", packed[0], "MB", instead, packed[1])
    yield Row(
        "of it, what no container can see", multi.wasted_bytes / mega, "MB", instead, single.wasted_bytes / mega
    )
    files = [float(image.stack.file_count) for image in (multi, single)]
    yield Row("files in it", files[0], "files", instead, files[1])
    owned = [float(len(image.stack.ownership.packages)) for image in (multi, single)]
    yield Row("packages in it, of Debian and Python", owned[0], "packages", instead, owned[1])
