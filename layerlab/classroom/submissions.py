"""What learners have handed in: found in what learning platforms export, and trusted in nothing.

No archive is extracted: a file is read when it is asked for, up to a limit, and paths that lead out of a submission,
links and devices are left out. What is the lab's own (the app, its requirements) is the lab's, whatever comes.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import tempfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count, islice
from pathlib import Path, PurePosixPath
from typing import IO, Final

from layerlab.errors import UsageError
from layerlab.exercise import new_workspace
from layerlab.exercise.workspace import NAME, pins, read_regular
from layerlab.image.formats.compression import expanded, recognised
from layerlab.image.formats.stream import Budget, Stream
from layerlab.image.formats.tar import is_tar, members
from layerlab.ui.text import printable, shorten
from layerlab.ui.units import counted, first_few, how_large

LARGEST: Final = 5_000_000  # bytes of a file; a larger one is left out
MOST_BYTES: Final = 20_000_000  # of a submission
MOST_FILES: Final = 2_000  # of a submission
_MOST_SEEN: Final = 500_000  # entries of one folder or archive that are looked at
_MOST_EXPANDED: Final = 2_000_000_000  # bytes of a tar archive
_MOST_WITHIN: Final = 200_000_000  # of one within a submission, which is gone before the next submission is read
_DEEPEST: Final = 3  # archives within archives
_JUNK: Final = frozenset(
    {"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini", ".git", ".svn", ".venv", "venv", "node_modules"}
    | {"__pycache__", ".ipynb_checkpoints", ".idea", ".vscode"}
)
_ARCHIVE: Final = re.compile(r"(?i)(.+?)\.(?:zip|tar|tgz|tbz2?|txz|tar\.(?:gz|bz2|xz|zst))")
_OTHER_ARCHIVE: Final = re.compile(r"(?i).+\.(?:7z|rar)")
_DOCKERFILE: Final = re.compile(
    r"(?i)(?:dockerfile|containerfile|docker file)(?:[-_ ]?\(?\d+\)?)?(?:\.(?:txt|dockerfile))?"
)
_NAMED_DOCKERFILE: Final = re.compile(
    r"(?i)(?P<who>.+?)[ ._-]+dockerfile(?:\.txt)?|dockerfile[._-](?P<name>(?!single\b|dockerignore\b).+?)(?:\.txt)?"
)
_PLATFORMS: Final = (
    re.compile(r"(?P<who>.+?)_(?P<id>\d+)_assignsubmission_(?:file|onlinetext)_?(?P<file>)"),  # Moodle: a folder
    re.compile(r"(?P<who>[^_]+)(?:_LATE)?_(?P<id>\d+)_\d+_(?P<file>.+)"),  # Canvas: a file
    re.compile(r".+?_(?P<who>[^_]+)_attempt_(?P<id>[\d-]+)_(?P<file>.+)"),  # Blackboard: a file
)


@dataclass(frozen=True)
class HandedFile:
    """A file of a submission."""

    read: Callable[[int], bytes]  # gives its first so many bytes
    executable: bool | None = False  # whether it may be executed; None where that was not kept


Tree = dict[str, HandedFile]
"""Files by their paths; those of folders end in a slash, as an empty one is to be seen, too."""


@dataclass(frozen=True)
class Submission:
    """What a learner has handed in."""

    learner: str  # as the platform names them
    # What is laid over a fresh workspace, by path
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    executable: frozenset[str] = frozenset()  # the paths of those that may be executed
    level: int = 1  # of the exercise
    notes: tuple[str, ...] = ()  # what was taken for what, and what was left out
    why_not: str = ""  # why there is nothing to be checked; empty if there is

    @property
    def digest(self) -> str:
        """The same for the same files and level, whoever hands them in."""
        found = hashlib.sha256(b"%d" % self.level)
        for name in sorted(self.files):
            for part in (name.encode("utf-8", "surrogatepass"), b"%d" % (name in self.executable), self.files[name]):
                found.update(b"%d:" % len(part) + part)
        return found.hexdigest()


class _Unreadable(Exception):  # not an error: it becomes a row
    """A submission cannot be read; says why."""


def find(paths: Sequence[Path], *, level: int | None = None) -> tuple[list[Submission], list[str]]:
    """The submissions in these workspaces, Dockerfiles, folders and archives, and what was passed over.

    Args:
        paths: A workspace or a Dockerfile is one submission; a folder or an archive of a class has one folder,
            archive or file for each learner. An archive beside others is one learner's if it holds one Dockerfile.
        level: Of the exercise; None for the one whose ``requirements.txt`` was handed in, else 1.

    Raises:
        UsageError: one of them does not exist, cannot be read or holds nothing.

    >>> dockerfile = folder / "anna" / "Dockerfile"
    >>> dockerfile.parent.mkdir(parents=True)
    >>> dockerfile.write_text("FROM scratch")
    12
    >>> submissions, passed_over = find([folder])
    >>> submissions[0].learner, submissions[0].files
    ('anna', {'Dockerfile': b'FROM scratch'})
    """
    found: list[tuple[str, str, Tree]] = []  # argument, learner, what was handed in
    passed_over: list[str] = []
    with ExitStack() as opened:
        for path in paths:
            try:
                learners, others = _of_argument(path, opened, is_alone=len(paths) == 1)
            except (OSError, _Unreadable) as error:
                why = error.strerror if isinstance(error, OSError) else error
                raise UsageError(
                    f"{printable(str(path))} cannot be read ({why})",
                    remedy="name a folder, an archive or a Dockerfile",
                ) from error
            found += [(path.resolve().name, learner, tree) for learner, tree in learners]
            passed_over += others
        names = Counter(learner for _, learner, _ in found)
        submissions: dict[str, Submission] = {}
        for argument, learner, tree in found:
            name = shorten(printable(learner if names[learner] == 1 else f"{argument}/{learner}"), 150)
            numbered = chain([name], (f"{name} ({number})" for number in count(2)))
            name = next(one for one in numbered if one not in submissions)
            try:
                with ExitStack() as within:
                    submissions[name] = _taken(name, *_with_dockerfile(tree, within), level)
            except _Unreadable as error:
                submissions[name] = Submission(name, why_not=shorten(printable(str(error)), 300))
        return list(submissions.values()), [printable(name) for name in passed_over]


def _of_argument(path: Path, opened: ExitStack, *, is_alone: bool) -> tuple[list[tuple[str, Tree]], list[str]]:
    """The learners of one argument, each with what was handed in."""
    whole, name = path.resolve(), path.resolve().name
    if path.is_dir():
        tree = _of_folder(path)
    else:
        with path.open("rb") as file:  # says what is wrong with it
            start = file.read(512)
        archive = _ARCHIVE.fullmatch(name)
        if not archive and not zipfile.is_zipfile(path) and not recognised(start) and not is_tar(start):
            named = _NAMED_DOCKERFILE.fullmatch(name)
            who = (named["who"] or named["name"]) if named else whole.stem
            learner = whole.parent.name if _DOCKERFILE.fullmatch(name) else who
            return [(learner, {NAME: HandedFile(partial(read_regular, path))})], []
        name = archive[1] if archive else name
        tree = _unpacked(opened.enter_context(path.open("rb")), name, opened)
    first = ""
    while not _is_workspace(tree) and len(tops := {key.partition("/")[0] for key in tree}) == 1:
        (top,) = tops
        if top in tree:  # a file
            break
        tree, first = _below(tree, top), first or top
    learners, others = ({}, []) if _is_workspace(tree) else _grouped(tree)
    if len(learners) > 1:
        return list(learners.items()), others
    moodle = _PLATFORMS[0].fullmatch(first)
    return [((moodle["who"] if moodle else first) if first and is_alone else name, tree)], []


def _grouped(tree: Tree) -> tuple[dict[str, Tree], list[str]]:
    """What lies in the export of a class, by learner; and the names of what is no submission."""
    groups: dict[tuple[str, str], Tree] = defaultdict(dict)
    passed_over: list[str] = []
    for top in sorted({key.partition("/")[0] for key in tree}):
        of_platform = next((found for known in _PLATFORMS if (found := known.fullmatch(top))), None)
        if top not in tree:
            moodle = _PLATFORMS[0].fullmatch(top)
            groups[(moodle["who"], moodle["id"]) if moodle else (top, "")] |= _below(tree, top)
        elif of_platform and of_platform["file"]:
            groups[of_platform["who"], of_platform["id"]][of_platform["file"]] = tree[top]
        elif archive := _ARCHIVE.fullmatch(top) or _OTHER_ARCHIVE.fullmatch(top):
            groups[archive[1] if archive.re is _ARCHIVE else top, ""][top] = tree[top]
        elif named := _NAMED_DOCKERFILE.fullmatch(top):
            groups[named["who"] or named["name"], ""][NAME] = tree[top]
        else:
            passed_over.append(top)
    names = Counter(who for who, _ in groups)
    learners = {who if names[who] == 1 else f"{who} {number}": group for (who, number), group in groups.items()}
    return learners, passed_over


def _with_dockerfile(tree: Tree, opened: ExitStack) -> tuple[Tree, str]:
    """What was handed in, archives within it unpacked where the Dockerfile must be in one, and that one's path."""
    for _ in range(_DEEPEST + 1):
        found = [key for key in tree if _DOCKERFILE.fullmatch(key.rpartition("/")[2])]
        if found:
            return tree, min(found, key=lambda key: (key.count("/"), not key.endswith(NAME), key))
        archives = [key for key in sorted(tree) if _ARCHIVE.fullmatch(key)][:_DEEPEST]
        if not archives:
            break
        for key in archives:
            content = tree[key].read(MOST_BYTES + 1)
            if len(content) > MOST_BYTES:
                raise _Unreadable(f"{key} is larger than {how_large(MOST_BYTES)}")
            inner = _unpacked(io.BytesIO(content), key, opened, _MOST_WITHIN)
            tree = {one: file for one, file in tree.items() if one != key}
            tree |= {f"{key}/{one}": file for one, file in inner.items()}
    names = sorted(key for key in tree if not key.endswith("/"))
    other = next((name for name in names if _OTHER_ARCHIVE.fullmatch(name)), "")
    held = f"it holds {first_few(names, width=40)}" if names else "it is empty"
    raise _Unreadable(
        f"there is no {NAME}: {f'{other} is an archive that cannot be read; use .zip' if other else held}"
    )


def _taken(learner: str, tree: Tree, path: str, level: int | None) -> Submission:
    """What is taken over: the files beside and below the Dockerfile that are not the lab's own."""
    folder, _, name = path.rpartition("/")
    below = {key: file for key, file in (_below(tree, folder) if folder else tree).items() if not key.endswith("/")}
    notes = [f"{name} was taken for {NAME}"] if name != NAME else []
    others = sorted(key for key in tree if key != path and key.rpartition("/")[2] == NAME)
    if others:
        notes.append(
            f"{counted(len(others), 'further Dockerfile')} looked at no closer: {first_few(others, width=60)}"
        )
    below[NAME] = below.pop(name)
    if level is None:
        asked = below["requirements.txt"].read(LARGEST) if "requirements.txt" in below else b""
        level = 2 if "psycopg2" in pins(asked.decode("utf-8-sig", errors="replace")) else 1
    own = new_workspace.files(level)
    if len(below) > MOST_FILES:
        raise _Unreadable(f"it holds more than {counted(MOST_FILES, 'file')}")
    files: dict[str, bytes] = {}
    executable: set[str] = set()
    set_aside: list[str] = []
    too_large: list[str] = []
    room = MOST_BYTES
    for key in sorted(below):
        content = below[key].read(LARGEST + 1)
        if key in own and key != NAME:
            set_aside += [key] if key != "README.md" and content.split() != own[key].split() else []
        elif _is_in_the_way(key, own, files):
            set_aside.append(key)
        elif len(content) > LARGEST:
            too_large.append(key)
        else:
            files[key] = content
            room -= len(content)
            if room < 0:
                raise _Unreadable(f"it holds more than {how_large(MOST_BYTES)}")
            may_run = below[key].executable
            executable |= {key} if may_run or (may_run is None and content.startswith(b"#!")) else set()
    if NAME not in files:
        raise _Unreadable(f"its {NAME} is larger than {how_large(LARGEST)}")
    if set_aside:
        notes.append(f"{first_few(set_aside, width=60)}: set aside, since the lab's own counts")
    if too_large:
        notes.append(f"{first_few(too_large, width=60)}: left out, since too large")
    return Submission(learner, files, frozenset(executable), level, tuple(printable(note) for note in notes))


def _is_in_the_way(key: str, own: Iterable[str], files: Iterable[str]) -> bool:
    """Whether it lies below a file, or is one where the lab has a folder."""
    above = {str(parent) for parent in PurePosixPath(key).parents}
    return not above.isdisjoint(own) or not above.isdisjoint(files) or any(one.startswith(f"{key}/") for one in own)


def _of_folder(folder: Path) -> Tree:
    """The regular files below a folder. No link is followed, and what cannot be read is not there."""
    found: Tree = {}
    todo = [("", folder)]
    while todo:
        prefix, path = todo.pop()
        with suppress(OSError) if prefix else nullcontext(), os.scandir(path) as children:
            for child in children:
                if len(found) > _MOST_SEEN:
                    raise _Unreadable(f"it holds more than {_MOST_SEEN:,} files")
                if _is_junk(child.name):
                    continue
                if child.is_dir(follow_symlinks=False):
                    found[f"{prefix}{child.name}/"] = HandedFile(lambda _: b"")
                    todo.append((f"{prefix}{child.name}/", Path(child.path)))
                elif child.is_file(follow_symlinks=False):
                    mode = child.stat(follow_symlinks=False).st_mode
                    found[prefix + child.name] = HandedFile(
                        partial(read_regular, Path(child.path)), bool(mode & 0o100)
                    )
    return found


def _unpacked(file: IO[bytes], name: str, opened: ExitStack, most: int = _MOST_EXPANDED) -> Tree:
    """The regular files of an archive, by clean paths."""
    try:
        entries = _of_zip(file) if zipfile.is_zipfile(file) else _of_tar(file, opened, most)
        clean = ((path, entry) for name, entry in entries if (path := _clean(name)))
        found = dict(islice(clean, _MOST_SEEN + 1))
    except Exception as error:  # whatever a damaged or hostile archive makes the libraries raise
        raise _Unreadable(f"{name} is no archive that can be read ({shorten(str(error), 80)})") from error
    if len(found) > _MOST_SEEN:
        raise _Unreadable(f"{name} holds more than {_MOST_SEEN:,} files")
    return found


def _of_zip(file: IO[bytes]) -> Iterator[tuple[str, HandedFile]]:
    archive = zipfile.ZipFile(file)
    for info in archive.infolist():
        mode = info.external_attr >> 16
        has_modes = info.create_system == 3 and mode != 0  # made on a Unix
        if not has_modes or stat.S_IFMT(mode) in {0, stat.S_IFREG, stat.S_IFDIR}:
            name = info.filename if "/" in info.filename else info.filename.replace("\\", "/")
            yield name, HandedFile(partial(_of_zip_entry, archive, info), bool(mode & 0o100) if has_modes else None)


def _of_zip_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes:
    if info.flag_bits & 1:
        raise _Unreadable(f"{info.filename} is encrypted")
    try:
        with archive.open(info) as file:
            return file.read(limit)
    except Exception as error:  # damaged, compressed in a way of its own
        raise _Unreadable(f"{info.filename} cannot be read ({shorten(str(error), 80)})") from error


def _of_tar(file: IO[bytes], opened: ExitStack, most: int) -> Iterator[tuple[str, HandedFile]]:
    file.seek(0)
    known = recognised(file.read(512))
    file.seek(0)
    if known:
        plain = opened.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        for piece in expanded(iter(lambda: file.read(1 << 18), b""), known, Budget()):
            plain.write(piece)
            if plain.tell() > most:
                raise _Unreadable(f"it expands to more than {how_large(most)}")
        plain.seek(0)
        file = plain
    stream = Stream(iter(partial(file.read, 1 << 18), b""))
    for member in members(stream):  # its headers are limited, which tarfile's are not
        if member.kind == "5":
            yield f"{member.name}/", HandedFile(lambda _: b"")
        elif member.kind == "0":
            read = partial(_of_tar_member, file, stream.position, member.size)
            yield member.name, HandedFile(read, bool(member.mode & 0o100))


def _of_tar_member(file: IO[bytes], start: int, size: int, limit: int) -> bytes:
    file.seek(start)
    return file.read(min(size, limit))


def _clean(path: str) -> str:
    """A path within a submission; empty for one that leads elsewhere, cannot be, or is of no interest."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    is_odd = path.startswith("/") or ".." in parts or "\0" in path or ":" in path[:2] or len(parts) > 20
    if is_odd or any(_is_junk(part) or len(part.encode("utf-8", "replace")) > 200 for part in parts):
        return ""
    return "/".join(parts) + ("/" if path.endswith("/") and parts else "")


def _is_junk(name: str) -> bool:
    return name in _JUNK or name.startswith("._")


def _below(tree: Tree, folder: str) -> Tree:
    start = f"{folder}/"
    return {key.removeprefix(start): file for key, file in tree.items() if key.startswith(start) and key != start}


def _is_workspace(tree: Iterable[str]) -> bool:
    """Whether this is one learner's: it has at its top what a workspace has."""
    tops = {key.partition("/")[0] for key in tree}
    return any(_DOCKERFILE.fullmatch(top) for top in tops) or {"app", "requirements.txt"} <= tops
