"""What a build after a change of the app runs again."""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from layerlab.builder import build
from layerlab.engine import Engine
from layerlab.exercise.evidence import builds
from layerlab.exercise.evidence.app_experiment import rebuild
from layerlab.ui.progress import Step
from tests.engine.test_exercise_evidence_builds import is_gone, prepared, write

APP: Final = {"app/__init__.py": "", "app/sub/x.py": "x = 1", "requirements.txt": "flask==3\n", "other.py": ""}


class TestRebuild:
    def test_installed_before_the_app(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """Where the app comes after the installation, only the app's steps run again, each time anew."""
        nonce = secrets.token_hex(8)
        write(
            tmp_path,
            f"FROM {busybox_image}\nCOPY requirements.txt other.py /\nRUN echo {nonce}\nCOPY app /app\n"
            "RUN cat /app/*.py\n",
            APP,
        )
        with prepared(engine, tmp_path) as (copy, _):
            builds.build_final(engine, copy)
            for _ in range(2):
                steps = rebuild(engine, copy, lambda line: line == 3).steps

                assert [(step.line, step.cached) for step in steps] == [
                    (1, True), (2, True), (3, True), (4, False), (5, False),
                ]  # fmt: skip

    def test_installed_after_the_app(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """Where the installing step runs again, the build is stopped at it, and the step comes last."""
        command = f"sleep {secrets.randbelow(90_000) + 10_000}"
        install = f"RUN test -e /{secrets.token_hex(8)} || test $(wc -l < /app/sub/x.py) = 0 || {command}"
        write(tmp_path, f"FROM {busybox_image}\nCOPY . /\n{install}\nRUN false\n", APP)
        write(tmp_path, (tmp_path / "Dockerfile").read_text().replace("RUN false\n", ""))
        with prepared(engine, tmp_path) as (copy, _):
            first = builds.build_final(engine, copy)
            again = rebuild(engine, copy, lambda line: line == 3)

        assert first.failure is None
        assert (again.failure, again.steps[-1].line, again.steps[-1].cached) == (None, 3, False)
        assert is_gone(engine, busybox_image, command)

    def test_what_is_appended(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """The app's Python files get a comment line of their own; other files, and the workspace's, stay."""
        write(tmp_path, f"FROM {busybox_image}\nCOPY . /x/\nRUN cat /x/app/sub/x.py /x/other.py\n", APP)
        said: list[str] = []

        def listen(step: Step) -> None:
            if step.line == 3 and step.detail:
                said.append(step.detail)

        with prepared(engine, tmp_path) as (copy, _):
            builds.build_final(engine, copy)
            rebuild(engine, copy, lambda _: False, listen)

        assert said[-1].startswith("# ")
        assert {name: (tmp_path / name).read_text() for name in APP} == APP

    def test_beside_another_build_of_the_same_step(self, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
        """A step that another build is running just then, and that has not changed, does not count as run again."""
        begins, goes_on = threading.Event(), f"RUN sleep 2; echo {secrets.token_hex(8)}"
        lines = f"FROM {busybox_image}\nCOPY requirements.txt /\n{goes_on}\nCOPY app /app\n"
        mine, other = (write(tmp_path / name, f"{lines}RUN echo {name}\n", APP) for name in ("mine", "other"))

        def listen(step: Step) -> None:
            if step.line == 3 and step.state == "running":
                begins.set()

        with prepared(engine, mine) as (copy, _), prepared(engine, other) as (beside, _):
            builds.build_final(engine, copy)
            with ThreadPoolExecutor(1) as pool:
                theirs = pool.submit(
                    build, engine, beside.context, labels=beside.labels, no_cache=True, report=listen
                )
                begins.wait(30)
                steps = rebuild(engine, copy, lambda line: line == 3).steps
                theirs.result()

        assert begins.is_set()
        assert [(step.line, step.cached) for step in steps] == [
            (1, True), (2, True), (3, True), (4, False), (5, False),
        ]  # fmt: skip

    def test_what_a_stage_that_changed_gives_unchanged(
        self, engine: Engine, busybox_image: str, tmp_path: Path
    ) -> None:
        """A file that comes unchanged from a stage with the app in it runs nothing again; one that changed does."""
        nonce = secrets.token_hex(8)
        write(
            tmp_path,
            f"FROM {busybox_image} AS source\nCOPY . /all\n"
            f"FROM {busybox_image}\nCOPY --from=source /all/requirements.txt /\nRUN echo {nonce}\n"
            f"FROM {busybox_image}\nCOPY --from=source /all/app /\nRUN echo {nonce} again\n"
            f"FROM {busybox_image}\nCOPY --from=1 /requirements.txt /one\nCOPY --from=2 /sub /two\n",
            APP,
        )
        with prepared(engine, tmp_path) as (copy, _):
            builds.build_final(engine, copy)
            unchanged = rebuild(engine, copy, lambda line: line == 5).steps
            changed = rebuild(engine, copy, lambda line: line == 8).steps

        assert [step.cached for step in unchanged if step.line == 5] == [True]
        assert [step.cached for step in changed if step.line == 8] == [False]
