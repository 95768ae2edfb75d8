"""What is read of a learner's folder, and what is not."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from layerlab.builder import adapted
from layerlab.builder import context as contexts
from layerlab.dockerfile import parse
from layerlab.errors import DockerfileError, UsageError
from layerlab.exercise.evidence.facts import NoImage
from layerlab.exercise.workspace import Workspace, level_of, open_workspace, pins
from layerlab.paths import ROOT


def write(folder: Path, **files: str) -> Path:
    """Write files; ``_`` in a name stands for a dot."""
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    return folder


class TestNoWorkspace:
    def test_no_folder(self, tmp_path: Path) -> None:
        """A folder that is not there is the command's fault, and the remedy says how one is made."""
        with pytest.raises(UsageError, match="there is no folder") as caught:
            open_workspace(tmp_path / "nothing")

        assert "./lab new" in caught.value.remedy

    def test_a_file(self, tmp_path: Path) -> None:
        """Whoever names the Dockerfile itself is told to name its folder."""
        write(tmp_path, Dockerfile="FROM scratch\n")

        with pytest.raises(UsageError, match="is a file, not a folder") as caught:
            open_workspace(tmp_path / "Dockerfile")

        assert str(tmp_path) in caught.value.remedy

    @pytest.mark.parametrize("near", ["dockerfile", "Dockerfile.txt", "dockerfile.txt", "DockerFile", "DOCKERFILE"])
    def test_near_misses(self, tmp_path: Path, near: str) -> None:
        """A file with nearly the right name is named, with the command that renames it."""
        (tmp_path / near).write_text("FROM scratch\n")

        with pytest.raises(DockerfileError, match=f"but there is {near}") as caught:
            open_workspace(tmp_path)

        assert caught.value.remedy == f"rename it: mv '{near}' Dockerfile"


class TestFailure:
    @pytest.mark.parametrize("text", ["", "\n\n", "# only\n# comments\n"])
    def test_empty(self, tmp_path: Path, text: str) -> None:
        """An empty Dockerfile is no exception but a failure of the Dockerfile's."""
        found = open_workspace(write(tmp_path, Dockerfile=text))

        assert isinstance(found, NoImage)
        assert (found.failure.blame, "empty" in found.failure.message) == ("dockerfile", True)

    def test_syntax(self, tmp_path: Path) -> None:
        """A line that is no instruction is told with its number."""
        found = open_workspace(write(tmp_path, Dockerfile="FROM scratch\n\nCOPPY a b\n"))

        assert isinstance(found, NoImage)
        assert (found.failure.blame, found.failure.line) == ("dockerfile", 3)
        assert "COPY" in found.failure.message

    def test_another_encoding(self, tmp_path: Path) -> None:
        """A Dockerfile that is not UTF-8 is the Dockerfile's fault, and the encoding is named."""
        write(tmp_path, Dockerfile="")
        (tmp_path / "Dockerfile").write_text("FROM scratch\n", encoding="utf-16")

        found = open_workspace(tmp_path)

        assert isinstance(found, NoImage)
        assert found.failure.blame == "dockerfile"
        assert "encoded in UTF-16" in found.failure.message

    def test_a_platform(self, tmp_path: Path) -> None:
        """Stages that are chosen by the platform are those of the engine's."""
        folder = write(tmp_path, Dockerfile="FROM a AS t-arm64\nFROM t-${TARGETARCH}\n")

        found = [open_workspace(folder, platform) for platform in ("linux/arm64", "")]

        bases = [each.dockerfile.stages[1].base for each in found if isinstance(each, Workspace)]
        assert bases == ["t-arm64", "t-${TARGETARCH}"]

    def test_a_link_that_leads_out(self, tmp_path: Path) -> None:
        """A Dockerfile that is a link out of the folder is not read."""
        outside = tmp_path / "outside"
        outside.write_text("FROM secret\n")
        (tmp_path / "w").mkdir()
        (tmp_path / "w/Dockerfile").symlink_to(outside)

        found = open_workspace(tmp_path / "w")

        assert isinstance(found, NoImage)
        assert (found.failure.blame, "leads out" in found.failure.message) == ("dockerfile", True)

    def test_a_dockerfile_that_is_none(self, tmp_path: Path) -> None:
        """A dangling link in its place is a failure of the workspace's, not a file that is missing."""
        (tmp_path / "Dockerfile").symlink_to("nowhere")

        found = open_workspace(tmp_path)

        assert isinstance(found, NoImage)
        assert "is no file" in found.failure.message

    def test_ignore_rules_that_lead_out(self, tmp_path: Path) -> None:
        """A .dockerignore that is a link out of the folder is not read either, not even for an error message."""
        (tmp_path / "w").mkdir()
        write(tmp_path / "w", Dockerfile="FROM scratch\n")
        (tmp_path / "rules").write_text("!\n")
        (tmp_path / "w/.dockerignore").symlink_to(tmp_path / "rules")

        found = open_workspace(tmp_path / "w")

        assert isinstance(found, NoImage)
        assert (found.failure.blame, "leads out" in found.failure.message) == ("workspace", True)

    def test_too_many_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a folder with more files than are looked at, no more are; ignored ones count, since they are seen."""
        monkeypatch.setattr(contexts, "MAX_SEEN", 20)
        write(tmp_path, Dockerfile="FROM scratch\n", _dockerignore="many/*\n")
        (tmp_path / "many").mkdir()
        for number in range(30):
            (tmp_path / f"many/{number}").touch()

        found = open_workspace(tmp_path)

        assert isinstance(found, NoImage)
        assert found.failure.blame == "limit"

    def test_endless_rules(self, tmp_path: Path) -> None:
        """A .dockerignore so long that matching it would take for ever is not matched."""
        write(tmp_path, Dockerfile="FROM scratch\n", _dockerignore="a/*/b*c\n" * 20_000)

        found = open_workspace(tmp_path)

        assert isinstance(found, NoImage)
        assert found.failure.blame == "limit"

    def test_a_huge_file(self, tmp_path: Path) -> None:
        """A file of 10 GB in the context is refused without being read; named in .dockerignore it does no harm."""
        write(tmp_path, Dockerfile="FROM scratch\n")
        with (tmp_path / "huge").open("wb") as file:
            file.truncate(10_000_000_000)

        refused = open_workspace(tmp_path)
        write(tmp_path, _dockerignore="huge\n")
        accepted = open_workspace(tmp_path)

        assert isinstance(refused, NoImage)
        assert (refused.failure.blame, "huge (10000 MB)" in refused.failure.message) == ("limit", True)
        assert isinstance(accepted, Workspace)
        assert set(accepted.context) == {"Dockerfile", ".dockerignore"}


class TestContents:
    def test_context(self, tmp_path: Path) -> None:
        """The context is what .dockerignore leaves, with its contents, cut at 1 MB."""
        write(
            tmp_path,
            Dockerfile="FROM scratch\n",
            a_txt="a",
            b_txt="b" * 1_500_000,
            _dockerignore="a.txt\nDockerfile\n",
        )
        (tmp_path / "sub").mkdir()
        write(tmp_path / "sub", c_py="c")

        found = open_workspace(tmp_path)

        assert set(found.context) == {".dockerignore", "b.txt", "sub/c.py"}
        assert found.context["sub/c.py"] == b"c"
        assert found.context["b.txt"] == b"b" * 1_000_000
        assert found.sent.dockerfile_is_ignored

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        """Links, pipes and sockets are not read, wherever they lead."""
        (tmp_path / "outside").write_text("secret")
        folder = tmp_path / "w"
        (folder / "sub").mkdir(parents=True)
        write(folder, Dockerfile="FROM scratch\n")
        (folder / "link").symlink_to(tmp_path / "outside")
        (folder / "loop").symlink_to(folder)
        (folder / "requirements.txt").symlink_to(tmp_path / "outside")
        os.mkfifo(folder / "pipe")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(folder / "s"))
            found = open_workspace(folder)

        assert set(found.context) == {"Dockerfile"}
        assert found.requirements == {}

    def test_app(self, tmp_path: Path) -> None:
        """The service's modules are known although .dockerignore names them; links are not followed."""
        write(tmp_path, Dockerfile="FROM scratch\n", _dockerignore="app\n", secret="secret")
        (tmp_path / "app").mkdir()
        write(tmp_path / "app", **{"info_py": "x" * 1_000_001, "notes": "a"})
        (tmp_path / "app/link.py").symlink_to("../secret")
        os.mkfifo(tmp_path / "app/pipe.py")

        found = open_workspace(tmp_path)

        assert found.app == {"app/info.py": b"x" * 1_000_000}
        assert "app/info.py" not in found.context
        shutil.move(tmp_path / "app", tmp_path / "elsewhere")
        (tmp_path / "app").symlink_to("elsewhere")
        assert open_workspace(tmp_path).app == {}


class TestRequirements:
    def test_pins(self) -> None:
        """Pins are read as pip reads them: extras, markers, hashes, comments and continued lines."""
        text = (
            "# a comment\nFlask[async] == 3.1.3 \\\n  --hash=sha256:00 \\\n --hash=sha256:11\nruamel.YAML==1  # why\n"
            "-r other.txt\n--no-binary=:all:\nnumpy>=2\npandas==2.*\nx===1.0 ; python_version > '3'\n"
            "pywin32==3 ; sys_platform == 'win32'\n!!!\n"
        )

        assert pins(text) == {"flask": "3.1.3", "ruamel-yaml": "1", "x": "1.0"}

    @pytest.mark.parametrize(
        ("text", "level"),
        [
            ("psycopg2==2.9.10\n", 2),
            ("Psycopg2 == 2.9.10\n", 2),
            ("psycopg2-binary==2.9.10\n", 1),
            ("flask==3.1\n", 1),
        ],
    )
    def test_level(self, tmp_path: Path, text: str, level: int) -> None:
        """The level is 2 where psycopg2 itself is pinned, in any spelling of its name."""
        assert level_of(write(tmp_path, requirements_txt=text)) == level


class TestWorkedExample:
    def test_with_other_comments(self, tmp_path: Path) -> None:
        """Comments, blank lines and spaces at line ends do not hide the worked example; another base does."""
        text = (ROOT / "Dockerfile").read_text()
        lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
        same = "# mine\n\n" + "\n".join(f"{line}  " if not line.endswith("\\") else line for line in lines) + "\n"

        found = open_workspace(write(tmp_path, Dockerfile=same))
        other = open_workspace(write(tmp_path, Dockerfile=same.replace("EXPOSE 5000", "EXPOSE 5001")))

        assert (found.is_worked_example, other.is_worked_example) == (True, False)

    def test_as_it_is(self, tmp_path: Path) -> None:
        """The worked example itself is known."""
        shutil.copy(ROOT / "Dockerfile", tmp_path)

        assert open_workspace(tmp_path).is_worked_example


class TestAdapted:
    """The Dockerfile that is really built."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("# syntax=docker/dockerfile:1\nFROM a\n", "#\nFROM a\n"),
            ("# syntax = docker/dockerfile:1\r\n# escape=`\r\n\r\nFROM a\n", "# escape=`\r\n#\n\r\nFROM a\n"),
            ("# escape=`\n#syntax=x/y\n# check=skip=all\nFROM a\n", "# escape=`\n# check=skip=all\n#\nFROM a\n"),
            (
                "# a comment\n# syntax=docker/dockerfile:1\nFROM a\n",
                "# a comment\n# syntax=docker/dockerfile:1\nFROM a\n",
            ),
        ],
    )
    def test_without_frontend(self, text: str, expected: str) -> None:
        """The line goes, what comes after it stays where it is, and an escape directive stays one."""
        assert adapted.without_frontend(text) == expected
        assert [i.line for i in parse(expected).instructions] == [i.line for i in parse(text).instructions]

    def test_names(self) -> None:
        """Stages without a name get one that nothing else has; no line moves and no other name changes."""
        text = (
            "ARG B=a\nFROM $B\nRUN x\nFROM \\\n  # note\n\n b  \r\nFROM c as Build\nRUN echo stage-3\n"
            "FROM --platform=linux/amd64 d  \nCOPY --from=0 /x /x\nFROM 0\n"
        )
        before = parse(text)

        after = parse(adapted.with_names(text, before))

        names = [stage.name for stage in after.stages]
        assert names == ["stage-0", "stage-1", "build", "stage-3-", "stage-4"]
        assert [i.line for i in after.instructions] == [i.line for i in before.instructions]
        assert [stage.base for stage in after.stages] == [stage.base for stage in before.stages]
        assert [i.value for i in after.instructions if i.keyword != "FROM"] == [
            i.value for i in before.instructions if i.keyword != "FROM"
        ]
