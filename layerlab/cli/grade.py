"""The command that gives marks to many submissions."""

from __future__ import annotations

from pathlib import Path

import click

from layerlab.cli.options import PATH, as_json, err, examples, find_engine, out
from layerlab.exercise import wording
from layerlab.exercise.new_workspace import LEVELS
from layerlab.exercise.verdict import TASK_NAMES
from layerlab.paths import write_output
from layerlab.ui import displays
from layerlab.ui.text import printable
from layerlab.ui.units import first_few


@click.command(
    "grade",
    epilog=examples(
        "./lab grade submissions.zip --csv marks.csv --feedback feedback",
        "./lab grade anna ben.zip clara/Dockerfile",
        "./lab grade submissions --jobs 4 --json",
    ),
)
@click.argument("paths", metavar="SUBMISSIONS...", nargs=-1, required=True, type=PATH)
@as_json
@click.option("--csv", "csv", metavar="FILE", type=PATH, help="Write a row each, for a spreadsheet and for nbgrader.")
@click.option("--junit", metavar="FILE", type=PATH, help="Write JUnit's XML, for CI.")
@click.option("--markdown", metavar="FILE", type=PATH, help="Write a table in Markdown.")
@click.option(
    "--classroom50",
    metavar="FILE",
    type=PATH,
    help="Write the result.json of Classroom 50, of one submission within its runner.",
)
@click.option("--feedback", metavar="DIR", type=PATH, help="Write a page for each learner, one HTML file each.")
@click.option(
    "--jobs", type=click.IntRange(1), help="How many are checked at once  [default: as many as there are cores]"
)
@click.option(
    "--level",
    type=click.IntRange(min(LEVELS), max(LEVELS)),
    help="Of the exercise  [default: 2 for whoever hands in a requirements.txt with psycopg2, else 1]",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Check on the workers of this scheduler of dask.distributed, such as tcp://192.0.2.1:8786.",
)
@click.option("--again", is_flag=True, help="Check also what this version of the lab has checked before.")
def command(
    *,
    paths: tuple[Path, ...],
    as_json: bool,
    feedback: Path | None,
    jobs: int | None,
    level: int | None,
    scheduler: str | None,
    again: bool,
    **files: Path | None,
) -> int:
    """Give marks to many submissions.

    SUBMISSIONS are workspaces, Dockerfiles, or a folder or an archive as learning platforms export them, with a
    folder, a file or an archive for each learner. Each is checked as `./lab check` does it, in a fresh workspace,
    several at once. What has been checked is kept: a run that was ended goes on where it was. Exit status: 0 if each
    submission has a mark, 1 if not, 2 if nothing could be graded.
    """
    # It is a room of its own: no other command loads it.
    from layerlab.classroom import cluster, grading, mark_files, submissions  # noqa: PLC0415

    found, passed_over = submissions.find(paths, level=level)
    if passed_over:
        err.print(f"lab: passed over, since they are no submissions: {first_few(passed_over, 5)}")
    picture = feedback is not None
    if scheduler is None and any(not one.why_not for one in found):
        find_engine()
    with displays.terminal("marks") as report:
        if scheduler is None:
            marks = grading.grade(found, jobs=jobs or grading.CORES, picture=picture, again=again, report=report)
        else:
            marks = cluster.grade_on(scheduler, found, picture=picture, again=again, report=report)
    for name, path in files.items():
        if path is not None:
            write_output(path, mark_files.WRITERS[name](marks))
    if feedback is not None:
        from layerlab.classroom import feedback as pages  # noqa: PLC0415  # draws pictures, which takes a second to load

        pages.write(marks, feedback)
    if as_json:
        print(mark_files.as_json(marks), end="")
    else:
        width = min(max((len(mark.learner) for mark in marks), default=0), 40)
        for mark in marks:
            signs = " ".join(wording.SIGNS[status] for status in mark.checked.statuses)
            size = "" if mark.checked.image_bytes is None else f"{mark.checked.image_bytes / 1e6:.0f} MB"
            line = (
                f"{mark.learner:<{width}}  {mark.score}/{len(TASK_NAMES)}  {signs}  {size:>7}  {mark.seconds:5.1f} s"
            )
            out.print(printable(line if mark.checked.verdict else f"{line}  {mark.why_not}"), soft_wrap=True)
            if mark.similar:
                out.print(printable(f"    nearly the same as that of {first_few(mark.similar, 5)}"), soft_wrap=True)
    return int(any(mark.checked.verdict is None and mark.files for mark in marks))
