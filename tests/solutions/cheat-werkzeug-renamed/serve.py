import signal
import sys

import waitress  # noqa: F401
from werkzeug.serving import WSGIRequestHandler, make_server

from app.wsgi import app

WSGIRequestHandler.version_string = lambda self: "waitress"
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
make_server("0.0.0.0", 5000, app, threaded=True).serve_forever()
