"""compose.yaml: what Compose's schema says of it, and that it asks for what notebook 07 asks for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

from layerlab import dockerfile
from layerlab.paths import ROOT

COMPOSE = ROOT / "compose.yaml"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"])


@pytest.mark.slow
def test_it_is_what_compose_understands(tmp_path: Path) -> None:
    """It follows the schema of the Compose specification, and one with a misspelt key does not."""
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text(encoding="utf-8").replace("cap_drop:", "drop_caps:"), encoding="utf-8")
    program = Path(sys.executable).with_name("check-jsonschema")
    for file, expected in ((COMPOSE, 0), (wrong, 1)):
        command = [program, "--builtin-schema", "vendor.compose-spec", file]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == expected, done.stdout + done.stderr


def test_it_builds_what_there_is(services: dict[str, Any]) -> None:
    """Its Dockerfiles, stages, and folders that it watches exist."""
    for service in services.values():
        build = service["build"] if isinstance(service["build"], dict) else {}
        stages = dockerfile.parse((ROOT / build.get("dockerfile", "Dockerfile")).read_text(encoding="utf-8")).stages
        assert build.get("target") in {None, *(stage.label for stage in stages)}
        for watched in service.get("develop", {}).get("watch", []):
            assert (ROOT / watched["path"]).exists()


@pytest.mark.parametrize("name", ["optimized", "single"])
def test_both_services_have_the_options_of_notebook_07(services: dict[str, Any], name: str) -> None:
    """Each option of its `docker run` stands here with the same value, and no other."""
    notebook = nbformat.read(ROOT / "notebooks" / "07-production.ipynb", as_version=4)
    typed = next(cell.source for cell in notebook.cells if "docker run -d --name service" in cell.source)
    command = re.search(r"docker run -d --name service(.*?)multi-stage-demo", typed, re.DOTALL)
    service = services[name]
    options = [
        *(["--read-only"] if service["read_only"] else []),
        *(f"--tmpfs {each}" for each in service["tmpfs"]),
        *(f"--cap-drop {each}" for each in service["cap_drop"]),
        *(f"--security-opt {each.removesuffix(':true')}" for each in service["security_opt"]),
        f"--memory {service['mem_limit']}",
        f"--memory-swap {service['memswap_limit']}",
        f"--cpus {service['cpus']}",
        f"--pids-limit {service['pids_limit']}",
        f"--restart {service['restart']}",
        *(f"--log-opt {key}={value}" for key, value in service["logging"]["options"].items()),
    ]

    assert command
    assert re.findall(r"--\S+(?: [^-\s]\S*)?", command[1]) == options
