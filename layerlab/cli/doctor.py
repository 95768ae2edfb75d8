"""Tells what is here and what is missing."""

from __future__ import annotations

import json

import click

from layerlab.cli.options import as_json, examples, out
from layerlab.maintenance import examine


@click.command("doctor", epilog=examples("./lab doctor", "./lab doctor --json"))
@as_json
def command(as_json: bool) -> int:
    """Tell what is here and what is missing.

    And what to do about it. Changes nothing.
    """
    findings = examine()
    missing = any(finding.state == "missing" for finding in findings)
    if as_json:
        print(json.dumps([vars(finding) for finding in findings], indent=2))
        return int(missing)
    for finding in findings:
        sign, colour = {"ok": ("✓", "green"), "note": ("·", "yellow"), "missing": ("✗", "red")}[finding.state]
        out.print(sign, style=colour, end=" ")
        out.print(f"{finding.what}: {finding.seen}")
        if finding.remedy:
            out.print(f"    → {finding.remedy}")
    return int(missing)
