"""Makes a conda channel whose one package is the base's interpreter, and installs that into a new prefix.

The prefix is laid out, linked and noted in conda-meta by rattler, the library behind pixi, as from any other channel.
"""

import asyncio
import io
import json
import platform
import tarfile
from pathlib import Path

from rattler import Platform, index, install, solve

BASE, CHANNEL, PREFIX = Path("/usr/local"), Path("/channel"), Path("/opt/conda")


def write_package(folder, subdir):
    found = [
        path for pattern in ("bin/python*", "lib/libpython3*", "lib/python3*/**/*") for path in BASE.glob(pattern)
    ]
    files = {
        str(path.relative_to(BASE)): path for path in found if path.is_file() and path.parent.name != "__pycache__"
    }
    about = {
        "name": "python",
        "version": platform.python_version(),
        "build": "0",
        "build_number": 0,
        "subdir": subdir,
    }
    paths = [
        {"_path": name, "path_type": "softlink" if path.is_symlink() else "hardlink"} for name, path in files.items()
    ]
    notes = {
        "info/index.json": json.dumps({**about, "depends": []}),
        "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}),
        "info/files": "\n".join(files),
    }
    with tarfile.open(folder / f"python-{about['version']}-0.tar.bz2", "w:bz2", compresslevel=1) as package:
        for name, text in notes.items():
            note = tarfile.TarInfo(name)
            note.size = len(text.encode())
            package.addfile(note, io.BytesIO(text.encode()))
        for name, path in files.items():
            package.add(path, name)


async def main():
    subdir = str(Platform.current())
    for name in (subdir, "noarch"):
        (CHANNEL / name).mkdir(parents=True)
    write_package(CHANNEL / subdir, subdir)
    await index.index_fs(CHANNEL)
    records = await solve([CHANNEL.as_uri()], ["python"], platforms=[subdir, "noarch"])
    await install(records, PREFIX, show_progress=False)


asyncio.run(main())
