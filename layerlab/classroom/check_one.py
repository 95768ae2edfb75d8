"""Checks one submission in a process of its own: so whatever becomes of it costs its own mark only.

``python -m layerlab.classroom.check_one`` reads the submission from standard input, pickled, and writes a line of
JSON for each step and one for what came of it. It ends, and cleans up behind itself, at SIGTERM and as soon as its
standard input does: so it does not outlive whoever has started it.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from layerlab.classroom.marks import Checked, read_checked
from layerlab.classroom.submissions import Submission
from layerlab.ui.progress import Report, Step

LONGEST: Final = 3_600.0  # seconds; each build has a limit of its own, which is far below that
_GRACE: Final = 60.0  # seconds to clean up
_LOOK_EVERY: Final = 0.2  # seconds between two looks at whether it is still wanted
_TELL_EVERY: Final = 0.5  # seconds between two reports


def check_apart(
    submission: Submission,
    *,
    picture: bool = False,
    report: Report,
    is_wanted: Callable[[], bool] = lambda: True,
) -> Checked:
    """Check a submission on the engine that is reached from here, in a process of its own.

    Args:
        submission: What to check.
        picture: Whether to draw its layers.
        report: Is told of each step.
        is_wanted: Asked again and again; at the first no, the check is ended.
    """
    if submission.why_not:
        return Checked(why_not=submission.why_not)
    # -P: not the modules of the folder where the user stands, which may be a learner's.
    command = [sys.executable, "-P", "-m", "layerlab.classroom.check_one"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        assert process.stdin  # noqa: S101  # a pipe
        assert process.stdout  # noqa: S101
        watcher = threading.Thread(target=_watch, args=(process, is_wanted), daemon=True)
        watcher.start()
        checked = None
        try:
            with suppress(BrokenPipeError):  # it has ended
                pickle.dump((submission, picture), process.stdin)
                process.stdin.flush()
            for line in process.stdout:
                said = json.loads(line)
                if "step" in said:
                    report(Step("", said["step"], "running"))
                else:
                    checked = read_checked(said)
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()  # so it ends, if it has not
            process.wait()
            watcher.join()
    if checked is None:
        how = f"by signal {-process.returncode}" if process.returncode < 0 else f"with status {process.returncode}"
        return Checked(why_not=f"the check was ended {how} before it could say anything")
    return checked


def _watch(process: subprocess.Popen[bytes], is_wanted: Callable[[], bool]) -> None:
    """End a check that is not wanted any more, or takes too long."""
    deadline = time.monotonic() + LONGEST
    while process.poll() is None:
        if not is_wanted() or time.monotonic() > deadline:
            process.terminate()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
            return
        time.sleep(_LOOK_EVERY)


def _main() -> None:
    """What the process of its own does."""
    from layerlab.engine import interrupts  # noqa: PLC0415  # whoever starts it need not load that

    interrupts.install()
    submission, picture = pickle.load(sys.stdin.buffer)  # noqa: S301  # from `check_apart`, which holds the other end
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        checked = _check(submission, draws=picture)
    except KeyboardInterrupt:
        os._exit(interrupts.STATUS)  # what it had made is removed by now
    _say(checked.document())


def _check(submission: Submission, *, draws: bool) -> Checked:
    from layerlab import exercise  # noqa: PLC0415
    from layerlab.engine import daemon, runs  # noqa: PLC0415
    from layerlab.errors import LabError  # noqa: PLC0415
    from layerlab.exercise import new_workspace  # noqa: PLC0415
    from layerlab.image import Image  # noqa: PLC0415

    told = 0.0

    def tell(step: Step) -> None:
        nonlocal told
        if step.state == "running" and time.monotonic() - told > _TELL_EVERY:
            told = time.monotonic()
            _say({"step": step.title})

    def draw(mine: Image) -> str:
        import pandas as pd  # noqa: PLC0415  # these take a second

        from layerlab import demo, plots  # noqa: PLC0415
        from layerlab.exercise import panel  # noqa: PLC0415

        layers = {"your image": mine.layers, **{name: own.layers for name, own in demo.read_built(engine).items()}}
        return panel.picture_html(plots.beside(pd.concat(layers, names=["image", None]).reset_index("image")))

    images: list[Image] = []
    try:
        engine = daemon.ensure(report=tell)  # it may have gone down since the last check
        with runs.temporary(engine) as (_, folder):
            workspace = new_workspace.make(folder / "workspace", level=submission.level)
            for name, content in submission.files.items():
                path = workspace / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                path.chmod(0o755 if name in submission.executable else 0o644)
            verdict = exercise.check(engine, workspace, report=tell, on_image=images.append, caches=submission.digest)
            size = images[-1].total_bytes if images else None
            return Checked(verdict, size, draw(images[-1]) if images and draws else "")
    except LabError as error:
        return Checked(why_not=error.one_line)
    except Exception as error:  # what a submission brings about in the checker costs its own mark only
        return Checked(why_not=f"the check failed, which is the lab's fault ({type(error).__name__}: {error})")


def _end_with_input() -> None:
    os.read(0, 1)  # nothing more is sent: this returns when the other end is closed, or its process is gone
    os.kill(os.getpid(), signal.SIGTERM)


def _say(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _main()
