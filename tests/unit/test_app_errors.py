"""Errors, and what they must not show."""

from __future__ import annotations

import logging

import pytest

from app import create_app


def test_an_unforeseen_error_shows_nothing_of_the_inside(caplog: pytest.LogCaptureFixture) -> None:
    """The client gets a 500 in JSON without a trace, and the log gets the trace."""
    app = create_app()

    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError("the password is hunter2")

    with caplog.at_level(logging.ERROR):
        response = app.test_client().get("/broken")

    assert response.status_code == 500
    assert response.json is not None
    assert response.json["status"] == 500
    assert b"hunter2" not in response.data
    assert b"Traceback" not in response.data
    assert "hunter2" in caplog.text


def test_what_is_not_there_is_said_in_json() -> None:
    """A 404 is JSON too."""
    response = create_app().test_client().get("/nothing")

    assert (response.status_code, response.content_type) == (404, "application/json")


@pytest.mark.parametrize("path", ["/plot/", "/data/", "/status/", "/data//summary"])
def test_almost_right_is_not_redirected(path: str) -> None:
    """Slashes too many are not found, so that no redirect can be led astray."""
    response = create_app().test_client().get(base_url="http://localhost", environ_overrides={"PATH_INFO": path})

    assert response.status_code == 404
