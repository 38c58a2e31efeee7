"""What a file of your own definitions needs: the registries, and what to derive from. See ``dltool help plugins``.

    from dltool.plugin import LOSSES, Loss

Names that are registered are known to all options and files from then on: with ``--plugin FILE.py`` for that command,
in a program of yours that imports this for as long as it runs.
"""

from dltool.data.augment import AUGMENTATIONS
from dltool.data.augment.base import Colour, Erasing, Geometric, Mixing
from dltool.engine.initializers import GlorotUniform, Ones, Zeros
from dltool.engine.layers import LAYERS, Call, Layer, WeightSpec
from dltool.engine.losses import LOSSES, Loss
from dltool.engine.metrics import METRICS, MeanMetric, Metric
from dltool.engine.schedules import SCHEDULES, Schedule
from dltool.training.callbacks import CALLBACKS, Callback
from dltool.training.run import Run

__all__ = [
    "AUGMENTATIONS",
    "CALLBACKS",
    "LAYERS",
    "LOSSES",
    "METRICS",
    "SCHEDULES",
    "Call",
    "Callback",
    "Colour",
    "Erasing",
    "Geometric",
    "GlorotUniform",
    "Layer",
    "Loss",
    "MeanMetric",
    "Metric",
    "Mixing",
    "Ones",
    "Run",
    "Schedule",
    "WeightSpec",
    "Zeros",
]
