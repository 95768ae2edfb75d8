"""The list of pages elsewhere, and what is said of those that are gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.external_links import external_links, main


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/here" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Pages) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_each_link_is_asked_for(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page that is there passes; one that is gone is named, with the text that links to it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    assert main([(f"{server}/here", ["README.md"])]) == 0
    assert main([(f"{server}/here", ["README.md"]), (f"{server}/gone", ["docs/x.md"])]) == 1
    assert f"✗ {server}/gone: 404 Not Found (in docs/x.md)" in capsys.readouterr().out


def test_the_list_holds_whole_addresses() -> None:
    """What the texts link to elsewhere is listed once each, with the texts that do."""
    links = external_links()

    assert links
    assert all(url.startswith("https://") and names for url, names in links.items())
