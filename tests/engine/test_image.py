"""What layerlab.image says of real images, against what the engine itself mounts and writes."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from layerlab import demo, image
from layerlab import dockerfile as dockerfiles
from layerlab.engine import Engine
from layerlab.errors import ImageNotFound
from layerlab.image.store import overlay, sources
from layerlab.ui.progress import Ongoing, silent
from tests.unit.image_truth import (
    Entry,
    differences,
    directory,
    file,
    image_config,
    link,
    saved,
    symlink,
    tar,
    whiteout,
)

# The kinds of changes that a layer can make, each once; sizes are told apart by their digits.
NOBODY = Ongoing(silent, "", "")
CHANGES = """\
FROM {base}
RUN mkdir -p /deleted/deep /opaque/deep /kept /was-directory /moved && \\
    dd if=/dev/zero of=/deleted/deep/file bs=1000 count=5000 && \\
    dd if=/dev/zero of=/opaque/deep/file bs=1000 count=4000 && \\
    dd if=/dev/zero of=/chmod bs=1000 count=3000 && printf x > /grows && \\
    dd if=/dev/zero of=/kept/name bs=1000 count=200 && ln /kept/name /kept/other && \\
    dd if=/dev/zero of=/linked-later bs=1000 count=30 && printf abc > /was-directory/file && \\
    printf abcd > /was-file && printf abcde > /was-link && printf abcdef > /moved/file && \\
    busybox mkfifo /pipe && busybox mknod /null c 1 3 && touch "$(printf '/caf\\351')" "$(printf '/new\\nline')" && \\
    busybox chmod 4755 /grows && busybox chown 7:8 /was-file
WORKDIR /srv/made
RUN rm -rf /deleted && rm -rf /opaque && mkdir /opaque && printf 1234567 > /opaque/new && \\
    busybox chmod 755 /chmod && dd if=/dev/zero of=/grows bs=1000 count=5000 && \\
    rm /kept/name && ln /linked-later /link && rm -r /was-directory && touch /was-directory && \\
    rm /was-file && mkdir /was-file && printf 12345678 > /was-file/inside && \\
    ln -sf was-file /was-link && mv /moved /renamed && busybox chmod 700 /kept
RUN true
RUN true
COPY Dockerfile /copied/
RUN mkdir /deleted && printf again > /deleted/file && rm /null
"""
WASTE = {
    ("/deleted/deep/file", 5_000_000, "deleted", 3),
    ("/opaque/deep/file", 4_000_000, "hidden", 3),
    ("/chmod", 3_000_000, "overwritten", 3),
    ("/linked-later", 30_000, "overwritten", 3),
    ("/moved/file", 6, "deleted", 3),
    ("/was-link", 5, "overwritten", 3),
    ("/was-file", 4, "overwritten", 3),
    ("/was-directory/file", 3, "hidden", 3),
    ("/grows", 1, "overwritten", 3),
}
# Names that no `docker build` writes, and that the engine loads. It sends them again, too: it looks for each where
# its name leads on the host. So links have to be relative, and nothing may be in the place of what was there before.
ODD_NAMES = [
    [
        *(directory("usr/bin"), symlink("bin", "usr/bin"), file("bin/tool", 5), file("bin/gone", 6)),
        *(file("a/../b", 7), file("./c//d/./e", 8), link("f/g", "x/../bin/tool"), link("bin/again", "bin/./tool")),
        *(
            symlink("one", "two/./"),
            symlink("two", "usr/../c"),
            file("one/d/h", 9),
            directory("one/empty", mode=0o700),
        ),
        *(link("three", "two"), file("three/i", 10), symlink("here", "."), file("here/here/j", 11)),
        directory("kept", mode=0o1777),
    ],
    [
        *(directory("usr"), symlink("lib", "usr/"), directory("lib/bin", mode=0o711), whiteout("lib/bin/gone")),
        *(file("lib/k", 14), file("./kept/../bin/upper", 15)),
    ],
]
# What the engine puts into a container's filesystem where the image has nothing of the name.
OF_THE_CONTAINER = {
    *("/.dockerenv", "/dev", "/dev/console", "/dev/pts", "/dev/shm", "/etc", "/etc/hostname", "/etc/hosts"),
    *("/etc/mtab", "/etc/resolv.conf", "/proc", "/sys"),
}
KINDS = {
    tarfile.REGTYPE: "file", tarfile.LNKTYPE: "file", tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "symlink",
    tarfile.CHRTYPE: "device", tarfile.BLKTYPE: "device", tarfile.FIFOTYPE: "fifo",
}  # fmt: skip


@dataclass(frozen=True)
class Mounted:
    """A filesystem as the engine mounts it for a container.

    Attributes:
        entries: Kind, mode, uid and gid by path.
        bytes: Of all regular files, each inode once.
    """

    entries: dict[str, tuple[str, int, int, int]]
    bytes: int


class Pieces(io.RawIOBase):
    """A file whose content comes in pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._rest = self._rest or next(self._pieces, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def mounted(engine: Engine, name: str) -> Mounted:
    """Read with Python's tarfile what ``docker export`` sees of a container of this image that never ran."""
    container = engine.client.containers.create(name, ["none"])
    entries, total = {}, 0
    try:
        exported = io.BufferedReader(Pieces(container.export(chunk_size=2**20)), 2**20)
        with tarfile.open(fileobj=exported, mode="r|", errors="surrogateescape") as archive:
            for member in archive:
                path = f"/{member.name.strip('/')}"
                if path != "/":
                    shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
                    entries[shown] = (KINDS[member.type], stat.S_IMODE(member.mode), member.uid, member.gid)
                    total += member.size if member.isreg() else 0
                    if member.islnk():  # has what its target has
                        entries[shown] = entries[f"/{member.linkname.strip('/')}"]
    finally:
        container.remove()
    return Mounted(entries, total)


def stored_bytes(engine: Engine, name: str) -> list[int]:
    """Read with Python's tarfile how many bytes of regular files each layer of ``docker save`` has."""
    saved = io.BytesIO(b"".join(engine.client.api.get_image(name)))
    with tarfile.open(fileobj=saved) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        found = []
        for layer in manifest[0]["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(layer), mode="r:*") as content:
                found.append(sum(m.size for m in content if m.isreg() and "/.wh." not in f"/{m.name}"))
    return found


def rows(table: pd.DataFrame, *columns: str) -> list[tuple[object, ...]]:
    return list(table[list(columns)].itertuples(index=False, name=None))


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of each test's own, so that each look is a first one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def changed(engine: Engine, busybox_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image whose layers change each other in every way."""
    context = tmp_path_factory.mktemp("context")
    (context / "Dockerfile").write_text(CHANGES.format(base=busybox_image))
    tag = f"layerlab-test-{uuid.uuid4().hex[:12]}:latest"
    engine.client.images.build(path=str(context), tag=tag, rm=True)
    yield tag
    engine.client.images.remove(tag, force=True)


@pytest.fixture(params=["optimized", "changed", "single"])
def any_image(engine: Engine, own_images: None, request: pytest.FixtureRequest) -> str:
    """The image with all changes, and both of the lab's."""
    if request.param == "changed":
        return str(request.getfixturevalue("changed"))
    return str(demo.find(engine, request.param).id)


def assert_sees(looked: image.Image, truth: Mounted) -> None:
    """Assert that an image's visible entries are those of a container."""
    found = {str(path): tuple(rest) for path, *rest in rows(looked.files, "path", "kind", "mode", "uid", "gid")}
    added = truth.entries.keys() - found.keys()
    assert added <= OF_THE_CONTAINER
    assert found == {path: entry for path, entry in truth.entries.items() if path not in added}


class TestAgainstTheEngine:
    @pytest.mark.variants
    def test_the_merged_filesystem(self, engine: Engine, any_image: str) -> None:
        """The visible files are those that the engine mounts: paths, kinds, modes, owners, and every byte."""
        looked = image.read(engine, any_image)
        truth = mounted(engine, any_image)

        assert_sees(looked, truth)
        assert looked.live_bytes == truth.bytes
        assert looked.live_bytes + looked.wasted_bytes == looked.total_bytes

    def test_the_engines_own_size(self, engine: Engine, any_image: str) -> None:
        """The total is the engine's own figure, which also counts the names in symbolic links, within one percent."""
        looked = image.read(engine, any_image)

        assert looked.total_bytes == pytest.approx(engine.client.images.get(any_image).attrs["Size"], rel=0.01)

    def test_the_layers_of_an_export(self, engine: Engine, changed: str) -> None:
        """Each layer has the bytes that Python's tarfile finds in ``docker save``."""
        assert image.read(engine, changed).layers["bytes"].tolist() == stored_bytes(engine, changed)


@pytest.mark.fast
class TestWaste:
    def test_each_kind_of_change(self, engine: Engine, changed: str) -> None:
        """Every wasted inode is there once, with its cause; a linked name keeps its inode, and links are none."""
        looked = image.read(engine, changed)

        assert set(rows(looked.waste, "path", "bytes", "cause", "by_layer")) == WASTE
        assert looked.wasted_bytes == sum(size for _, size, _, _ in WASTE)
        assert dict(rows(looked.files, "path", "bytes"))["/kept/other"] == 200_000

    def test_lines(self, engine: Engine, changed: str, busybox_image: str) -> None:
        """Layers and waste have the lines of the Dockerfile that made them."""
        parsed = dockerfiles.parse(CHANGES.format(base=busybox_image))
        looked = image.read(engine, changed, dockerfile=parsed)

        # The classic builder makes no layer of a RUN that changes nothing.
        expected = [0, *(found.line for found in parsed.instructions[1:] if found.value != "true")]
        assert looked.layers["line"].fillna(0).tolist() == expected
        assert set(looked.waste["by_line"]) == {expected[3]}


class TestSources:
    @pytest.mark.usefixtures("own_images")
    @pytest.mark.parametrize("which", ["changed", "optimized"])
    def test_directories_and_export_agree(self, engine: Engine, which: str, request: pytest.FixtureRequest) -> None:
        """A walk of overlay2's directories finds exactly what ``docker save`` writes, entry by entry."""
        name = request.getfixturevalue("changed") if which == "changed" else str(demo.find(engine, which).id)
        described = sources.inspect(engine, name)
        walked = sources._from_directories(engine, described, None, NOBODY)
        exported = sources._from_export(engine, described, None, NOBODY)

        if engine.storage_driver == "overlay2" and engine.is_local and overlay.can_read():
            assert walked is not None
            assert (walked.id, walked.config, walked.diff_ids) == (exported.id, exported.config, exported.diff_ids)
            pairs = zip(walked.layers, exported.layers, strict=True)
            assert [name for one, other in pairs for name in differences(one, other)] == []
        else:
            assert walked is None

    @pytest.mark.parametrize(
        "layers",
        [
            ODD_NAMES,
            [[directory("usr/bin"), symlink("bin", "/usr/bin"), file("bin/tool", 5)], [file("bin/upper", 1)]],
            [[directory("kept", mode=0o1777, uid=7)], [file("kept/new/x", 1)]],
        ],
        ids=["relative", "absolute", "directories that only paths imply"],
    )
    def test_archives_with_odd_names(self, engine: Engine, tmp_path: Path, layers: list[list[Entry]]) -> None:
        """Entries below symbolic links and names with dots are the same from the engine and from the file."""
        archives = [tar(entries) for entries in layers]
        tag = f"layerlab-test-{uuid.uuid4().hex[:12]}:latest"
        path = tmp_path / "image.tar"
        path.write_bytes(saved(archives, image_config(archives, Cmd=["none"]), tag))
        engine.client.images.load(path.read_bytes())
        try:
            from_engine, from_file = image.read(engine, tag), image.read(None, str(path))
            for name in ("layers", "files", "waste", "packages"):
                pd.testing.assert_frame_equal(getattr(from_engine, name), getattr(from_file, name))
            if layers is ODD_NAMES:
                exported = sources._from_export(engine, sources.inspect(engine, tag), None, NOBODY)
                for one, other in zip(exported.layers, from_file.stack.layers, strict=True):
                    assert differences(one, other) == []
                assert_sees(from_file, mounted(engine, tag))
        finally:
            engine.client.images.remove(tag, force=True)

    def test_a_saved_file(self, engine: Engine, changed: str, tmp_path: Path) -> None:
        """A file that ``docker save`` wrote is the same image."""
        path = tmp_path / "image.tar"
        path.write_bytes(b"".join(engine.client.api.get_image(changed)))
        from_engine, from_file = image.read(engine, changed), image.read(None, str(path))

        for name in ("layers", "files", "waste", "packages"):
            pd.testing.assert_frame_equal(getattr(from_engine, name), getattr(from_file, name))

    def test_a_second_look_reads_nothing(self, engine: Engine, changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was seen once is known, and so is what another image shares with it."""
        first = image.read(engine, changed)
        monkeypatch.setattr(overlay, "scan", None)
        monkeypatch.setattr(type(engine.client.api), "get_image", None)
        second = image.read(engine, changed)

        pd.testing.assert_frame_equal(first.files, second.files)

    def test_directories_that_cannot_be_walked(
        self, engine: Engine, changed: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where a directory holds what only the kernel can put together, the export is read."""
        expected = image.read(engine, changed)

        def unusual(*_: object) -> None:
            raise overlay.UnusualLayerError("a renamed directory")

        monkeypatch.setattr(overlay, "scan", unusual)
        monkeypatch.setenv("XDG_CACHE_HOME", str(Path(os.environ["XDG_CACHE_HOME"]) / "another"))
        assert sources.load(engine, changed).origin == "export"
        pd.testing.assert_frame_equal(expected.waste, image.read(engine, changed).waste)

    def test_layers_that_other_images_share(
        self, engine: Engine, changed: str, busybox_image: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After a look at an image, its base needs none."""
        if overlay.can_read():
            image.read(engine, changed)
            monkeypatch.setattr(overlay, "scan", None)
        assert len(image.read(engine, busybox_image).layers) == 1

    def test_ways_to_name_an_image(self, engine: Engine, changed: str, tmp_path: Path) -> None:
        """Names, short ids and long ids mean the same image."""
        found = engine.client.images.get(changed)

        expected = image.read(engine, changed)
        for name in (str(found.id), str(found.id).removeprefix("sha256:")[:12], changed.removesuffix(":latest")):
            looked = image.read(engine, name)
            assert (looked.name, looked.id, looked.total_bytes) == (name, found.id, expected.total_bytes)

    def test_an_image_that_is_not_there(self, engine: Engine, changed: str) -> None:
        """A name that was mistyped is answered with the right one."""
        wrong = changed.replace(":latest", ":lates")
        with pytest.raises(ImageNotFound) as raised:
            image.read(engine, wrong)

        assert changed in raised.value.remedy


@pytest.mark.fast
@pytest.mark.usefixtures("own_images")
class TestTheLabsImages:
    def test_lines(self, engine: Engine) -> None:
        """Every layer of the lab's own stages is tied to the instruction of the Dockerfile that made it."""
        for name in demo.FIRST:
            parsed = dockerfiles.parse(demo.recipe(name).path.read_text(encoding="utf-8"))
            layers = image.read(engine, str(demo.find(engine, name).id), dockerfile=parsed).layers
            keyword_at = {found.line: found.keyword for found in parsed.instructions}
            tied = layers[layers["line"].notna()]

            written = [
                found.line for found in parsed.stages[-1].instructions if found.step and found.keyword != "FROM"
            ]
            assert tied["line"].tolist() == written
            assert [keyword_at[line] for line in tied["line"]] == tied["instruction"].str.split().str[0].tolist()
            assert layers["line"].notna().tolist() == sorted(layers["line"].notna())

    def test_packages(self, engine: Engine) -> None:
        """The Python packages are those that pip itself lists, the system's those that dpkg lists."""
        name = str(demo.find(engine, "optimized").id)
        looked = image.read(engine, name)

        script = (
            "import importlib.metadata as m, json, sys; "
            "lib = '{}/lib/python{}.{}/site-packages'.format(sys.base_prefix, *sys.version_info); "
            "every = m.distributions(path=[*sys.path, lib]); "
            "print(json.dumps(sorted({(d.name.lower().replace('_', '-'), d.version) for d in every})))"
        )
        listed = json.loads(engine.client.containers.run(name, ["python", "-c", script], remove=True))
        python = looked.packages[looked.packages["manager"] == "python"]
        assert sorted(map(list, rows(python, "name", "version"))) == listed

        command = ["dpkg-query", "--show", "--showformat", "${binary:Package} ${Version}\\n"]
        shown = engine.client.containers.run(name, command, remove=True).decode().splitlines()
        dpkg = looked.packages[looked.packages["manager"] == "dpkg"]
        assert sorted(f"{package} {version}" for package, version in rows(dpkg, "name", "version")) == sorted(
            line.replace(":amd64", "").replace(":arm64", "") for line in shown
        )

    def test_parts(self, engine: Engine) -> None:
        """The app is what was copied from the context; the interpreter and the packages lie where they were put."""
        recipe = demo.recipe("optimized")
        parsed = dockerfiles.parse(recipe.path.read_text(encoding="utf-8"))
        files = image.read(engine, str(demo.find(engine, "optimized").id), dockerfile=parsed).files
        part = dict(rows(files[files["kind"] == "file"], "path", "part"))

        own = {path.name for path in (recipe.path.parent / "app").glob("*.py")}
        assert {Path(path).name for path, found in part.items() if found == "app"} >= own
        assert {found for path, found in part.items() if "/site-packages/pandas/" in path} == {"python packages"}
        assert part["/usr/bin/dpkg"] == "system"
        assert any(found == "interpreter" for found in part.values())


def test_the_cache_holds_only_numbers(engine: Engine, changed: str, cache_folder: Path) -> None:
    """What is kept of an image are arrays of numbers (text is bytes), nothing that runs when it is loaded."""
    image.read(engine, changed)
    kept = list((cache_folder / "layerlab" / "layers").iterdir())

    assert kept
    for path in kept:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            assert all(stored[name].dtype.kind in "iu" for name in stored.files)
