"""Task 2: system packages in one efficient command."""

from __future__ import annotations

import pytest

from layerlab.exercise.evidence.model import Evidence, SystemInstall
from layerlab.exercise.tasks.system_packages import judge
from tests.unit.checker_evidence import Made, good

INSTALL = "RUN apt-get update && apt-get install -y --no-install-recommends gcc && rm -rf /var/lib/apt/lists/*"


def errors(evidence: Evidence) -> list[int | None]:
    """The lines of the errors."""
    return [finding.line for finding in judge(evidence).findings if finding.level == "error"]


def final(*lines: str) -> Made:
    """One stage with these lines from line 2 on."""
    return Made("FROM debian:13\n" + "\n".join(lines) + "\n")


def test_installing_nothing_passes() -> None:
    """System packages are not asked for."""
    assert judge(good().evidence()).status == "pass"


@pytest.mark.parametrize(
    "line",
    [
        INSTALL,
        "RUN apt-get update; apt-get -o APT::Install-Recommends=false -y install gcc",
        "RUN apk add --no-cache gcc",
        "RUN --mount=type=cache,target=/var/cache/apk apk add gcc",
        'RUN ["sh", "-c", "apt update && apt install -y --no-install-recommends gcc"]',
        "RUN echo 'APT::Install-Recommends \"0\";' >/etc/apt/apt.conf && apt-get update && apt-get install -y gcc",
    ],
)
def test_one_efficient_command_passes(line: str) -> None:
    """Each usual way to do it right is recognised."""
    assert errors(final(line).evidence()) == []


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["RUN apt-get update", "RUN apt-get install -y --no-install-recommends gcc"], [3]),
        (["RUN apt-get update && apt-get install -y gcc"], [2]),
        (["RUN apt-get install -y --no-install-recommends gcc && apt-get update"], [2]),
        ([INSTALL, INSTALL.replace("gcc", "make")], [3]),
        (["RUN apk update && apk add gcc"], [2]),
        (
            ["RUN apt-get update && apt-get install -y --no-install-recommends -oAPT::Install-Recommends=true gcc"],
            [2],
        ),
        (["RUN apt-get update && apt-get install -y --no-install-recommends --install-recommends gcc"], [2]),
        (["RUN apt-get update && apt-get install -y gcc # Install-Recommends=false"], [2]),
    ],
)
def test_what_fails_and_where(lines: list[str], expected: list[int]) -> None:
    """A missing update, recommended packages and a second RUN are errors on their lines."""
    assert errors(final(*lines).evidence()) == expected


def test_one_run_in_each_stage_passes() -> None:
    """Each stage may have a RUN of its own; that of a stage that it builds on is not counted again."""
    text = f"FROM debian:13 AS build\n{INSTALL}\nFROM build AS more\n{INSTALL}\nFROM more\n{INSTALL}\n"
    assert errors(Made(text).evidence()) == []


def test_an_installation_that_only_the_database_shows_counts() -> None:
    """A program that installs packages is seen by the package database, not by its words."""
    made = final(INSTALL, "RUN /usr/local/bin/some-program")
    evidence = made.evidence(system_installs=(SystemInstall("0", 3, ("make",)),))
    assert errors(evidence) == [3, 3]


def test_configuration_leaves_recommended_packages_out() -> None:
    """A file of apt's configuration does what the option does, if it is there before and not a comment."""
    lines = ["COPY 99x /etc/apt/apt.conf.d/99x", "RUN apt-get update && apt-get install -y gcc"]
    made = final(*lines)
    made.file("/etc/apt/apt.conf.d/99x", 2, content=b'APT::Install-Recommends "false";\n')
    assert errors(made.evidence()) == []
    comment = final(*lines)
    comment.file("/etc/apt/apt.conf.d/99x", 2, content=b'// APT::Install-Recommends "false";\n')
    assert errors(comment.evidence()) == [3]


def test_indexes_and_archives_that_ship_fail_with_their_size() -> None:
    """What a layer stores ships, also if a later line removes it; the base's own InRelease files do not count."""
    made = final(INSTALL.partition(" && rm")[0], "RUN rm -rf /var/lib/apt/lists/*")
    made.file("/var/lib/apt/lists/deb_main_Packages", 2, size=9_000_000, visible=False)
    made.file("/var/lib/apt/lists/lock", 2, size=0)
    made.file("/var/lib/apt/lists/deb_InRelease", 0)
    made.file("/var/lib/apt/lists/deb_InRelease", 2)
    (finding,) = judge(made.evidence()).findings
    assert finding.line == 2
    assert "9.0 MB" in finding.message
    assert "line 3" in finding.message
    elsewhere = final(INSTALL)
    elsewhere.file("/opt/apt/deb.debian.org_debian_dists_trixie_main_binary-amd64_Packages.lz4", 2)
    assert errors(elsewhere.evidence()) == [2]
    archive = final(INSTALL)
    archive.file("/var/cache/apt/archives/gcc_14.deb", 2)
    assert errors(archive.evidence()) == [2]
