"""A container of the service: started, waited for, asked, observed and always removed.

`run` holds a service for whoever uses it; `observe` looks at all of one, from its start to its stop, for a judge:
who answers on its port, what its processes and its Python are, and how it ends.

>>> with run(engine, "multi-stage-demo:optimized") as service:
...     status = service.get("/status").json()["status"]
...     processes = service.processes()
>>> status, processes["uid"].unique().tolist()
('ok', [10001])

Everything raises `ServiceError` where the engine refuses, and `EngineGone` where it does not answer any more.
"""

from layerlab.service.answers import Answer
from layerlab.service.containers import ExecResult, Service, is_taken, read_file, run, run_foreground
from layerlab.service.ending import Stop
from layerlab.service.interpreter import Distribution, Interpreter
from layerlab.service.observing import Running, observe
from layerlab.service.processes import Process

__all__ = [
    "Answer",
    "Distribution",
    "ExecResult",
    "Interpreter",
    "Process",
    "Running",
    "Service",
    "Stop",
    "is_taken",
    "observe",
    "read_file",
    "run",
    "run_foreground",
]
