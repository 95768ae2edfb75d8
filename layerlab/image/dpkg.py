"""Which packages apt installs only because another one recommends them (deb-control(5), apt.conf(5)).

Told from dpkg's own database: of the packages that a RUN has added, those that are needed are the ones that its
command names, and what they depend on; the rest came as recommendations.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

_FIELD = re.compile(r"^(Package|Status|Pre-Depends|Depends|Provides): *(.*?) *$", re.MULTILINE)

_END = re.compile(r"[\s(:\[<]")


@dataclass(frozen=True)
class Installed:
    """An installed package.

    Attributes:
        name: Its name.
        depends: What it needs: of each tuple, one.
        provides: Other names that it goes by.
    """

    name: str
    depends: tuple[tuple[str, ...], ...]
    provides: tuple[str, ...]


def installed(status: bytes) -> dict[str, Installed]:
    """The installed packages of ``/var/lib/dpkg/status``, by name."""
    found = {}
    for paragraph in re.split(r"\n\s*\n", re.sub(r"\n[ \t]+", " ", status.decode("utf-8", "replace"))):
        fields = dict(_FIELD.findall(paragraph))
        name = fields.get("Package", "")
        if name and fields.get("Status", "").endswith(" installed"):
            needs = [*_groups(fields.get("Pre-Depends", "")), *_groups(fields.get("Depends", ""))]
            provides = [group[0] for group in _groups(fields.get("Provides", "")) if group]
            found[name] = Installed(name, tuple(needs), tuple(provides))
    return found


def only_recommended(before: Collection[str], after: Mapping[str, Installed], named: Collection[str]) -> set[str]:
    """The packages that were added although nothing needs them.

    Args:
        before: The names of the packages that were there already.
        after: All that are there afterwards.
        named: What the command names.
    """
    added = after.keys() - set(before)
    providers: dict[str, list[str]] = {}
    for package in after.values():
        for name in package.provides:
            providers.setdefault(name, []).append(package.name)
    needed: set[str] = set()
    todo = [found for name in named for found in _found(name, after, providers)]
    while todo:
        name = todo.pop()
        if name in needed or name not in added:
            continue
        needed.add(name)
        for group in after[name].depends:
            candidates = [found for each in group for found in _found(each, after, providers)]
            if candidates and not any(each in before or each in needed for each in candidates):
                todo.append(next((each for each in candidates if each in added), candidates[0]))
    return added - needed


def _found(name: str, after: Mapping[str, Installed], providers: Mapping[str, list[str]]) -> list[str]:
    return [name] if name in after else providers.get(name, [])


def _groups(field: str) -> list[tuple[str, ...]]:
    """``a (>= 1) | b:any, c`` as ``[("a", "b"), ("c",)]``."""
    groups = [
        [re.split(r"[\s(:\[<]", each.strip(), maxsplit=1)[0] for each in g.split("|")] for g in field.split(",")
    ]
    return [tuple(filter(None, group)) for group in groups if any(group)]
