"""Operations that are a layer in some cases, or one of another name: a rule for each. Pure functions on JSON.

Source: keras/src/ops/numpy.py, nn.py and core.py of Keras 3.15.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Found = tuple[str, dict[str, Any], list[Any]]
"""Class, options and inputs of the layer for an operation."""


@dataclass(frozen=True)
class Operation:
    """A call of a function.

    Attributes:
        name: as Keras 3 has it.
        operands: what it is called on: tensors as the file has them, numbers, arrays as lists.
        options: all else, without what is None.
        rank: the axes of the first tensor, None when the file does not say.
    """

    name: str
    operands: list[Any]
    options: dict[str, Any] = field(default_factory=dict)
    rank: int | None = None

    @property
    def takes_tensors(self) -> bool:
        return bool(self.operands) and all(is_tensor(operand) for operand in self.operands)


UNSUPPORTED_RESIZING = {
    "antialias": False,
    "data_format": "channels_last",
    "pad_to_aspect_ratio": False,
    "preserve_aspect_ratio": False,
}
"""The values with which the options of a resizing change nothing."""
MAX_AXES = 32
"""Of an array in NumPy; a damaged file may name any."""
FLOATS = ("float16", "float32", "float64", "bfloat16")


# --- arithmetic ------------------------------------------------------------------------------------------------------


def of_arithmetic(name: str, left: Any, right: Any) -> Found | None:
    """A sum, difference, product or quotient of two tensors, or of one and a number or one number per channel."""
    left, right = per_channel(left), per_channel(right)
    if is_tensor(left) and is_tensor(right):
        return name, {}, [left, right]
    if is_tensor(right) and is_constant(left):
        if name == "Divide":
            return of_quotient(left, right)
        scale, offset = {"Add": (1.0, left), "Subtract": (-1.0, left), "Multiply": (left, 0.0)}[name]
        return "Rescaling", {"scale": scale, "offset": offset}, [right]
    if not is_tensor(left) or not is_constant(right):
        return None
    if name == "Divide":
        values = right if isinstance(right, list) else [right]
        if 0 in values:
            return None
        inverse = [1.0 / value for value in values]
        return "Rescaling", {"scale": inverse if isinstance(right, list) else inverse[0], "offset": 0.0}, [left]
    less = [-value for value in right] if isinstance(right, list) else -right
    scale, offset = {"Add": (1.0, right), "Subtract": (1.0, less), "Multiply": (right, 0.0)}[name]
    return "Rescaling", {"scale": scale, "offset": offset}, [left]


def of_quotient(number: Any, tensor: Any) -> Found | None:
    """One by a tensor; other numbers would need two layers."""
    return ("Power", {"exponent": -1.0}, [tensor]) if number == 1 else None


def per_channel(value: Any) -> Any:
    """``[[[1.0, 2.0]]]``, which Keras stretches over all other axes, as ``[1.0, 2.0]``; numbers as floats."""
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        (value,) = value
    if isinstance(value, list) and value and all(is_number(entry) for entry in value):
        return [float(entry) for entry in value]
    return float(value) if is_number(value) else value


def is_constant(value: Any) -> bool:
    return is_number(value) or (isinstance(value, list) and bool(value) and all(is_number(entry) for entry in value))


def is_number(value: Any) -> bool:
    return type(value) in (int, float)


def is_tensor(value: Any) -> bool:
    """A tensor of Keras 3, or the place of one, ``[layer, call, tensor]``."""
    if isinstance(value, dict):
        return value.get("class_name") == "__keras_tensor__"
    return isinstance(value, list) and bool(value) and isinstance(value[0], str)


# --- operations with rules of their own ------------------------------------------------------------------------------


def of_power(operation: Operation) -> Found | None:
    if len(operation.operands) != 2 or operation.options:
        return None
    tensor, exponent = operation.operands
    if not is_tensor(tensor) or not is_number(exponent):
        return None
    if exponent == 2:
        return "Multiply", {}, [tensor, tensor]
    return ("Sqrt", {}, [tensor]) if exponent == 0.5 else ("Power", {"exponent": float(exponent)}, [tensor])


def of_square(operation: Operation) -> Found | None:
    return ("Multiply", {}, operation.operands * 2) if operation.takes_tensors and not operation.options else None


def of_negative(operation: Operation) -> Found | None:
    plain = operation.takes_tensors and not operation.options
    return ("Rescaling", {"scale": -1.0, "offset": 0.0}, operation.operands) if plain else None


def of_reciprocal(operation: Operation) -> Found | None:
    plain = operation.takes_tensors and not operation.options
    return ("Power", {"exponent": -1.0}, operation.operands) if plain else None


def of_extreme(operation: Operation) -> Found | None:
    """Maximum or Minimum of two tensors, or of one and a number."""
    if operation.options or len(operation.operands) != 2:
        return None
    if operation.takes_tensors:
        return operation.name, {}, operation.operands
    tensors = [operand for operand in operation.operands if is_tensor(operand)]
    numbers = [float(operand) for operand in operation.operands if is_number(operand)]
    if len(tensors) != 1 or len(numbers) != 1:
        return None
    if operation.name == "Minimum":
        return "Clip", {"x_max": numbers[0]}, tensors
    return ("Clip", {"x_min": numbers[0]}, tensors) if numbers[0] else ("Activation", {"activation": "relu"}, tensors)


def of_clip(operation: Operation) -> Found | None:
    limits = operation.options
    if not operation.takes_tensors or not set(limits) <= {"x_min", "x_max"}:
        return None
    return ("Clip", limits, operation.operands) if all(is_number(value) for value in limits.values()) else None


def of_leaky_relu(operation: Operation) -> Found | None:
    slope = operation.options.get("negative_slope", 0.2)
    plain = operation.takes_tensors and set(operation.options) <= {"negative_slope"}
    return ("LeakyReLU", {"negative_slope": slope}, operation.operands) if plain else None


def of_gelu(operation: Operation) -> Found | None:
    if not operation.takes_tensors or not set(operation.options) <= {"approximate"}:
        return None
    if operation.options.get("approximate", True):
        return "Gelu", {}, operation.operands
    return "Activation", {"activation": "gelu"}, operation.operands


def of_transpose(operation: Operation) -> Found | None:
    """Transpose, Swapaxes or Moveaxis that leaves the batch where it is."""
    options, rank = operation.options, operation.rank
    order = options.get("axes")
    if operation.name == "Swapaxes" and rank is not None and set(options) == {"axis1", "axis2"}:
        first, second = options["axis1"] % rank, options["axis2"] % rank
        order = [{first: second, second: first}.get(axis, axis) for axis in range(rank)]
    if operation.name == "Moveaxis" and rank is not None and set(options) == {"source", "destination"}:
        source, destination = options["source"], options["destination"]
        if type(source) is int and type(destination) is int:
            order = [axis for axis in range(rank) if axis != source % rank]
            order.insert(destination % rank, source % rank)
    if not operation.takes_tensors or not isinstance(order, list) or order[:1] != [0]:
        return None
    return "Permute", {"dims": order[1:]}, operation.operands


def of_reshape(operation: Operation) -> Found | None:
    shape = operation.options.get("newshape")
    if not operation.takes_tensors or set(operation.options) != {"newshape"} or not isinstance(shape, list):
        return None
    if shape[:1] != [None] and -1 in shape[1:]:
        return None
    is_plain = shape[:1] in ([-1], [None]) and all(type(size) is int for size in shape[1:])
    return ("Reshape", {"target_shape": shape[1:]}, operation.operands) if is_plain else None


def of_cast(operation: Operation) -> Found | None:
    plain = operation.takes_tensors and operation.options.get("dtype") in FLOATS
    return ("Activation", {"activation": "linear"}, operation.operands) if plain else None


def of_identity(operation: Operation) -> Found | None:
    return ("Activation", {"activation": "linear"}, operation.operands) if operation.takes_tensors else None


def of_normalize(operation: Operation) -> Found | None:
    options = {"axis": -1, "order": 2, **operation.options}
    plain = operation.takes_tensors and set(options) == {"axis", "order"} and options["order"] == 2
    return ("UnitNormalization", {"axis": options["axis"]}, operation.operands) if plain else None


def of_getitem(operation: Operation) -> Found | None:
    if len(operation.operands) != 2 or operation.options or not is_tensor(operation.operands[0]):
        return None
    tensor, key = operation.operands
    parts = [key_part(part) for part in key] if isinstance(key, list) else [key_part(key)]
    return None if "?" in parts else ("GetItem", {"key": parts}, [tensor])


def key_part(part: Any) -> Any:
    """A part of a subscript in the engine's words; "?" for one that it does not know."""
    if isinstance(part, dict) and part.get("class_name") == "__ellipsis__":
        return "..."
    if isinstance(part, dict):
        part = part["config"] if isinstance(part.get("config"), dict) else part
        found = [part.get(key) for key in ("start", "stop", "step")]
        return found if set(part) <= {"start", "stop", "step"} else "?"
    return part if part is None or type(part) is int else "?"


def of_resize(operation: Operation) -> Found | None:
    """Images in another size."""
    plain = all(operation.options.get(key, value) == value for key, value in UNSUPPORTED_RESIZING.items())
    size, interpolation = operation.options.get("size"), operation.options.get("interpolation", "bilinear")
    if not plain or not operation.takes_tensors or not isinstance(size, list) or len(size) != 2:
        return None
    if interpolation not in ("bicubic", "bilinear", "nearest") or not all(type(side) is int for side in size):
        return None
    cut = {"crop_to_aspect_ratio": operation.options.get("crop_to_aspect_ratio", False)}
    found = {"height": size[0], "width": size[1], "interpolation": interpolation, **cut}
    return "Resizing", found, operation.operands


def of_pooling(operation: Operation) -> Found | None:
    """The mean or the largest of windows; TensorFlow gives them as (1, height, width, 1) too."""
    options = {"strides": operation.options.get("pool_size"), "padding": "valid", **operation.options}
    axes = (operation.rank or 4) - 2
    windows = {key: window(options.get(key), axes) for key in ("pool_size", "strides")}
    is_plain = operation.takes_tensors and options.pop("data_format", "channels_last") == "channels_last"
    if not is_plain or set(options) != {"padding", "pool_size", "strides"} or None in windows.values():
        return None
    name = {"AveragePool": "AveragePooling", "MaxPool": "MaxPooling"}[operation.name]
    return f"{name}{axes}D", {**windows, "padding": options["padding"]}, operation.operands


def window(value: Any, axes: int) -> list[int] | None:
    """One number per axis of the places."""
    sizes = value if isinstance(value, list) else [value] * axes
    if len(sizes) == axes + 2 and sizes[0] == sizes[-1] == 1:
        sizes = sizes[1:-1]
    return sizes if len(sizes) == axes and all(type(size) is int for size in sizes) else None


RULES: dict[str, Callable[[Operation], Found | None]] = {
    "AveragePool": of_pooling,
    "Cast": of_cast,
    "Clip": of_clip,
    "Gelu": of_gelu,
    "GetItem": of_getitem,
    "Identity": of_identity,
    "LeakyRelu": of_leaky_relu,
    "MaxPool": of_pooling,
    "Maximum": of_extreme,
    "Minimum": of_extreme,
    "Moveaxis": of_transpose,
    "Negative": of_negative,
    "Normalize": of_normalize,
    "Power": of_power,
    "Reciprocal": of_reciprocal,
    "Reshape": of_reshape,
    "Resize": of_resize,
    "Square": of_square,
    "Swapaxes": of_transpose,
    "Transpose": of_transpose,
}
