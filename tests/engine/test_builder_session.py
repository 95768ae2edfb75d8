"""Build secrets: where they arrive, and where they are not found."""

from __future__ import annotations

import hashlib
import io
import secrets
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerlab.builder import build
from layerlab.engine import Engine
from layerlab.errors import StepFailed

TAKES = """\
FROM {image}
ENV SALT={salt}
RUN --mount=type=secret,id=token sha256sum < /run/secrets/token > /digest
RUN --mount=type=secret,id=token,target=/etc/token,mode=0444 stat -c %a /etc/token && wc -c < /etc/token
"""


@pytest.fixture
def context(busybox_image: str, tmp_path: Path) -> Path:
    """A build context whose steps get a secret, and have never run before."""
    (tmp_path / "Dockerfile").write_text(TAKES.format(image=busybox_image, salt=secrets.token_hex(8)))
    return tmp_path


@pytest.fixture
def made(engine: Engine) -> Iterator[list[str]]:
    """Images that are removed in the end."""
    ids: list[str] = []
    yield ids
    for image_id in set(ids):
        engine.client.images.remove(image_id, force=True)


def exported(engine: Engine, image_id: str) -> dict[str, bytes]:
    """All that `docker save` gives of an image, what is in its layers included, by path."""
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(b"".join(engine.client.images.get(image_id).save()))) as archive:
        for member in archive:
            content = archive.extractfile(member)
            data = content.read() if content else b""
            found[member.name] = data
            if data[257:262] == b"ustar":  # a layer, whatever it is called
                with tarfile.open(fileobj=io.BytesIO(data)) as layer:
                    files = {entry.name: layer.extractfile(entry) for entry in layer}
                    found |= {name: file.read() for name, file in files.items() if file}
    return found


def test_it_is_used_and_leaves_no_trace(engine: Engine, context: Path, made: list[str]) -> None:
    """What was made of it is in the image; the secret is in no layer, no history and no log, not even in part."""
    token = secrets.token_hex(200_000).encode()

    built = build(engine, context, secrets={"token": token, "other": b"nobody asks for it"})
    made.append(built.image_id)

    files = exported(engine, built.image_id)
    assert files["digest"].split()[0].decode() == hashlib.sha256(token).hexdigest()
    assert built.steps["log"].iloc[-1].split() == ["444", str(len(token))]
    assert not any(token[at : at + 20] in data for at in (0, 200_000) for data in files.values())
    assert files["digest"] in b"".join(files.values())


def test_another_secret_is_no_reason_to_build_again(engine: Engine, context: Path, made: list[str]) -> None:
    """It is in no cache key: as Docker documents, whoever changes a secret and wants a step to run again says so."""
    first = build(engine, context, secrets={"token": secrets.token_bytes(20)})
    second = build(engine, context, secrets={"token": secrets.token_bytes(20)})
    made += [first.image_id, second.image_id]

    assert second.image_id == first.image_id
    assert second.steps["cached"].all()


def test_one_that_nobody_gives(engine: Engine, context: Path, made: list[str]) -> None:
    """It is left out, as `docker build` leaves it out; a step that requires it fails, and says what to do."""
    text = (context / "Dockerfile").read_text().splitlines()[0]
    file = context / "Dockerfile"
    file.write_text(f"{text}\nRUN --mount=type=secret,id=x --mount=type=ssh test ! -e /run/secrets\n")
    made.append(build(engine, context).image_id)

    for mount, message in (("secret,id=x,required", "secret x:? not found"), ("ssh,required=true", "no SSH key")):
        file.write_text(f"{text}\nRUN --mount=type={mount} true\n")
        with pytest.raises(StepFailed, match=message) as raised:
            build(engine, context)
        assert raised.value.line == 2
        assert raised.value.remedy.startswith("give it to the build")
