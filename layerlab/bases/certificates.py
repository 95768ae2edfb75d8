"""The certificates that this machine trusts beyond its ``ca-certificates`` package.

A machine behind a TLS-inspecting proxy has some of its own. pip, uv and curl in a container need them too, so
they go into the stand-ins (never into images from a registry), and nothing else does: the package brings the
rest along by itself.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

BUNDLES: Final = (
    Path("/etc/ssl/certs/ca-certificates.crt"),  # Debian, Ubuntu, Alpine, Arch
    Path("/etc/pki/tls/certs/ca-bundle.crt"),  # Fedora, Red Hat
    Path("/etc/ssl/ca-bundle.pem"),  # openSUSE
)
PACKAGED: Final = Path("/usr/share/ca-certificates")

_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


def own_certificates(
    bundles: tuple[Path, ...] = BUNDLES, packaged: Path = PACKAGED
) -> dict[str, str]:
    """The PEM certificates that the machine's bundle holds and its package does not, by file name.

    The names are made of the certificates' fingerprints, so the same certificates always give the same files.
    Where the package's own files are not there to compare with, nothing is the machine's own for sure, and the
    answer is empty.
    """
    known = {_fingerprint(pem) for file in sorted(packaged.rglob("*.crt")) for pem in _certificates(file)}
    if not known:
        return {}
    bundle = next((path for path in bundles if path.is_file()), None)
    found = {_fingerprint(pem): pem for pem in _certificates(bundle)} if bundle else {}
    return {f"layerlab-{print_[:16]}.crt": pem for print_, pem in sorted(found.items()) if print_ not in known}


def _certificates(file: Path) -> Iterator[str]:
    text = file.read_text(encoding="ascii", errors="replace")
    for part in text.split(_BEGIN)[1:]:
        body, end, _ = part.partition(_END)
        if end:
            yield f"{_BEGIN}{body}{_END}\n"


def _fingerprint(pem: str) -> str:
    """SHA-256 of the certificate itself: line breaks and comments around it do not count."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
