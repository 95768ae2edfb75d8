"""The build context: a folder as the tar stream that the engine builds from.

The stream is always the same for the same files: sorted by name, owned by root, times in whole seconds. What
decides over BuildKit's cache is the content, the name and the mode of the files that a COPY takes, not their times.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from layerlab.builder import ignore
from layerlab.dockerfile import decoded
from layerlab.errors import ContextError, DockerfileError
from layerlab.ui.units import counted, how_large

MAX_BYTES: Final = 1_000_000_000
MAX_FILES: Final = 100_000
MAX_SEEN: Final = 200_000  # files and folders that are looked at, ignored ones included
_MAX_MATCHES: Final = 20_000_000  # rules times files: each is a regular expression that may be tried
_MAX_DOCKERFILE: Final = 1_000_000
_SENT: Final = frozenset({stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK})
_CHUNK: Final = 1 << 18
_NEAR_MISSES: Final = ("dockerfile", "dockerfile.txt", "dockerfile.dockerfile", "containerfile", "docker file")


@dataclass(frozen=True)
class Entry:
    """One file, folder or symbolic link of a context."""

    name: str  # its path relative to the context, with slashes
    path: Path  # where its content is read from
    status: os.stat_result  # what ``lstat`` says about it

    @property
    def bytes(self) -> int:
        """What it adds to the stream, without its header."""
        return self.status.st_size if stat.S_ISREG(self.status.st_mode) else 0


@dataclass(frozen=True)
class Context:
    """What is sent to the engine."""

    folder: Path  # where it comes from
    dockerfile: str  # the name under which the Dockerfile is sent
    text: str  # what the Dockerfile holds
    entries: tuple[Entry, ...]  # everything, folders before what is in them
    dockerfile_is_ignored: bool = False  # whether `.dockerignore` names it, so that no COPY should take it along

    @property
    def bytes(self) -> int:
        """The files' contents together."""
        return sum(entry.bytes for entry in self.entries)

    @property
    def files(self) -> int:
        """How many regular files there are."""
        return sum(stat.S_ISREG(entry.status.st_mode) for entry in self.entries)


def collect(folder: Path, dockerfile: str = "Dockerfile", *, ignored: Sequence[str] = ()) -> Context:
    """Find out what belongs to a context.

    ``<dockerfile>.dockerignore`` beside the Dockerfile is honoured, else ``.dockerignore`` in the folder. The
    Dockerfile is sent even if it is ignored, since without a session the engine has no other way to get it: a COPY
    of the whole context then takes it along, where ``docker build`` would not. Symbolic links are sent as such and
    never followed; sockets, pipes and devices are left out.

    Args:
        folder: The context.
        dockerfile: The Dockerfile's path, relative to the folder; one from elsewhere is sent as ``Dockerfile``.
        ignored: Further lines of ``.dockerignore``.

    Raises:
        DockerfileError: there is no such Dockerfile, or it cannot be read.
        ContextError: the folder cannot be read or is over a limit.
    """
    if not folder.is_dir():
        raise ContextError(f"there is no folder {folder}", remedy="name the folder that holds the Dockerfile")
    path = folder / dockerfile
    text = _read_dockerfile(path, folder)
    own_rules = path.with_name(f"{path.name}.dockerignore")
    rules_file = own_rules if own_rules.is_file() else folder / ".dockerignore"
    if rules_file.is_file() and _leads_out(rules_file, folder):
        raise ContextError(
            f"{rules_file.name} in {folder} is a symbolic link that leads out of the folder",
            remedy="put the file itself there",
        )
    rules = ignore.read(rules_file) if rules_file.is_file() else ()
    entries = _walk(folder, rules + ignore.parse("\n".join(ignored)))
    name = _name_within(path, folder)
    is_ignored = name is not None and name not in entries
    if name is None:
        name = "Dockerfile" if "Dockerfile" not in entries else "Dockerfile.layerlab"
    entries[name] = Entry(name, path.resolve(), path.stat())
    context = Context(folder, name, text, tuple(entries[key] for key in sorted(entries)), is_ignored)
    if context.bytes > MAX_BYTES:
        what = f"{how_large(context.bytes)}, and the limit is {how_large(MAX_BYTES)}"
        raise _too_big(context.entries, what, by_bytes=True)
    return context


def stream(context: Context) -> Iterator[bytes]:
    """The context as a tar archive in GNU format, piece by piece.

    Raises:
        ContextError: a file cannot be read, or changed meanwhile.
    """
    for entry in context.entries:
        yield _header(entry)
        if stat.S_ISREG(entry.status.st_mode):
            yield from _content(entry)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _read_dockerfile(path: Path, folder: Path) -> str:
    if not os.path.lexists(path):
        near = _near_miss(path)
        raise DockerfileError(
            f"there is no {path.name} in {folder}" + (f", but there is {near}" if near else ""),
            remedy=f"rename it: mv {near!r} {path.name}" if near else "write one, or name the folder that holds it",
        )
    if _leads_out(path, folder):
        raise DockerfileError(
            f"{path.name} in {folder} is a symbolic link that leads out of the folder", remedy="put a file there"
        )
    if not path.is_file():
        raise DockerfileError(f"{path.name} in {folder} is no file", remedy="put a file of that name there")
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_DOCKERFILE + 1)
    except OSError as error:
        raise DockerfileError(
            f"{path.name} in {folder} cannot be read ({error.strerror})", remedy="correct its permissions"
        ) from error
    if len(content) > _MAX_DOCKERFILE:
        raise DockerfileError(
            f"{path.name} in {folder} is over {_MAX_DOCKERFILE / 1e6:g} MB", remedy="see whether it is the right file"
        )
    return decoded(content)


def _leads_out(path: Path, folder: Path) -> bool:
    """Whether a file of the folder is a symbolic link to somewhere else."""
    return _name_within(path, folder) is not None and _name_within(path.resolve(), folder) is None


def _near_miss(path: Path) -> str | None:
    """A file beside the missing Dockerfile that is probably meant."""
    wanted = path.name.lower()
    candidates = {wanted, f"{wanted}.txt", *_NEAR_MISSES}
    try:
        with os.scandir(path.parent) as children:
            return min((near.name for near in children if near.name.lower() in candidates), default=None)
    except OSError:
        return None


def _name_within(path: Path, folder: Path) -> str | None:
    """The path relative to the folder, symbolic links on the way to it followed; None if it lies elsewhere."""
    relative = os.path.relpath(path.parent.resolve() / path.name, folder.resolve())
    return None if relative == os.pardir or relative.startswith(os.pardir + os.sep) else relative


def _walk(folder: Path, rules: tuple[ignore.Pattern, ...]) -> dict[str, Entry]:
    """Everything that is not ignored, by name, and the ignored folders that such things lie in."""
    found: dict[str, Entry] = {}
    todo: list[tuple[str, Path, tuple[bool, ...], tuple[Entry, ...]]] = [("", folder, (), ())]
    seen = 0
    while todo:
        prefix, path, above, ignored_folders = todo.pop()
        for entry in _children(path, prefix):
            seen += 1
            if seen > MAX_SEEN:
                raise ContextError(
                    f"the build context is too big: more than {MAX_SEEN} files to look at, ignored ones included",
                    remedy="keep the Dockerfile in a folder with the files that it needs",
                )
            if seen * len(rules) > _MAX_MATCHES:
                raise ContextError(
                    f"the build context is too big for its .dockerignore: {counted(len(rules), 'rule')} for at least "
                    f"{counted(seen, 'file')}",
                    remedy="name folders rather than single files in .dockerignore",
                )
            ignored, hits = ignore.matches(rules, entry.name, above)
            is_folder = stat.S_ISDIR(entry.status.st_mode)
            if is_folder and not ignored:
                todo.append((f"{entry.name}/", entry.path, hits, ()))
            elif is_folder and any(rule.keeps and rule.may_match_below(entry.name) for rule in rules):
                todo.append((f"{entry.name}/", entry.path, hits, (*ignored_folders, entry)))
            if not ignored and stat.S_IFMT(entry.status.st_mode) in _SENT:
                found |= {each.name: each for each in (*ignored_folders, entry)}
            if len(found) > MAX_FILES:
                raise _too_big(found.values(), f"more than the limit of {MAX_FILES} files", by_bytes=False)
    return found


def _children(path: Path, prefix: str) -> Iterator[Entry]:
    try:
        with os.scandir(path) as children:
            for each in children:
                yield Entry(prefix + each.name, Path(each.path), each.stat(follow_symlinks=False))
    except OSError as error:
        raise ContextError(
            f"the folder {prefix or path} of the build context cannot be read ({error.strerror})",
            remedy="correct its permissions, or name it in .dockerignore",
        ) from error


def _too_big(entries: Iterable[Entry], what: str, *, by_bytes: bool) -> ContextError:
    """The error for a context over its limits, which names the folders that make it so."""
    sizes: Counter[str] = Counter()
    for entry in entries:
        sizes[entry.name.partition("/")[0]] += entry.bytes if by_bytes else 1
    biggest = ", ".join(
        f"{name} ({how_large(size) if by_bytes else counted(size, 'file')})" for name, size in sizes.most_common(3)
    )
    return ContextError(
        f"the build context is too big: {what}; most is in {biggest}",
        remedy="name what the build does not need in .dockerignore",
    )


def _header(entry: Entry) -> bytes:
    mode = entry.status.st_mode
    info = tarfile.TarInfo(entry.name)
    info.mode = stat.S_IMODE(mode)
    info.mtime = max(0, int(entry.status.st_mtime))
    info.size = entry.bytes
    if stat.S_ISDIR(mode):
        info.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(mode):
        info.type = tarfile.SYMTYPE
        info.linkname = str(entry.path.readlink())
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def opened(path: Path) -> BinaryIO:
    """A regular file, open to be read, whatever has taken its place: no link is followed, no pipe waited for."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def _content(entry: Entry) -> Iterator[bytes]:
    left = entry.bytes
    try:
        with opened(entry.path) as file:
            while left and (piece := file.read(min(left, _CHUNK))):
                left -= len(piece)
                yield piece
    except OSError as error:
        raise ContextError(
            f"{entry.name} in the build context cannot be read ({error.strerror})",
            remedy="correct its permissions, or name it in .dockerignore",
        ) from error
    if left:
        raise ContextError(
            f"{entry.name} in the build context changed while it was sent",
            remedy="build again once nothing writes there, or name it in .dockerignore",
        )
    yield bytes(-entry.bytes % tarfile.BLOCKSIZE)
