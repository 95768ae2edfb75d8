import signal
import sys

import tornado.ioloop
import tornado.wsgi
from tornado.httpserver import HTTPServer

from app.wsgi import app

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
HTTPServer(tornado.wsgi.WSGIContainer(app)).listen(5000)
tornado.ioloop.IOLoop.current().start()
