"""The Docker Engine: found, installed, started; and what is the lab's own on it.

>>> engine.client.ping()
True
"""

from layerlab.engine.connection import (
    Candidate,
    Engine,
    answering,
    candidates,
    connect,
    disk_full,
    failed,
    gone,
    hurry,
    is_disk_full,
    open_engine,
    usual_sockets,
)

__all__ = [
    "Candidate",
    "Engine",
    "answering",
    "candidates",
    "connect",
    "disk_full",
    "failed",
    "gone",
    "hurry",
    "is_disk_full",
    "open_engine",
    "usual_sockets",
]
