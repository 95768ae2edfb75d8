"""What the tests of `layerlab.image` hold it against: archives written by Python's tarfile, and a naive merge.

The merge is the OCI image specification's text word by word: a dict of paths to which each layer is applied, entry
by entry. It is slow, and shares no code with the one that it judges.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from layerlab.image.layer import Layer

TYPES = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "device": tarfile.CHRTYPE,
    "fifo": tarfile.FIFOTYPE,
    "link": tarfile.LNKTYPE,
}


@dataclass(frozen=True)
class Entry:
    """An entry of a layer's archive; a whiteout is a file of its special name."""

    path: str
    kind: str = "file"
    content: bytes = b""
    target: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


def file(path: str, size: int = 0, **attributes: Any) -> Entry:
    return Entry(path, content=b"x" * size, **attributes)


def directory(path: str, **attributes: Any) -> Entry:
    return Entry(path, "directory", **{"mode": 0o755, **attributes})


def link(path: str, target: str) -> Entry:
    return Entry(path, "link", target=target)


def symlink(path: str, target: str) -> Entry:
    return Entry(path, "symlink", target=target, mode=0o777)


def whiteout(path: str) -> Entry:
    folder, _, name = path.rpartition("/")
    return Entry(f"{folder}/.wh.{name}" if folder else f".wh.{name}")


def opaque(folder: str) -> Entry:
    return Entry(f"{folder}/.wh..wh..opq" if folder else ".wh..wh..opq")


def tar(entries: Iterable[Entry], format: int = tarfile.PAX_FORMAT) -> bytes:
    """A layer's archive."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=format, errors="surrogateescape") as out:
        for entry in entries:
            info = tarfile.TarInfo(entry.path)
            info.type, info.linkname, info.size = TYPES[entry.kind], entry.target, len(entry.content)
            info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
            out.addfile(info, io.BytesIO(entry.content))
    return archive.getvalue()


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def image_config(layers: Sequence[bytes], history: Sequence[dict[str, Any]] = (), **config: Any) -> dict[str, Any]:
    """An image's config for these uncompressed layers."""
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
        "history": list(history),
    }


def pack(parts: Iterable[tuple[str, bytes]], links: Iterable[tuple[str, str]] = ()) -> bytes:
    """An archive of these files and symbolic links."""
    entries = [Entry(name, content=content) for name, content in parts]
    return tar([*entries, *(symlink(path, target) for path, target in links)])


def saved(layers: Sequence[bytes], config: dict[str, Any] | None = None, tag: str = "demo:1") -> bytes:
    """What ``docker save`` of Docker 20.10 writes: each different layer once, the others as links to it."""
    described = json.dumps(config or image_config(layers)).encode()
    config_name = f"{digest(described).removeprefix('sha256:')}.json"
    first: dict[bytes, str] = {}
    parts, links, names = [], [], []
    for number, layer in enumerate(layers):
        name = f"{number:064x}/layer.tar"
        names.append(name)
        if layer in first:
            links.append((name, f"../{first[layer]}"))
        else:
            first[layer] = name
            parts.append((name, layer))
    manifest = [{"Config": config_name, "RepoTags": [tag], "Layers": names}]
    return pack([*parts, (config_name, described), ("manifest.json", json.dumps(manifest).encode())], links)


@dataclass
class Layout:
    """An OCI layout in the making.

    Attributes:
        parts: Its files by name.
        compress: What becomes of each layer.
    """

    parts: dict[str, bytes] = field(default_factory=lambda: {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'})
    compress: Callable[[bytes], bytes] = lambda layer: gzip.compress(layer, mtime=0)

    def blob(self, content: bytes, media_type: str = "", **more: Any) -> dict[str, Any]:
        """Keep these bytes; gives their descriptor."""
        kind = f"application/vnd.oci.image.{media_type}"
        descriptor = {"mediaType": kind, "digest": digest(content), "size": len(content), **more}
        self.parts[blob_name(descriptor)] = content
        return descriptor

    def image(
        self,
        layers: Sequence[bytes],
        platform: str = "linux/amd64",
        config: dict[str, Any] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Keep an image; gives the descriptor of its manifest."""
        fields = dict(zip(["os", "architecture", "variant"], platform.split("/"), strict=False))
        described = json.dumps(config or {**image_config(layers), **fields}).encode()
        manifest = {
            "schemaVersion": 2,
            "config": self.blob(described, "config.v1+json"),
            "layers": [self.blob(self.compress(layer), "layer.v1.tar") for layer in layers],
        }
        return self.document(manifest, "manifest.v1+json", **{"platform": fields, **more})

    def document(self, content: object, media_type: str, **more: Any) -> dict[str, Any]:
        """Keep a description; gives its descriptor."""
        return self.blob(json.dumps(content).encode(), media_type, **more)

    def attestation(self, **more: Any) -> dict[str, Any]:
        """Keep what BuildKit says about how an image was built; gives its descriptor."""
        statement = self.blob(b'{"predicateType": "https://slsa.dev/provenance/v0.2"}', "in-toto")
        config = self.blob(b'{"architecture": "unknown", "os": "unknown", "rootfs": {}}', "config.v1+json")
        manifest = {"schemaVersion": 2, "config": config, "layers": [statement]}
        platform = {"os": "unknown", "architecture": "unknown"}
        return self.document(manifest, "manifest.v1+json", **{"platform": platform, **more})

    def index(self, entries: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """Keep an index; gives its descriptor."""
        return self.document({"schemaVersion": 2, "manifests": list(entries)}, "index.v1+json", **more)

    def close(self, *entries: dict[str, Any]) -> dict[str, bytes]:
        """The files, with an ``index.json`` of these entries."""
        self.parts["index.json"] = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
        return self.parts


def blob_name(descriptor: Mapping[str, Any]) -> str:
    """Where a layout keeps what this describes."""
    return f"blobs/{descriptor['digest'].replace(':', '/')}"


def named(name: str) -> dict[str, Any]:
    """The annotations of an image with this name, as engines write them."""
    tag = name.rpartition(":")[2]
    return {"annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag}}


def oci_parts(
    layers: Sequence[bytes],
    config: dict[str, Any] | None = None,
    compress: Callable[[bytes], bytes] = lambda layer: gzip.compress(layer, mtime=0),
) -> dict[str, bytes]:
    """The files of an OCI layout as BuildKit writes it: an index of the image and its attestation."""
    layout = Layout(compress=compress)
    return layout.close(layout.index([layout.attestation(), layout.image(layers, config=config)]))


def write_layout(folder: Path, parts: dict[str, bytes]) -> None:
    for name, content in parts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def differences(one: Layer, other: Layer | None) -> list[str]:
    """The attributes in which two layers differ."""
    return [name for name in vars(one) if not _equal(getattr(one, name), getattr(other, name, None))]


def _equal(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return type(one) is type(other) and bool(one == other)


@dataclass
class Seen:
    """What is at a path of the merged filesystem."""

    kind: str
    inode: tuple[int, int]  # the layer that stores it, and a number within it
    layer: int  # the layer whose entry this is
    mode: int


@dataclass
class Naive:
    """A merged filesystem and its waste, computed one path at a time."""

    tree: dict[str, Seen] = field(default_factory=dict)
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    wasted: dict[tuple[int, int], tuple[str, str, int]] = field(default_factory=dict)  # name, cause, by layer
    layer_bytes: list[int] = field(default_factory=list)
    running: list[int] = field(default_factory=list)

    @property
    def live(self) -> set[tuple[int, int]]:
        return {seen.inode for seen in self.tree.values() if seen.kind == "file"}

    def apply(self, entries: Sequence[Entry]) -> None:
        number = len(self.layer_bytes)
        before = dict(self.tree)
        own = self._own(number, entries)
        removed = {_taken(entry.path) for entry in entries if _is_whiteout(entry.path)}
        opaques = {_folder(entry.path) for entry in entries if _is_opaque(entry.path)}
        for path in before:
            lies_in = set(_parents(path))
            if {path, *lies_in} & removed or lies_in & opaques or (opaques & {""}):
                del self.tree[path]
        for path, seen in own.items():
            old = self.tree.get(path)
            if old is not None and not (old.kind == seen.kind == "directory"):
                for other in [other for other in self.tree if other == path or path in _parents(other)]:
                    del self.tree[other]
            self.tree[path] = seen
        for inode in {seen.inode for seen in before.values() if seen.kind == "file"} - self.live:
            name = min(path for path, seen in before.items() if seen.inode == inode)
            self.wasted[inode] = (name, _cause(name, own, removed), number)
        self.layer_bytes.append(sum(size for (layer, _), size in self.sizes.items() if layer == number))
        self.running.append(sum(self.sizes[inode] for inode in self.live))

    def _own(self, number: int, entries: Sequence[Entry]) -> dict[str, Seen]:
        """The layer's own entries, parents before children."""
        own: dict[str, Seen] = {}
        links = []
        for place, entry in enumerate(entries):
            for parent in reversed(_parents(entry.path)):
                own.setdefault(parent, Seen("directory", (number, -place - 1), number, 0o755))
            if _is_whiteout(entry.path) or _is_opaque(entry.path):
                continue
            if entry.kind == "link":
                links.append(entry)
                continue
            inode = (number, place)
            if entry.kind == "file":
                self.sizes[inode] = len(entry.content)
            own[entry.path] = Seen(entry.kind, inode, number, entry.mode)
        for entry in _in_order(links):
            found = own[entry.target] if entry.target in own else self.tree[entry.target]
            own[entry.path] = Seen(found.kind, found.inode, number, found.mode)
        return dict(sorted(own.items()))


def merge(layers: Iterable[Sequence[Entry]]) -> Naive:
    naive = Naive()
    for entries in layers:
        naive.apply(entries)
    return naive


def _in_order(links: list[Entry]) -> Iterator[Entry]:
    """Hard links, each after the one that it leads to."""
    waiting = list(links)
    while waiting:
        names = {entry.path for entry in waiting}
        ready = [entry for entry in waiting if entry.target not in names]
        yield from ready
        waiting = [entry for entry in waiting if entry not in ready]


def _cause(name: str, own: dict[str, Seen], removed: set[str]) -> str:
    if name in own:
        return "overwritten"
    if any(parent in own and own[parent].kind != "directory" for parent in _parents(name)):
        return "hidden"
    return "deleted" if {name, *_parents(name)} & removed else "hidden"


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _is_opaque(path: str) -> bool:
    return path.rpartition("/")[2] == ".wh..wh..opq"


def _is_whiteout(path: str) -> bool:
    return path.rpartition("/")[2].startswith(".wh.") and not _is_opaque(path)


def _taken(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/{name.removeprefix('.wh.')}" if folder else name.removeprefix(".wh.")


_NAMES = st.sampled_from(["a", "b", "a-b", "a0", "é"])  # "-" sorts before "/", "0" after it
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map("/".join)


@st.composite
def stacks(draw: st.DrawFn) -> list[list[Entry]]:
    """Layers that an engine could have written, in any order of their entries."""
    layers: list[list[Entry]] = []
    naive = Naive()
    for _ in range(draw(st.integers(1, 5))):
        entries = _consistent(draw, naive)
        naive.apply(entries)
        layers.append(entries)
    return layers


def _consistent(draw: st.DrawFn, below: Naive) -> list[Entry]:
    """A layer in which nothing is a directory and something else at once."""
    # Known paths come up often: a layer that touches nothing of those below it is not worth much.
    known = st.sampled_from(sorted(below.tree)) if below.tree else _PATHS
    drawn = [whiteout(path) for path in draw(st.lists(known, max_size=2, unique=True))]
    paths = draw(st.lists(st.one_of(_PATHS, known), max_size=10))
    drawn += [_entry(draw, path, sorted({*paths, *below.tree})) for path in paths]
    entries = []
    kinds: dict[str, str] = {}
    for entry in drawn:
        kind = "mark" if _is_whiteout(entry.path) or _is_opaque(entry.path) else entry.kind
        parents = _parents(entry.path)
        again = entry.path in kinds and not kind == kinds[entry.path] == "directory"
        if not again and all(kinds.get(parent, "directory") == "directory" for parent in parents):
            kinds |= {entry.path: kind, **dict.fromkeys(parents, "directory")}
            entries.append(entry)
    return list(draw(st.permutations(_without_dangling_links(entries, kinds, below))))


def _entry(draw: st.DrawFn, path: str, targets: list[str]) -> Entry:
    kind = draw(
        st.sampled_from(["file", "file", "file", "directory", "symlink", "fifo", "link", "link", "gone", "opaque"])
    )
    mode = draw(st.sampled_from([0o600, 0o644, 0o755, 0o4755]))
    if kind == "gone":
        return whiteout(path)
    if kind == "opaque":
        return opaque(draw(st.sampled_from([path, _folder(path)])))
    if kind == "link":
        return link(path, draw(st.sampled_from(targets)))
    if kind == "symlink":
        return symlink(path, "a")
    return Entry(path, kind, b"x" * draw(st.integers(0, 5)) if kind == "file" else b"", mode=mode)


def _without_dangling_links(entries: list[Entry], kinds: dict[str, str], below: Naive) -> list[Entry]:
    """The entries but for hard links that lead to directories, nowhere, or in a circle."""
    links = [entry for entry in entries if entry.kind == "link"]
    known = {path for path, kind in kinds.items() if kind not in {"link", "directory", "mark"}}
    known |= {
        path
        for path, seen in below.tree.items()
        if seen.kind == "file"
        and path not in kinds
        and all(kinds.get(parent, "directory") == "directory" for parent in _parents(path))
    }
    while ready := [entry for entry in links if entry.target in known and entry.path not in known]:
        known |= {entry.path for entry in ready}
    return [entry for entry in entries if entry.kind != "link" or (entry.path in known and entry.target in known)]
