"""Gathers the evidence about a workspace from an engine: builds, snapshots and a running container, side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from layerlab import image
from layerlab.builder import trial_builds
from layerlab.engine import Engine
from layerlab.errors import BaseImageError, Blame, Failure, LabError
from layerlab.exercise.evidence import experiments, snapshots, workspace_builds
from layerlab.exercise.evidence.facts import Evidence, NoImage, Snapshot
from layerlab.exercise.evidence.single_stage_size import single_bytes
from layerlab.exercise.evidence.workspace_builds import Outcome, Prepared
from layerlab.exercise.workspace import Workspace
from layerlab.service import Running, observe
from layerlab.service.waiting import is_busy
from layerlab.ui.progress import Report, Step

OnImage = Callable[[image.Image], None]
_AT_ONCE: Final = 3  # the container, further builds, the one with a changed pin


def gather(
    engine: Engine,
    workspace: Workspace,
    report: Report,
    on_image: OnImage | None,
    *,
    hardened: bool,
    is_quick: bool,
    caches: str,
) -> Evidence | NoImage:
    """All that can be found out about a workspace; see `layerlab.exercise.check` for what is not said here."""
    relay = _Relay(report)
    with trial_builds(engine, relay, caches=caches, watch=relay.watch) as trials:
        prepared = workspace_builds.prepare(trials, workspace)
        outcome = workspace_builds.build_final(prepared)
        if outcome.failure is not None:
            return NoImage(outcome.failure, workspace.requirements)
        return _look(relay, prepared, outcome, on_image, hardened=hardened, is_quick=is_quick)


@dataclass(frozen=True)
class _Relay:
    """Passes reports on from several threads; once the check has ended, it ends whatever still reports."""

    listener: Report
    ended: threading.Event = field(default_factory=threading.Event)

    def __call__(self, step: Step) -> None:
        self.watch()
        self.listener(step)

    def watch(self) -> None:
        """End what goes on, once the check has ended: also a build that reports nothing."""
        if self.ended.is_set():
            raise _Ended


class _Ended(Exception):
    """The check has been given up: Ctrl-C, or another part of it failed."""


@contextmanager
def _side_by_side(relay: _Relay) -> Iterator[ThreadPoolExecutor]:
    """Threads that end soon after an exception has left the block."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="layerlab-check") as pool:
        try:
            yield pool
        except BaseException:
            relay.ended.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _look(
    relay: _Relay, prepared: Prepared, outcome: Outcome, on_image: OnImage | None, *, hardened: bool, is_quick: bool
) -> Evidence:
    """Look at what was built, and try it."""
    engine, image_id = prepared.engine, str(outcome.image_id)
    is_tried = prepared.workspace.requirements and not is_quick
    with _side_by_side(relay) as pool:
        ran = pool.submit(observe, engine, image_id, hardened=hardened, report=relay)
        pin = pool.submit(experiments.change_pin, prepared, image_id, ran) if is_tried else None
        evidence = pool.submit(_build_more, prepared, outcome, ran, is_quick=is_quick).result()
        evidence = replace(evidence, pin_change=pin.result() if pin else None)
    running = evidence.running
    if running.hurried and is_busy():
        # What went on beside it may be why it was late.
        again = observe(engine, image_id, report=relay)
        running = replace(again, hardened=running.hardened, hardened_why=running.hardened_why)
    if on_image is not None:
        on_image(image.read(engine, image_id, dockerfile=evidence.dockerfile))
    return replace(evidence, running=running)


def _build_more(prepared: Prepared, outcome: Outcome, ran: Future[Running], *, is_quick: bool) -> Evidence:
    """Further builds, one after the other: at the same time, those of the same steps blur what was cached."""
    workspace, image_id = prepared.workspace, str(outcome.image_id)
    stages, final = _snapshots(prepared, image_id)
    size = failure = change = None
    try:
        size = single_bytes(prepared.engine, workspace.level, report=prepared.trials.report)
    except LabError as error:  # then there is nothing to compare with, and whose fault that is counts
        blame: Blame = "network" if isinstance(error, BaseImageError) else "engine"
        failure = Failure(blame, f"The single-stage image could not be had to compare with: {error.one_line}")
    if workspace.requirements and not is_quick:
        installs = snapshots.installing_python(stages.values(), final, workspace.requirements)
        change = experiments.change_app(prepared, installs)
    handed_on = experiments.break_packed(prepared, final, stages, is_quick=is_quick)
    systems = snapshots.system_installs([*stages.values(), final])
    if not is_quick:
        systems = tuple(experiments.without_index(prepared, each) for each in systems)
    return Evidence(
        dockerfile=prepared.dockerfile,
        image_id=image_id,
        image=final,
        running=ran.result(),
        context=workspace.context,
        app=workspace.app,
        requirements=workspace.requirements,
        ran=outcome.ran,
        stages=stages,
        system_installs=systems,
        app_change=change,
        handed_on=handed_on,
        is_quick=is_quick,
        single_bytes=size,
        failure=failure,
        level=workspace.level,
        is_worked_example=workspace.is_worked_example,
    )


def _snapshots(prepared: Prepared, image_id: str) -> tuple[dict[str, Snapshot], Snapshot]:
    """The snapshots of the stages that ran, by label, and of the final one; each needs those that it copies from."""
    final, found = prepared.dockerfile.target(), list[Snapshot]()
    for stage in prepared.dockerfile.needed(final):  # the final one comes last
        taken = snapshots.take(
            prepared.engine,
            image_id if stage == final else workspace_builds.build_stage(prepared, stage),
            prepared.dockerfile,
            stage,
            {each.stage: each for each in found},
            context=prepared.workspace.context,
            pinned=prepared.workspace.requirements,
            labels=prepared.trials.labels,
            with_copies=stage == final,
        )
        # What only the way to the engine has added is nothing of the learner's.
        sent = f"/{workspace_builds.SENT_NAME}"
        found.append(replace(taken, files=tuple(file for file in taken.files if not file.path.endswith(sent))))
    *others, last = found
    return {each.stage: each for each in others}, last
