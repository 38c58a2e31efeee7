"""Do probabilities mean what they say? The expected calibration error."""

from __future__ import annotations

import numpy as np

NUM_BINS = 15


class Calibration:
    """Compares the confidence in the predicted class with how often it is right, in 15 bins of equal width.

    Bin i holds confidences above i/15, up to and with (i + 1)/15.
    Source: Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, 2017, equation 3.
    """

    def __init__(self) -> None:
        self._rows, self._right, self._confidence = (np.zeros(NUM_BINS) for _ in range(3))

    def add(self, confidence: np.ndarray, right: np.ndarray) -> None:
        """Count a batch: (n,) probabilities of the predicted classes, (n,) bool."""
        bins = np.clip(np.ceil(confidence.astype(np.float64) * NUM_BINS).astype(np.int64) - 1, 0, NUM_BINS - 1)
        self._rows += np.bincount(bins, minlength=NUM_BINS)
        self._right += np.bincount(bins, right, minlength=NUM_BINS)
        self._confidence += np.bincount(bins, confidence, minlength=NUM_BINS)

    @property
    def error(self) -> float:
        """``sum over bins of rows/n * |accuracy - mean confidence|``; 0 without rows."""
        total = self._rows.sum()
        return float(np.abs(self._right - self._confidence).sum() / total) if total else 0.0
