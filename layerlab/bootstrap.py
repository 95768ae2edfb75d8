"""Makes ``.venv`` from the pinned, hashed requirements. Run by the system's Python, so: standard library only.

    python3 layerlab/bootstrap.py lab|test

The virtual environment is brought up to date rather than made anew, and says what it holds only after everything is
there: a copy of the pins (``holds-lab.txt``) and the folder that it was made for (``made-for``). So whatever
interrupts this, the next run goes on from there.
"""

from __future__ import annotations

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
REQUIREMENTS = ROOT / "requirements"


def say(text: str) -> None:
    with suppress(OSError, AttributeError):  # nobody reads it, or it is closed: None
        sys.stderr.write(f"lab: {text}\n")


def fail(text: str) -> NoReturn:
    say(text)
    sys.exit(2)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let a second ``./lab`` wait for the first instead of writing into the same folder."""
    try:
        import fcntl  # noqa: PLC0415  # not on Windows, where the lab runs in WSL
    except ImportError:
        yield
        return
    with (ROOT / ".venv.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read(20).strip()
            say(f"waiting for another ./lab that is making .venv{f' (process {holder})' if holder else ''}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def python() -> Path:
    return VENV / "bin" / "python"


def run(command: list[str], *, otherwise: str) -> None:
    """Run a command with a sign of life every few seconds; where it fails, end with this line."""
    began = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        while True:
            try:
                status = process.wait(timeout=3)
                break
            except subprocess.TimeoutExpired:
                say(f"  still at it after {time.monotonic() - began:.0f} s")
    if status:
        fail(otherwise)


def is_sound() -> bool:
    """Whether the virtual environment starts, is one, has pip, and stands where it was made."""
    if not python().exists() or (VENV / "damaged").exists() or made_for() not in {"", str(ROOT)}:
        return False
    # Without its pyvenv.cfg it would be the system's Python, into which nothing of ours may be installed.
    lines = "import pip, sys", "sys.exit(sys.version_info < (3, 11) or sys.prefix == sys.base_prefix)"
    return answers([str(python()), "-c", "; ".join(lines)])


def answers(command: list[str]) -> bool:
    """Whether a program can be run, and does well."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def condemn() -> None:
    """Say that the virtual environment is damaged: the next ``./lab`` makes it anew."""
    (VENV / "damaged").touch()
    (VENV / "made-for").unlink(missing_ok=True)


def made_for() -> str:
    note = VENV / "made-for"
    return note.read_text().strip() if note.exists() else ""


def create() -> None:
    """Make an empty virtual environment in place of a missing or broken one."""
    is_ours = (VENV / "pyvenv.cfg").exists() or (VENV / "damaged").exists() or made_for() == str(ROOT)
    if VENV.is_symlink() or (VENV.exists() and not is_ours and any(VENV.iterdir())):
        fail(f"{VENV} is not a virtual environment of the lab's: move it away and repeat")
    install_ensurepip_if_missing()
    try:
        venv.create(VENV, clear=True, with_pip=True, symlinks=True)
    except (subprocess.CalledProcessError, OSError) as error:
        fail(f"the virtual environment {VENV} could not be made ({error}): see above, mend it and repeat")


def install_ensurepip_if_missing() -> None:
    """Debian ships ``venv`` without what makes it work; its package is added where that is allowed."""
    try:
        import ensurepip  # noqa: F401, PLC0415
    except ImportError:
        package = f"python3.{sys.version_info.minor}-venv"
        if not shutil.which("apt-get") or os.geteuid() != 0:
            fail(
                f"this Python cannot make virtual environments: install {package} (apt install {package}) and repeat"
            )
        say(f"installing {package}, which Python needs to make a virtual environment")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        apt_get = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120"]
        for command in ([*apt_get, "update"], [*apt_get, "install", "-y", package]):
            if subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode:
                fail(f"{package} could not be installed: see above, mend it and repeat")


def main(pins: str) -> None:
    began = time.monotonic()
    with one_at_a_time():
        # uv's cache shares its files with what was installed from it, and so their damage.
        is_damaged = (VENV / "damaged").exists()
        if not is_sound():
            say("making .venv")
            create()
        network = (
            "the packages could not be installed (see above): check the network, the disk and the clock, and repeat; "
            "what is there by now is kept"
        )
        quiet_pip = ["--quiet", "--disable-pip-version-check", "--no-input"]
        uv_pins = ["--require-hashes", "-r", str(REQUIREMENTS / "uv.txt")]
        uv_program = str(VENV / "bin" / "uv")
        run([str(python()), "-m", "pip", "install", *quiet_pip, *uv_pins], otherwise=network)
        if not answers([uv_program, "--version"]):  # pip has a note of it, but the program is gone
            again = ["--force-reinstall", *quiet_pip, *uv_pins]
            run([str(python()), "-m", "pip", "install", *again], otherwise=network)
        wanted = REQUIREMENTS / f"{pins}.txt"
        count = sum(line[:1].isalnum() for line in wanted.read_text().splitlines())
        say(f"installing the {count} packages of requirements/{pins}.txt")
        uv = [
            uv_program,
            "pip",
            "sync",
            "--quiet",
            "--require-hashes",
            *(["--no-cache"] if is_damaged else []),
            "--python",
            str(python()),
            str(wanted),
        ]
        run(uv, otherwise=network)
        # The lab and the service are imported from where they lie, by every kernel and test of this environment.
        packages = next((VENV / "lib").glob("python3*/site-packages"))
        (packages / "layerlab.pth").write_text(f"{ROOT}\n")
        # The tests' pins contain the lab's, in the same versions.
        for held in {"lab": ["lab"], "test": ["lab", "test"]}[pins]:
            shutil.copyfile(REQUIREMENTS / f"{held}.txt", VENV / f"holds-{held}.txt")
        if pins == "lab":
            (VENV / "holds-test.txt").unlink(missing_ok=True)
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
