"""The command that says how far a solution of the exercise is."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from layerlab import exercise, image
from layerlab.cli.options import PATH, as_json, err, examples, find_engine, out
from layerlab.errors import LabError
from layerlab.exercise import all_passed, earlier_checks, terminal, watching
from layerlab.exercise.workspace import NAME, open_workspace
from layerlab.ui import displays
from layerlab.ui.text import printable

NO_DOCUMENT: Final = 2
TASK: Final = click.IntRange(1, 7)


@click.command(
    "check",
    epilog=examples("./lab check my-image", "./lab check my-image --watch", "./lab check my-image --hint 4"),
)
@click.argument("folder", metavar="DIR", type=PATH)
@as_json
@click.option("--watch", is_flag=True, help="Check again whenever a file is saved, until Ctrl-C.")
@click.option(
    "--quick",
    is_flag=True,
    help="Leave out the experiments (builds of a changed copy), such as with --watch while you type: what they would "
    "show is then unknown.",
)
@click.option("--hint", "hints", metavar="TASK", type=TASK, multiple=True, help="One more hint for a task, 1 to 7.")
@click.option("--all", "show_all", is_flag=True, help="Show every finding of every task, not only what to do next.")
def command(*, folder: Path, as_json: bool, watch: bool, quick: bool, hints: tuple[int, ...], show_all: bool) -> int:
    """Check a solution of the exercise.

    DIR is a workspace made by `./lab new`. Builds its Dockerfile, looks into the image and runs it; all of that is
    removed afterwards. Exit status: 0 if all seven tasks pass, 1 if not, 2 if nothing could be checked.
    """
    if not (folder / NAME).exists():
        open_workspace(folder)  # says what is missing, before an engine is looked for or even installed
    engine = find_engine()

    def check(hints: tuple[int, ...]) -> int:
        """Check once and print what came of it; returns 0 if all seven tasks pass, else 1."""
        images: list[image.Image] = []
        with displays.terminal(f"checking {folder}") as report:
            verdict = exercise.check(engine, folder, report=report, on_image=images.append, is_quick=quick)
        # What was left out on purpose is no step back from the last check.
        known = tuple(task for task in verdict.tasks if not (quick and task.status == "unknown"))
        judged = dataclasses.replace(verdict, tasks=known)
        changes = earlier_checks.changes(earlier_checks.recall(folder), judged)
        earlier_checks.remember(folder, judged)
        told = earlier_checks.tell_class(judged)
        for number in hints:
            earlier_checks.reveal(folder, verdict.tasks[number - 1])
        passed = all(task.status == "pass" for task in verdict.tasks)
        if as_json:
            print(json.dumps(verdict.document(), indent=None if watch else 2), flush=True)
            return int(not passed)
        terminal.print_verdict(
            out,
            verdict,
            name=str(folder),
            source=terminal.source_of(folder),
            memory=earlier_checks.recall(folder),
            changes=(*changes, *told),
            tasks=hints,
            show_all=show_all,
        )
        for number in sorted(set(hints)):
            if not verdict.tasks[number - 1].findings:
                out.print(f"Task {number} needs no hint: nothing was found about it.")
        if passed and images:
            mine = dataclasses.replace(images[-1], name=folder.resolve().name)
            if others := all_passed.beside(engine, folder):
                tables = import_module("layerlab.cli.image_tables")  # needs pandas, which a JSON document does not
                tables.print_comparison([mine, *others.values()])
            out.print("", *map(printable, all_passed.sentences(engine, folder, mine)), sep="\n")
        return int(not passed)

    return _watch(check, folder, hints) if watch else check(hints)


def _watch(check: Callable[[tuple[int, ...]], int], folder: Path, hints: tuple[int, ...]) -> int:
    """Check, wait for a change, and so on; returns the status of the last check."""
    seen = watching.look(folder)
    status = check(hints)
    try:
        while True:
            waiting = f"\nWaiting for a change of {watching.WATCHED} in {printable(str(folder))}; Ctrl-C ends it."
            err.print(waiting, soft_wrap=True)  # a terminal breaks no path in a way that it cannot be copied
            watching.wait_for_change(folder, seen)
            seen = watching.look(folder)
            try:
                status = check(())
            except LabError as error:  # such as a Dockerfile that has been renamed: the next change may mend it
                err.print(f"lab: {printable(error.one_line)}", soft_wrap=True)
                status = NO_DOCUMENT
    except KeyboardInterrupt:
        err.print()
        return status
