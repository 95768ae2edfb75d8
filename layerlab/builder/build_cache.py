"""The engine's build cache: how much of the disk it takes, and how it is kept from growing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from layerlab.engine import SDK_ERRORS, Engine

MUCH: Final = 20e9  # bytes; an engine that the lab starts stays below (`layerlab.engine.daemon.BOUNDED_CACHE`)
PATIENCE: Final = 3.0  # seconds; engines older than 23 count what volumes and containers hold as well
EMPTY_IT: Final = (
    "`docker builder prune` empties it, `docker builder prune --keep-storage 10GB` keeps what was used last "
    "(newer clients call that `--reserved-space`)"
)


def size(engine: Engine) -> int | None:
    """Bytes of the build cache that no image shares; None where the engine does not say so soon."""
    api: Any = engine.client.api  # the SDK knows neither this parameter nor this time limit
    try:
        answer = api._get(api._url("/system/df"), params={"type": "build-cache"}, timeout=PATIENCE)
        records = api._result(answer, json=True).get("BuildCache") or []
    except SDK_ERRORS:
        return None
    return sum(int(record["Size"]) for record in records if not record["Shared"])


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
