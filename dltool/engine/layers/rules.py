"""How each weight of a layer starts, is penalised and limited: Keras's three fields for every kind of weight.

A layer with a kind "kernel" has ``kernel_initializer`` and, as far as Keras has them, ``kernel_regularizer`` and
``kernel_constraint``. Imports engine basics only.
"""

from __future__ import annotations

from dltool.engine.constraints import constraint
from dltool.engine.initializers import initializer
from dltool.engine.layers.base import Layer, WeightSpec, normalize
from dltool.engine.regularizers import regularizer

RULES = {"initializer": initializer, "regularizer": regularizer, "constraint": constraint}


def normalize_rules(layer: Layer, *kinds: str) -> None:
    """Make objects of the names and configs in the fields of these kinds; for ``__post_init__`` only."""
    for kind in kinds:
        fields = {f"{kind}_{key}": rule for key, rule in RULES.items() if hasattr(layer, f"{kind}_{key}")}
        normalize(layer, **{field: rule(getattr(layer, field)) for field, rule in fields.items()})


def ruled(layer: Layer, kind: str, shape: tuple[int, ...], name: str = "") -> WeightSpec:
    """A trained weight by the layer's rules for its kind, whose name it has unless it has one of its own."""
    return WeightSpec(name or kind, shape, **{key: getattr(layer, f"{kind}_{key}", None) for key in RULES})


def ruled_bias(layer: Layer, size: int) -> tuple[WeightSpec, ...]:
    """The bias of a layer with Keras's fields for it: one spec, or none without ``use_bias``."""
    return (ruled(layer, "bias", (size,)),) if layer.use_bias else ()
