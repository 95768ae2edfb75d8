"""Counting over threads and processes."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from app.counter import RequestCounter


def add_in_a_child(counter: RequestCounter, times: int) -> str:
    """Fork, count in the child, wait for it; the answer is what the child says it covers."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        for _ in range(times):
            counter.add()
        os.write(writer, counter.covers.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answers:
        answer = answers.read()
    os.waitpid(child, 0)
    return answer


def test_threads_lose_no_count() -> None:
    """What several threads count is all there."""
    counter = RequestCounter()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: counter.add(), range(5000)))

    assert counter.total == 5000


def test_forked_processes_share_the_count() -> None:
    """What a forked worker counts is seen by all, and it says that it counts for all."""
    counter = RequestCounter()
    counter.add()

    answers = [add_in_a_child(counter, 3), add_in_a_child(counter, 4)]

    assert counter.total == 8
    assert answers == ["all workers", "all workers"]


def test_a_process_that_made_its_own_counter_says_so() -> None:
    """Without preloading each worker makes its own counter, which does not claim to cover the others."""
    assert RequestCounter().covers == "this process"
