"""Tells from what engines and programs print whose fault a failure is: the disk's, the clock's, the network's ...

Each has its own words, which change with its version, its image store (the classic one or containerd's) ...
"""

from __future__ import annotations

import re
from typing import Final, Literal

from layerlab.errors import BaseImageError, EngineError, RegistryRefused
from layerlab.ui.text import shorten

PullFailure = Literal["unreachable", "tls", "login", "missing", "rate", "server", "platform", "disk", "unknown"]
REFUSALS: Final[frozenset[PullFailure]] = frozenset({"login", "missing", "rate", "server", "platform"})
"""Where a registry answered, and said no."""

DISK_FULL: Final = re.compile(
    r"no space left on device|disk quota exceeded|don't have enough free space", re.IGNORECASE
)
CLOCK_OFF: Final = re.compile(
    r"is not valid yet|is expired \(invalid since|not live (?:until|because)"
    r"|certificate (?:is not yet valid|has expired)",
    re.IGNORECASE,
)
OFFLINE: Final = re.compile(
    r"Temporary failure (?:resolving|in name resolution)|Could not (?:connect|resolve)|Unable to connect to"
    r"|Failed to establish a new connection|Name or service not known|No address associated with hostname"
    r"|Network is unreachable|No route to host|Connection (?:timed out|reset by peer|broken)"
    r"|(?:Read|Connect)Timeout(?:Error)?|TLS handshake timeout|dns error|tcp connect error"
    r"|temporary error \(try again later\)|ProxyError|CERTIFICATE_VERIFY_FAILED|dial tcp|no such host|i/o timeout",
    re.IGNORECASE,
)
"""What commands print where it is the network that is at fault."""

# The first that matches decides. A status always comes with its number ("403 Forbidden") unless it is a proxy's
# answer to CONNECT, of which Go's net/http keeps the words only (`Get "https://...": Forbidden`).
_PULLS: Final[tuple[tuple[PullFailure, str], ...]] = (
    ("disk", f"(?i:{DISK_FULL.pattern})"),
    ("unreachable", r"proxyconnect|\b(?:Get|Head|Post) \S+: (?:Forbidden|Bad Gateway|Service Unavailable"
                    r"|Gateway Time-?out|Proxy Authentication Required|Method Not Allowed)\s*$"),
    ("tls", r"\bx509: |\btls: |HTTP response to HTTPS client"),
    ("rate", r"toomanyrequests|Too Many Requests|HTTP 429 |pull rate limit"),
    ("platform", r"no matching manifest|no match for platform"),
    ("server", r"\b5\d\d [A-Z][a-z]+|HTTP 5\d\d response|unexpected status: 5\d\d"),
    ("missing", r"manifest unknown|name unknown|manifest for \S+ not found|\b404 Not Found|HTTP 404 "
                r"|: not found\s*$|^unknown:\s*(?:<|$)"),  # the last: a page in the place of a registry's answer
    ("login", r"\b401 Unauthorized|\b403 Forbidden|HTTP 40[13] response|unauthorized|denied|no basic auth credentials"
              r"|authentication required|authorization failed|insufficient_scope|incorrect username or password"),
    ("unreachable", r"dial (?:tcp|udp)|no such host|server misbehaving|name resolution|connection (?:refused|reset)"
                    r"|no route to host|network is unreachable|time(?:d )?-?out|deadline exceeded|request canceled"
                    r"|broken pipe|unexpected EOF|\bEOF\s*$"),
)  # fmt: skip


def why_not_pulled(message: str) -> PullFailure:
    """Why an engine could not pull an image, from what it says: no connection, or what the registry answers.

    ``tls`` is a certificate that the engine does not trust, ``login`` also that this user may not have the image,
    ``rate`` a limit that is reached, ``server`` a fault of the registry's own.

    >>> why_not_pulled('Get "https://registry.example/v2/": dial tcp: lookup registry.example: no such host')
    'unreachable'
    """
    return next((kind for kind, pattern in _PULLS if re.search(pattern, message)), "unknown")


_REMEDIES: Final[dict[PullFailure, str]] = {
    "tls": "if a proxy inspects TLS here, add its certificate to what the engine's machine trusts, restart the"
    " engine and repeat",
    "login": "check the name, and log in with `docker login` if its registry asks for that",
    "missing": "check the name and tag",
    "rate": "its pull limit is reached: log in with `docker login`, or wait some hours and repeat",
    "server": "the registry has a problem of its own: repeat later",
    "platform": "use an engine of a platform for which this image exists",
    "disk": "the engine's disk is full: make room (`docker system df` shows what takes it) and repeat",
    "unknown": "see whether `docker pull` gets it",
}


class NoRegistry(BaseImageError):
    """No registry can be connected to."""


def not_pulled(name: str, message: str, *, began: bool = False) -> BaseImageError:
    """The error to raise where the engine says this of a pull; `began` if layers were on their way already."""
    kind, cause = why_not_pulled(message), shorten(message, 200)
    if kind == "unreachable" and not began:
        return NoRegistry(
            f"no registry can be reached for {name} ({cause})",
            remedy="see whether the engine's machine is online, or get the image from elsewhere with `docker load`",
        )
    if kind == "unreachable":
        return BaseImageError(
            f"the download of {name} broke off ({cause})", remedy="repeat: what has arrived is not loaded again"
        )
    if kind in REFUSALS:
        return RegistryRefused(f"the registry does not give {name} ({cause})", remedy=_REMEDIES[kind])
    return BaseImageError(f"{name} cannot be pulled ({cause})", remedy=_REMEDIES[kind])


def is_disk_full(said: str) -> bool:
    """Whether an engine or a program says this because a disk is full."""
    return DISK_FULL.search(said) is not None


def disk_full(said: str) -> EngineError:
    """The error to raise when the engine's is; `said` is what it says."""
    return EngineError(
        f"the disk of the Docker engine is full ({' '.join(said.split())[-160:]})",
        remedy="make room (`docker system df` shows what takes it, `docker builder prune` empties the build cache) "
        "and repeat",
    )
