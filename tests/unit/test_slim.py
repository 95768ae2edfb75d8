"""What an image FROM scratch is made by: rules, bytecode, what programs need of each other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from slim import bytecode, elf
from slim.rules import PACKAGES, RULES

SITE_PACKAGES = Path(numpy.__file__).parent.parent
MODULE = '''"""Says what it does."""


def fail() -> None:
    """Fails."""
    raise ValueError("as it should")
'''


def test_each_rule_has_a_name_of_its_own_and_a_reason() -> None:
    """So that a report can be read, and a rule be switched off."""
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.why and rule.patterns for rule in RULES)


def test_no_rule_takes_a_licence() -> None:
    """Of all that is installed here, each licence stays."""
    licences = [
        str(path.relative_to(SITE_PACKAGES))
        for path in SITE_PACKAGES.rglob("*")
        if re.match(r"(LICEN[CS]E|COPYING|NOTICE|AUTHORS)", path.name)
    ]

    assert len(licences) > 50
    assert [path for path in licences if any(rule.takes(path) for rule in RULES if rule.about == PACKAGES)] == []


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("pandas/tests/io/test_sql.py", True),
        ("pandas/_testing/asserters.py", False),
        ("numpy/_core/_umath_tests.cpython-313-x86_64-linux-gnu.so", True),
        ("numpy/testing/_private/utils.py", False),
        ("matplotlib/mpl-data/fonts/ttf/DejaVuSans-Bold.ttf", False),
        ("matplotlib/mpl-data/fonts/ttf/LastResortHE-Regular.ttf", False),
        ("matplotlib/mpl-data/fonts/ttf/cmr10.ttf", True),
        ("matplotlib/backends/backend_agg.py", False),
        ("matplotlib/backends/backend_qtagg.py", True),
        ("lxml/includes/etree_defs.h", True),
        ("psycopg2/_psycopg.cpython-313-x86_64-linux-gnu.so", False),
    ],
)
def test_what_rules_take(path: str, taken: bool) -> None:
    """Some that go, and some like them that stay."""
    assert any(rule.takes(path) for rule in RULES if rule.about == PACKAGES) is taken


def test_bytecode_does_without_its_source(tmp_path: Path) -> None:
    """A module is imported from it; it has no docstrings, but a traceback tells where something failed."""
    source = tmp_path / "module.py"
    source.write_text(MODULE)

    bytecode.replace(source, Path("/srv/module.py"))

    program = "import module; print(module.__doc__, module.fail.__doc__); module.fail()"
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert os.listdir(tmp_path) == ["module.pyc"]  # noqa: PTH208
    assert run.stdout == "None None\n"
    assert 'File "/srv/module.py", line 6, in fail' in run.stderr


def test_the_same_source_gives_the_same_bytecode(tmp_path: Path) -> None:
    """No time is in it."""
    compiled = []
    for name in ("one", "other"):
        source = tmp_path / name / "module.py"
        source.parent.mkdir()
        source.write_text(MODULE)
        os.utime(source, (0, len(compiled)))
        bytecode.replace(source, Path("/srv/module.py"))
        compiled.append(source.with_suffix(".pyc").read_bytes())

    assert compiled[0] == compiled[1]


def test_what_does_not_compile_stays(tmp_path: Path) -> None:
    """A template is no module."""
    source = tmp_path / "template.py"
    source.write_text("{{ name }} = }")

    with pytest.raises(SyntaxError):
        bytecode.replace(source, source)

    assert source.read_text() == "{{ name }} = }"


def test_what_a_library_needs_is_what_the_dynamic_linker_says() -> None:
    """NumPy's largest module needs libraries that ldd lists too, one of them from a folder of its own."""
    path = max(Path(numpy.__file__).parent.rglob("*.so"), key=lambda path: path.stat().st_size)

    needed = elf.needs(path, path.parent)

    listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    (own,) = (name for name in needed.names if "openblas" in name)
    assert {name for name in needed.names if name not in listed} == set()
    assert any((folder / own).exists() for folder in needed.folders)
    assert "libc.so.6" in needed.names


def test_what_a_program_needs_first_is_its_linker() -> None:
    """The interpreter names the dynamic linker, which is there."""
    interpreter = Path(sys.executable).resolve()

    linker = elf.needs(interpreter, interpreter.parent).linker

    assert linker is not None
    assert elf.is_elf(Path(linker))
