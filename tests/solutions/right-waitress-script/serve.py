import signal
import sys

from waitress import serve

from app.wsgi import app

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
serve(app, listen="*:5000", threads=8)
