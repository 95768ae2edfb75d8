"""Makes ``.venv`` from the pinned, hashed requirements. Run by the system's Python, so: standard library only.

    python3 layerlab/bootstrap.py lab|test

Python makes an empty virtual environment, pip installs uv in it, and uv the rest. The environment is brought up to
date rather than made anew, and says what it holds only after everything is there: a copy of the pins
(``holds-lab.txt``) and the folder that it was made for (``made-for``). So whatever interrupts this, the next run goes
on from there.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
import venv
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = ROOT / "requirements"
PIP_WHEELS = (Path(os.__file__).parent / "ensurepip" / "_bundled", Path("/usr/share/python-wheels"))
"""Where the wheel of pip is that ``ensurepip`` installs: beside it, or where Debian and Fedora have it."""


def say(text: str) -> None:
    with suppress(OSError, AttributeError):  # nobody reads it, or it is closed: None
        sys.stderr.write(f"lab: {text}\n")


def fail(text: str) -> NoReturn:
    say(text)
    sys.exit(2)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let a second ``./lab`` wait for the first instead of writing into the same folder."""
    with (ROOT / ".venv.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            say(f"waiting for another ./lab that is making .venv (process {lock.read() or 'unknown'})")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def run(*command: str | Path) -> None:
    """Run what installs packages, with a sign of life every few seconds; where it fails, so does this."""
    began = time.monotonic()
    # Not where the user stands: uv would take the settings of a pyproject.toml there.
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=ROOT) as process:
        while process.returncode is None:
            try:
                process.wait(timeout=3)
            except subprocess.TimeoutExpired:
                say(f"  still at it after {time.monotonic() - began:.0f} s")
    if process.returncode:
        fail(
            "the packages could not be installed (see above): check the network, the disk and the clock, and repeat; "
            "what is there by now is kept"
        )


def said(*command: str | Path) -> str:
    """What a program prints; nothing where it cannot be run, or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return "" if done.returncode else done.stdout


def is_own() -> bool:
    """Whether ``.venv`` was made by this, for the folder in which it is."""
    note = VENV / "made-for"
    return note.exists() and note.read_text().strip() == str(ROOT)


def condemn() -> None:
    """Say that the virtual environment is damaged: the next ``./lab`` makes it anew."""
    (VENV / "damaged").touch()
    (VENV / "made-for").unlink(missing_ok=True)


def is_sound() -> bool:
    """Whether the virtual environment starts, is one, and stands where it was made."""
    if (VENV / "damaged").exists() or ((VENV / "made-for").exists() and not is_own()):
        return False
    # Without its pyvenv.cfg it would be the system's Python, into which nothing of ours may be installed.
    code = "import sys; print(sys.version_info >= (3, 11) and sys.prefix != sys.base_prefix)"
    return said(PYTHON, "-c", code) == "True\n"


def create() -> None:
    """Make an empty virtual environment in place of a missing or broken one."""
    is_environment = any((VENV / name).exists() for name in ("pyvenv.cfg", "damaged")) or is_own()
    if VENV.is_symlink() or (VENV.exists() and not is_environment and any(VENV.iterdir())):
        fail(f"{VENV} is not a virtual environment of the lab's: move it away and repeat")
    venv.create(VENV, clear=True, symlinks=True)


def pip() -> Path:
    """A pip that ``.venv``, which has none, can run: the one that Python keeps to put it into new environments."""
    if not pip_wheels() and shutil.which("apt-get") and os.geteuid() == 0:
        say("installing python3-pip-whl: this Python has no pip to put into a virtual environment")
        apt_get = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120"]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update"], ["install", "-y", "python3-pip-whl"]):
            subprocess.run([*apt_get, *arguments], env=environment, stdout=sys.stderr, check=False)
    if not pip_wheels():
        fail(
            "this Python has no pip to put into a virtual environment: install it (on Debian and Ubuntu: "
            "apt install python3-pip-whl) and repeat"
        )
    return pip_wheels()[0] / "pip"


def pip_wheels() -> list[Path]:
    return [wheel for folder in PIP_WHEELS for wheel in folder.glob("pip-*.whl")]


def main(pins: str) -> None:
    began = time.monotonic()
    with one_at_a_time():
        # uv's cache shares its files with what was installed from it, and so their damage.
        cache = ["--no-cache"] if (VENV / "damaged").exists() else []
        if not is_sound():
            say("making .venv")
            create()
        uv, uv_pins = VENV / "bin" / "uv", REQUIREMENTS / "uv.txt"
        if f"uv=={''.join(said(uv, '--version').split()[1:2])} " not in uv_pins.read_text():
            quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
            run(PYTHON, pip(), "install", *quiet, "--force-reinstall", "--require-hashes", "-r", uv_pins)
        wanted = REQUIREMENTS / f"{pins}.txt"
        count = sum(line[:1].isalnum() for line in wanted.read_text().splitlines())
        say(f"installing the {count} packages of requirements/{pins}.txt")
        for note in VENV.glob("holds-*.txt"):
            note.unlink()
        run(uv, "pip", "sync", "--quiet", "--require-hashes", *cache, "--python", PYTHON, wanted)
        # The lab and the service are imported from where they lie, by every kernel and test of this environment.
        packages = next((VENV / "lib").glob("python3*/site-packages"))
        (packages / "layerlab.pth").write_text(f"{ROOT}\n")
        for held in {"lab", pins}:  # the tests' pins contain the lab's, in the same versions
            shutil.copyfile(REQUIREMENTS / f"{held}.txt", VENV / f"holds-{held}.txt")
        (VENV / "made-for").write_text(f"{ROOT}\n")
    say(f".venv is ready ({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        fail("interrupted; the next run goes on from here")
    except OSError as error:  # a full disk, a folder that is somebody else's
        where = error.filename or VENV
        fail(f"{where} could not be written ({error.strerror}): make room, or see whose it is, and repeat")
