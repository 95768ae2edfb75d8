"""Every error is answered in JSON, and none shows the inside of the service."""

from __future__ import annotations

from flask import Flask, Response, jsonify
from werkzeug.exceptions import HTTPException

from app.parameters import ParameterError


def register(app: Flask) -> None:
    """Let this application answer errors in JSON."""
    app.register_error_handler(ParameterError, _bad_parameter)
    app.register_error_handler(HTTPException, _http_error)


def _bad_parameter(error: ParameterError) -> tuple[Response, int]:
    body = {"error": str(error), "status": 400, "parameter": error.parameter, "limits": error.limits}
    return jsonify(body), 400


def _http_error(error: HTTPException) -> Response:
    """404, 405 and so on. Anything unforeseen arrives here as a 500, after Flask has logged it."""
    status = error.code or 500
    response = jsonify({"error": error.description, "status": status})
    response.status_code = status
    for name, value in error.get_headers():
        if name != "Content-Type":  # what remains is needed, such as Allow with a 405
            response.headers[name] = value
    return response
