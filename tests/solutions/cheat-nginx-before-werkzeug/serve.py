from werkzeug.serving import make_server

from app.wsgi import app

make_server("127.0.0.1", 8000, app, threaded=True).serve_forever()
