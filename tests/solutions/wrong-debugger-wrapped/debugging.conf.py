bind = "0.0.0.0:5000"


def post_worker_init(worker):
    from werkzeug.debug import DebuggedApplication

    worker.wsgi = DebuggedApplication(worker.wsgi, evalex=True, pin_security=False)
