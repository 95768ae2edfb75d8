"""A running container of the lab's service: started, waited for, asked, measured and always removed.

::

    with run(engine, "multi-stage-demo:optimized") as service:
        print(service.url, service.seconds_to_first_answer)
        service.get("/status").json()
        service.processes()

``launch`` starts a container and removes it, ``readiness`` waits for its first answer, ``handle`` is what one
holds while it runs, ``sockets`` tells what listens inside it, ``foreground`` is ``./lab run``, ``talk`` is what
they share: the engine's errors, in our words, and text that a container wrote.
"""

from layerlab.service.foreground import run_foreground
from layerlab.service.handle import ExecResult, Service, Stopped
from layerlab.service.launch import run

__all__ = ["ExecResult", "Service", "Stopped", "run", "run_foreground"]
