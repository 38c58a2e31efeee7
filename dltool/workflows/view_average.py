"""``--tta``: what a model says of several views of each image, averaged."""

from __future__ import annotations

import numpy as np

from dltool.data.augment import parse
from dltool.data.augment.geometry import HorizontalFlip
from dltool.data.augment.views import View, views
from dltool.engine.executor import Executor
from dltool.errors import UsageError
from dltool.modelfile.saved import SavedModel


class ViewAverage:
    """An executor for inference whose outputs are the means over views, in float32.

    Args:
        executor: closed with this one.
    """

    def __init__(self, executor: Executor, views: list[View]):
        self._executor, self.views = executor, views
        self.model, self.batch_size = executor.model, executor.batch_size

    def forward(self, inputs: tuple[np.ndarray, ...], same_weights: bool = False) -> tuple[np.ndarray, ...]:
        """As ``Executor.forward``."""
        total = None
        for view in self.views:
            outputs = self._executor.forward((np.ascontiguousarray(view(inputs[0])),), same_weights)
            same_weights = True
            total = outputs if total is None else tuple(a + b for a, b in zip(total, outputs, strict=True))
        return tuple(output / np.float32(len(self.views)) for output in total)

    @property
    def masks(self) -> tuple[np.ndarray | None, ...]:
        """As ``Executor.masks``, of the last view."""
        return self._executor.masks

    def close(self) -> None:
        self._executor.close()

    def __enter__(self) -> ViewAverage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def averaged(executor: Executor, saved: SavedModel, shape: tuple[int, ...]) -> ViewAverage:
    """The executor with views; where there are none it is closed. Raises UsageError."""
    try:
        return ViewAverage(executor, chosen_views(saved, shape))
    except UsageError:
        executor.close()
        raise


def chosen_views(saved: SavedModel, shape: tuple[int, ...]) -> list[View]:
    """The views of images of ``shape`` that the model's training made, see ``data.augment.views``.

    A model that was trained without augmentation, or elsewhere, gets the image and its mirror image if it takes colour
    images: photographs nearly always may be mirrored, grey pictures are often letters and digits.

    Raises:
        UsageError: no other view is known to have the same label.
    """
    if len(saved.model.graph.inputs) > 1 or len(shape) not in (2, 3):
        raise UsageError("--tta: the model does not take images; leave it out")
    text = saved.recipe.get("augment")
    operations = parse(text) if isinstance(text, str) else ()
    if not operations and shape[2:] == (3,):
        operations = (HorizontalFlip(),)
    found = views(operations, (shape[0], shape[1]))
    if len(found) == 1:
        raise UsageError(
            "--tta: the model was trained without flips, turns or shifts, so that no other view is known to have the "
            "same label; leave it out, or train with --augment"
        )
    return found
