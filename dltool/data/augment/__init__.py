"""Random changes of training rows that leave their labels as they are, or mix them.

``base`` is what an augmentation is; ``geometry``, ``colour``, ``erasing``, ``mixing`` and ``randaugment`` define them,
``grammar`` reads what a user typed, ``pipeline`` applies all of them to a batch, ``preview`` draws a contact sheet.
"""

from dltool.data.augment import colour, erasing, geometry, mixing, randaugment  # noqa: F401 - they fill the registry
from dltool.data.augment.base import AUGMENTATIONS, Augmentation
from dltool.data.augment.grammar import PRESETS, parse
from dltool.data.augment.pipeline import Augment

__all__ = ["AUGMENTATIONS", "PRESETS", "Augment", "Augmentation", "parse"]
