"""Task 2: system packages in one efficient command."""

from __future__ import annotations

import pytest

from layerlab.exercise.evidence.facts import Evidence, SystemInstall
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


def test_a_stage_that_is_never_built_earns_nothing() -> None:
    """That no package came says nothing of a build that was not made; where another stage is built, it does."""
    idle = "FROM a AS build\nRUN apt-get install gcc\n"
    assert judge(Made(f"{idle}FROM b\n").evidence()).status == "unknown"
    assert judge(Made(f"{idle}FROM b AS other\nFROM c\nCOPY --from=other /x /x\n").evidence()).status == "pass"


def installs(*found: SystemInstall, text: str = "RUN one\nRUN two") -> Evidence:
    """A final stage in which these RUNs install system packages."""
    return final(text).evidence(system_installs=found)


def test_one_run_in_each_stage_passes() -> None:
    """Whatever its command is: only an advice to say that recommended packages are to be left out."""
    evidence = installs(SystemInstall("0", 2, ("gcc", "cpp")), SystemInstall("build", 3, ("make",)))
    assert judge(evidence).status == "pass"
    assert [finding.level for finding in judge(evidence).findings] == ["advice", "advice"]
    apk = installs(SystemInstall("0", 2, ("gcc",), "apk"))
    said = installs(SystemInstall("0", 2, ("gcc",)), text="RUN apt install --no-install-recommends gcc")
    assert judge(apk).findings == judge(said).findings == ()


def test_a_second_run_of_a_stage_fails_on_its_line() -> None:
    """What it adds is told, and where the first is; ONBUILD's have one line, that of FROM."""
    evidence = installs(SystemInstall("0", 2, ("gcc",), layer=1), SystemInstall("0", 3, ("make",), layer=2))
    assert errors(evidence) == [3]
    twice = installs(SystemInstall("0", 1, ("gcc",), layer=1), SystemInstall("0", 1, ("make",), layer=2))
    assert errors(twice) == [1]


def test_packages_that_came_by_recommendation_alone_fail_with_their_number() -> None:
    """The finding names some of them."""
    (finding,) = judge(installs(SystemInstall("0", 2, ("gcc", "man", "who"), recommended=("man", "who")))).findings
    assert (finding.level, finding.line) == ("error", 2)
    assert "2 of the 3 packages that came here (man, who)" in finding.message


@pytest.mark.parametrize(
    ("needs", "line", "status", "told"),
    [
        (True, 2, "fail", "index that line 2 brought"),
        (True, None, "fail", "index that was in /var/lib/apt/lists before"),
        (False, 2, "pass", "Nothing came here that is merely recommended"),
        (None, 2, "unknown", "Line 3 was not tried"),
    ],
)
def test_an_index_that_was_there_before_counts_where_it_is_needed(
    needs: bool | None, line: int | None, status: str, told: str
) -> None:
    """As the experiment showed."""
    index = "/var/lib/apt/lists"
    evidence = installs(SystemInstall("0", 3, ("gcc",), index=index, index_line=line, needs_index=needs))
    result = judge(evidence)
    assert result.status == status
    assert told in result.findings[0].message


def test_indexes_and_archives_that_ship_fail_with_their_size() -> None:
    """What a layer stores ships, also if a later line removes it; the base's own InRelease files do not count."""
    made = final(INSTALL.partition(" && rm")[0], "RUN rm -rf /var/lib/apt/lists/*")
    made.file("/var/lib/apt/lists/deb_main_Packages", 2, size=9_000_000, removed=3)
    made.file("/var/lib/apt/lists/lock", 2, size=0)
    made.file("/var/lib/apt/lists/deb_InRelease", 0)
    made.file("/var/lib/apt/lists/deb_InRelease", 2)
    (finding,) = judge(made.evidence()).findings
    assert finding.line == 2
    assert "9.0 MB" in finding.message
    assert "Line 3 removes that later" in finding.message
    elsewhere = final(INSTALL)
    elsewhere.file("/opt/apt/deb.example.org_debian_dists_trixie_main_binary-amd64_Packages.lz4", 2)
    assert errors(elsewhere.evidence()) == [2]
    archive = final(INSTALL)
    archive.file("/var/cache/apt/archives/gcc_14.deb", 2)
    assert errors(archive.evidence()) == [2]
