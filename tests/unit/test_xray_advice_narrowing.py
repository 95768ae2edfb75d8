"""Which paths stand for files that a build context need not have."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from layerlab.xray.advice.narrowing import _covering

NAMES = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join), min_size=1, max_size=20)


@given(NAMES, st.randoms(use_true_random=False))
def test_they_stand_for_these_files_and_no_others(names: list[str], chosen: object) -> None:
    """Every wanted file is one of them or lies below one, and no other file does."""
    files = {name for name in names if not any(other.startswith(f"{name}/") for other in names)}
    wanted = {name for name in sorted(files) if chosen.random() < 0.5}  # type: ignore[attr-defined]
    found = _covering(wanted, set(names))

    covered = {name for name in files if any(name == path or name.startswith(f"{path}/") for path in found)}
    assert covered == wanted
    assert len(found) <= len(wanted)


def test_a_folder_stands_for_all_in_it() -> None:
    """Where all of a folder is wanted, the outermost such folder is named once."""
    there = {"a", "a/b", "a/b/c", "a/b/d", "a/e", "f/g", "f/h"}
    assert _covering({"a/b/c", "a/b/d", "a/e", "f/g"}, there) == ["a", "f/g"]


def test_many_files_take_no_time() -> None:
    """A context of 100,000 files, the most that is sent."""
    there = {f"d{number % 300}/e{number % 7}/f{number}" for number in range(100_000)}
    wanted = {name for name in there if name.startswith(("d1/", "d2/"))}
    assert _covering(wanted, there) == ["d1", "d2"]
