"""The experiments of a check: what a changed app, a changed pin and broken wheels make of a build."""

from __future__ import annotations

import secrets
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from layerlab.engine import Engine
from layerlab.exercise import check
from layerlab.exercise.evidence import snapshots, workspace_builds
from layerlab.exercise.evidence.experiments import (
    NO_RELEASE,
    break_packed,
    change_app,
    change_pin,
    choose_pin,
    with_pin,
    without_index,
)
from layerlab.exercise.evidence.facts import HandedOn, PinChange, PythonInstall, Snapshot
from layerlab.exercise.evidence.workspace_builds import Prepared
from layerlab.service import Running
from layerlab.ui.progress import Report, Step, silent
from tests.engine.test_exercise_evidence_workspace_builds import is_gone, prepared, write

APP: Final = {"app/__init__.py": "", "app/sub/x.py": "x = 1", "requirements.txt": "cycler==0.12.1\n", "other.py": ""}
PINNED: Final = {"cycler": "0.12.1"}
SITE: Final = "/site/cycler-$V.dist-info"
INSTALL: Final = f"V=$(sed -n s/cycler==//p requirements.txt); mkdir -p {SITE} && echo Version: $V > {SITE}/METADATA"
"""Installs the one pinned distribution, with what a busybox has."""


@dataclass(frozen=True)
class Checked:
    """A workspace that was built, and what its stages hold."""

    copy: Prepared
    image_id: str
    stages: dict[str, Snapshot]
    final: Snapshot

    @property
    def installs(self) -> tuple[PythonInstall, ...]:
        return snapshots.installing_python(self.stages.values(), self.final, PINNED)

    @property
    def lines(self) -> list[int]:
        return [install.line for install in self.installs]


@contextmanager
def checked(engine: Engine, folder: Path, dockerfile: str, report: Report = silent) -> Iterator[Checked]:
    write(folder, dockerfile, APP)
    with prepared(engine, folder, report) as (copy, parsed):
        outcome = workspace_builds.build_final(copy)
        assert outcome.failure is None
        stages: dict[str, Snapshot] = {}
        for stage in parsed.needed(parsed.target()):
            built = workspace_builds.build_stage(copy, stage)
            stages[stage.label] = snapshots.take(
                engine, built, parsed, stage, stages, pinned=PINNED, labels=copy.trials.labels
            )
        final = stages.pop(parsed.target().label)
        yield Checked(copy, str(outcome.image_id), stages, final)


class TestWhichStepsInstall:
    def test_by_what_their_layers_hold(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """An installation counts; a move, another owner, a copy, bytecode, another version, vendored notes do not."""
        dockerfile = (
            f"FROM {busybox_image} AS build\nCOPY requirements.txt .\nRUN {INSTALL}\nRUN chown -R 1:1 /site\n"
            "RUN mkdir /elsewhere && cp -r /site /elsewhere/\n"
            "RUN mkdir /site/__pycache__ && echo 0 > /site/__pycache__/x.pyc\n"
            "WORKDIR /x/_vendor/cycler-0.12.1.dist-info\nRUN echo vendored > METADATA\n"
            "WORKDIR /old/cycler-0.11.0.dist-info\nRUN echo another > METADATA\n"
            "RUN mkdir /wheels && echo wheel > /wheels/cycler-0.12.1-py3-none-any.whl\n"
            f"FROM {busybox_image}\nCOPY --from=build /site /site\n"
        )
        with checked(engine, tmp_path, dockerfile) as found:
            assert found.lines == [3, 11]
            assert [each.moved for each in found.stages["build"].python_installs] == [(), ("cycler",), ()]

    @pytest.mark.long
    def test_what_onbuild_asks_for(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """It stands on the line of FROM, and is found again among the steps of a build."""
        dockerfile = (
            f"FROM {busybox_image} AS recipe\nONBUILD COPY . .\nONBUILD RUN {INSTALL}\nFROM recipe AS packages\n"
            f"FROM {busybox_image}\nCOPY --from=packages /site /site\n"
        )
        with checked(engine, tmp_path, dockerfile) as found:
            assert found.lines == [4]
            again = change_app(found.copy, found.installs).again
            assert again is not None
            assert again.line == 4


class TestTheAppChanges:
    @pytest.mark.long
    def test_installed_before_the_app(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """Where the app comes after the installation, nothing is installed again, each time anew."""
        start = f"FROM {busybox_image}\nCOPY requirements.txt other.py ./\nRUN {INSTALL}\n"
        dockerfile = f"{start}COPY app /app\nRUN cat /app/*.py\n"
        with checked(engine, tmp_path, dockerfile) as found:
            for _ in range(2):
                change = change_app(found.copy, found.installs)
                assert (change.again, change.failure) == (None, None)

    def test_installed_after_the_app(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """Where it runs again, the build is stopped at the first step that makes it, and nothing runs on."""
        command = f"sleep {secrets.randbelow(90_000) + 10_000}"
        slow = f"RUN test $(wc -l < /app/sub/x.py) = 0 || {command}"
        dockerfile = f"FROM {busybox_image}\nCOPY . /\n{slow}\nRUN {INSTALL}\n"
        with checked(engine, tmp_path, dockerfile) as found:
            change = change_app(found.copy, found.installs)

        assert change.again is not None
        assert (change.again.line, change.again.distributions, change.because) == (4, ("cycler",), 2)
        assert is_gone(engine, busybox_image, command)

    @pytest.mark.long
    def test_what_is_appended(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """The app's Python files get a comment line of their own; other files, and the workspace's, stay."""
        said: list[str] = []

        def listen(step: Step) -> None:
            if step.line == 4 and step.detail and step.title.startswith("after a change of the app: "):
                said.append(step.detail)

        dockerfile = (
            f"FROM {busybox_image}\nCOPY requirements.txt .\nRUN {INSTALL}\n"
            "RUN --mount=target=/x cat /x/app/sub/x.py /x/other.py && sleep 0.6\n"
        )
        with checked(engine, tmp_path, dockerfile, listen) as found:
            change_app(found.copy, found.installs)

        assert said[-1].startswith("# ")
        assert {name: (tmp_path / name).read_text() for name in APP} == APP

    @pytest.mark.long
    def test_what_a_stage_that_changed_gives_unchanged(
        self, engine: Engine, busybox_image: str, tmp_path: Path
    ) -> None:
        """A file that comes unchanged from a stage with the app in it runs nothing again; one that changed does."""
        for source, is_again in (("/all/requirements.txt", False), ("/all/app /all/requirements.txt", True)):
            dockerfile = (
                f"FROM {busybox_image} AS source\nCOPY . /all\n"
                f"FROM {busybox_image}\nCOPY --from=source {source} ./\nRUN {INSTALL}\n"
            )
            with checked(engine, tmp_path, dockerfile) as found:
                again = change_app(found.copy, found.installs).again
                assert (again is not None) is is_again


class TestAPinChanges:
    @pytest.mark.parametrize(
        ("pinned", "release"),
        [
            ({"aaa": "1", "cycler": "0.12.1"}, "cycler 0.12.1 0.12.0"),
            ({"cycler": "0.12.0"}, "cycler 0.12.0 0.12.1"),
            ({"b": "2", "a": "1"}, f"a 1 {NO_RELEASE}"),
        ],
    )
    def test_which_one(self, pinned: dict[str, str], release: str) -> None:
        """One whose other release fits everything; else one that cannot be had."""
        chosen = choose_pin(pinned)
        assert f"{chosen.name} {chosen.old} {chosen.new}" == release

    @pytest.mark.parametrize(
        ("text", "changed"),
        [
            ("a==1\ncycler==0.12.1\n", "a==1\ncycler==2\n"),
            ("Cycler == 0.12.1 ; python_version > '3'  # x\r\n", "Cycler == 2 ; python_version > '3'  # x\r\n"),
            ("cycler===0.12.1 \\\n --hash=sha256:0", "cycler===2 \\\n --hash=sha256:0"),
            ("cycler[all]==0.12.1\n# cycler==0.12.1\n", "cycler[all]==2\n# cycler==0.12.1\n"),
            ("motorcycler==0.12.1\n", "motorcycler==0.12.1\n"),
        ],
    )
    def test_nothing_but_the_version_is_changed(self, text: str, changed: str) -> None:
        """Markers, hashes, extras, comments and line ends stay as they are."""
        assert with_pin(text.encode(), "cycler", "2") == changed.encode()

    def change(self, engine: Engine, folder: Path, dockerfile: str) -> PinChange:
        with checked(engine, folder, dockerfile) as found:
            ran = Future[Running]()
            ran.set_result(Running(up=False))
            return change_pin(found.copy, found.image_id, ran)

    def test_the_file_decides(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """What is found afterwards is the other release."""
        dockerfile = (
            f"FROM {busybox_image} AS build\nCOPY requirements.txt .\nRUN {INSTALL}\n"
            f"FROM {busybox_image}\nCOPY --from=build /site /site\n"
        )
        change = self.change(engine, tmp_path, dockerfile)
        assert (change.found, change.decides) == (("0.12.0",), True)

    @pytest.mark.long
    def test_another_file_decides(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """Pins that are typed stay what they are."""
        typed = f"RUN echo cycler==0.12.1 > requirements.txt; {INSTALL}\n"
        change = self.change(engine, tmp_path, f"FROM {busybox_image}\nCOPY requirements.txt .\n{typed}")
        assert (change.found, change.decides) == (("0.12.1",), False)

    @pytest.mark.long
    def test_the_last_step_decides(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """What a later step puts elsewhere, or replaces, counts as it is in the end."""
        typed = "RUN rm -r /site; echo cycler==0.12.1 > requirements.txt; "
        start = f"FROM {busybox_image}\nCOPY requirements.txt .\nRUN {INSTALL}\n"
        for last, found in (("RUN mv /site '/my site'\n", "0.12.0"), (f"{typed}{INSTALL}\n", "0.12.1")):
            assert self.change(engine, tmp_path, start + last).found == (found,)

    def test_a_build_that_refuses_it(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """A step that fails because of it shows that the file decides; the network's fault does not."""
        start = f"FROM {busybox_image}\nCOPY requirements.txt .\nRUN grep -q 0.12.1 requirements.txt || "
        refused = self.change(engine, tmp_path, f"{start}(echo hashes differ; false)\n")
        assert refused.decides
        assert "line 3" in refused.refused.lower()
        offline = self.change(engine, tmp_path, f"{start}(echo Failed to establish a new connection; false)\n")
        assert not offline.decides
        assert offline.failure is not None
        assert offline.failure.blame == "network"

    def test_a_file_that_is_not_sent(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """What is not part of the build context decides nothing, and nothing is built."""
        (tmp_path / ".dockerignore").write_text("requirements.txt\n")
        change = self.change(engine, tmp_path, f"FROM {busybox_image}\nRUN true\n")
        assert (change.is_sent, change.decides) == (False, False)

    @pytest.mark.long
    def test_it_ends_with_the_check(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """Also while its build says nothing: Ctrl-C waits for no step."""
        command = f"sleep {secrets.randbelow(90_000) + 10_000}"
        silent_step = f"RUN grep -q 0.12.1 requirements.txt || {command}"
        end = 'CMD ["sleep", "60"]\n'
        write(tmp_path, f"FROM {busybox_image}\nCOPY requirements.txt .\n{silent_step}\n{end}", APP)
        has_begun: list[bool] = []

        def listen(step: Step) -> None:
            if step.key == "run" and not is_gone(engine, busybox_image, command, patience=0.1):
                has_begun.append(True)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            check(engine, tmp_path, report=listen)
        assert has_begun == [True]
        assert is_gone(engine, busybox_image, command)


@pytest.mark.long
class TestWhatBuildStagesHandOn:
    WHEEL: Final = "/wheels/cycler-0.12.1-py3-none-any.whl"
    UNPACK: Final = f"unzip -q -d /site {WHEEL}"

    @pytest.fixture
    def tried(self, engine: Engine, busybox_image: str, tmp_path: Path) -> Callable[[str, str], tuple[HandedOn, ...]]:
        """Asks of a final stage's lines what a RUN of theirs takes from a stage with a wheel or an environment."""

        def ask(lines: str) -> tuple[HandedOn, ...]:
            with zipfile.ZipFile(tmp_path / "built", "w") as wheel:
                wheel.writestr("cycler-0.12.1.dist-info/METADATA", "Name: cycler\nVersion: 0.12.1\n")
            dockerfile = (
                f"FROM {busybox_image} AS build\nCOPY built /built\nCOPY requirements.txt .\n"
                f"RUN mkdir /wheels && (cat /built; echo made) > {self.WHEEL}\nRUN {INSTALL}\n"
                f"FROM {busybox_image}\n{lines}\n"
            )
            with checked(engine, tmp_path, dockerfile) as found:
                return break_packed(found.copy, found.final, found.stages)

        return ask

    @pytest.mark.parametrize(
        ("lines", "line"),
        [
            (f"RUN --mount=from=build,source=/wheels,target=/wheels {UNPACK}", 7),
            (f"RUN --mount=from=build,target=/mnt \\\n unzip -q -d /site /mnt{WHEEL}", 7),
            (f"RUN --mount=from=build,src={WHEEL},dst=/w.whl unzip -q -d /site /w.whl", 7),
            (f"COPY --from=build /wheels /wheels\nRUN {UNPACK} && rm -r /wheels", 8),
            (f'COPY --from=build /wheels /wheels\nRUN ["sh", "-c", "{UNPACK}"]', 8),
            ("COPY --from=build /site /tmp/site\nRUN mv /tmp/site /site", 8),
            ("COPY --from=build /site /tmp/site\nRUN cp -r /tmp/site /site", 8),
        ],
    )
    def test_taken(self, tried: Callable[[str], tuple[HandedOn, ...]], lines: str, line: int) -> None:
        """Wheels that were mounted or copied, in whole or one by one, and an environment that is moved."""
        assert tried(lines) == (HandedOn(line, ("build",), ("cycler",), taken=("cycler",)),)

    def test_not_taken(self, tried: Callable[[str], tuple[HandedOn, ...]]) -> None:
        """What lies there and is not used makes no difference to what the RUN installs."""
        own = f"V=0.12.1; mkdir -p {SITE} && echo own > {SITE}/METADATA"
        for lines, line in (
            (f"RUN --mount=from=build,source=/wheels,target=/wheels ls /wheels && {own}", 7),
            (f"COPY --from=build /site /tmp/site\nRUN {own}", 8),
        ):
            assert tried(lines) == (HandedOn(line, ("build",), ("cycler",)),), lines

    def test_no_question(self, tried: Callable[[str], tuple[HandedOn, ...]]) -> None:
        """Nothing is tried where no RUN of the final stage installs, or where it has nothing of another stage."""
        own = f"V=0.12.1; mkdir -p {SITE} && echo own > {SITE}/METADATA"
        assert tried("COPY --from=build /site /site\nRUN chown -R 1:1 /site") == ()
        assert tried(f"RUN {own}\nCOPY --from=build /built /built") == ()
        assert tried("RUN --mount=from=build,source=/site,target=/mnt cp -r /mnt /site") == ()


LISTS: Final = "/var/lib/apt/lists"
INDEX: Final = f"{LISTS}/mirror.example_debian_dists_trixie_main_Packages"
NOTE: Final = "Package: gcc\\nStatus: install ok installed\\n\\n"
DPKG: Final = f"mkdir -p /var/lib/dpkg && printf '{NOTE}' > /var/lib/dpkg/status"
CACHED: Final = f"RUN --mount=type=cache,id=MARK,target={LISTS}"


class TestWithoutTheIndex:
    @pytest.mark.variants
    @pytest.mark.parametrize(
        ("lines", "expected"),
        [
            ([f"RUN touch {INDEX}", f"RUN test -e {INDEX} && {DPKG}"], (LISTS, 4, True)),
            ([f"RUN touch {INDEX}", f"RUN test -e {INDEX} && {DPKG} && rm {INDEX}"], (LISTS, 4, True)),
            ([f"RUN touch {INDEX}", f"RUN touch {INDEX}2 && {DPKG} && rm {INDEX}2"], (LISTS, 4, False)),
            ([f"RUN touch {INDEX}", f"RUN echo new > {INDEX} && {DPKG}"], ("", None, None)),
            (["RUN true", f"RUN touch {INDEX} && test -e {INDEX} && {DPKG}"], ("", None, None)),
            ([f"{CACHED} touch {INDEX}", f"{CACHED} test -e {INDEX} && {DPKG}"], (LISTS, None, True)),
            (["RUN true", f"{CACHED} touch {INDEX} && test -e {INDEX} && {DPKG}"], (LISTS, None, False)),
        ],
        ids=["kept", "removed later", "fetched, removed", "written anew", "none before", "cached", "both cached"],
    )
    def test_whether_it_is_needed(
        self,
        engine: Engine,
        busybox_image: str,
        tmp_path: Path,
        lines: list[str],
        expected: tuple[str, int | None, bool | None],
    ) -> None:
        """An installation that fails without an index which was there before lived on it."""
        text = f"FROM {busybox_image}\nRUN mkdir -p {LISTS}\n# {secrets.token_hex(8)}\n" + "\n".join(lines) + "\n"
        with checked(engine, tmp_path, text.replace("MARK", secrets.token_hex(8))) as found:
            (install,) = snapshots.system_installs([found.final])
            assert install.line == 5
            tried = without_index(found.copy, install)
            assert (tried.index, tried.index_line, tried.needs_index) == expected
