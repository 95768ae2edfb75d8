"""Asks for every page elsewhere that the texts link to; only on request, since it needs the network.

python -m tests.external_links
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from urllib.parse import urlsplit

import requests

from tests.documents import DOCUMENTS

AGENT = "multi-stage-lab link check"
PATIENCE = 20  # seconds


def external_links() -> dict[str, list[str]]:
    """The pages elsewhere, and the texts that link to each."""
    found: dict[str, list[str]] = {}
    for name, document in DOCUMENTS.items():
        for link in document.links():
            url = urlsplit(link)
            if url.scheme in {"http", "https"} and url.hostname not in {"localhost", "127.0.0.1"}:
                found.setdefault(link.partition("#")[0], []).append(name)
    return dict(sorted(found.items()))


def ask(url: str) -> str:
    """What is wrong with a page; empty if it is there."""
    try:
        # Some servers answer HEAD with an error, so the page is asked for, and its body left unread.
        with requests.get(url, headers={"User-Agent": AGENT}, timeout=PATIENCE, stream=True) as answer:
            return "" if answer.ok else f"{answer.status_code} {answer.reason}"
    except requests.RequestException as error:
        return type(error).__name__


def main(links: Iterable[tuple[str, list[str]]]) -> int:
    """Ask for each, say what came of it; 1 if one is not there."""
    dead = 0
    for url, names in links:
        wrong = ask(url)
        dead += bool(wrong)
        print(f"✗ {url}: {wrong} (in {', '.join(names)})" if wrong else f"✓ {url}", flush=True)
    return int(dead > 0)


if __name__ == "__main__":
    sys.exit(main(external_links().items()))
