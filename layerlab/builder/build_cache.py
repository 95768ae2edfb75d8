"""The engine's build cache: how much of the disk it takes, what builds have added to it, and what of that goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from layerlab.engine import SDK_ERRORS, Engine

MUCH: Final = 20e9  # bytes; an engine that the lab starts stays below (`layerlab.engine.daemon.BOUNDED_CACHE`)
PATIENCE: Final = 3.0  # seconds; engines older than 23 count what volumes and containers hold as well
EMPTY_IT: Final = (
    "`docker builder prune` empties it, `docker builder prune --keep-storage 10GB` keeps what was used last "
    "(newer clients call that `--reserved-space`)"
)

Record = Mapping[str, Any]
Kind = Literal["RUN", "context", "other"]
"""What a record comes of: a RUN; the context's archive, which no other build can use; anything else."""


@dataclass(frozen=True)
class Ran:
    """A step that a build has run, since its result was not in the cache.

    Attributes:
        kind: What it is.
        begin, end: When it ran, in the engine's seconds since 1970.
    """

    kind: Kind
    begin: float
    end: float


def size(engine: Engine) -> int | None:
    """Bytes of the build cache that no image shares; None where the engine does not say so soon."""
    try:
        found = records(engine, timeout=PATIENCE)
    except SDK_ERRORS:
        return None
    return sum(map(_own, found))


def records(engine: Engine, *, timeout: float | None = None) -> list[Record]:
    """The records of the build cache, as the Engine API describes them.

    Raises:
        DockerException, RequestException: the engine does not say, or not in time.
    """
    api: Any = engine.client.api  # the SDK knows neither this parameter nor this time limit
    limit = {} if timeout is None else {"timeout": timeout}
    answer = api._get(api._url("/system/df"), params={"type": "build-cache"}, **limit)
    return list(api._result(answer, json=True).get("BuildCache") or [])


@contextmanager
def forgetting(engine: Engine) -> Iterator[list[Ran]]:
    """A list in which `layerlab.builder.build` is to note what it runs; the cache loses it all after the block."""
    ran: list[Ran] = []
    try:
        yield ran
    finally:
        forget(engine, ran)


def forget(engine: Engine, ran: Sequence[Ran]) -> None:
    """Remove from the cache what it holds of these steps, for builds whose like nobody will build again.

    What an engine does not remove stays, as any build's does. One with the containerd image store is not told to:
    28.5, told to remove any one record, finds none of the others any more.
    """
    if not ran or engine.has_containerd_store:
        return
    api: Any = engine.client.api  # its types do not know this filter
    with suppress(*SDK_ERRORS):
        for record in added(records(engine), ran):
            api.prune_builds(filters={"id": record}, all=True)


@contextmanager
def trimming(engine: Engine, most: float) -> Iterator[None]:
    """After this block the cache holds at most so many bytes more than before it.

    BuildKit chooses what goes: what was not used for longest. Nothing goes where the block ends in an exception.
    """
    before = size(engine)
    yield
    if before is not None:
        api: Any = engine.client.api
        kept = int(before + most)
        bounds = {"all": True, "keep-storage": kept, "reserved-space": kept}  # since API 1.48 it has the second name
        with suppress(*SDK_ERRORS):
            api._raise_for_status(api._post(api._url("/build/prune"), params=bounds))


def added(known: Iterable[Record], ran: Sequence[Ran]) -> list[str]:
    """The ids of the records that come of these steps, children before their parents.

    The engine does not say which build a record comes of. But it was made while its step ran, and it stands on what
    was there before, or on a record of an earlier one of these steps.

    >>> def record(name: str, second: int, *parents: str, by: str = "mount / from exec make") -> Record:
    ...     at = f"1970-01-01T00:00:{second:02}.123456789Z"
    ...     return {"ID": name, "Parents": parents, "Type": "regular", "Description": by, "CreatedAt": at}
    >>> ours = [record("a", 12, by="fileop target"), record("b", 14, "a")]
    >>> others = [record("earlier", 9), record("beside", 12, "earlier"), record("on it", 14, "beside")]
    >>> added([*others, *ours], [Ran("other", 12, 13), Ran("RUN", 14, 15)])
    ['b', 'a']
    """
    begin = min(step.begin for step in ran)
    recent = [record for record in sorted(known, key=_made) if _made(record) >= begin and record["Type"] == "regular"]
    foreign = {record["ID"] for record in recent}
    found = []
    for record in recent:
        kind, at = _kind(record), _made(record)
        if not foreign.intersection(_parents(record)) and any(
            step.kind == kind and step.begin <= at <= step.end for step in ran
        ):
            foreign.remove(record["ID"])
            found.append(record["ID"])
    return found[::-1]


def _own(record: Record) -> int:
    """The bytes that a record takes, besides what images share."""
    return 0 if record["Shared"] else int(record["Size"])


def _kind(record: Record) -> Kind:
    description = record["Description"]
    if description.startswith("mount / from exec "):
        return "RUN"
    return "context" if description.startswith("http url http://build-context-") else "other"


def _made(record: Record) -> float:
    return datetime.fromisoformat(record["CreatedAt"]).timestamp()


def _parents(record: Record) -> Iterable[str]:
    """Engines from 23 on name several parents (26.1 under a name with a space in it), earlier ones one."""
    return record.get("Parents") or record.get(" Parents") or [record.get("Parent") or ""]
