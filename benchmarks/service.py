"""How the service in the multi-stage image does, beside the same service in the single-stage image.

There gunicorn serves it, with two workers; here Flask's development server, as its Dockerfile has it.
Each container has one processor and is asked over 127.0.0.1; wrk (https://github.com/wg/wrk), which asks, needs
far less than the processor that is left to it. A request that is not answered with 200 does not count.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final

from benchmarks import programs
from benchmarks.rows import Row, Setting
from layerlab import demo, service
from layerlab.errors import LabError
from layerlab.service import Service

PROGRAMS: Final = ("wrk",)
NAMES: Final = ("optimized", "single")
INSTEAD: Final = "Flask's development server, single-stage"
CONNECTIONS: Final = 8
SECONDS: Final = 5


def rows(setting: Setting) -> Iterator[Row]:
    """The first answer, requests per second, memory."""
    first = [statistics.median(_first_answers(setting, name)) for name in NAMES]
    yield Row("first answer after the start: gunicorn, multi-stage", first[0], "s", INSTEAD, first[1])
    rates: dict[str, list[float]] = {"/status": [], "/plot": []}
    memory = []
    for name in NAMES:
        with _run(setting, name) as running:
            for path, found in rates.items():
                running.get(path).raise_for_status()
                with setting.step(f"{name}: {SECONDS} s of GET {path} over {CONNECTIONS} connections"):
                    found.append(requests_per_second(running.url + path))
            memory.append(running.memory_bytes() / 1e6)
    for path, (gunicorn, development) in rates.items():
        yield Row(f"GET {path}: gunicorn, multi-stage", gunicorn, "requests/s", INSTEAD, development)
    yield Row("memory after that: gunicorn, multi-stage", memory[0], "MB", INSTEAD, memory[1])


def _first_answers(setting: Setting, name: str) -> Iterator[float]:
    for number in range(setting.repeat):
        with setting.step(f"{name}: start it and wait for an answer ({number + 1})"), _run(setting, name) as running:
            yield running.seconds_to_first_answer


def _run(setting: Setting, name: str) -> AbstractContextManager[Service]:
    image = str(demo.find(setting.engine, name).id)
    return service.run(setting.engine, image, hardened=False, cpus=1.0)


def requests_per_second(url: str) -> float:
    """How many requests are answered with 200 in a second, while a few clients ask without a pause."""
    options = ["--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{SECONDS}s", "--timeout", "20s"]
    return answered(programs.output([programs.find("wrk"), *options, url]))


def answered(report: str) -> float:
    r"""What wrk counted, without the answers that were no success.

    Raises:
        LabError: nothing was answered.

    >>> answered("  120 requests in 5.01s, 1.00MB read\n  Non-2xx or 3xx responses: 20\nRequests/sec: 24.00\n")
    20.0
    """
    whole = re.search(r"(\d+) requests in", report)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", report)
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", report)
    if not whole or not rate or not (count := int(whole[1])):
        raise LabError("the service answered nothing while wrk asked it", remedy="see ./lab run and ask it yourself")
    return float(rate[1]) * (1 - int(wrong[1] if wrong else 0) / count)
