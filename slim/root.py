"""The root of the image: which files it gets."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slim import bytecode, elf
from slim.rules import LIBRARY, PACKAGES, SYSTEM, Rule

USER: Final = 10001
DPKG: Final = Path("/var/lib/dpkg")
_TOOLS: Final = re.compile(r"(?i:activate)|pip|idle|pydoc|2to3|python.*-config")
"""Commands that go with what `slim.rules` leaves out."""


@dataclass
class Row:
    """What one rule has left out: how many files, how many bytes, and why."""

    name: str
    why: str
    files: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        """Count one more file."""
        self.files += 1
        self.bytes += size


def make(prefix: Path, root: Path, rules: Sequence[Rule], more: Sequence[Path] = ()) -> list[Row]:
    """Make the root, and say what was left out by which rule.

    Args:
        prefix: The virtual environment with the packages, or where Python itself is if they are there.
        root: An empty folder.
        rules: What is left out.
        more: Further folders with packages.
    """
    rows = [Row(rule.name, rule.why) for rule in rules]
    compiled = Row("bytecode beside sources", "it is made anew, once it is known which files stay")
    sources = Row("sources, docstrings, assertions", "Python runs bytecode")
    notes = Row("packages: descriptions and checksums", "what pip wrote down, brought up to date")
    symbols = Row("debug symbols, padding", "nothing looks at them while the service runs")
    library = Path(sysconfig.get_path("stdlib"))
    packages = [Path(sysconfig.get_path("purelib", vars={"base": str(prefix), "platbase": str(prefix)})), *more]

    for about, folder in ((LIBRARY, library), *((PACKAGES, each) for each in packages)):
        mine = [(rule, row) for rule, row in zip(rules, rows, strict=True) if rule.about == about]
        for path in _files(folder):
            if about == LIBRARY and path.is_relative_to(packages[0]):
                continue
            inside = str(path.relative_to(folder))
            row = next((row for rule, row in mine if rule.takes(inside)), None)
            if row is None and path.suffix == ".pyc":
                row = compiled
            if row is not None:
                row.add(path.lstat().st_size)
            else:
                _copy(path, root)
    _copy_scripts(prefix, root)
    _replace_sources(root, sources)
    _copy_licences(_copy_system(root), root)
    _strip(root, symbols)
    _update_notes(root, notes)
    _write_accounts(root)
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    subprocess.run(["ldconfig", "-r", root], check=True)
    shutil.rmtree(root / "var/cache", ignore_errors=True)  # of ldconfig
    # The same files give the same layer, whenever they were made: nothing goes by their times.
    for path in (root, *root.rglob("*")):
        os.utime(path, (0, 0), follow_symlinks=False)
    return sorted([*rows, compiled, sources, symbols, notes], key=lambda row: -row.bytes)


def _files(folder: Path) -> Iterator[Path]:
    """All files and links below a folder, in order."""
    return (path for path in sorted(folder.rglob("*")) if path.is_symlink() or path.is_file())


def _copy(path: Path, root: Path) -> Path:
    """Copy a file or a link to the same place in the root, and return that place."""
    place = root / path.relative_to("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.is_symlink() and not place.exists():
        shutil.copy2(path, place, follow_symlinks=False)
    return place


def _copy_scripts(prefix: Path, root: Path) -> None:
    """The interpreter, under all its names, and the commands that pip made."""
    interpreter = Path(sys.executable).resolve()
    names = [path for path in interpreter.parent.iterdir() if path.resolve() == interpreter]
    commands = [path for path in (prefix / "bin").iterdir() if not _TOOLS.match(path.name)]
    for path in (*names, *commands, prefix / "pyvenv.cfg", prefix / "lib64"):
        if path.is_symlink() or path.is_file():
            _copy(path, root)


def _replace_sources(root: Path, row: Row) -> None:
    for source in [path for path in _files(root) if path.suffix == ".py" and not path.is_symlink()]:
        size = source.stat().st_size
        try:
            bytecode.replace(source, Path("/") / source.relative_to(root))
        except (SyntaxError, ValueError):
            continue  # a template, or for another Python
        row.add(size - source.with_suffix(".pyc").stat().st_size)


def _strip(root: Path, row: Row) -> None:
    # Debian has done so with its own.
    objects = [path for path in _elf_files(root) if not path.is_relative_to(root / "usr/lib")]
    sizes = [path.stat().st_size for path in objects]
    elf.strip(objects)
    for path, size in zip(objects, sizes, strict=True):
        if path.stat().st_size < size:
            row.add(size - path.stat().st_size)


def _elf_files(root: Path) -> list[Path]:
    return [path for path in _files(root) if not path.is_symlink() and elf.is_elf(path)]


def _copy_system(root: Path) -> set[Path]:
    """What the files of the root need of the system, and in turn what that needs; returns what was copied."""
    copied: set[Path] = set()
    for name in SYSTEM:
        for path in _files(Path(name)) if Path(name).is_dir() else [Path(name)]:
            copied |= _copy_with_links(path, root)
    copied |= _copy_time_zones(root)
    known = elf.libraries()
    seen: set[Path] = set()
    waiting = _elf_files(root)
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        needed = elf.needs(path, Path("/") / path.parent.relative_to(root))
        found = [place for name in needed.names if (place := _find(name, needed.folders, known))]
        for library in [*found, *([Path(needed.linker)] if needed.linker else [])]:
            copied |= _copy_with_links(library, root)
            waiting.append(root / library.resolve().relative_to("/"))
    return copied


def _copy_time_zones(root: Path) -> set[Path]:
    """Where the C library looks for time zones: those of the package tzdata if it is there, else the system's."""
    zones = Path("/usr/share/zoneinfo")
    packaged = next(root.glob("**/site-packages/tzdata/zoneinfo"), None)
    if packaged is None:
        return set().union(*(_copy_with_links(path, root) for path in _files(zones)))
    link = root / zones.relative_to("/")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(Path("/") / packaged.relative_to(root))
    return set()


def _find(name: str, folders: Iterable[Path], known: dict[str, Path]) -> Path | None:
    """Where the dynamic linker finds a library."""
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    return known.get(name)


def _copy_with_links(path: Path, root: Path) -> set[Path]:
    """Copy the file at a path, and each link on the way to it; returns what was copied."""
    walked = Path("/")
    for part in path.parts[1:]:
        walked /= part
        if walked.is_symlink():
            _copy(walked, root)
            target = os.path.normpath(walked.parent / walked.readlink() / path.relative_to(walked))
            return {walked} | _copy_with_links(Path(target), root)
    _copy(path, root)
    return {path}


def _copy_licences(copied: set[Path], root: Path) -> None:
    """The licence of each of Debian's packages of which something was copied, and its entry in the database.

    The entries are where images without dpkg have them, ``status.d``, so that scanners see what is there.
    """
    # Debian has moved /lib to /usr/lib; its database names files as their packages do.
    # The list of certificates is made when its package is installed, and so belongs to none.
    copied |= {Path("/usr/share/doc/ca-certificates/copyright")}
    wanted = {str(path) for path in copied} | {str(path).removeprefix("/usr") for path in copied}
    status = {entry.split("\n", 1)[0]: entry for entry in (DPKG / "status").read_text().split("\n\n")}
    folder = root / DPKG.relative_to("/") / "status.d"
    folder.mkdir(parents=True)
    for listed in sorted((DPKG / "info").glob("*.list")):
        mine = wanted.intersection(listed.read_text().splitlines())
        if not any((Path(path).is_file() or Path(path).is_symlink()) for path in mine):
            continue
        name = listed.stem.partition(":")[0]
        _copy_with_links(Path("/usr/share/doc") / name / "copyright", root)
        (folder / name).write_text(status[f"Package: {name}"] + "\n")
        sums = listed.with_suffix(".md5sums")
        lines = sums.read_text().splitlines(keepends=True) if sums.exists() else []
        here = [line for line in lines if "/" + line.split(maxsplit=1)[1].rstrip() in mine]
        (folder / f"{name}.md5sums").write_text("".join(here))


def _update_notes(root: Path, row: Row) -> None:
    """What pip wrote down: which files belong to a package, of which some are gone, and its METADATA.

    METADATA ends, after an empty line, with the text that a registry shows.
    """
    for record in sorted(root.rglob("*.dist-info/RECORD")):
        with record.open(newline="") as file:
            paths = [line[0] for line in csv.reader(file)]
        paths += [f"{path}c" for path in paths if path.endswith(".py")]
        here = [path for path in paths if (record.parent.parent / path).exists()]
        metadata = record.with_name("METADATA")
        size = record.stat().st_size + metadata.stat().st_size
        with record.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([path, "", ""] for path in here)
        metadata.write_text(metadata.read_text().partition("\n\n")[0] + "\n")
        row.add(size - record.stat().st_size - metadata.stat().st_size)


def _write_accounts(root: Path) -> None:
    """Users have names: root, and the one that the service runs as. Nobody can log in."""
    (root / "etc/passwd").write_text(f"root:x:0:0:root:/:/nonexistent\nservice:x:{USER}:{USER}::/:/nonexistent\n")
    (root / "etc/group").write_text(f"root:x:0:\nservice:x:{USER}:\n")
