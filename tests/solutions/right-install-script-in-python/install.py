"""Makes the environment of the service."""

import subprocess
import sys
import venv
from pathlib import Path

TARGET = Path("/opt/venv")

venv.create(TARGET, with_pip=True)
names = [line.split("#")[0].strip() for line in Path(sys.argv[1]).read_text().splitlines()]
for some in (names[: len(names) // 2], names[len(names) // 2 :]):
    subprocess.run(
        [TARGET / "bin" / "pip", "install", "--no-cache-dir", "--no-deps", *filter(None, some)], check=True
    )
