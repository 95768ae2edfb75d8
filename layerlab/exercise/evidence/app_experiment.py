"""Builds a workspace again after a change of the app, to see whether its packages are installed again."""

from __future__ import annotations

import secrets
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from layerlab.builder import cache
from layerlab.builder import context as contexts
from layerlab.dockerfile import Instruction
from layerlab.engine import Engine
from layerlab.errors import LabError
from layerlab.exercise.evidence import affected
from layerlab.exercise.evidence.blame import explain
from layerlab.exercise.evidence.builds import Prepared, Recorder, written
from layerlab.exercise.evidence.model import RanStep, Rebuild
from layerlab.ui.progress import Report, Step, silent
from layerlab.ui.text import plain

TIMEOUT: Final = 300.0  # seconds
_SURELY_RUNS: Final = 0.3  # seconds


class _Seen(Exception):
    """A RUN that installs Python packages has begun, or is bound to."""


def rebuild(
    engine: Engine,
    prepared: Prepared,
    installs_python: Callable[[int], bool],
    report: Report = silent,
    *,
    timeout: float = TIMEOUT,
) -> Rebuild:
    """Build again after a comment line was appended to every ``app/**/*.py``; the build cache keeps nothing of it.

    Args:
        engine: Where to build.
        prepared: What to build.
        installs_python: Whether the RUN on this line installs Python packages. The build is stopped once such a RUN
            has begun and its result is not in the cache: that is all that is asked, and it would take long. It is
            bound to begin when an earlier step of its stage is run again, so the build is stopped then already.
        report: Is told of each step.
        timeout: The limit in seconds.
    """
    context, changed = _changed(prepared)
    reach = affected.reached(prepared.dockerfile, changed)
    with cache.forgetting(engine) as ran:
        again = _Again(prepared, installs_python, reach, report, timeout, ran)
        found, install = again.build(engine, context)
        if install is None or reach[install.line] is affected.Reach.SURELY:
            return found
        # Another build that has the same step in hand makes it look so, too. Once one has come to its end, it does
        # not.
        found, _ = again.build(engine, context, to_its_end=True)
        return found if found.failure else again.build(engine, _changed(prepared)[0])[0]


@dataclass(frozen=True)
class _Again:
    """Builds again after a change of the app, and looks for a RUN that installs Python packages."""

    prepared: Prepared
    installs_python: Callable[[int], bool]
    reach: Mapping[int, affected.Reach]
    report: Report
    timeout: float
    ran: list[cache.Ran]

    def build(
        self, engine: Engine, context: contexts.Context, *, to_its_end: bool = False
    ) -> tuple[Rebuild, Instruction | None]:
        """Build, and say which RUN that installs Python packages was run again; stop there, unless told otherwise."""
        seen: list[Instruction] = []

        def look(step: Step) -> None:
            if not to_its_end and (install := self._installs(step)):
                seen.append(install)
                raise _Seen

        recorder = Recorder(self.prepared, self.report, look)
        failure = None
        try:
            self.prepared.trials.build(context, timeout=self.timeout, report=recorder, ran=self.ran)
        except _Seen:
            install = seen[0]
            told = RanStep(self._label(install), install.line, plain(install.summary), cached=False)
            before = (step for step in recorder.ran(and_running=True) if step.line != install.line)
            return Rebuild((*map(self._as_reached, before), told)), install
        except LabError as error:
            failure = explain(error, self.prepared.dockerfile, recorder.running())
        return Rebuild(tuple(map(self._as_reached, recorder.ran())), failure), None

    def _installs(self, step: Step) -> Instruction | None:
        """The RUN that is run again, or is bound to be, now that this step is."""
        # What has only just begun may turn out to be in the cache, where another build goes on beside this one.
        runs = step.state == "running" and (step.seconds or 0.0) > _SURELY_RUNS
        again = (runs or step.state in {"done", "failed"}) and not step.from_cache and not _is_from(step)
        if not again or step.line is None or self._is_out_of_reach(step.line):
            return None
        return _installs_from(self.prepared, step.line, self.installs_python)

    def _as_reached(self, step: RanStep) -> RanStep:
        """A step as the change alone makes it: what it does not reach, something else has run again."""
        return replace(step, cached=True) if step.line and self._is_out_of_reach(step.line) else step

    def _is_out_of_reach(self, line: int) -> bool:
        return self.reach.get(line) is affected.Reach.NO

    def _label(self, instruction: Instruction) -> str:
        return self.prepared.dockerfile.stages[instruction.stage or 0].label


def _installs_from(prepared: Prepared, line: int, installs_python: Callable[[int], bool]) -> Instruction | None:
    """The first RUN of a stage that installs Python packages, at or after the step on this line.

    A RUN that is not in the cache leaves every later step of its stage without one; so does a COPY.
    """
    stages = prepared.dockerfile.stages
    here = next((each for each in prepared.dockerfile.instructions if each.line == line), None)
    if here is None or here.stage is None or here.keyword == "ONBUILD":  # which another stage is asked to do
        return None
    later = (each for each in stages[here.stage].instructions if each.line >= line and each.keyword == "RUN")
    return next((each for each in later if installs_python(each.line)), None)


def _is_from(step: Step) -> bool:
    return step.title.partition("] ")[2].upper().startswith("FROM")


def _changed(prepared: Prepared) -> tuple[contexts.Context, frozenset[str]]:
    """The context with a comment appended to every ``app/**/*.py``, such as no build has seen before; and which."""
    folder = Path(tempfile.mkdtemp(dir=prepared.trials.scratch))
    note = f"# {secrets.token_hex(16)}\n".encode()
    entries: list[contexts.Entry] = []
    changed = set()
    for number, entry in enumerate(prepared.context.entries):
        is_app = entry.name.startswith("app/") and entry.name.endswith(".py")
        if is_app and stat.S_ISREG(entry.status.st_mode):
            content = entry.path.read_bytes()
            content += b"" if content.endswith(b"\n") or not content else b"\n"
            changed.add(entry.name)
            entries.append(written(entry.name, folder / str(number), content + note, entry.status.st_mode))
        else:
            entries.append(entry)
    return replace(prepared.context, entries=tuple(entries)), frozenset(changed)
