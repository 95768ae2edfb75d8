import signal

import gevent
from gevent.pywsgi import WSGIServer

from app.wsgi import app

server = WSGIServer(("0.0.0.0", 5000), app)
gevent.signal_handler(signal.SIGTERM, server.stop)
server.serve_forever()
