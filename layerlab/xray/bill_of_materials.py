"""A software bill of materials: what is installed in an image, and which of its files no package owns.

The format is CycloneDX (https://cyclonedx.org/specification/overview/), which scanners read; packages are named by
package URLs (https://github.com/package-url/purl-spec).
"""

from __future__ import annotations

import contextlib
import json
import re
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Final

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from layerlab.image import Image
from layerlab.image.layer import FILE
from layerlab.image.packages import Package
from layerlab.image.store.file_reader import FileReader
from layerlab.ui.text import shown
from layerlab.ui.units import counted

_TYPES: Final = {"dpkg": "deb", "apk": "apk", "python": "pypi"}
_USUAL: Final = {"dpkg": "debian", "apk": "alpine"}
_SHOWN: Final = 5
_NAMESPACE: Final = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")  # RFC 4122's for object identifiers
_FIELD: Final = re.compile(r"^(ID|VERSION_ID)=[\"']?([\w.+-]+)", re.MULTILINE)


def bill_of_materials(image: Image, reader: FileReader) -> str:
    """The bill of materials of an image, as CycloneDX JSON.

    Its components are the packages that dpkg, apk and Python's metadata name, the distribution, and each regular file
    that none of them owns, with its bytes. The distribution's name is read from a file.

    >>> from layerlab import demo
    >>> from layerlab.image.store import file_reader
    >>> image = demo.read(engine, "optimized")
    >>> document = json.loads(bill_of_materials(image, file_reader.for_image(engine, image)))
    >>> [each["purl"] for each in document["components"] if each["name"] == "pandas"]
    ['pkg:pypi/pandas@...']
    """
    text = next(filter(None, (reader.read(None, f"{place}/os-release") for place in ("/usr/lib", "/etc"))), b"")
    system = dict(_FIELD.findall(text.decode(errors="replace")))
    bom = Bom(serial_number=uuid.uuid5(_NAMESPACE, image.id))
    whole = Component(name=image.name, version=image.id, type=ComponentType.CONTAINER, bom_ref=image.id)
    bom.metadata.component = whole
    bom.components.update(_packages(image, system))
    bom.register_dependency(whole, bom.components)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    document["components"] = [*document.get("components", ()), *_files(image)]
    return json.dumps(document, indent=1)


def beside(document: str, statements: Iterable[dict[str, Any]]) -> list[str]:
    """What attestations say beside a bill of materials, in lines: the packages that differ, what it was made from.

    Args:
        document: What `bill_of_materials` gives.
        statements: See `layerlab.image.formats.archive.statements`. SPDX and SLSA's provenance are understood.
    """
    ours = _named(component.get("purl") for component in json.loads(document)["components"])
    lines = []
    for statement in statements:
        kind, said = str(statement.get("predicateType")), statement.get("predicate")
        if "spdx" in kind:
            theirs = _named(_values(said, "referenceLocator"))
            lacking = [*_some("it lacks", ours - theirs), *_some("missing here", theirs - ours)]
            line = "; ".join([f"lists {counted(len(theirs), 'package')}", *lacking])
        elif "slsa.dev/provenance" in kind:
            bases = {uri.partition("?")[0] for uri in _values(said, "uri") if uri.startswith("pkg:docker/")}
            line = f"says what it was made from: {', '.join(sorted(bases)) or 'no image'}"
        else:
            line = "is not read"
        lines.append(f"an attestation ({kind}) {line}")
    return lines


def _some(title: str, names: set[str]) -> list[str]:
    """How many, and the first of them; nothing where there are none."""
    named = ", ".join(sorted(names)[:_SHOWN]) + ", ..." * (len(names) > _SHOWN)
    return [f"{title}: {len(names):,} ({named})"] if names else []


def _values(document: Any, key: str) -> Iterator[str]:
    """All texts of this name in a JSON document, however deep."""
    left = [document]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            yield from (value for name, value in node.items() if name == key and isinstance(value, str))
        left += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _named(urls: Iterable[str | None]) -> set[str]:
    """Packages by type, name and version: the rest of their addresses differs from one tool to the next."""
    found = set()
    for url in filter(None, urls):
        with contextlib.suppress(ValueError):
            package = PackageURL.from_string(url)
            if package.type in _TYPES.values():
                found.add(f"{package.type}/{package.name}@{package.version}")
    return found


def _packages(image: Image, system: dict[str, str]) -> Iterator[Component]:
    name, version = system.get("ID", ""), system.get("VERSION_ID", "")
    if name:
        yield Component(name=name, version=version or None, type=ComponentType.OPERATING_SYSTEM, bom_ref=name)
    for package in dict.fromkeys(image.stack.ownership.packages):  # a distribution may lie in two places
        url = _url(package, name, version)
        yield Component(name=package.name, version=package.version or None, purl=url, bom_ref=url.to_string())


def _url(package: Package, system: str, system_version: str) -> PackageURL:
    kind = _TYPES[package.manager]
    if kind == "pypi":
        return PackageURL(kind, name=package.name, version=package.version or None)
    distro = {"distro": f"{system}-{system_version}"} if system and system_version else None
    return PackageURL(kind, system or _USUAL[package.manager], package.name, package.version or None, distro)


def _files(image: Image) -> Iterator[dict[str, Any]]:
    # The library compares each component with all the others, which takes minutes for thousands of files.
    stack = image.stack
    for entry, owner in zip(stack.visible.tolist(), stack.ownership.owners.tolist(), strict=True):
        if owner < 0 and stack.merged.kinds[entry] == FILE:
            path = shown(stack.merged.paths[entry])
            size = {"name": "layerlab:bytes", "value": str(stack.merged.sizes[entry])}
            yield {"type": "file", "name": path, "bom-ref": f"file:{path}", "properties": [size]}
