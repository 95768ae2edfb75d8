# ruff: noqa: N999  # the file name is the one that gunicorn gives its configuration
"""How gunicorn serves the application: ``gunicorn --config app/gunicorn.conf.py app.wsgi:app``.

Each setting that differs from gunicorn's default, and why. Options on the command line win over this file.
"""

import gc
import os
from pathlib import Path

# numpy's linear algebra starts a thread for each core of the machine (not of the container) when it is loaded.
# Workers and their threads share the load already. Set before the application is imported, which preload_app does.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# All interfaces: inside a container, 127.0.0.1 cannot be reached from outside it.
bind = "0.0.0.0:5000"

# Two processes, so that one that hangs or restarts does not stop the service, with threads for waiting clients.
# As many workers as cores is a good start; the variable is the one that gunicorn itself and many platforms use.
workers = int(os.environ.get("WEB_CONCURRENCY") or 2)
worker_class = "gthread"
# A process draws one plot at a time, so threads draw no faster. But /status shall not wait until all the plots that
# were asked for before it are drawn. Threads that are not needed are not started.
threads = 16

# Load the application once and fork: workers share the memory of pandas and Matplotlib until they write to it
# (a third less with two), start at once, and an application that cannot be imported ends the container.
preload_app = True

# Nothing is garbage while modules load, and looking for it takes a tenth of the start. What is loaded then is set
# aside, since the garbage collector of a worker would write to it, and so copy it: 50 MB less with two workers.
gc.disable()


def when_ready(server: object) -> None:
    """The application is loaded, and no worker is forked yet."""
    gc.freeze()
    gc.enable()


# Each worker proves that it lives by touching a file. Memory is never slow and is writable in a read-only container.
if Path("/dev/shm").is_dir():  # noqa: S108  # the folder, not a file with a name to guess
    worker_tmp_dir = "/dev/shm"  # noqa: S108

# A socket for gunicorn's own command-line tool, in the home directory. Nothing here uses it, and a read-only
# container has no place for it.
control_socket_disable = True

# A request that takes this many seconds has failed: its worker is replaced. The dearest takes well under one.
timeout = 30
# After SIGTERM, requests under way may end. Shorter than the 10 s after which `docker stop` kills.
graceful_timeout = 8
# A little longer than a proxy's pause between two requests, so that connections are reused.
keepalive = 5

# Replace a worker now and then, whatever it may have leaked; not all at the same moment.
max_requests = 10_000
max_requests_jitter = 1_000

# One line for each request on stdout, where `docker logs` and every platform look. Errors go to stderr by default.
accesslog = "-"
