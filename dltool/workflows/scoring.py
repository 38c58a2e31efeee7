"""From rows to probabilities, the same way for evaluate and predict: one executor, one reading of the outputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dltool.engine.executor import Executor
from dltool.modelfile.saved import SavedModel
from dltool.settings import EvaluateSettings, PredictSettings
from dltool.training.labels import Head, heads
from dltool.workflows.model_data import label_names, probabilities, sized

THRESHOLD = "threshold"
"""Where a model's recipe keeps the probability from which on the second of two classes is said."""
Progress = Callable[[int, int], None]
"""Called with rows done and rows in total."""


def open_executor(
    saved: SavedModel, shape: tuple[int, ...], num_rows: int, settings: EvaluateSettings | PredictSettings
) -> Executor:
    """The executor that both commands run rows of ``shape`` on, or what averages its outputs; to be closed.

    Raises:
        UsageError: ``settings.tta`` for a model without views.
    """
    executor = Executor(
        sized(saved.model, shape),
        batch_size=max(1, min(settings.batch_size, num_rows)),
        jobs=settings.jobs,
        backend=settings.backend,
        exact=settings.exact,
    )
    if not settings.tta:
        return executor
    from dltool.workflows.view_average import averaged  # 10 ms of imports that a plain prediction does not need

    return averaged(executor, saved, shape)


class Reading:
    """What one output of a model means.

    Attributes:
        head: the output's name, shape and activation.
        names: of its classes or labels, in the order of the units; None when it gives numbers.
        threshold: from this probability on the second of two classes is said; None: the most probable is.
    """

    def __init__(self, saved: SavedModel, index: int = 0):
        self._saved, self._index = saved, index
        self.head: Head = heads(saved.model.graph)[index]
        self.names = label_names(saved, index)
        kept = saved.recipe.get(THRESHOLD)
        two = self.names is not None and len(self.names) == 2 and len(saved.model.graph.outputs) == 1
        self.threshold = float(kept) if two and isinstance(kept, float) and 0 <= kept <= 1 else None

    def __call__(self, output: np.ndarray) -> np.ndarray:
        """(n, classes) probabilities from the output of n rows; the numbers as they are where it gives numbers."""
        return output if self.names is None else probabilities(self._saved, output, self._index)

    def decide(self, probs: np.ndarray) -> np.ndarray:
        """(n,) the class that is said of each row, from (n, classes) probabilities."""
        if self.threshold is None:
            return probs.argmax(axis=1)
        return (probs[:, 1] >= self.threshold).astype(np.int64)


def readings(saved: SavedModel) -> tuple[Reading, ...]:
    """One per output of the model."""
    return tuple(Reading(saved, index) for index in range(len(saved.model.graph.outputs)))
