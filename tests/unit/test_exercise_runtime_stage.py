"""Task 4, a smaller runtime stage, judged from evidence that is written down."""

from dataclasses import replace

import pytest

from layerlab.exercise.evidence.facts import Evidence
from layerlab.exercise.tasks.runtime_stage import judge
from layerlab.exercise.verdict import Finding
from layerlab.xray.provenance.file_origins import Origin

from .checker_evidence import GOOD, MB, Made, good

TOOLS = GOOD.replace("WORKDIR /srv\n", "WORKDIR /srv\nRUN apt-get install -y gcc\n")  # line 11; the app is line 12
LISTS = "/var/lib/dpkg/info"


def errors(evidence: Evidence) -> list[Finding]:
    result = judge(evidence)
    assert result.status == ("fail" if any(f.level == "error" for f in result.findings) else "pass")
    return [finding for finding in result.findings if finding.level == "error"]


def test_a_slim_image_with_copied_packages_passes_without_advice() -> None:
    """The worked example's shape has nothing that a finding could be about."""
    result = judge(good().evidence())
    assert (result.id, result.status, result.findings) == (4, "pass", ())


def test_a_compiler_that_a_line_installs_is_named_with_its_size_and_line() -> None:
    """The package's figures are the bytes of the files that its list names, in that layer."""
    made = good(TOOLS, app=12)
    made.file(
        f"{LISTS}/gcc-14.list", 11, content=b"/.\n/usr\n/usr/bin\n/usr/bin/x86_64-linux-gnu-gcc-14\n/usr/bin/gcc-14\n"
    )
    made.file("/usr/bin/x86_64-linux-gnu-gcc-14", 11, size=143 * MB, mode=0o755)
    made.file(f"{LISTS}/gcc-14-base:amd64.list", 11, content=b"/.\n/usr\n/usr/share\n/usr/share/doc\n")
    (finding,) = errors(made.evidence())
    assert finding.line == 11
    assert finding.file == "Dockerfile"
    assert "gcc-14 (143 MB) came with line 11" in finding.message
    assert "gcc-14-base" not in finding.message


@pytest.mark.parametrize(
    "path",
    [
        "/usr/bin/cc",
        "/usr/bin/x86_64-linux-gnu-g++-14",
        "/usr/libexec/gcc/x86_64-linux-gnu/14/cc1plus",
        "/usr/lib/llvm-19/bin/clang",
        "/usr/local/go/bin/go",
        "/root/.cargo/bin/rustc",
        "/usr/bin/make",
        "/usr/bin/gfortran-14",
        "/usr/bin/tcc",
    ],
)
def test_a_program_that_compiles_counts_without_a_package(path: str) -> None:
    """A COPY brings no package database, so the programs themselves are looked for."""
    made = good()
    made.file(path, 8, size=MB, mode=0o755)
    (finding,) = errors(made.evidence())
    assert path in finding.message
    assert finding.line == 8


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("/usr/bin/perl", 0o755),
        ("/srv/app/make", 0o755),
        ("/usr/bin/cc", 0o644),
        ("/opt/venv/lib/python3.13/site-packages/ziglang/bin/zig", 0o755),
        ("/usr/bin/c_rehash", 0o755),
        ("/usr/bin/gcov-tool", 0o755),
        ("/usr/lib/x86_64-linux-gnu/libgcc_s.so.1", 0o755),
    ],
)
def test_what_is_no_compiler_does_not_count(path: str, mode: int) -> None:
    """Programs of other names or places, files that cannot be run, and what is inside Python packages."""
    made = good()
    made.file(path, 8, mode=mode)
    assert not errors(made.evidence())


def test_tools_that_a_later_line_removes_are_still_shipped() -> None:
    """A finding about hidden files says which line removes them and that the layer stores them all the same."""
    text = TOOLS.replace("gcc\n", "gcc\nRUN apt-get purge -y gcc\n")
    made = good(text, app=13)
    made.file("/usr/bin/gcc-14", 11, size=20 * MB, mode=0o755, removed=12)
    (finding,) = errors(made.evidence())
    assert finding.line == 11
    assert "Line 12 removes that later, but the layer of line 11 still stores it: 20 MB." in finding.message


def test_a_development_package_counts_also_without_headers() -> None:
    """One that holds nothing but documentation is installed all the same."""
    made = good(TOOLS, app=12)
    path = "/usr/share/doc/libpq-dev/copyright"
    made.file(f"{LISTS}/libpq-dev.list", 11, content=f"/.\n/usr\n{path}\n".encode())
    made.file(path, 11)
    (finding,) = errors(made.evidence())
    assert "libpq-dev (2 kB) came with line 11" in finding.message


def test_a_package_that_was_removed_but_not_purged_does_not_count() -> None:
    """Dpkg keeps the list of a removed package's settings; nothing else of it is there."""
    made = good(TOOLS, app=12)
    made.file(f"{LISTS}/clang-19.list", 11, content=b"/.\n/etc\n/etc/clang\n/etc/clang/x.cfg\n")
    assert not errors(made.evidence())


def test_alpines_packages_are_read_from_its_own_database() -> None:
    """Apk writes all packages into one file anew; those that the base has are not the line's."""
    made = good(TOOLS, app=12)
    made.file("/lib/apk/db/installed", 11, content=b"P:musl\nF:lib\nR:libc.so\n\nP:musl-dev\nF:usr/lib\nR:crt1.o\n")
    made.file("/usr/lib/crt1.o", 11, size=3000)
    (finding,) = errors(made.evidence())
    assert "musl-dev (3 kB)" in finding.message


def test_headers_count_unless_they_are_pythons_own_or_inside_a_package() -> None:
    """Headers of the interpreter may have been copied with it to any folder; /usr/include is a -dev package's."""
    made = good()
    for path in (
        "/usr/local/include/python3.13/Python.h",
        "/opt/python/include/python3.13/cpython/code.h",
        "/opt/venv/include/site/python3.13/greenlet/greenlet.h",
        "/opt/venv/lib/python3.13/site-packages/numpy/_core/include/numpy/arrayobject.h",
        "/srv/app/notes.h",
    ):
        made.file(path, 8)
    assert not errors(made.evidence())
    made.file("/usr/include/libpq-fe.h", 8)
    made.file("/usr/include/python3.13/Python.h", 8)
    (finding,) = errors(made.evidence())
    assert (
        "2 C or C++ headers in /usr/include (4 kB, such as /usr/include/libpq-fe.h) came with line 8"
        in finding.message
    )


def test_a_base_with_a_compiler_is_the_full_image_whatever_its_name() -> None:
    """The base is judged by what it holds, and the finding is on the FROM that names it."""
    made = good(GOOD.replace("FROM python:3.13-slim-trixie\n", "FROM my-slim:1\n"))
    made.file("/usr/bin/x86_64-linux-gnu-gcc-14", 0, size=30 * MB, mode=0o755)
    made.file("/usr/include/zlib.h", 0)
    (finding,) = errors(made.evidence())
    assert finding.line == 7
    assert "my-slim:1" in finding.message


def test_a_base_without_compilers_is_fine_whatever_its_name() -> None:
    """An image called as the full one that holds no compiler is judged by what it is."""
    assert not errors(good(GOOD.replace("FROM python:3.13-slim-trixie\n", "FROM python:3.13-trixie\n")).evidence())


def test_an_image_of_more_than_half_of_the_single_stage_image_fails() -> None:
    """Exactly half passes; more is a finding on the line that stores most, with the figures."""
    made = good()
    made.file("/opt/venv/data.bin", 8, size=600 * MB)
    evidence = made.evidence()
    assert evidence.image is not None
    assert not errors(replace(evidence, single_bytes=2 * evidence.image.total_bytes))
    (finding,) = errors(replace(evidence, single_bytes=2 * evidence.image.total_bytes - 1))
    assert finding.line == 8
    assert "its base 115 MB; line 8 602 MB" in finding.message


def test_without_the_single_stage_image_it_is_unknown_unless_something_else_is_wrong() -> None:
    """The limit cannot be told then, but a compiler can."""
    made = good()
    result = judge(made.evidence(single_bytes=None))
    assert result.status == "unknown"
    assert "single-stage" in result.findings[0].message
    made.file("/usr/bin/gcc", 8, mode=0o755)
    assert judge(made.evidence(single_bytes=None)).status == "fail"


def test_a_final_stage_that_is_from_the_build_stage_ships_its_compilers() -> None:
    """Layers of a stage that the final one is FROM are shipped with it, and found on their own line."""
    text = "FROM python:3.13-slim AS build\nRUN apt-get install -y gcc\nFROM build\nCOPY app app\n"
    made = Made(text)
    made.file("/usr/bin/gcc-14", 2, mode=0o755, origin=Origin("made", "build", 2))
    (finding,) = errors(made.evidence())
    assert finding.line == 2
