"""Predicted images as PNG files in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from dltool.data.pictures import png_of
from dltool.engine.model import Model
from dltool.errors import OutputError, UsageError
from dltool.training.labels import heads
from dltool.workflows.data_kinds import scaling_of

SPANS = {"sigmoid": (1 / 255, 0.0), "tanh": (2 / 255, -1.0)}
"""Activation of a model that does not scale its input itself -> scale and offset from pixels to its values."""


class Pictures:
    """Writes the images that a model gives, as pixels from 0 to 255: what the model scaled is scaled back.

    ``0031.png`` comes from ``a/0031.jpg`` and ``x-17.png`` from ``x.npy[17]``; a name that was taken gets a number.

    Args:
        folder: made when the first is written. overwrite: whether it may hold anything already.

    Raises:
        UsageError: the model's output is no image. OutputError: the folder cannot be used.
    """

    def __init__(self, folder: str | None, model: Model, overwrite: bool):
        if folder in (None, "-"):
            raise UsageError("--format: png needs a folder to write to; name it, as -o reconstructed/")
        head = heads(model.graph)[0]
        self.shape = _image_shape(model)
        if self.shape is None:
            given = f"{len(model.graph.outputs)} outputs" if len(model.graph.outputs) > 1 else f"{head.name!r}"
            raise UsageError(f"--format: png is for models that give images, and {given} gives none; leave it out")
        self.folder, self.overwrite = os.fspath(folder), overwrite
        scale, offset = scaling_of(model)
        if np.all(scale == 1) and not np.any(offset):
            scale, offset = SPANS.get(head.activation, (1.0, 0.0))
        self._scale, self._offset = scale, offset
        self._taken: set[str] = set()
        self._check_folder()

    def _check_folder(self) -> None:
        if os.path.lexists(self.folder) and not os.path.isdir(self.folder):
            raise OutputError(f"{self.folder}: is not a folder; give another --output")
        if os.path.isdir(self.folder) and os.listdir(self.folder) and not self.overwrite:
            raise OutputError(f"{self.folder}: holds files already; use --force to write among them")
        there = os.path.abspath(self.folder)
        while not os.path.lexists(there):
            there = os.path.dirname(there)
        if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
            raise OutputError(f"{self.folder}: cannot be made in {there}; choose another --output")

    def write(self, name: str, output: np.ndarray) -> str:
        """The file that a row's image went to. Raises OutputError."""
        path = os.path.join(self.folder, self._free_name(name))
        data = png_of((output.reshape(self.shape) - self._offset) / self._scale)
        try:
            os.makedirs(self.folder, exist_ok=True)
            with open(path, "wb" if self.overwrite else "xb") as file:
                file.write(data)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror}); choose another --output") from None
        return path

    def _free_name(self, name: str) -> str:
        base = os.path.basename(name)
        file, bracket, rest = base.partition("[")
        stem = os.path.splitext(file)[0] + (f"-{rest.rstrip(']').replace(':', '-')}" if bracket else "")
        found, number = stem, 2
        while found in self._taken:
            found, number = f"{stem}-{number}", number + 1
        self._taken.add(found)
        return f"{found}.png"


def _image_shape(model: Model) -> tuple[int, int, int] | None:
    """(height, width, channels) of the one output, from its own shape or, for a flat one, from the input's."""
    graph = model.graph
    if len(graph.outputs) != 1:
        return None
    shape = graph.output_shapes[0]
    if len(shape) == 1 and len(graph.inputs) == 1 and np.prod([s or 0 for s in graph.input_shapes[0]]) == shape[0]:
        shape = graph.input_shapes[0]
    if len(shape) == 2:
        shape = (*shape, 1)
    return tuple(shape) if len(shape) == 3 and None not in shape and shape[-1] in (1, 3, 4) else None


def drawn(rows: Iterator[Any], pictures: Pictures) -> Iterator[Any]:
    """The same rows; each image is written when its row is read."""
    try:
        for row in rows:
            if row.outputs:
                pictures.write(row.path, row.outputs[0])
            yield row
    finally:
        rows.close()
