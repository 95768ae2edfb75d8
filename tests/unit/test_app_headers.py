"""Headers that hold for every answer."""

from __future__ import annotations

import pytest

from app import create_app

client = create_app().test_client()


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/status", "application/json"),
        ("/info", "application/json"),
        ("/plot", "image/png"),
        ("/plot?format=svg", "image/svg+xml"),
        ("/data", "application/json"),
        ("/data?format=csv", "text/csv; charset=utf-8"),
        ("/data/summary", "application/json"),
        ("/data/summary?format=csv", "text/csv; charset=utf-8"),
        ("/openapi.json", "application/json"),
        ("/nothing", "application/json"),
        ("/plot?kind=pie", "application/json"),
    ],
)
def test_every_answer_says_what_it_is_and_may_do(path: str, content_type: str) -> None:
    """It has a type that no browser may guess anew, and a policy that allows no script."""
    headers = client.get(path).headers

    assert headers["Content-Type"] == content_type
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "script-src" not in headers["Content-Security-Policy"]
    assert "Cache-Control" in headers


@pytest.mark.parametrize("path", ["/", "/status", "/info", "/plot", "/data", "/nothing", "/data?seed=x"])
def test_what_changes_is_not_kept(path: str) -> None:
    """An answer that would differ next time is not cached."""
    assert client.get(path).headers["Cache-Control"] == "no-store"
