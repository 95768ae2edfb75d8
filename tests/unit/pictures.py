"""What the tests of the pictures draw, hostile names included, and how a figure is read back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from layerlab import plots
from layerlab.plots import Picture, style

MB = 10**6


def luminance(colour: str) -> float:
    """The relative luminance of ``#RRGGBB``, as WCAG 2.2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21, as WCAG 2.2 defines it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


HOSTILE = [
    "$x^2$ \\frac{1}{0} $$",
    "RUN a \\\n\tb\r\x1b[31m",
    "".join(chr(0xDC80 + n) for n in range(5)),
    "n" * 300,
    "COPY \u05e9\u05dc\u05d5\u05dd /\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u202egpj.exe\u2066\u200b",
    "\u6f22\u5b57 \U0001f680 \ufdfd",
    "Z" + "\u0350\u0321\u0489" * 40,
    "<img src=x onerror=alert(1)> & \"'",
    "   ",
    "",
    "NULL\x00byte",
]


# What the pictures are given: the shapes of the lab's two images.


def sizes_table(**images: float) -> pd.DataFrame:
    return pd.DataFrame({"name": list(images), "bytes": [int(size * MB) for size in images.values()]})


def access_table(names: Sequence[str]) -> pd.DataFrame:
    """Attempts of containers of these names; the n-th cannot do the first n."""
    acts = ["change the service's code", "write into /tmp", "run a program from /tmp", "get a capability"]
    whoms = ["the root filesystem", "/tmp", "/tmp", "the kernel"]
    return pd.DataFrame(
        [
            {"who": name, "process": "gunicorn, user 10001", "whom": whom, "what": act, "can": row >= number}
            for number, name in enumerate(names)
            for row, (whom, act) in enumerate(zip(whoms, acts, strict=True))
        ]
    )


def parts_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "app": [20_000, 20_000],
            "python packages": [268 * MB, 170 * MB],
            "interpreter": [62 * MB, 48 * MB],
            "system": [612 * MB, 42 * MB],
            "compilers": [742 * MB, 0],
            "other": [3_400_000, 1_200_000],
            "waste": [163 * MB, 0],
        },
        index=["single", "optimized"],
    )


def layers_table(rows: list[tuple[str, int | None, float, float]]) -> pd.DataFrame:
    """Layers from (instruction, line, stored MB, added MB)."""
    table = pd.DataFrame(rows, columns=["instruction", "line", "bytes", "change_bytes"])
    table.insert(0, "index", range(len(table)))
    table["line"] = table["line"].astype("Int64")
    for column in ("bytes", "change_bytes"):
        table[column] = (table[column] * MB).round().astype("int64")
    table["running_bytes"] = table["change_bytes"].cumsum()
    return table


SINGLE = layers_table(
    [
        ("debian", None, 118.3, 118.3),
        ("RUN /bin/sh -c apt-get install -y git mercurial subversion # buildkit", None, 225, 225),
        ("RUN apt-get install -y autoconf automake g++ gcc imagemagick libpq-dev", None, 561, 560.6),
        ("WORKDIR /app", 7, 0, 0),
        ("COPY . .", 9, 0.021, 0.021),
        ("RUN apt-get update", 12, 21.4, 21.4),
        ("RUN apt-get install -y build-essential gcc g++ make curl vim git libffi-dev", 13, 412, 411),
        ("RUN pip install --upgrade pip", 16, 14.5, 3.2),
        ("RUN pip install -r requirements.txt", 18, 415, 414),
        ("RUN rm -rf /var/lib/apt/lists/* /tmp/pip && apt-get clean", 20, 0, -157.4),
    ]
)
WASTE = pd.DataFrame(
    [
        (5, 20_900_000, "deleted", 9, 20),
        (8, 136_500_000, "deleted", 9, 20),
        (8, 500_000, "hidden", 9, 20),
        (1, 11_000_000, "overwritten", 7, 16),
        (1, 300_000, "deleted", 7, 16),
        (1, 0, "deleted", 8, 18),
        (0, 100_000, "overwritten", 2, None),
        (8, 1_000_000, "deleted", 9, 20),
    ],
    columns=["layer", "bytes", "cause", "by_layer", "by_line"],
).astype({"by_line": "Int64"})
CLEAN = layers_table([("FROM base", None, 130, 130), ("COPY --from=build /venv /venv", 21, 132, 132)])


def beside_table(wasted: float = 0.1) -> pd.DataFrame:
    """Three images' layers in one table; of those of the first two, this share is waste."""
    images = {"your image": (SINGLE, wasted), "single": (SINGLE, wasted), "optimized": (CLEAN, 0.0)}
    tables = [
        layers.assign(image=image, wasted_bytes=(layers["bytes"] * share).astype("int64"))
        for image, (layers, share) in images.items()
    ]
    return pd.concat(tables, ignore_index=True)


def owners_table() -> pd.DataFrame:
    rows = [
        ("single", "dpkg:gcc-14", "compilers", 210 * MB),
        ("single", "python:pandas", "python packages", 100 * MB),
        ("single", "python:pandas", "python packages", 18 * MB),
        ("single", "", "interpreter", 62 * MB),
        ("optimized", "python:pandas", "python packages", 62 * MB),
        ("optimized", "", "interpreter", 48 * MB),
    ]
    rows += [("single", f"dpkg:lib{n}", "system", 2 * MB) for n in range(30)]
    return pd.DataFrame(rows, columns=["image", "name", "part", "bytes"])


STEPS = [
    ("build", "FROM python:3.13-trixie AS build"),
    ("build", "COPY requirements.txt ."),
    ("build", "RUN pip install -r requirements.txt"),
    ("final", "FROM python:3.13-slim-trixie"),
    ("final", "COPY --from=build /venv /venv"),
    ("final", "COPY app app"),
]


def rebuilds_table() -> pd.DataFrame:
    seconds = {
        "nothing": [None] * 6,
        "the code": [None] * 5 + [0.06],
        "requirements": [None, 0.05, 7.9, None, 0.9, 0.04],
    }
    return pd.DataFrame(
        [
            (change, *step, float("nan") if spent is None else spent, spent is None)
            for change, column in seconds.items()
            for step, spent in zip(STEPS, column, strict=True)
        ],
        columns=["change", "stage", "instruction", "seconds", "cached"],
    )


MEASURES = pd.DataFrame(
    {"stored, MB": [1822, 270], "first answer, s": [2.31, 1.2], "processes": [3, 3]}, index=["single", "optimized"]
)
STAGES = pd.DataFrame(
    {
        "stage": ["build", "test", "2"],
        "base": ["python:3.13", "build", "python:3.13-slim"],
        "uses": [(), ("build",), ("build",)],
        "ran": [True, False, True],
    }
)


def steps_table() -> pd.DataFrame:
    """Two stages, of which one begins while the other goes on, and waits for it at its COPY --from."""
    rows = [
        ("build", "FROM python:3.13", None, 0.0, True),
        ("build", "RUN apt-get update", None, 0.0, True),
        ("build", "RUN pip install -r requirements.txt", 0.0, 6.0, False),
        ("2", "RUN python -m compileall -q", 0.5, 3.0, False),
        ("2", "COPY --from=build /opt/venv /opt/venv", 6.25, 0.5, False),
    ]
    return pd.DataFrame(rows, columns=["stage", "instruction", "began", "seconds", "cached"])


DOCKERFILE = """# syntax is not needed
FROM python:3.13-slim-trixie
RUN apt-get update \\
    && apt-get install -y gcc

COPY app app
"""
COSTS = pd.DataFrame(
    {"line": [2, 3, 6, 6], "bytes": [130 * MB, 45 * MB, 15_000, 5_000], "seconds": [0, 4.2, None, 0.1]}
)
FLOW = pd.DataFrame(
    [
        ("copied", "python packages", 132 * MB),
        ("left behind", "compilers", 742 * MB),
        ("left behind", "system", 612 * MB),
        ("own", "interpreter", 48 * MB),
        ("own", "app", 20_000),
    ],
    columns=["fate", "part", "bytes"],
)

PICTURES: dict[str, Callable[[], Picture]] = {
    "sizes": lambda: plots.sizes(sizes_table(single=1851, optimized=262)),
    "parts": lambda: plots.parts(parts_table()),
    "measures": lambda: plots.measures(MEASURES),
    "staircase": lambda: plots.staircase(SINGLE, "single"),
    "staircase without waste": lambda: plots.staircase(CLEAN, "optimized"),
    "waste": lambda: plots.waste(SINGLE, WASTE, "single"),
    "waste without any": lambda: plots.waste(CLEAN, WASTE.iloc[:0], "optimized"),
    "owners": lambda: plots.owners(owners_table()),
    "rebuilds": lambda: plots.rebuilds(rebuilds_table()),
    "stages": lambda: plots.stages(STAGES, steps_table()),
    "dockerfile": lambda: plots.dockerfile(DOCKERFILE, COSTS),
    "flow": lambda: plots.flow(FLOW),
    "access": lambda: plots.access(access_table(["single", "optimized", "single, hardened", "optimized, hardened"])),
    "surfaces": lambda: plots.surfaces(
        pd.DataFrame({"shells": [4, 0], "paths": [41_505, 2]}, index=["one", "other"])
    ),
    "beside": lambda: plots.beside(beside_table()),
}


def hostile_pictures() -> dict[str, Callable[[], Picture]]:
    """Every picture with hostile text wherever it takes text, and with extreme numbers and sizes."""
    many = [(f"{HOSTILE[n % 12]} {n}", n + 1, n % 7 * 31.0, n % 7 * 31.0 - n % 2 * 20) for n in range(40)]
    layers = layers_table(many)
    wasted = pd.DataFrame(
        {
            "layer": layers["index"],
            "bytes": layers["bytes"] - layers["bytes"] // 3,
            "cause": list(itertools.islice(itertools.cycle(style.CAUSES), 40)),
            "by_layer": 39,
            "by_line": pd.array([1_000_000] * 40, dtype="Int64"),
        }
    )
    names = [f"{text}{n}" for n, text in enumerate(HOSTILE)]
    parts = pd.DataFrame({part: [123 * MB] * 5 for part in [*style.PARTS, *HOSTILE]}, index=names[:5])
    owned = pd.DataFrame(
        [
            (image, name, part, n * 12_345_678)
            for image in names[:5]
            for n, name in enumerate(names)
            for part in style.PARTS
        ],
        columns=["image", "name", "part", "bytes"],
    )
    steps = pd.DataFrame(
        [
            (names[c], text, text, 0.013 * 9**c if n % 3 else 0.0, n % 3 == 0)
            for c in range(5)
            for n, text in enumerate(names)
        ],
        columns=["change", "stage", "instruction", "seconds", "cached"],
    )
    tiny = pd.DataFrame(
        {"name": names, "bytes": [0, 1, 10, 10**4, 10**5, 10**6, 10**7, 10**8, 10**9, 10**10, 10**11, 10**12]}
    )
    source = "FROM a\n" + "\n".join(f"   RUN {text.splitlines()[0]}" for text in HOSTILE if text.strip())
    costs = pd.DataFrame({"line": range(1, 12), "bytes": [1] * 11, "seconds": [10**n / 1e4 for n in range(11)]})
    lines = layers_table([("RUN true", None, 0, 0)])
    flows = pd.DataFrame({"fate": "copied", "part": HOSTILE, "bytes": 10**9})
    return {
        "5 hostile containers": lambda: plots.access(access_table(names[:5]).replace("/tmp", HOSTILE[8])),
        "40 layers": lambda: plots.staircase(layers, HOSTILE[3]),
        "40 layers' waste": lambda: plots.waste(layers, wasted, HOSTILE[0]),
        "1 empty layer": lambda: plots.staircase(lines),
        "1 empty layer's waste": lambda: plots.waste(lines, wasted.iloc[:0]),
        "5 images of 20 parts": lambda: plots.parts(parts),
        "1 image without parts": lambda: plots.parts(pd.DataFrame({"app": [0]}, index=["empty"])),
        "5 images by 12 measures": lambda: plots.measures(
            pd.DataFrame({f"{text}{n}": [10.0**power for power in range(5)] for n, text in enumerate(HOSTILE)})
        ),
        "12 images": lambda: plots.sizes(tiny),
        "1 image": lambda: plots.sizes(sizes_table(one=0)),
        "5 images by owner": lambda: plots.owners(owned, top=30),
        "1 image by owner": lambda: plots.owners(owned[owned["image"] == names[0]], top=1),
        "5 rebuilds": lambda: plots.rebuilds(steps),
        "12 hostile stages": lambda: plots.stages(
            pd.DataFrame({"stage": names, "base": HOSTILE, "uses": [tuple(names[:3])] * 12, "ran": True}),
            steps.iloc[:60].assign(began=list(range(60)), stage=[names[n % 12] for n in range(60)]),
        ),
        "stages, all cached": lambda: plots.stages(STAGES, steps_table().assign(cached=True)),
        "1 rebuild, all cached": lambda: plots.rebuilds(rebuilds_table().iloc[:6]),
        "a hostile Dockerfile": lambda: plots.dockerfile(source, costs),
        "a Dockerfile of 150 lines": lambda: plots.dockerfile(
            "FROM a\n" + "RUN true\n" * 149, costs[["line", "bytes"]]
        ),
        "everything copied": lambda: plots.flow(flows),
        "40 layers beside 5 images": lambda: plots.beside(
            pd.concat([layers.assign(image=name, wasted_bytes=layers["bytes"] // 2) for name in names[:6]])
        ),
        "1 empty layer beside nothing": lambda: plots.beside(lines.assign(image="", wasted_bytes=0)),
        "nothing copied": lambda: plots.flow(FLOW[FLOW["fate"] == "own"]),
    }


EVERY = PICTURES | hostile_pictures()


# How a figure is read back.


def bars(picture: Picture, axes: int = 0) -> list[Rectangle]:
    return [patch for patch in picture.figure.axes[axes].patches if isinstance(patch, Rectangle)]


def widths(picture: Picture, gid: str, axes: int = 0) -> list[float]:
    """How wide the bars with this gid are, in the units of the scale, from the top down."""
    found = [bar for bar in bars(picture, axes) if bar.get_gid() == gid]
    return [bar.get_width() for bar in sorted(found, key=lambda bar: bar.get_y())]


def texts(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def strings(picture: Picture) -> list[str]:
    return [text.get_text() for text in texts(picture.figure)]
