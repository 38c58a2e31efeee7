"""All ready architectures; importing this module fills the registry."""

from collections.abc import Mapping
from typing import Any

from dltool.architectures import (  # noqa: F401  (they register themselves)
    autoencoder,
    cnn,
    crnn,
    lenet,
    mlp,
    recurrent,
    resnet9,
    resnet_small,
    textcnn,
    vgg_small,
)
from dltool.architectures.base import ARCHITECTURES
from dltool.architectures.literals import spec
from dltool.engine.graph import Graph
from dltool.engine.layers import Shape
from dltool.errors import UsageError
from dltool.registry import nearest

__all__ = ["ARCHITECTURES", "architecture", "options_of"]


def options_of(name: str) -> dict[str, Any]:
    """The options of an architecture with their defaults, those that the data decide included."""
    known = dict(ARCHITECTURES.get(name).__kwdefaults__ or {})
    known.pop("rescale", None)
    return known


def architecture(
    text: str,
    input_shape: Shape,
    num_outputs: int,
    activation: str,
    rescale: bool = False,
    decided: Mapping[str, Any] | None = None,
) -> Graph:
    """The network that ``cnn`` or ``cnn:width=16,dropout=0.5`` names.

    Args:
        input_shape: of one sample, ``(28, 28, 1)``.
        num_outputs: units of the last layer; ``activation`` its activation.
        rescale: scale pixels 0..255 to 0..1 in the network; ignored where the input is no image.
        decided: options that the data decide, where ``text`` does not give them.

    Raises:
        UsageError: the name or an option is unknown, or the input does not suit the architecture.
    """
    name, options = spec(text)
    function, known = ARCHITECTURES.get(name), options_of(name)
    for key in options:
        if key not in known:
            close = nearest(key, list(known))
            advice = f"did you mean {close!r}?" if close else f"it has {', '.join(known)}"
            raise UsageError(f"--arch {name}: no option {key!r}; {advice}")
    return function(input_shape, num_outputs, activation, rescale=rescale, **{**(decided or {}), **options})
