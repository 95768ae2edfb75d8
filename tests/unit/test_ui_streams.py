"""Standard output and error in whatever state a shell hands them over, with real descriptors and processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE
from typing import Protocol

import pytest

pytestmark = pytest.mark.slow

PRINTS = "print('progress', file=sys.stderr); print('✓ done')"


class Run(Protocol):
    """Runs code, its streams prepared, as a shell starts it with these redirections."""

    def __call__(
        self, code: str, redirections: str = "", *, stdout: int = PIPE, stderr: int = PIPE, **environment: str
    ) -> subprocess.CompletedProcess[bytes]: ...


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(
        code: str, redirections: str = "", *, stdout: int = PIPE, stderr: int = PIPE, **environment: str
    ) -> subprocess.CompletedProcess[bytes]:
        script = tmp_path / "script.py"
        code = f"import sys\nfrom layerlab.ui import streams\nstreams.prepare()\n{code}\nsys.stdout.flush()\n"
        script.write_text(code, encoding="utf-8")
        return subprocess.run(
            ["/bin/sh", "-c", f'exec "$0" "$1" {redirections}', sys.executable, str(script)],
            env={**os.environ, "PYTHONUTF8": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            check=False,
        )

    return run


@pytest.fixture
def unread() -> Iterator[int]:
    """The end of a pipe from which nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.mark.parametrize(
    ("redirections", "printed"), [(">&-", ""), ("2>&-", "✓ done\n"), (">&- 2>&-", ""), ("<&- 2>&-", "✓ done\n")]
)
def test_what_is_closed_changes_nothing_else(run: Run, redirections: str, printed: str) -> None:
    """What would have gone there goes nowhere, and not into the other."""
    done = run(PRINTS, redirections)

    assert (done.returncode, done.stdout.decode()) == (0, printed)
    assert done.stderr == (b"" if "2>" in redirections else b"progress\n")


class TestFailing:
    def test_where_nobody_reads_it_ends_as_by_sigpipe_but_in_order(self, run: Run, unread: int) -> None:
        """The status is the one that a shell gives; what is to be ended is ended, and nothing is said."""
        code = "try: print('a', flush=True)\nexcept Exception: pass\nfinally: print('ended', file=sys.stderr)\n"

        done = run(f"{code}print('not reached', file=sys.stderr)", stdout=unread)
        assert (done.returncode, done.stderr) == (141, b"ended\n")

    def test_the_same_where_nobody_reads_the_progress(self, run: Run, unread: int) -> None:
        """Who writes `2>&1 | head -1` waits for the first line, and not for hours."""
        code = "try: print('a', file=sys.stderr)\nfinally: print('ended')\n"

        done = run(f"{code}print('not reached')", stderr=unread)
        assert (done.returncode, done.stdout) == (141, b"ended\n")

    def test_the_same_in_a_thread(self, run: Run, unread: int) -> None:
        """A service's log is shown by one."""
        code = "from concurrent.futures import ThreadPoolExecutor as Pool\nwith Pool() as pool:\n"
        code += "    pool.submit(print, 'a', flush=True).result()\n    print('not reached', file=sys.stderr)"

        done = run(code, stdout=unread)
        assert (done.returncode, done.stderr) == (141, b"")

    def test_a_full_disk_behind_standard_output_is_an_error(self, run: Run) -> None:
        """Nobody shall take a part of the result for all of it; what is printed after that gets lost."""
        code = "try: print('a', flush=True)\nexcept OSError as error: print(error.strerror, file=sys.stderr)\n"
        done = run(f"{code}print('b')", ">/dev/full")

        assert (done.returncode, done.stderr) == (0, b"No space left on device\n")

    def test_a_pipe_that_does_not_wait_gets_everything(self, run: Run) -> None:
        """Some programs leave the pipe or the terminal that they share with others so; its reader may be slow."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        with os.fdopen(reading, "rb") as pipe, ThreadPoolExecutor() as pool:
            read = pool.submit(pipe.read)
            done = run("print('x' * 1_000_000)", stdout=writing)
            os.close(writing)
            assert (done.returncode, done.stderr, len(read.result())) == (0, b"", 1_000_001)


@pytest.mark.parametrize(
    ("environment", "encoding", "expected"),
    [
        ({"PYTHONIOENCODING": "latin-1"}, "latin-1", "? ? ?é? ?"),
        ({"PYTHONIOENCODING": "ascii"}, "ascii", "? ? ??? ?"),
        ({"PYTHONIOENCODING": "cp437:strict"}, "cp437", "? ? ?é? ?"),
        ({}, "utf-8", "✓ 猫 “é” ?"),
    ],
)
def test_what_cannot_be_shown_is_replaced(
    run: Run, environment: dict[str, str], encoding: str, expected: str
) -> None:
    """By a question mark; halves of characters, which are none, everywhere."""
    done = run("for file in (sys.stdout, sys.stderr): print('✓ 猫 “é” \\udce9', file=file)", **environment)

    assert done.returncode == 0
    assert done.stdout.decode(encoding) == done.stderr.decode(encoding) == f"{expected}\n"
