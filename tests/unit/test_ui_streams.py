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
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


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


class TestClosed:
    def test_without_standard_output_nothing_is_done(self, run: Run) -> None:
        """One line says why."""
        done = run("print('not reached', file=sys.stderr)", ">&-")

        assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
        assert done.stderr.startswith(b"lab: standard output is closed: ")

    def test_without_standard_error_the_results_are_the_same(self, run: Run) -> None:
        """Progress goes nowhere, and not into standard output."""
        done = run(PRINTS, "2>&-")

        assert (done.returncode, done.stdout.decode(), done.stderr) == (0, "✓ done\n", b"")

    def test_without_both_the_status_is_left(self, run: Run) -> None:
        """There is nowhere to say anything."""
        done = run(PRINTS, ">&- 2>&-")

        assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")

    @pytest.mark.parametrize("closed", ["2>&-", "<&-", "<&- 2>&-"])
    def test_no_file_takes_the_place_of_a_closed_stream(self, run: Run, tmp_path: Path, closed: str) -> None:
        """What goes to standard error, from here or from a program that is started, gets into no file of ours."""
        path = tmp_path / "file"
        path.write_text("ours")
        code = f"import subprocess\nfile = open({str(path)!r}, 'r+')\n{PRINTS}\n"
        code += "subprocess.run(['/bin/sh', '-c', 'cat; echo lost >&2'], check=True)"

        done = run(code, closed)
        assert (done.returncode, done.stdout.decode(), path.read_text()) == (0, "✓ done\n", "ours")


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

    def test_a_full_disk_behind_standard_output_is_named(self, run: Run) -> None:
        """Nobody shall take a part of the result for all of it."""
        done = run(PRINTS, ">/dev/full")

        assert done.returncode == 2
        assert done.stderr.decode().splitlines() == [
            "progress",
            "lab: standard output cannot be written (No space left on device): see where it goes, and repeat",
        ]

    def test_a_full_disk_behind_standard_error_changes_nothing(self, run: Run) -> None:
        """What is lost is progress only."""
        done = run(PRINTS, "2>/dev/full")

        assert (done.returncode, done.stdout.decode()) == (0, "✓ done\n")

    def test_a_pipe_that_does_not_wait_gets_everything(self, run: Run) -> None:
        """Some programs leave the pipe or the terminal that they share with others so; its reader may be slow."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        with os.fdopen(reading, "rb") as pipe, ThreadPoolExecutor() as pool:
            read = pool.submit(pipe.read)
            done = run("print('x' * 1_000_000)", stdout=writing)
            os.close(writing)
            assert (done.returncode, done.stderr, len(read.result())) == (0, b"", 1_000_001)


class TestEncodings:
    @pytest.mark.parametrize(
        ("environment", "encoding"),
        [
            ({"PYTHONIOENCODING": "latin-1"}, "latin-1"),
            ({"PYTHONIOENCODING": "ascii"}, "ascii"),
            ({"PYTHONIOENCODING": "cp437:strict"}, "cp437"),
            (C_LOCALE, "ascii"),
        ],
        ids=["latin-1", "ascii", "cp437", "locale"],
    )
    def test_what_cannot_be_shown_is_replaced(self, run: Run, environment: dict[str, str], encoding: str) -> None:
        """Signs by others as wide, so that tables stay tables; whatever else by a question mark."""
        done = run(
            "for file in (sys.stdout, sys.stderr): print('✓ ✗ → “é” … 猫 \\udce9 │', file=file)", **environment
        )

        expected = {"latin-1": '+ x > "é" . ? ? |', "ascii": '+ x > "?" . ? ? |', "cp437": '+ x > "é" . ? ? │'}
        assert done.returncode == 0
        assert done.stdout.decode(encoding) == done.stderr.decode(encoding) == f"{expected[encoding]}\n"

    def test_what_can_be_shown_is_not_replaced(self, run: Run) -> None:
        """A terminal that knows UTF-8 gets all of it but halves of characters, which are none."""
        assert run("print('✓ “é” 猫 \\udce9')").stdout.decode() == "✓ “é” 猫 ?\n"

    def test_files_are_utf_8_wherever_the_terminal_is_not(self, run: Run, tmp_path: Path) -> None:
        """Names, contents and what is started are the same in every locale; the arguments arrive unchanged."""
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "käse").write_text("größer", encoding="utf-8")
        code = "import os; from pathlib import Path; [path] = Path(os.environ['FOLDER']).iterdir()\n"
        code += "print(len(path.name), len(path.read_text()), len('ä'), os.environ['PYTHONUTF8'])"

        done = run(code, FOLDER=str(folder), **C_LOCALE)
        assert (done.stdout, done.stderr) == (b"4 6 1 1\n", b"")
