import signal
import sys
from wsgiref.simple_server import make_server

from app.wsgi import app

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
make_server("0.0.0.0", 5000, app).serve_forever()
