"""Marks from several machines: dask.distributed hands the submissions to workers, each with an engine of its own.

On each machine a worker runs from the same version of the lab and offers an engine, which one check has at a time::

    .venv/bin/dask worker tcp://SCHEDULER:8786 --nthreads 1 --resources engine=1

A submission whose worker is lost moves on to another one. What nobody asks for any more ends itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from layerlab.classroom.check_one import check_apart
from layerlab.classroom.grading import GradingProgress, grade_with
from layerlab.classroom.marks import Checked, Mark, checker_version
from layerlab.classroom.submissions import Submission
from layerlab.errors import UsageError
from layerlab.ui.progress import Report, Step, silent

_TOPIC: Final = "layerlab-grade"
_WORKER: Final = ".venv/bin/dask worker ADDRESS --nthreads 1 --resources engine=1"
_PATIENCE: Final = 15  # seconds until somebody answers


def grade_on(
    scheduler: str,
    submissions: Sequence[Submission],
    *,
    picture: bool = False,
    again: bool = False,
    report: Report = silent,
) -> list[Mark]:
    """What `layerlab.classroom.grade` gives, which has the same options, by the workers of this scheduler.

    `scheduler` is its address, such as ``tcp://192.0.2.1:8786``.

    Raises:
        UsageError: dask.distributed is not installed, nobody answers, no worker is there or one has another version.
    """
    try:
        from distributed import Client  # noqa: PLC0415  # of the group `class`, which few install
    except ImportError as error:
        raise UsageError(
            "--scheduler needs dask.distributed, which is not installed",
            remedy="install it: .venv/bin/uv pip install --python .venv/bin/python -r requirements/class.txt",
        ) from error
    try:
        client = Client(scheduler, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise UsageError(
            f"no scheduler of dask.distributed answers at {scheduler} ({error})",
            remedy="start one: .venv/bin/dask scheduler",
        ) from error
    with client:
        versions: dict[str, str] = client.run(checker_version)
        others = sorted(worker for worker, version in versions.items() if version != checker_version())
        if others or not versions:
            what = (
                f"the workers {', '.join(others)} have another version of the lab" if others else "no worker is there"
            )
            raise UsageError(what, remedy=f"start them from this version: {_WORKER}")
        by_digest = {one.digest: one for one in submissions}
        progress = GradingProgress(report, submissions)

        def relay(event: tuple[float, Any]) -> None:
            digest, step = event[1]
            if digest in by_digest:
                progress.running(by_digest[digest], step)

        client.subscribe_topic(_TOPIC, relay)
        pool = client.get_executor(resources={"engine": 1}, retries=2, pure=False)
        return grade_with(pool, partial(_check_there, picture), submissions, progress, again=again, picture=picture)


def _check_there(picture: bool, submission: Submission) -> Checked:  # partial gives it
    """On a worker: check a submission, as long as somebody asks for it."""
    from distributed import get_worker  # noqa: PLC0415

    worker = get_worker()
    key = worker.get_current_task()

    def is_wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state in {"executing", "long-running"}

    def tell(step: Step) -> None:
        worker.log_event(_TOPIC, (submission.digest, step.title))

    return check_apart(submission, picture=picture, report=tell, is_wanted=is_wanted)
