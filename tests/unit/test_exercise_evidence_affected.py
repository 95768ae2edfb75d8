"""Which steps a change of the build context reaches."""

from __future__ import annotations

import pytest

from layerlab import dockerfile
from layerlab.exercise.evidence.affected import Reach, reached

CHANGED = {"app/wsgi.py", "app/deep/er/x.py"}
NO, PERHAPS, SURELY = Reach.NO, Reach.PERHAPS, Reach.SURELY


def reach_of(text: str, line: int) -> Reach:
    """How a change of the app reaches the instruction on this line."""
    return reached(dockerfile.parse(text), CHANGED)[line]


class TestCopies:
    @pytest.mark.parametrize(
        ("sources", "reach"),
        [
            ("app", SURELY),
            ("./app/", SURELY),
            ("/app", SURELY),
            (".", SURELY),
            ("./", SURELY),
            ("app/wsgi.py", SURELY),
            ("app/deep", SURELY),
            ("*", SURELY),
            ("ap[op]", SURELY),
            ("a*/w*.py", SURELY),
            ("app/deep/../wsgi.py", SURELY),
            ("requirements.txt app/wsgi.py", SURELY),
            ("$FOLDER", SURELY),
            ("${FOLDER:-x}/deep", SURELY),
            ("$UNSET", SURELY),  # nothing is left of it: the whole context
            ("$TARGETARCH", PERHAPS),
            ("--exclude=*.py app", PERHAPS),
            ("requirements.txt", NO),
            ("app.py", NO),
            ("appl", NO),
            ("app/static", NO),
            ("app/wsgi.py/x", NO),
            ("*.txt", NO),
            ("other/*", NO),
            ("--from=python:3.13 /app", NO),
            ("--chown=1:1 requirements.txt", NO),
        ],
    )
    def test_from_the_context(self, sources: str, reach: Reach) -> None:
        """A COPY is reached if one of its sources is a changed file or holds one."""
        assert reach_of(f"FROM a\nENV FOLDER=app\nCOPY {sources} /x/\n", 3) == reach

    def test_json_form_and_words_that_are_no_paths(self) -> None:
        """The JSON form counts as the other one; addresses and heredocs are nothing of the context."""
        assert reach_of('FROM a\nCOPY ["app", "/x"]\n', 2) is SURELY
        assert reach_of("FROM a\nADD https://example.org/app /x\n", 2) is NO
        assert reach_of("FROM a\nCOPY <<app /x\nwords\napp\n", 2) is NO

    def test_what_follows(self) -> None:
        """All later steps of the stage are reached, the earlier ones are not."""
        text = "FROM a\nCOPY requirements.txt .\nRUN install\nCOPY app .\nRUN compile\n"
        assert dict(reached(dockerfile.parse(text), CHANGED)) == {1: NO, 2: NO, 3: NO, 4: SURELY, 5: SURELY}


class TestStages:
    def test_from_a_stage(self) -> None:
        """What is FROM a reached stage is reached; what copies from it may be; what uses none of it is not."""
        text = (
            "FROM a AS app\nCOPY app .\n"
            "FROM app\nRUN one\n"
            "FROM b\nCOPY --from=app /x /y\nRUN two\n"
            "FROM b\nCOPY --from=0 /x /y\n"
            "FROM b\nRUN --mount=type=bind,from=app,target=/z three\n"
            "FROM b AS clean\nRUN four\n"
            "FROM b\nCOPY --from=clean /x /y\nCOPY --from=2 /y /z\nCOPY app .\n"
        )
        found = reached(dockerfile.parse(text), CHANGED)

        assert [found[line] for line in (4, 6, 7, 9, 11, 13, 15, 16, 17)] == [
            SURELY, PERHAPS, PERHAPS, PERHAPS, PERHAPS, NO, NO, PERHAPS, SURELY,
        ]  # fmt: skip

    def test_triggers(self) -> None:
        """What a stage asks for by ONBUILD may reach the stages that are FROM it."""
        text = "FROM a AS base\nONBUILD COPY app .\nFROM base\nRUN install\n"
        assert (reach_of(text, 2), reach_of(text, 4)) == (NO, PERHAPS)


class TestMounts:
    @pytest.mark.parametrize(
        ("mount", "reach"),
        [
            ("type=bind,target=/x", SURELY),
            ("target=/x", SURELY),
            ("source=app,target=/x", SURELY),
            ("type=bind,src=.,target=/x", SURELY),
            ("type=bind,source=requirements.txt,target=/r", NO),
            ("type=bind,source=requirements.txt,target=/r,rw", PERHAPS),
            ("type=bind,source=$WHAT,target=/r", PERHAPS),
            ("type=cache,target=/root/.cache", NO),
            ("type=tmpfs,target=/tmp", NO),
            ("type=bind,from=python:3.13,target=/x", NO),
        ],
    )
    def test_of_the_context(self, mount: str, reach: Reach) -> None:
        """A RUN is reached if it has a changed file mounted."""
        assert reach_of(f"FROM a\nRUN --mount={mount} install\n", 2) == reach
