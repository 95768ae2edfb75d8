"""What a class costs: learners log in at once, run a notebook, and check a workspace, on the hub that runs.

    LAB_CLASS_PASSWORD=... .venv/bin/python -m benchmarks.class_load anna ben

Prints the seconds of the slowest learner for each step, and the memory that a container takes. The names have to be
those of `allowed_users` in the configuration.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import requests

from layerlab.classroom.hub import NAME, PASSWORD

ADDRESS = os.environ.get("LAB_CLASS_ADDRESS", "http://127.0.0.1:8000")
NOTEBOOK = "notebooks/03-a-multi-stage-image.ipynb"


def log_in(name: str) -> None:
    """Log in, and wait until the learner's server and engine answer."""
    with requests.Session() as session:
        form = session.get(f"{ADDRESS}/hub/login", timeout=60).text
        found = re.search(r'name="_xsrf" value="([^"]+)"', form)
        fields = {"username": name, "password": os.environ[PASSWORD], "_xsrf": found[1] if found else ""}
        session.post(f"{ADDRESS}/hub/login", data=fields, timeout=180).raise_for_status()
        wait_until(lambda: session.get(f"{ADDRESS}/user/{name}/lab", timeout=60).ok)
    wait_until(
        lambda: subprocess.run(inside(name, "docker", "version"), capture_output=True, check=False).returncode == 0
    )


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait, for two minutes at most."""
    deadline = time.monotonic() + 120
    while not holds():
        if time.monotonic() > deadline:
            sys.exit("a learner's server or engine did not answer within two minutes")
        time.sleep(0.2)


def inside(name: str, *command: str) -> list[str]:
    """The command that runs one in a learner's container."""
    return ["docker", "exec", "--user", "learner", f"{NAME}-{name}", *command]


def run_notebook(name: str) -> None:
    """Run a notebook."""
    command = inside(name, "python", "-m", "layerlab.jupyter.run_notebooks", NOTEBOOK)
    subprocess.run(command, check=True, capture_output=True)


def check(name: str) -> None:
    """Make a workspace, and check it."""
    subprocess.run(inside(name, "sh", "-c", "rm -rf load; ./lab new load"), check=True, capture_output=True)
    said = subprocess.run(inside(name, "./lab", "check", "load", "--json"), capture_output=True, check=False).stdout
    json.loads(said)


def megabytes(names: list[str]) -> int:
    """The memory of the containers' processes, without what the kernel would give back: MB for each learner."""
    shown = subprocess.run(
        ["docker", "stats", "--no-stream", "--format", "{{.MemUsage}}", *(f"{NAME}-{name}" for name in names)],
        capture_output=True,
        text=True,
        check=True,
    )
    units = {"MiB": 1.048576, "GiB": 1073.741824}
    taken = [re.match(r"([\d.]+)(\w+)", line) for line in shown.stdout.splitlines()]
    return round(sum(float(one[1]) * units[one[2]] for one in taken if one) / len(names))


def main(names: list[str]) -> None:
    """Print a row of a table in Markdown: how many, and the slowest one's seconds at each step."""
    steps: list[Callable[[str], None]] = [log_in, run_notebook, check]
    row = [str(len(names))]
    with ThreadPoolExecutor(len(names)) as pool:
        for step in steps:
            began = time.monotonic()
            list(pool.map(step, names))
            row.append(f"{time.monotonic() - began:.0f} s")
            if step is log_in:
                row.append(f"{megabytes(names)} MB")
    print(f"| {' | '.join([*row, f'{megabytes(names)} MB'])} |")


if __name__ == "__main__":
    main(sys.argv[1:])
