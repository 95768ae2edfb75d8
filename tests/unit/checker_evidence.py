"""Evidence for the checker's tasks, written down: no engine, no image.

``Made(text)`` reads a Dockerfile and gives each RUN, COPY, ADD and WORKDIR of a stage a layer of its own above one
base layer, as BuildKit does. `Made.file` puts files into them, by the line that stores them; `Made.evidence` hands
everything over. ``good()`` is a solution that passes, to be changed for each test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from layerlab.dockerfile import Stage, parse
from layerlab.dockerfile.shell_words import split
from layerlab.exercise.evidence.facts import Evidence, File, Snapshot, SnapshotLayer
from layerlab.service import Answer, Distribution, Interpreter, Process, Running, Stop
from layerlab.xray.provenance.copies import Copy
from layerlab.xray.provenance.file_origins import Origin

MB = 1_000_000
BASE_ENVIRONMENT = ["PATH=/usr/local/bin:/usr/bin:/bin", "GPG_KEY=7169605F62C751356D054A26A821E680E5FA6305"]
SITE = "/opt/venv/lib/python3.13/site-packages"
APP = {
    "app/__init__.py": b"from flask import Flask\n\n\ndef create_app():\n    return Flask(__name__)\n",
    "app/__main__.py": b"from app import create_app\n\ncreate_app().run(debug=True)\n",
    "app/wsgi.py": b"from app import create_app\n\napp = create_app()\n",
    "app/gunicorn.conf.py": b'bind = "0.0.0.0:5000"\nworkers = 2\n',
}
WORKSPACE = {
    **APP,
    "requirements.txt": b"flask==3.1.3\ngunicorn==27.0.1\n",
    "README.md": b"# Your turn\n\nTurn the Dockerfile into a multi-stage build.\n",
    "Dockerfile.single": b"FROM python:3.13-trixie\nCOPY . .\n",
}

GOOD = """\
FROM python:3.13-slim-trixie AS build
WORKDIR /build
COPY requirements.txt .
RUN python -m venv /opt/venv
RUN /opt/venv/bin/pip install --no-cache-dir -r requirements.txt

FROM python:3.13-slim-trixie
COPY --from=build /opt/venv /opt/venv
ENV PATH="/opt/venv/bin:$PATH"
WORKDIR /srv
COPY app app
USER 10001:10001
CMD ["gunicorn", "--config", "app/gunicorn.conf.py", "app.wsgi:app"]
"""


@dataclass
class Image:
    """The snapshot of one stage while it is written down."""

    stage: str
    layers: list[SnapshotLayer]
    files: list[File] = field(default_factory=list)
    base_files: dict[str, File] = field(default_factory=dict)
    origins: dict[tuple[int, str], Origin] = field(default_factory=dict)
    contents: dict[tuple[int, str], bytes] = field(default_factory=dict)
    copies: list[Copy] = field(default_factory=list)
    capabilities: dict[str, int] = field(default_factory=dict)

    def layer_at(self, line: int) -> int:
        """The index of the layer that this line made."""
        return next(layer.index for layer in self.layers if layer.line == line)

    def snapshot(self, config: Mapping[str, Any], base_config: Mapping[str, Any], history: list[str]) -> Snapshot:
        """As the tasks get it."""

        def read(layer: int | None, path: str) -> bytes | None:
            if layer is None:
                seen = [file for file in self.files if file.path == path and file.visible]
                layer = seen[-1].layer if seen else 0
            return self.contents.get((layer, path))

        sizes = {layer.index: layer.bytes for layer in self.layers}
        for file in self.files:
            sizes[file.layer] += file.bytes
        return Snapshot(
            stage=self.stage,
            config=config,
            base_config=base_config,
            history=tuple(history),
            layers=tuple(replace(layer, bytes=sizes[layer.index]) for layer in self.layers),
            files=tuple(self.files),
            base=lambda: self.base_files,
            total_bytes=sum(sizes.values()),
            copies=tuple(self.copies),
            origins=lambda file: self.origins.get((file.layer, file.path), Origin("unknown")),
            contents=read,
            capabilities=lambda: self.capabilities,
        )


class Made:
    """Evidence while it is written down."""

    def __init__(self, text: str = GOOD, workspace: Mapping[str, bytes] = WORKSPACE, base_bytes: int = 115 * MB):
        self.dockerfile = parse(text)
        self.workspace = {"Dockerfile": text.encode(), **workspace}
        self.images = {stage.label: self._image(stage, base_bytes) for stage in self.dockerfile.stages}
        self.final = self.images[self.dockerfile.target().label]
        self.config: dict[str, Any] = {"Env": [*BASE_ENVIRONMENT], "Cmd": ["python3"], "User": ""}
        self.history: list[str] = []
        self.distributions: dict[str, Distribution] = {}
        self.requirements: dict[str, str] = {}
        self._configure()

    def _chain(self, stage: Stage) -> list[Stage]:
        base = self.dockerfile.base_stage(stage)
        return [*(self._chain(base) if base else []), stage]

    def _image(self, stage: Stage, base_bytes: int) -> Image:
        chain = self._chain(stage)
        layers = [] if chain[0].base == "scratch" else [SnapshotLayer(0, None, None, base_bytes)]
        for part in chain:
            for step in part.instructions:
                if step.keyword in {"RUN", "COPY", "ADD", "WORKDIR"}:
                    layers.append(SnapshotLayer(len(layers), part.label, step.line, 0))
        return Image(stage.label, layers)

    def _configure(self) -> None:
        for stage in self._chain(self.dockerfile.target()):
            for step in stage.instructions[1:]:
                if step.keyword in {"CMD", "ENTRYPOINT"}:
                    command = list(step.arguments) if step.is_json else ["/bin/sh", "-c", step.value]
                    self.config[step.keyword.capitalize()] = command
                elif step.keyword == "USER":
                    self.config["User"] = step.value
                elif step.keyword == "WORKDIR":
                    self.config["WorkingDir"] = step.value
                elif step.keyword == "ENV":
                    self.config["Env"] += [word.replace('"', "") for word in split(step.value) if "=" in word]
                    self.history.append(f"ENV {step.value}")
                    continue
                shell = "RUN /bin/sh -c " if step.keyword == "RUN" else f"{step.keyword} "
                self.history.append(f"{shell}{step.value} # buildkit")

    def file(
        self,
        path: str,
        line: int,
        *,
        content: bytes | None = None,
        size: int | None = None,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        kind: Any = "file",
        origin: Origin | None = None,
        visible: bool = True,
        removed: int = 0,
        stage: str | None = None,
    ) -> File:
        """Put an entry into the layer that a line made (0: the base); of the final image unless a stage is named.

        The layer of the line `removed` hides it.
        """
        image = self.images[stage] if stage else self.final
        number = image.layer_at(line) if line else 0
        length = size if size is not None else len(content or b"") if content is not None else 2000
        hidden_by = image.layer_at(removed) if removed else None
        seen = visible and not removed
        entry = File(path, kind, length if kind == "file" else 0, mode, uid, gid, number, seen, hidden_by)
        if origin and origin.kind == "context":
            origin = replace(origin, source=next((p for p, text in self.workspace.items() if text == content), ""))
        if line:
            image.files.append(entry)
            owner = image.layers[number].stage
            image.origins[number, path] = origin or Origin("made", owner, line)
        else:
            image.base_files[path] = entry
        if content is not None:
            image.contents[number, path] = content
        return entry

    def package(self, name: str, version: str, line: int, origin: Origin, *, site: str = SITE, **more: Any) -> None:
        """Install a distribution (of about a megabyte) that the running interpreter finds."""
        info = f"{site}/{name}-{version}.dist-info"
        rows = f"{name}/__init__.py,,\n{name}/core.py,,\n{name}-{version}.dist-info/METADATA,,\n"
        self.file(f"{site}/{name}/__init__.py", line, origin=origin, **more)
        self.file(f"{site}/{name}/core.py", line, size=MB, origin=origin, **more)
        text = f"Name: {name}\nVersion: {version}\n".encode()
        self.file(f"{info}/METADATA", line, content=text, origin=origin, **more)
        self.file(f"{info}/RECORD", line, content=rows.encode(), origin=origin, **more)
        self.requirements[name] = version
        if more.get("visible", True) and not more.get("stage"):
            self.distributions[name] = Distribution(name, version, info)

    def app(self, line: int, folder: str = "/srv/app", **more: Any) -> None:
        """Copy the app from the build context into a folder."""
        owner = self.final.layers[self.final.layer_at(line)].stage
        for path, content in APP.items():
            target = f"{folder}/{path.removeprefix('app/')}"
            self.file(target, line, content=content, origin=Origin("context", owner, line), **more)

    def running(self, **changes: Any) -> Running:
        """A container that behaves, but for what is changed."""
        command = " ".join(self.config.get("Entrypoint") or []) + " ".join(self.config.get("Cmd") or [])
        kinds = Running(
            up=True,
            processes=(Process(10001, "10001", command, gid=10001, is_first=True),),
            status=Answer(200, "gunicorn", {"status": "ok"}),
            info=Answer(200, "gunicorn", {"python": "3.13.5"}),
            seconds=1.0,
            interpreter=Interpreter("/opt/venv/bin/python", "/opt/venv", ("/srv", SITE), dict(self.distributions)),
            stop=Stop(0.5, 0, killed=False),
            hardened=True,
        )
        return replace(kinds, **changes)

    def evidence(self, running: Callable[[], Running] | Running | None = None, **changes: Any) -> Evidence:
        """All of it."""
        base = {"Env": [*BASE_ENVIRONMENT], "Cmd": ["python3"]}
        snapshots = {
            label: image.snapshot(self.config if image is self.final else base, base, self.history)
            for label, image in self.images.items()
        }
        found = Evidence(
            dockerfile=self.dockerfile,
            context=self.workspace,
            app={path: text for path, text in self.workspace.items() if path.startswith("app/")},
            requirements=dict(self.requirements),
            image_id="sha256:" + "0" * 64,
            image=snapshots.pop(self.final.stage),
            stages=snapshots,
            running=self.running() if running is None else running() if callable(running) else running,
            single_bytes=1_830 * MB,
        )
        return replace(found, **changes)


BUILT = Origin("made", "build", 5, ("build",))
"""What line 5 of the stage `build` made, and a COPY --from brought."""


def good(text: str = GOOD, copied: int = 8, app: int = 11, **more: Any) -> Made:
    """The solution `GOOD`, or a Dockerfile much like it: the lines that copy its packages and its app."""
    made = Made(text, **more)
    made.file("/usr/local/bin/python3.13", 0, size=20_000, mode=0o755)
    made.file("/usr/local/include/python3.13/Python.h", 0)
    made.file("/usr/bin/su", 0, size=70_000, mode=0o4755)
    for name, version in (("flask", "3.1.3"), ("gunicorn", "27.0.1")):
        made.package(name, version, copied, BUILT)
        if "build" in made.images and any(layer.line == 5 for layer in made.images["build"].layers):
            made.package(name, version, 5, Origin("made", "build", 5), stage="build")
    if app:
        made.app(app)
    return made
