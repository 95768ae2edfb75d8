"""What a look at a very large image costs: 10 GB in 500,000 files, in an archive that is made here.

The image is synthetic, since nobody wants to build one of that size: five layers of files that begin with random
bytes and go on with zeros, so that the archive (an OCI layout, compressed with zstd) takes some 320 MB; zeros alone
would become a thousand times as large, and be refused. Expanded, its layers are as long as those of any image of
that size: all their bytes are hashed and parsed. The lab is a process that prints JSON, from
its start to its end; dive (https://github.com/wagoodman/dive) reads the same archive and writes JSON, too, but checks
no digest. Memory is the largest that a process had at one time (``ru_maxrss``, getrusage(2)).
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from benchmarks import programs
from benchmarks.rows import Row, Setting
from layerlab.errors import LabError
from layerlab.paths import ROOT

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PROGRAMS: Final = ("dive",)
FILES: Final = 500_000
BYTES: Final = 10_000_000_000
LAYERS: Final = 5
_BLOCK: Final = 512
_RANDOM: Final = 32  # of so many bytes of a file one is random; the lab reads archives that become 50 times as large
_TABLES: Final = """
import sys
from layerlab import image
looked = image.read(None, sys.argv[1])
print(len(looked.layers), len(looked.files), len(looked.waste), len(looked.packages))
"""


class Cost(NamedTuple):
    """What a process took: seconds from its start to its end, and megabytes (10^6 bytes) of memory at most."""

    seconds: float
    megabytes: float


def rows(setting: Setting) -> Iterator[Row]:
    """Seconds and memory, beside dive's."""
    archive = setting.folder / "large.tar"
    with setting.step(f"an image of {BYTES / 1e9:.0f} GB in {FILES:,} files"):
        write(archive, files=FILES, size=BYTES // FILES)
    environment = {"XDG_CACHE_HOME": str(setting.folder / "cache")}
    document = [sys.executable, "-m", "layerlab", "xray", str(archive), "--json"]
    dive = [programs.find("dive"), "--source", "docker-archive", str(archive)]
    with setting.step("the lab, first look"):
        first = cost(document, environment)
    with setting.step("the lab, second look"):
        second = cost(document, environment)
    with setting.step("the lab, its four tables"):
        tables = cost([sys.executable, "-c", _TABLES, str(archive)], environment)
    with setting.step("dive"):
        other = cost([*dive, "--json", str(setting.folder / "dive.json")], environment)
    image = f"an image of {BYTES / 1e9:.0f} GB in {FILES:,} files"
    yield Row(
        f"{image}: a process that prints the JSON document, first look", first.seconds, "s", "dive", other.seconds
    )
    yield Row("the same, second look", second.seconds, "s", "dive", other.seconds)
    yield Row(f"{image}: memory, first look", first.megabytes, "MB", "dive", other.megabytes)
    yield Row("the same, second look", second.megabytes, "MB", "dive", other.megabytes)
    yield Row("the same, layers, files, waste, packages as tables", tables.megabytes, "MB", "dive", other.megabytes)


def cost(command: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Run a program to its end.

    Raises:
        LabError: it failed.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _, status, used = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise LabError(f"{Path(command[0]).name} failed with status {process.returncode}", remedy="run it by hand")
    kibibytes = used.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return Cost(time.perf_counter() - began, kibibytes * 1024 / 1e6)


def write(archive: Path, *, files: int, size: int, layers: int = LAYERS) -> None:
    """Write an image as an OCI layout in a tar archive.

    Args:
        archive: Where.
        files: How many files it has; each layer the same number.
        size: Bytes of each.
        layers: How many layers it has.
    """
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder, tarfile.open(archive, "w") as out:
        _write_layout(Path(folder), files=files, size=size, layers=layers)
        for path in sorted(Path(folder).iterdir()):
            out.add(path, arcname=path.name)


def _write_layout(folder: Path, *, files: int, size: int, layers: int) -> None:
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def add(path: Path, kind: str) -> dict[str, Any]:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        blob = path.rename(blobs / digest)
        return {
            "mediaType": f"application/vnd.oci.image.{kind}",
            "digest": f"sha256:{digest}",
            "size": blob.stat().st_size,
        }

    def document(content: object, name: str = "document") -> Path:
        path = folder / name
        path.write_text(json.dumps(content))
        return path

    diff_ids, described = [], []
    for number in range(layers):
        path = folder / "layer"
        diff_ids.append(_write_layer(path, number, files // layers, size))
        described.append(add(path, "layer.v1.tar+zstd"))
    config = {
        "architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }  # fmt: skip
    manifest = {
        "schemaVersion": 2,
        "config": add(document(config), "config.v1+json"),
        "layers": described,
    }
    document({"schemaVersion": 2, "manifests": [add(document(manifest), "manifest.v1+json")]}, "index.json")
    # dive takes the layers in a random order where there is no manifest.json.
    names = [f"blobs/{blob['digest'].replace(':', '/')}" for blob in [manifest["config"], *described]]  # type: ignore[index]
    document([{"Config": names[0], "RepoTags": None, "Layers": names[1:]}], "manifest.json")


def _write_layer(path: Path, number: int, files: int, size: int) -> str:
    """Write a layer's archive, compressed; returns its diff id."""
    compressor, digest, random = zstd.ZstdCompressor(level=1), hashlib.sha256(), Random(number)  # noqa: S311  # the same each time
    zeros = bytes(-(-size // _BLOCK) * _BLOCK - size // _RANDOM)
    with path.open("wb") as out:

        def put(*pieces: bytes) -> None:
            for piece in pieces:
                digest.update(piece)
                out.write(compressor.compress(piece))

        folder = ""
        for file in range(files):
            if file % 100 == 0:
                folder = f"usr/lib/python3/layer{number}/package-{file // 100:05d}/submodule"
                put(_header(folder, tarfile.DIRTYPE, 0))
            put(_header(f"{folder}/file_number_{file:06d}.py", tarfile.REGTYPE, size))
            put(random.randbytes(size // _RANDOM), zeros)
        put(bytes(2 * _BLOCK))
        out.write(compressor.flush())
    return f"sha256:{digest.hexdigest()}"


def _header(name: str, kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode = kind, size, 0o755 if kind == tarfile.DIRTYPE else 0o644
    return info.tobuf(tarfile.GNU_FORMAT)
