"""Do probabilities mean what they say? The expected calibration error, and one temperature that makes it smaller."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

NUM_BINS = 15
SHARPEST, FLATTEST = 0.05, 20.0
"""Temperatures are looked for between these."""
TOLERANCE = 1e-4
"""Of the logarithm of the temperature: below what anybody prints."""
CHUNK_ROWS = 4096
LEAST_OF_TWO = 2.0**-25
"""With two classes one probability is 1 minus the other, which float32 rounds to 0 from here on."""
LEAST = float(np.finfo(np.float32).tiny)
GOLDEN = (math.sqrt(5) - 1) / 2


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


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """The error of (n,) probabilities of the predicted classes, (n,) bool."""
    found = Calibration()
    found.add(confidence, right)
    return found.error


@dataclass(frozen=True)
class Temperature:
    """What a fit found.

    Attributes:
        value: above 1 where the model is too sure, below 1 where it is not sure enough.
        before, after: the expected calibration error of the rows it was fitted on, without and with it.
    """

    value: float
    before: float
    after: float


def tempered(probs: np.ndarray, temperature: float) -> np.ndarray:
    """``softmax(log(probs) / temperature)``: (n, classes) probabilities, flatter for a temperature above 1.

    That is the softmax of the logits over the temperature, because logits and logarithms of probabilities differ by a
    number per row. The order of the classes within a row stays; that of the rows may change with three classes or more.
    """
    if temperature == 1:
        return probs
    scaled = _logarithms(probs) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    powers = np.exp(scaled)
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probs: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the least negative log-likelihood on rows that the model was not trained on.

    Minimised is ``sum_i -log tempered(probs_i, T)[label_i] + (b - log b)`` with ``b = 1/T``, by golden-section search:
    both terms are convex in b. The second one is a gamma prior, Gamma(2, 1), that weighs less than a row of any doubt:
    it keeps few rows, all of them right, from asking for a temperature of 0 (1 is what it prefers).

    Args:
        probs: (n, classes). labels: (n,) class indices.

    Source: Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, 2017, section 4.2. The prior is
    ours.
    """

    def cost(log_inverse: float) -> float:
        inverse = math.exp(log_inverse)
        return _negative_log_likelihood(probs, labels, inverse) + inverse - log_inverse

    low, high = -math.log(FLATTEST), -math.log(SHARPEST)
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    left_cost, right_cost = cost(left), cost(right)
    while high - low > TOLERANCE:
        if left_cost <= right_cost:
            high, right, right_cost = right, left, left_cost
            left = high - GOLDEN * (high - low)
            left_cost = cost(left)
        else:
            low, left, left_cost = left, right, right_cost
            right = low + GOLDEN * (high - low)
            right_cost = cost(right)
    return math.exp(-(low + high) / 2)


def log_loss(probs: np.ndarray, labels: np.ndarray) -> float:
    """The mean negative log-likelihood of (n,) class indices under (n, classes) probabilities."""
    return _negative_log_likelihood(probs, labels, 1.0) / len(labels)


def _negative_log_likelihood(probs: np.ndarray, labels: np.ndarray, inverse: float) -> float:
    """The sum over the rows, a chunk at a time: thousands of rows of a thousand classes need no second copy."""
    total = 0.0
    for start in range(0, len(labels), CHUNK_ROWS):
        scaled = _logarithms(probs[start : start + CHUNK_ROWS]) * inverse
        top = scaled.max(axis=1)
        sums = np.log(np.exp(scaled - top[:, np.newaxis]).sum(axis=1)) + top
        chosen = labels[start : start + CHUNK_ROWS, np.newaxis]
        total += float((sums - np.take_along_axis(scaled, chosen, axis=1)[:, 0]).sum())
    return total


def _logarithms(probs: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probs, LEAST_OF_TWO if probs.shape[1] == 2 else LEAST, dtype=np.float64))
