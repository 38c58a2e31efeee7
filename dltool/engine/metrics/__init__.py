"""Metrics: what a person reads about predictions, summed over samples in float64. Imports numpy only.

One module per family; importing this package fills the ``METRICS`` registry.

A metric is a dataclass whose fields are its Keras config; ``update`` takes batches, ``result`` gives one number. Sample
weights count as in Keras: ``sum(w * value) / sum(w)`` (a loss divides by the number of samples instead). Class indices
(n,) or (n, 1) are accepted wherever one-hot rows are. An empty metric is 0, as in Keras.
"""

from dltool.engine.metrics.base import METRICS, MeanMetric, Metric, metric
from dltool.engine.metrics.counts import F1Score, FBetaScore, Precision, Recall
from dltool.engine.metrics.curves import AUC
from dltool.engine.metrics.means import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)

__all__ = [
    "AUC",
    "METRICS",
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "F1Score",
    "FBetaScore",
    "MeanAbsoluteError",
    "MeanMetric",
    "MeanSquaredError",
    "Metric",
    "Precision",
    "Recall",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "metric",
]
