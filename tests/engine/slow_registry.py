"""A registry on loopback that has one small image under every name, and gives half of its layer before it is told to.

Prints its address; then ``waiting`` when it has sent the half. A line on its standard input lets it go on.
Speaks what a pull needs of the OCI distribution specification. A program of its own: it runs beside an engine.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def _blob(content: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    BLOBS[digest] = content
    return digest


def _image() -> bytes:
    """The manifest of an image with one layer: a file and a shell that does nothing."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        shell, length = _shell()
        tar.addfile(shell, io.BytesIO(length))
        noise = tarfile.TarInfo("noise")
        noise.size = 300_000
        tar.addfile(noise, io.BytesIO(os.urandom(noise.size)))
    layer = gzip.compress(plain.getvalue())
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(plain.getvalue()).hexdigest()}"]},
        "history": [{"created_by": "noise"}],
    }
    text = json.dumps(config).encode()
    kind = "application/vnd.docker"
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{kind}.distribution.manifest.v2+json",
            "config": {"mediaType": f"{kind}.container.image.v1+json", "size": len(text), "digest": _blob(text)},
            "layers": [
                {
                    "mediaType": f"{kind}.image.rootfs.diff.tar.gzip",
                    "size": len(layer),
                    "digest": _blob(layer),
                }
            ],
        }
    ).encode()


def _shell() -> tuple[tarfile.TarInfo, bytes]:
    """A static program that can be run as /bin/sh and ends with 0: exit(0) in x86-64 machine code, in an ELF file."""
    code = bytes.fromhex("31ffb83c0000000f05")  # xor edi, edi; mov eax, 60; syscall
    start, size = 0x400078, 0x78 + len(code)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += (2).to_bytes(2, "little") + (62).to_bytes(2, "little") + (1).to_bytes(4, "little")
    header += start.to_bytes(8, "little") + (64).to_bytes(8, "little") + bytes(12)
    header += b"".join(n.to_bytes(2, "little") for n in (64, 56, 1, 0, 0, 0))
    program = (1).to_bytes(4, "little") + (5).to_bytes(4, "little") + bytes(8)
    program += (0x400000).to_bytes(8, "little") * 2 + size.to_bytes(8, "little") * 2 + (4096).to_bytes(8, "little")
    content = header + program + code
    member = tarfile.TarInfo("bin/sh")
    member.mode, member.size = 0o755, len(content)
    return member, content


BLOBS: dict[str, bytes] = {}
MANIFEST = _image()
GO_ON = threading.Event()


class Registry(BaseHTTPRequestHandler):
    """Answers what a pull asks."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path == "/v2/":
            self._answer(b"{}", "application/json")
        elif "/manifests/" in self.path:
            self._answer(MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")
        else:
            self._answer(BLOBS[self.path.rpartition("/")[2]], "application/octet-stream")

    def _answer(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(content).hexdigest()}")
        self.end_headers()
        if self.command == "HEAD":
            return
        if len(content) > 100_000 and not GO_ON.is_set():
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            print("waiting", flush=True)
            GO_ON.wait()
            content = content[len(content) // 2 :]
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    print(f"127.0.0.1:{server.server_address[1]}", flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.readline()
    GO_ON.set()
    sys.stdin.read()
