"""The explorer in a notebook: a widget while there is a kernel, and a picture where there is none.

The widget's data goes from the kernel to the page and is kept in no notebook. What a saved notebook keeps is a
picture of some 100 kB and its words, for whoever reads it without running it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import anywidget
import traitlets

from layerlab import plots
from layerlab.dockerfile import Dockerfile
from layerlab.image import Image
from layerlab.report.explorer import bundle
from layerlab.report.explorer.data import NAME, packed
from layerlab.ui.displays import publish_with_words, widget_view


class _ExplorerWidget(anywidget.AnyWidget):
    """The explorer of one image; `data` is what `layerlab.report.explorer.data.packed` gives."""

    _esm = bundle.module()
    data = traitlets.Bytes().tag(sync=True)


@dataclass(eq=False, repr=False)
class Explorer:
    """What ``lab.explore(...)`` returns; a notebook shows it by itself."""

    image: Image  # what is shown
    dockerfile: Dockerfile | None = None  # the text beside it; None for the image's history
    name: str = NAME  # what the Dockerfile is called

    def __repr__(self) -> str:
        return f"<Explorer: what is in {self.image.name}?>"

    @cached_property
    def widget(self) -> Any:
        """The widget, made when it is first asked for."""
        return _ExplorerWidget(data=packed(self.image, self.dockerfile, name=self.name))

    @cached_property
    def picture(self) -> plots.Picture:
        """What is shown where no widget can be: the largest owners of bytes."""
        return plots.owners(self.image.files.assign(image=self.image.name, name=self.image.files["owner"]))

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = self.picture._repr_mimebundle_()
        return {**data, **widget_view(self.widget), "text/plain": repr(self)}, metadata

    def _ipython_display_(self) -> None:
        publish_with_words(self, self.picture.in_words())
