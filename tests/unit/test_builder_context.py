"""The build context: what is sent, checked by unpacking it with tarfile."""

from __future__ import annotations

import io
import os
import socket
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerlab.builder import context as contexts
from layerlab.errors import ContextError, DockerfileError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A context with a Dockerfile."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    return tmp_path


def archive(context: contexts.Context) -> tarfile.TarFile:
    """The stream, opened as an archive."""
    return tarfile.open(fileobj=io.BytesIO(b"".join(contexts.stream(context))), mode="r:")


def names(folder: Path, **options: object) -> list[str]:
    """What is sent, by name."""
    return archive(contexts.collect(folder, **options)).getnames()  # type: ignore[arg-type]


class TestStream:
    """The archive."""

    def test_contents(self, folder: Path) -> None:
        """Files, folders and links arrive with content, mode, time and target; the owner is always root."""
        (folder / "sub/empty").mkdir(parents=True)
        script = folder / "sub/run"
        script.write_bytes(b"#!/bin/sh\n" * 200)
        script.chmod(0o754)
        os.utime(script, (1_000_000, 1_234_567.9))
        (folder / "sub/link").symlink_to("run")

        with archive(contexts.collect(folder)) as tar:
            members = {member.name: member for member in tar}
            sent = tar.extractfile("sub/run")
            assert sent is not None
            content = sent.read()

        assert list(members) == ["Dockerfile", "sub", "sub/empty", "sub/link", "sub/run"]
        assert content == b"#!/bin/sh\n" * 200
        assert (members["sub/run"].mode, members["sub/run"].mtime) == (0o754, 1_234_567)
        assert members["sub/link"].linkname == "run"
        assert members["sub/empty"].isdir()
        assert {(m.uid, m.gid, m.uname, m.gname) for m in members.values()} == {(0, 0, "", "")}

    def test_always_the_same(self, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        """The same files give the same bytes, in whatever order and folder they were made."""
        other = tmp_path_factory.mktemp("other")
        (other / "Dockerfile").write_text("FROM scratch\n")
        for where, order in ((folder, "abc"), (other, "cba")):
            for name in order:
                (where / name).write_text(name)
            for path in where.iterdir():
                os.utime(path, (0, 1_700_000_000))

        first, second = (b"".join(contexts.stream(contexts.collect(where))) for where in (folder, other))
        assert first == second

    def test_format(self, folder: Path) -> None:
        """The archive has GNU's format, with names longer than a header and names that are not UTF-8."""
        (folder / ("n" * 200)).write_text("long")
        odd = os.fsdecode(b"caf\xe9")
        (folder / odd).write_text("odd")

        data = b"".join(contexts.stream(contexts.collect(folder)))

        assert data[257:265] == b"ustar  \0"
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            assert {"n" * 200, odd} <= set(tar.getnames())
        assert len(data) % 512 == 0

    def test_pieces(self, folder: Path) -> None:
        """A big file is sent in pieces, not held in memory."""
        (folder / "big").write_bytes(b"x" * 3_000_000)

        assert max(map(len, contexts.stream(contexts.collect(folder)))) < 300_000

    @given(
        files=st.dictionaries(
            st.lists(st.sampled_from(["a", "b", "é", "x y", ".c"]), min_size=1, max_size=3).map("/".join),
            st.binary(max_size=1100),
            max_size=6,
        )
    )
    def test_round_trip(self, tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
        """Whatever the files are, the archive holds them and nothing else."""
        folder = tmp_path_factory.mktemp("context")
        expected = {"Dockerfile": b"FROM scratch\n"}
        for name, content in {**expected, **files}.items():
            try:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            except OSError:  # the name of a folder is a file's already, or the other way round
                continue
            expected[name] = content

        with archive(contexts.collect(folder)) as tar:
            sent = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
            assert {name: file.read() for name, file in sent.items() if file} == expected


class TestSelection:
    """What belongs to it."""

    def fill(self, folder: Path) -> None:
        for name in ("app/main.py", "app/cache/x.pyc", "requirements.txt", ".git/config", "notes/a.md"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)

    def test_allow_list(self, folder: Path) -> None:
        """With an allow-list, only what it names is sent, and the Dockerfile, without which nothing is built."""
        self.fill(folder)
        (folder / ".dockerignore").write_text("*\n!app\n!requirements.txt\n**/*.pyc\n")

        assert names(folder) == ["Dockerfile", "app", "app/cache", "app/main.py", "requirements.txt"]

    def test_exceptions_below(self, folder: Path) -> None:
        """A folder that is left out is there after all if something below it is an exception, and only for that."""
        self.fill(folder)
        (folder / ".dockerignore").write_text("*\n!**/main.py\n")

        assert names(folder) == ["Dockerfile", "app", "app/main.py"]

    def test_no_rules(self, folder: Path) -> None:
        """Without .dockerignore everything is sent, .git too, as docker does."""
        self.fill(folder)

        assert ".git/config" in names(folder)

    def test_rules_of_one_dockerfile(self, folder: Path) -> None:
        """<dockerfile>.dockerignore beside the Dockerfile takes the place of .dockerignore."""
        self.fill(folder)
        (folder / ".dockerignore").write_text("app\n")
        (folder / "sub").mkdir()
        (folder / "sub/Other").write_text("FROM scratch\n")
        (folder / "sub/Other.dockerignore").write_text("*\n!app/main.py\n")

        assert names(folder, dockerfile="sub/Other") == ["app", "app/main.py", "sub/Other"]

    def test_bad_rules(self, folder: Path) -> None:
        """A .dockerignore with a wrong line is an error that names it."""
        (folder / ".dockerignore").write_text("ok\n[x\n")

        with pytest.raises(ContextError, match=r"line 2 of \.dockerignore"):
            contexts.collect(folder)

    def test_links_are_not_followed(self, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        """What a symbolic link leads to outside is never sent, be it a file or a folder."""
        outside = tmp_path_factory.mktemp("outside")
        (outside / "secret").write_text("secret")
        (folder / "file").symlink_to(outside / "secret")
        (folder / "dir").symlink_to(outside)
        (folder / "circle").symlink_to(".")

        data = b"".join(contexts.stream(contexts.collect(folder)))

        assert names(folder) == ["Dockerfile", "circle", "dir", "file"]
        assert b"secret\0" not in data.replace(os.fsencode(outside / "secret"), b"")

    def test_a_link_that_takes_a_files_place(self, folder: Path) -> None:
        """A file that becomes a link after it was listed is not followed either."""
        (folder / "file").write_text("x")
        context = contexts.collect(folder)
        (folder / "file").unlink()
        (folder / "file").symlink_to("/etc/passwd")

        with pytest.raises(ContextError, match="file in the build context cannot be read"):
            b"".join(contexts.stream(context))

    def test_special_files(self, folder: Path) -> None:
        """Sockets and pipes are left out, and waiting for them is avoided."""
        os.mkfifo(folder / "pipe")
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(os.path.relpath(folder / "socket"))

            assert names(folder) == ["Dockerfile"]


class TestDockerfile:
    """Which Dockerfile, and under which name."""

    def test_another_name(self, folder: Path) -> None:
        """Another Dockerfile of the context keeps its name, and so does the one called Dockerfile."""
        (folder / "Dockerfile.single").write_text("FROM single\n")

        context = contexts.collect(folder, "Dockerfile.single")

        assert (context.dockerfile, context.text) == ("Dockerfile.single", "FROM single\n")
        assert [entry.name for entry in context.entries] == ["Dockerfile", "Dockerfile.single"]

    def test_from_elsewhere(self, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        """A Dockerfile from elsewhere is sent as Dockerfile, or beside one that is part of the context."""
        elsewhere = tmp_path_factory.mktemp("elsewhere") / "mine"
        elsewhere.write_text("FROM mine\n")
        beside = contexts.collect(folder, str(elsewhere))
        sent_beside = archive(beside).getnames()
        (folder / "Dockerfile").unlink()
        alone = contexts.collect(folder, str(elsewhere))

        assert (beside.dockerfile, sent_beside) == ("Dockerfile.layerlab", ["Dockerfile", "Dockerfile.layerlab"])
        assert (alone.dockerfile, archive(alone).getnames()) == ("Dockerfile", ["Dockerfile"])

    def test_windows_and_bom(self, folder: Path) -> None:
        """A byte order mark is no part of the text."""
        (folder / "Dockerfile").write_bytes(b"\xef\xbb\xbfFROM a\r\n")

        assert contexts.collect(folder).text == "FROM a\r\n"

    @pytest.mark.parametrize("near", ["dockerfile", "Dockerfile.txt", "DockerFile", "Containerfile"])
    def test_near_misses(self, tmp_path: Path, near: str) -> None:
        """Where the Dockerfile is missing, a file that is probably meant is named."""
        (tmp_path / near).write_text("FROM a\n")

        with pytest.raises(DockerfileError, match=f"there is no Dockerfile in .*, but there is {near}") as caught:
            contexts.collect(tmp_path)

        assert caught.value.remedy == f"rename it: mv '{near}' Dockerfile"

    def test_missing(self, tmp_path: Path) -> None:
        """Without any Dockerfile, the error says so."""
        with pytest.raises(DockerfileError, match="there is no Dockerfile in"):
            contexts.collect(tmp_path)

    @pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("nowhere")])
    def test_no_file(self, tmp_path: Path, make: Callable[[Path], object]) -> None:
        """A folder, a pipe or a dangling link of that name is no Dockerfile, and no near miss of one either."""
        make(tmp_path / "Dockerfile")

        with pytest.raises(DockerfileError, match="is no file") as caught:
            contexts.collect(tmp_path)

        assert "mv" not in caught.value.remedy

    def test_link_to_the_outside(self, tmp_path: Path) -> None:
        """A Dockerfile that is a link to somewhere else is refused: a workspace must not make others read files."""
        (tmp_path / "Dockerfile").symlink_to("/etc/passwd")

        with pytest.raises(DockerfileError, match="leads out of the folder"):
            contexts.collect(tmp_path)

    def test_link_within(self, tmp_path: Path) -> None:
        """A Dockerfile that is a link to another file of the context is sent as a file."""
        (tmp_path / "real").write_text("FROM real\n")
        (tmp_path / "Dockerfile").symlink_to("real")

        with archive(contexts.collect(tmp_path)) as tar:
            assert [(member.name, member.isfile()) for member in tar] == [("Dockerfile", True), ("real", True)]

    def test_too_long(self, folder: Path) -> None:
        """A file of many gigabytes is hardly a Dockerfile, and is not read."""
        with (folder / "Dockerfile").open("wb") as file:
            file.truncate(10_000_000_000)

        with pytest.raises(DockerfileError, match="over 1 MB"):
            contexts.collect(folder)


class TestLimits:
    """What is too much."""

    def test_bytes(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A context over its limit is refused before anything is sent, and its biggest parts are named."""
        monkeypatch.setattr(contexts, "MAX_BYTES", 3_000_000)
        for name, size in (("small/a", 10), ("big/a", 2_000_000), ("big/b", 1_000_000), ("middle", 500_000)):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(bytes(size))

        with pytest.raises(
            ContextError, match=r"3\.5 MB.* limit is 3\.0 MB; most is in big \(3\.0 MB\), middle"
        ) as caught:
            contexts.collect(folder)

        assert ".dockerignore" in caught.value.remedy

    def test_files(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Too many files are refused while they are counted."""
        monkeypatch.setattr(contexts, "MAX_FILES", 20)
        (folder / "many").mkdir()
        for number in range(30):
            (folder / "many" / str(number)).touch()

        with pytest.raises(
            ContextError,
            match=r"more than the limit of 20 files; most is in many \(20 files\), Dockerfile \(1 file\)",
        ):
            contexts.collect(folder)

    @pytest.mark.parametrize("where", ["", "many"])
    def test_files_that_are_looked_at(self, folder: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
        """Ignored files count where they have to be looked at; a folder that is ignored as a whole is not entered."""
        monkeypatch.setattr(contexts, "MAX_SEEN", 20)
        (folder / "many").mkdir()
        for number in range(30):
            (folder / where / f"{number}.dat").touch()
        (folder / ".dockerignore").write_text("**/*.dat\n")

        with pytest.raises(ContextError, match="too big: more than 20 files to look at, ignored ones included"):
            contexts.collect(folder)

        (folder / ".dockerignore").write_text("many\n")
        if where:
            assert contexts.collect(folder).files == 2

    def test_rules(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """So many rules for so many files that matching them would take for ever are not matched."""
        monkeypatch.setattr(contexts, "_MAX_MATCHES", 20)
        (folder / ".dockerignore").write_text("a/*/b*c\n" * 11)

        with pytest.raises(ContextError, match=r"too big for its \.dockerignore: 11 rules for at least 2 files"):
            contexts.collect(folder)

    def test_bytes_of_rules(self, folder: Path) -> None:
        """A .dockerignore of many gigabytes is not read."""
        with (folder / ".dockerignore").open("wb") as file:
            file.truncate(10_000_000_000)

        with pytest.raises(ContextError, match=r"\.dockerignore is too big: over 100 kB"):
            contexts.collect(folder)

    def test_rules_that_lead_out(self, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        """A .dockerignore that is a link out of the folder is not read, not even for an error message."""
        secret = tmp_path_factory.mktemp("elsewhere") / "rules"
        secret.write_text("[secret\n")
        (folder / ".dockerignore").symlink_to(secret)

        with pytest.raises(ContextError, match="symbolic link that leads out of the folder"):
            contexts.collect(folder)

        (folder / ".dockerignore").unlink()
        (folder / "rules").write_text("a\n")
        (folder / ".dockerignore").symlink_to("rules")
        assert contexts.collect(folder).files == 2

    def test_what_is_ignored_does_not_count(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What .dockerignore leaves out counts for no limit."""
        monkeypatch.setattr(contexts, "MAX_BYTES", 999)
        (folder / "big").write_bytes(bytes(1000))
        (folder / ".dockerignore").write_text("big\n")

        assert contexts.collect(folder).files == 2

    def test_totals(self, folder: Path) -> None:
        """Bytes and files are those of regular files."""
        (folder / "a").write_bytes(bytes(100))
        (folder / "link").symlink_to("a")
        context = contexts.collect(folder)

        assert (context.bytes, context.files) == (113, 2)


class TestTrouble:
    """What cannot be read."""

    def test_no_folder(self, tmp_path: Path) -> None:
        """A context that is not there is named."""
        with pytest.raises(ContextError, match="there is no folder"):
            contexts.collect(tmp_path / "nowhere")

    @pytest.mark.parametrize("change", [lambda p: p.unlink(), lambda p: p.write_bytes(b"")])
    def test_changes_meanwhile(self, folder: Path, change: object) -> None:
        """A file that goes or shrinks while the context is sent is an error, not a damaged archive."""
        (folder / "file").write_bytes(bytes(1000))
        context = contexts.collect(folder)
        change(folder / "file")  # type: ignore[operator]

        with pytest.raises(ContextError, match="file in the build context"):
            b"".join(contexts.stream(context))

    def test_growing(self, folder: Path) -> None:
        """A file that grows meanwhile, such as a log, is sent as long as it was."""
        (folder / "log").write_bytes(b"first\n")
        context = contexts.collect(folder)
        with (folder / "log").open("ab") as log:
            log.write(b"second\n")

        with archive(context) as tar:
            assert tar.getmember("log").size == 6
            assert stat.S_ISREG(tar.getmember("log").mode | stat.S_IFREG)
            assert tar.getnames() == ["Dockerfile", "log"]
