"""Checks many submissions at once, and again alone where it may be a neighbour's doing that one did not get far."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from typing import Final

from layerlab.classroom.check_one import check_apart
from layerlab.classroom.marks import Checked, Mark, recall, remember
from layerlab.classroom.similar import similar
from layerlab.classroom.submissions import Submission
from layerlab.exercise import wording
from layerlab.exercise.workspace import NAME
from layerlab.ui.progress import Report, State, Step, silent
from layerlab.ui.units import counted

CORES: Final = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

Check = Callable[[Submission], Checked]
"""Checks a submission; may be called from several threads."""


def grade(
    submissions: Sequence[Submission],
    *,
    jobs: int = CORES,
    picture: bool = False,
    again: bool = False,
    report: Report = silent,
) -> list[Mark]:
    """The marks of these submissions, on the engine that is reached from here.

    Args:
        submissions: See `layerlab.classroom.submissions.find`.
        jobs: How many are checked at once.
        picture: Whether to draw each image's layers.
        again: Whether to check also those that this version of the checker has checked before.
        report: Is told of each submission's steps, and of all together with an estimate of the end.
    """
    ended = threading.Event()

    def check(submission: Submission) -> Checked:
        def relay(step: Step) -> None:
            progress.running(submission, step.title)

        return check_apart(submission, picture=picture, report=relay, is_wanted=lambda: not ended.is_set())

    progress = GradingProgress(report, submissions)
    with ThreadPoolExecutor(jobs, thread_name_prefix="layerlab-grade") as pool:
        try:
            return grade_with(pool, check, submissions, progress, again=again, picture=picture, is_alone=jobs == 1)
        except BaseException:  # Ctrl-C: the checks that go on are ended, and waited for
            ended.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class GradingProgress:
    """Says how far each submission is, and when all will be done."""

    def __init__(self, report: Report, submissions: Iterable[Submission]) -> None:
        self._report = report
        self._left = len({one.digest for one in submissions if not one.why_not})
        self._all = counted(self._left, "submission")
        self._began = time.monotonic()
        self._checked = 0
        self._began_with: dict[str, float] = {}
        if self._left:
            report(Step(self._all, self._all, "running"))

    def running(self, submission: Submission, what: str) -> None:
        """A submission is being checked; what goes on."""
        now = time.monotonic()
        seconds = now - self._began_with.setdefault(submission.digest, now)
        self._report(Step(submission.digest, submission.learner, "running", seconds, what))

    def done(self, submission: Submission, checked: Checked, *, is_known: bool = False) -> None:
        """A submission has been checked, or was known from before."""
        said = wording.score(checked.verdict) if checked.verdict else f"no mark: {checked.why_not}"
        title = f"{submission.learner}: {said}"
        self._left -= 1
        self._checked += not is_known
        state: State = "cached" if is_known else "done" if checked.verdict else "failed"
        self._report(Step(submission.digest, title, state, checked.verdict.seconds if checked.verdict else None))
        spent = time.monotonic() - self._began
        if not self._left:
            self._report(Step(self._all, self._all, "done", spent))
        elif self._checked:
            left = spent / self._checked * self._left
            detail = f"{self._left} left, for about {max(left / 60, 1):.0f} min"
            self._report(Step(self._all, self._all, "running", spent, detail))


def grade_with(
    pool: Executor,
    check: Check,
    submissions: Sequence[Submission],
    progress: GradingProgress,
    *,
    again: bool = False,
    picture: bool = False,
    is_alone: bool = False,
) -> list[Mark]:
    """The same with a check of one's own, run by any pool."""
    todo = {one.digest: one for one in submissions if not one.why_not}
    found: dict[str, Checked] = {}

    def settle(digest: str, checked: Checked) -> None:
        found[digest] = checked
        if checked.is_lasting:
            remember(digest, checked)
        progress.done(todo[digest], checked)

    for digest, one in todo.items():
        known = None if again else recall(digest)
        if known and (known.picture or not picture or known.image_bytes is None):
            found[digest] = known
            progress.done(one, known, is_known=True)
    doubtful: list[str] = []
    futures = {pool.submit(check, one): digest for digest, one in todo.items() if digest not in found}
    for future in as_completed(futures):
        digest, checked = futures[future], _result(future)
        if checked.verdict is None or (checked.is_doubtful and not is_alone and len(futures) > 1):
            doubtful.append(digest)
            progress.running(todo[digest], "waits to be checked once more, alone")
        else:
            settle(digest, checked)
    for digest in doubtful:
        checked = _result(pool.submit(check, todo[digest]))
        if checked.verdict is None:  # such as where the engine went down again
            checked = _result(pool.submit(check, todo[digest]))
        settle(digest, checked)
    near = similar({one.learner: one.files[NAME].decode(errors="replace") for one in submissions if one.files})
    marks = []
    for one in submissions:
        checked = Checked(why_not=one.why_not) if one.why_not else found[one.digest]
        marks.append(Mark(one.learner, checked, one.files, one.notes, near.get(one.learner, ())))
    return marks


def _result(future: Future[Checked]) -> Checked:
    try:
        return future.result()
    except Exception as error:  # a worker that was lost again and again costs this submission's mark only
        return Checked(why_not=f"it could not be checked ({type(error).__name__}: {error})")
