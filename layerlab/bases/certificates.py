"""The certificates that this machine trusts beyond its ``ca-certificates`` package.

A machine behind a TLS-inspecting proxy has some of its own. pip, uv and curl in a container need them too, so
they go into the stand-ins (never into images from a registry), and nothing else does: the package brings the
rest along by itself.
"""

from __future__ import annotations

import binascii
import hashlib
import ssl
from pathlib import Path
from typing import Final

TRUSTED: Final = Path("/etc/ssl/certs/ca-certificates.crt")
PACKAGED: Final = Path("/usr/share/ca-certificates")

_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


def own_certificates(trusted: Path = TRUSTED, packaged: Path = PACKAGED) -> dict[str, str]:
    """The PEM certificates that the machine's bundle holds and its package does not, by file name.

    The names are made of the certificates' fingerprints, so the same certificates always give the same files.
    Where the package's own files are not there to compare with, nothing is the machine's own for sure, and the
    answer is empty.

    Args:
        trusted: The bundle of all certificates that the machine trusts.
        packaged: The folder in which the package keeps its own.
    """
    known = {fingerprint for file in packaged.rglob("*.crt") for fingerprint in _certificates(file)}
    if not known or not trusted.is_file():
        return {}
    return {
        f"layerlab-{fingerprint[:16]}.crt": pem
        for fingerprint, pem in sorted(_certificates(trusted).items())
        if fingerprint not in known
    }


def _certificates(file: Path) -> dict[str, str]:
    """The certificates in a file by the SHA-256 of what they encode; line breaks and comments do not count."""
    found = {}
    for part in file.read_text(encoding="ascii", errors="replace").split(_BEGIN)[1:]:
        body, end, _ = part.partition(_END)
        pem = f"{_BEGIN}{body}{_END}\n"
        try:
            der = ssl.PEM_cert_to_DER_cert(pem) if end else b""
        except (binascii.Error, ValueError):  # damaged: whoever reads the bundle passes it over, too
            continue
        if der:
            found[hashlib.sha256(der).hexdigest()] = pem
    return found
