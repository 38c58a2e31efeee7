"""What a layer is: its Keras config plus a few pure methods. Imports numpy and the registry only.

A layer is a frozen dataclass whose fields are its Keras constructor arguments, in Keras's order. It owns no arrays:
weights live in the ParameterStore and come in as arguments. Arithmetic has two tiers:

* *reference*: ``forward(x, weights, call) -> (y, backward)``, plain NumPy in any float type, every layer;
* *fast*: float32 kernels on planned buffers, where speed pays; they are registered per layer class in
  ``engine.kernels`` and compared with the reference in the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dltool.engine.constraints import Constraint
from dltool.engine.initializers import Initializer
from dltool.engine.regularizers import Regularizer
from dltool.registry import Registry

if TYPE_CHECKING:
    from dltool.engine.streams import Stream

Shape = tuple[int | None, ...]
"""The shape of one sample, without the batch axis; None is a size known only at run time."""

Array = np.ndarray
Backward = Callable[[Array], tuple[Any, tuple[Array | None, ...]]]
"""``backward(dy) -> (dx, dweights)``: dx like x (a tuple when the layer joins), dweights one entry per weight."""

LAYERS: Registry[type[Layer]] = Registry("layer")


@dataclass(frozen=True)
class WeightSpec:
    """One weight of a layer: Keras's name, its shape, how it starts.

    ``trainable=False`` marks a statistic (a moving mean): it has no gradient and lies at the end of the store.
    """

    name: str
    shape: tuple[int, ...]
    initializer: Initializer
    trainable: bool = True
    regularizer: Regularizer | None = None
    constraint: Constraint | None = None

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass
class Call:
    """What one forward pass carries besides inputs and weights.

    ``stream`` is the node's random stream for the rows in ``x`` (None at inference: nothing may be drawn).
    ``updates`` receives new values of statistics: ``call.updates[index_in_weights] = array``.
    ``masks`` has one entry per input: a bool array, False where a position is padding, or None.
    ``state`` is what a stateful layer left after the last batch, or None; what it leaves now goes into ``new_state``.
    ``total_rows`` is the batch's length where ``x`` is a part of it; ``penalty`` is what the layer adds to the loss.
    """

    training: bool = False
    stream: Stream | None = None
    updates: dict[int, Array] = field(default_factory=dict)
    masks: tuple[Array | None, ...] = (None,)
    state: tuple[Array, ...] | None = None
    new_state: tuple[Array, ...] | None = None
    total_rows: int = 0
    penalty: float = 0.0

    @property
    def mask(self) -> Array | None:
        """The mask of the first input."""
        return self.masks[0]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Base of all layers. ``name`` is unique in a graph; ``trainable=False`` freezes the weights."""

    name: str = ""
    trainable: bool = True

    joins: ClassVar[bool] = False
    """True when the layer takes several inputs: x, dx and input shapes are then tuples."""
    is_part: ClassVar[bool] = False
    """True for a layer that only picks one of several outputs of the layer before, which Keras writes as a number."""
    may_join: ClassVar[bool] = False
    """True when more inputs may follow the first (initial states): x, dx and shapes are tuples only then."""
    activation_is_last: ClassVar[bool] = True
    """True when ``activation``, if there is one, is applied to the output: it can then be done apart."""
    keeps_mask: ClassVar[bool] = False
    """True when the output has the mask of the (first) input; else it has none, unless ``mask_shape`` says so."""
    couples_batch: ClassVar[bool] = False
    """True when, in training, a row's output depends on other rows (batch normalisation)."""
    idle_at_inference: ClassVar[bool] = False
    """True when the output at inference is the input."""
    is_random: ClassVar[bool] = False
    """True when training draws random numbers from ``call.stream``."""

    refuses_training: ClassVar[str] = ""
    """Why no network with this layer is trained, and what to do; empty for all others."""

    @property
    def trains_differently(self) -> bool:
        """True when the layer computes something else in training than at inference."""
        return self.couples_batch or self.is_random

    def output_shape(self, shape: Any) -> Shape:
        """The output's shape for an input shape (a tuple of shapes when the layer joins). Raises UsageError."""
        return shape

    def weight_specs(self, shape: Any) -> tuple[WeightSpec, ...]:
        """The weights for an input shape, in Keras's order."""
        return ()

    def mask_shape(self, shape: Any, masks: tuple[Shape | None, ...]) -> Shape | None:
        """The shape of the output's mask (without the batch axis) for those of the inputs' masks; None: no mask."""
        return masks[0] if self.keeps_mask and masks else None

    def output_mask(self, x: Any, masks: tuple[Array | None, ...]) -> Array:
        """The output's mask where ``mask_shape`` gives one; bool."""
        return masks[0]

    @property
    def state_sizes(self) -> tuple[Shape, ...]:
        """The shapes of what a stateful layer keeps from batch to batch; () for all others."""
        return ()

    def forward(self, x: Any, weights: tuple[Array, ...], call: Call) -> tuple[Array, Backward]:
        """The reference arithmetic, in the float type of x."""
        raise NotImplementedError(type(self).__name__)

    def config(self) -> dict[str, Any]:
        """The constructor arguments by Keras's names, ``name`` and ``trainable`` first."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def pair(value: int | tuple[int, int] | list[int]) -> tuple[int, int]:
    """A Keras size: 3 means (3, 3)."""
    if isinstance(value, int | np.integer):
        return int(value), int(value)
    first, second = value
    return int(first), int(second)


def one_axis_or_more(axis: int | tuple[int, ...] | list[int]) -> int | tuple[int, ...]:
    """A Keras axis: a list of one means that one."""
    if not isinstance(axis, list | tuple):
        return axis
    return int(axis[0]) if len(axis) == 1 else tuple(int(a) for a in axis)


def normalize(layer: Layer, /, **values: Any) -> None:
    """Set canonical values of a frozen layer's fields; for ``__post_init__`` only."""
    for name, value in values.items():
        object.__setattr__(layer, name, value)


def describe(shape: Any) -> str:
    """28x28x1 for a shape, ? for an unknown size, several shapes joined by 'and'."""
    if shape and isinstance(shape[0], tuple):
        return " and ".join(describe(s) for s in shape)
    return "x".join("?" if size is None else str(size) for size in shape) or "scalar"
