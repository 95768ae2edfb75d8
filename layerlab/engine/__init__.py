"""The Docker Engine: found, installed, started; and what is the lab's own on it.

An `Engine` is what everything else is given; `answering` turns what the SDK raises into the lab's errors. These
modules are public, too: ``daemon`` (installs, starts and stops an engine), ``ownership`` (what the lab made),
``runs`` (what a killed run left), ``limits`` (of the engine's builder), ``symptoms`` (whose fault a failure is),
``docker_settings`` (where an engine may be), ``machine``, ``locks`` and ``interrupts``.

>>> engine.client.ping()
True
"""

from layerlab.engine.connection import SDK_ERRORS, Engine, answering, connect, gone, open_engine
from layerlab.engine.docker_settings import Candidate
from layerlab.engine.symptoms import disk_full, is_disk_full

__all__ = [
    "SDK_ERRORS", "Candidate", "Engine", "answering", "connect", "disk_full", "gone", "is_disk_full",
    "open_engine",
]  # fmt: skip
