"""The command: ``python -X no_debug_ranges -m slim /opt/venv /slim``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from slim.root import make
from slim.rules import RULES


def main() -> None:
    parser = argparse.ArgumentParser(prog="slim", description="Makes the root of an image FROM scratch.")
    parser.add_argument("prefix", type=Path, help="the virtual environment with the application's packages")
    parser.add_argument("root", type=Path, help="an empty folder, which becomes the image's root")
    parser.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="RULE",
        choices=[rule.name for rule in RULES],
        help="leave nothing out by this rule; may be given several times",
    )
    parser.add_argument(
        "--packages", action="append", default=[], metavar="DIR", type=Path, help="a further folder with packages"
    )
    parser.add_argument("--report", type=Path, help="a file for what was left out, as JSON")
    options = parser.parse_args()
    report = make(
        options.prefix, options.root, [rule for rule in RULES if rule.name not in options.keep], options.packages
    )
    print(f"{'MB':>8}  {'files':>6}  left out")
    for row in report:
        print(f"{row.bytes / 1e6:8.2f}  {row.files:6}  {row.name}: {row.why}")
    if options.report:
        options.report.write_text(json.dumps([row.__dict__ for row in report], indent=1))


main()
