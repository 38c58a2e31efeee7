"""The moving average of the weights, which is measured and kept instead of the last ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.engine.stepping import BLOCK
from dltool.training.callbacks import Callback
from dltool.training.run import Run


class WeightAverage(Callback):
    """``average = d * average + (1 - d) * weights`` after every step, statistics of batch normalisation included.

    ``d`` is ``min(decay, (1 + t) / (10 + t))`` at step t of the run, so that the start is forgotten. Validation sees
    the average, and the best epoch's is what is kept; training goes on from the weights themselves. Source: Polyak and
    Juditsky, 1992; the warm-up is that of ``tf.train.ExponentialMovingAverage``. Keras's ``use_ema`` leaves the
    statistics out, which then belong to other weights.

    Args:
        vector: the model's weights; the average starts from them.

    Attributes:
        average: (num_parameters,) float32.
    """

    def __init__(self, decay: float, vector: np.ndarray):
        self.decay, self.steps, self.average = decay, 0, vector.copy()
        self._scratch, self._own = np.empty(min(BLOCK, len(vector)), np.float32), np.empty_like(vector)

    def train_begin(self, run: Run) -> None:
        run.averaged = self.average

    def batch_end(self, run: Run) -> None:
        self.steps += 1
        part = np.float32(1 - min(self.decay, (1 + self.steps) / (10 + self.steps)))
        vector = run.model.weights.vector
        for start in range(0, len(vector), BLOCK):  # blocks that stay in cache between the three passes
            average = self.average[start : start + BLOCK]
            change = np.subtract(vector[start : start + BLOCK], average, out=self._scratch[: len(average)])
            change *= part
            average += change

    def test_begin(self, run: Run) -> None:
        np.copyto(self._own, run.model.weights.vector)
        run.model.weights.vector[...] = self.average

    def test_end(self, run: Run) -> None:
        run.model.weights.vector[...] = self._own

    def state(self) -> dict[str, Any]:
        """The number of steps; the average itself is an array of the training state."""
        return {"steps": self.steps}

    def restore(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]
