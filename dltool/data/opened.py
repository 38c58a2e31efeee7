"""What ``open_data`` is asked for, and what it gives. Imports numpy and ``dltool.errors``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dltool.data.dataset import Dataset
from dltool.data.shapes import WantedShape
from dltool.data.windows import Cut


@dataclass(frozen=True)
class Request:
    """The options of ``open_data``.

    Attributes:
        labels: label files of arrays, one per array; empty: the file beside each with "y" for "x" in its name.
        image_size, color, resize: of the pixels; None: from the data ("stretch" for resize). Give a model's own.
        class_names: in the order of a model's outputs, matched by name; data may lack some. None: from the data.
        num_classes: of a model without class names.
        wants: what the model's head takes, "classes", "labels" (independent ones), "steps" (a class for every step),
            "strings" (for CTC), "values" (regression) or "input" (the rows themselves, which need no labels); None: the
            data decide alone.
        multi_label: a row may have several labels: rows of 0 and 1, or ``cat;dog`` in a list of images.
        groups: a file that says which rows belong together, see ``groups.read_groups``.
        limit: use at most this many rows of each part, classes in their proportions.
        allow_empty: accept class folders without images. skip_bad: leave unreadable images out.
        plain_order: order classes as Keras does ("10" before "2"), for its models without class names.
        check: read all image headers even when size and colour are known, to find bad files before the first batch.
        seed: of the draw that ``limit`` makes.
        cut: rows are windows of a series, cut so; None: rows are rows.
        memory_limit: bytes to keep in memory; None: a quarter of what is available.
        workers: decoding threads.
    """

    labels: tuple[str, ...] = ()
    image_size: tuple[int, int] | None = None
    color: str | None = None
    resize: str = "stretch"
    class_names: tuple[str, ...] | None = None
    num_classes: int | None = None
    wants: str | None = None
    multi_label: bool = False
    groups: str | None = None
    limit: int | None = None
    allow_empty: bool = False
    skip_bad: bool = False
    plain_order: bool = False
    check: bool = True
    seed: int = 0
    cut: Cut | None = None
    memory_limit: int | None = None
    workers: int = 0


@dataclass(frozen=True)
class OpenedData:
    """Data sets and what the user should be told about them.

    Attributes:
        train: everything that was named, or the ``train/`` part of a folder.
        valid, test: the other parts of that folder, or None.
        kind: "images" or "arrays".
        input_shape: shape of one row of the first input, (height, width, channels) for images.
        classes: class names in the order of the model's outputs; None for regression.
        ignored_files: entries of folders that are not images. skipped_files: unreadable images left out.
        notes: sentences for the user.
        preprocessing: what a model file must remember, ``{"kind": "image", "height": ..., ...}``; None for arrays.
        has_tokens: rows are (steps,) whole numbers, as of words.
        label_sources: what to call the labels of each output in messages.
    """

    train: Dataset
    valid: Dataset | None
    test: Dataset | None
    kind: str
    input_shape: tuple[int, ...]
    classes: tuple[str, ...] | None
    ignored_files: int = 0
    skipped_files: int = 0
    notes: tuple[str, ...] = ()
    preprocessing: dict[str, Any] | None = None
    label_sources: tuple[str, ...] = ("labels",)
    has_tokens: bool = False

    def adapt_to(self, shape: WantedShape) -> OpenedData:
        """The same with rows in the shape a model expects, (28, 28) as (28, 28, 1). Raises DataError otherwise."""
        return self.adapt_inputs([shape])

    def adapt_inputs(self, shapes: Sequence[WantedShape]) -> OpenedData:
        """The same for a model of several inputs, one shape for each."""
        parts = [part and part.adapt_to(shapes) for part in (self.train, self.valid, self.test)]
        return replace(self, train=parts[0], valid=parts[1], test=parts[2], input_shape=parts[0].input_shapes[0])
