"""Response headers that hold for every address."""

from __future__ import annotations

from flask import Flask, Response

NOTHING_ELSE = "default-src 'none'"


def register(app: Flask) -> None:
    """Let every response of this application carry them."""
    app.after_request(_add)


def _add(response: Response) -> Response:
    headers = response.headers
    headers["X-Content-Type-Options"] = "nosniff"
    # A response that allows more (the page, an SVG with its styles) says so itself.
    headers.setdefault("Content-Security-Policy", NOTHING_ELSE)
    # What differs from one request to the next must not be kept; what does not says so itself.
    headers.setdefault("Cache-Control", "no-store")
    return response
