"""Flask's development server: ``python -m app``.

For development only: it reloads code, shows a debugger to whoever provokes an error, and was never built to
be fast or safe. In production a WSGI server runs ``app.wsgi:app``.
"""

from app import create_app

if __name__ == "__main__":
    create_app().run(host="0.0.0.0", port=5000, debug=True)  # noqa: S104  # reachable from outside a container
