"""Images side by side, and the JSON document that is fixed."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from layerlab import image
from layerlab.compare import compare, document, parts
from tests.unit.image_truth import Entry, file, image_config, link, saved, tar, whiteout

WHOLE = {"type": "integer", "minimum": 0}
TEXT = {"type": "string"}
SCHEMA = {
    "type": "object",
    "required": ["images"],
    "additionalProperties": False,
    "properties": {
        "images": {
            "type": "array",
            "items": {
                "type": "object",
                "required": [
                    "name",
                    "id",
                    "bytes",
                    "live_bytes",
                    "wasted_bytes",
                    "files",
                    "layers",
                    "attack_surface",
                ],
                "additionalProperties": False,
                "properties": {
                    "name": TEXT,
                    "id": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
                    "bytes": WHOLE,
                    "live_bytes": WHOLE,
                    "wasted_bytes": WHOLE,
                    "files": WHOLE,
                    "attack_surface": {"type": "object", "additionalProperties": WHOLE},
                    "layers": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["index", "bytes", "instruction"],
                            "additionalProperties": False,
                            "properties": {"index": WHOLE, "bytes": WHOLE, "instruction": TEXT},
                        },
                    },
                },
            },
        }
    },
}
LARGE = [
    [file("app/x", 700), link("app/y", "app/x"), file("etc/z", 100)],
    [whiteout("etc/z"), file("site-packages/p.py", 200)],
]
SMALL = [[file("app/x", 100)]]


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[image.Image]:
    """A large image with waste, and a small one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return [read("large.tar", LARGE), read("small.tar", SMALL)]


def read(name: str, stack: list[list[Entry]]) -> image.Image:
    layers = [tar(entries) for entries in stack]
    history = [{"created_by": f"RUN /bin/sh -c step {number} # buildkit"} for number in range(len(layers))]
    Path(name).write_bytes(saved(layers, image_config(layers, history)))
    return image.read(None, name)


class TestCompare:
    def test_a_row_per_image(self, images: list[image.Image]) -> None:
        """Rows are in the order that was asked for, sizes in relation to the largest."""
        table = compare(images)

        assert list(table.drop(columns="id").itertuples(index=False, name=None)) == [
            ("large.tar", 1000, 900, 100, 3, 2, 0, 1.0),
            ("small.tar", 100, 100, 0, 1, 1, 0, 0.1),
        ]
        assert table["id"].tolist() == [looked.id for looked in images]

    def test_columns(self, images: list[image.Image]) -> None:
        """The columns have the same types for any number of images."""
        expected = {
            "name": "str", "id": "str", "bytes": "int64", "live_bytes": "int64", "wasted_bytes": "int64",
            "files": "int64", "layers": "int64", "packages": "int64", "ratio": "float64",
        }  # fmt: skip

        assert {name: str(dtype) for name, dtype in compare(images).dtypes.items()} == expected
        assert {name: str(dtype) for name, dtype in compare([]).dtypes.items()} == expected

    def test_images_of_nothing(self, images: list[image.Image]) -> None:
        """Where the largest image has no bytes, all are as large as it."""
        assert compare([read("empty.tar", [])])["ratio"].tolist() == [1.0]


class TestParts:
    def test_add_up_to_the_image(self, images: list[image.Image]) -> None:
        """Parts and waste of an image are all of its bytes."""
        table = parts(images)

        assert table.to_dict("index") == {
            "large.tar": {
                "app": 700, "python packages": 200, "interpreter": 0, "system": 0, "compilers": 0, "other": 0,
                "waste": 100,
            },
            "small.tar": {
                "app": 100, "python packages": 0, "interpreter": 0, "system": 0, "compilers": 0, "other": 0,
                "waste": 0,
            },
        }  # fmt: skip
        assert table.sum(axis=1).tolist() == [looked.total_bytes for looked in images]
        assert {str(dtype) for dtype in table.dtypes} == {"int64"}


class TestDocument:
    def test_has_the_fixed_form(self, images: list[image.Image]) -> None:
        """The document is what other tools read; it has these keys, and no others."""
        printed = json.loads(json.dumps(document(None, images)))

        jsonschema.validate(printed, SCHEMA)
        assert [
            {key: described[key] for key in ("name", "bytes", "live_bytes", "wasted_bytes", "files")}
            for described in printed["images"]
        ] == [
            {"name": "large.tar", "bytes": 1000, "live_bytes": 900, "wasted_bytes": 100, "files": 3},
            {"name": "small.tar", "bytes": 100, "live_bytes": 100, "wasted_bytes": 0, "files": 1},
        ]
        assert printed["images"][0]["layers"] == [
            {"index": 0, "bytes": 800, "instruction": "RUN step 0"},
            {"index": 1, "bytes": 200, "instruction": "RUN step 1"},
        ]

    def test_of_nothing(self) -> None:
        """No images make an empty document."""
        assert document(None, []) == {"images": []}
