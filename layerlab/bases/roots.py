"""The roots of the stand-ins: a minimal Debian, finished as Debian's own images are.

``mmdebstrap`` makes a minimal system from the archive's packages, which it verifies by their signatures, and
``images/finish.sh`` makes the tars of both images out of it.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Final

from layerlab.engine.machine import apt_get, ending_with_us, is_debian, run
from layerlab.engine.symptoms import CLOCK_OFF, OFFLINE, is_disk_full
from layerlab.errors import StandInError
from layerlab.ui.progress import Report
from layerlab.ui.text import shorten

PACKAGES: Final = ("mmdebstrap", "debian-archive-keyring", "mount")
ARCHIVE_KEYS: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
FINISH: Final = Path(__file__).parent / "images" / "finish.sh"
APT_SETTINGS: Final = re.compile(
    r"^Acquire::(?:https?::|Check-Valid-Until |Check-Date |Max-FutureTime |Retries |ForceIPv[46] ).*;$", re.MULTILINE
)
_FETCHING: Final = re.compile(
    r"Failed to (?:fetch|download)|Hash Sum mismatch|No matching distribution|Connection (?:failed|refused|reset)"
    r"|timed out|SSLError|Proxy",
    re.IGNORECASE,
)
"""What apt and pip print besides where it is the network that is at fault."""

SUITE: Final = "trixie"

EPOCH: Final = 1754697600
"""2025-08-09, the day of trixie's release, in seconds since 1970. No file is newer: so the same packages make the
same bytes, and whatever an engine has built on them before is found in its cache again."""


def check_machine(machine: str) -> None:
    """See to it that roots for an engine on such a machine can be made here.

    Args:
        machine: What the engine calls its machine, such as ``x86_64``; empty if it does not say.

    Raises:
        StandInError: this is no Debian or Ubuntu, the user is not root, or the engine's machine is of another kind.
    """
    elsewhere = "or use an engine that reaches a registry, or get the base images with `docker load`"
    if not is_debian():
        raise StandInError(
            "stand-ins for the base images can be made on Debian and Ubuntu only",
            remedy=f"run ./lab there, {elsewhere}",
        )
    if os.geteuid() != 0:
        raise StandInError(
            "making stand-ins for the base images needs root", remedy=f"run ./lab as root, {elsewhere}"
        )
    if machine not in {"", platform.machine()}:
        raise StandInError(
            f"stand-ins for an engine on {machine} cannot be made on {platform.machine()}",
            remedy=f"run ./lab on a machine like the engine's, {elsewhere}",
        )


def install(report: Report) -> None:
    """Install what making roots needs, where it is missing.

    Raises:
        StandInError: the packages cannot be installed.
    """
    if shutil.which("mmdebstrap") and shutil.which("mount") and ARCHIVE_KEYS.is_file():
        return
    apt = partial(apt_get, report=report, wanted="mmdebstrap", error=StandInError)
    apt(["update"], "look for mmdebstrap")
    apt(["install", "--yes", "--no-install-recommends", *PACKAGES], "install mmdebstrap")


def apt_settings() -> str:
    """How apt reaches its servers from this machine (proxies, retries, a clock that is off), as apt.conf lines.

    mmdebstrap does not read the machine's own configuration, and would not get through where apt does.
    """
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    return "".join(f"{line}\n" for line in APT_SETTINGS.findall(dump.stdout))


def make(folder: Path, report: Report) -> dict[str, Path]:
    """Make a minimal Debian, and return the folders with a ``rootfs.tar`` for its image and for its slim image.

    Raises:
        StandInError: mmdebstrap failed.
    """
    root, settings = folder / "root", folder / "apt.conf"
    settings.touch(mode=0o600)  # a proxy's address may hold a password
    settings.write_text(apt_settings())
    # No mirror is named: mmdebstrap knows Debian's own.
    command = ["mmdebstrap", "--variant=minbase", "--format=directory", "--dpkgopt=force-unsafe-io"]
    command += [f"--aptopt={settings}", SUITE, str(root)]
    started = partial(run, report=report, environment={"SOURCE_DATE_EPOCH": str(EPOCH), "TMPDIR": str(folder)})
    title = f"make a minimal Debian ({SUITE})"
    started(ending_with_us(command), title, failed=partial(failure, "mmdebstrap failed"))
    made = {stage: folder / stage for stage in ("debian", "debian-slim")}
    for context in made.values():
        context.mkdir()
    tars = [str(context / "rootfs.tar") for context in made.values()]
    failed = partial(failure, "the root could not be finished")
    started(["sh", str(FINISH), str(root), *tars], "finish it as Debian's images are", failed=failed)
    shutil.rmtree(root)
    return made


def failure(what: str, lines: list[str]) -> StandInError:
    """The error for a program or a step of a build that failed, with whose fault it most likely is.

    Args:
        what: What failed.
        lines: What it printed.
    """
    text = "\n".join(lines)
    wrong = [line for line in lines if re.match(r"E: |ERROR|error: |.*: error", line)] or [
        line for line in lines if line
    ]
    cause = shorten(" ".join(wrong[-2:]), 300) or "it said nothing"
    if is_disk_full(text):
        remedy = "the disk is full: make room (about 4 GB are needed) and repeat"
    elif CLOCK_OFF.search(text):
        remedy = "the clock of this machine is off: set it (see `date`) and repeat"
    elif OFFLINE.search(text) or _FETCHING.search(text):
        remedy = "the network's fault, most likely: see whether Debian's archive and PyPI are reachable, and repeat"
    else:
        remedy = "read what it says, mend it and repeat; what was built is found again"
    return StandInError(f"no stand-in could be made: {what}: {cause}", remedy=remedy)
