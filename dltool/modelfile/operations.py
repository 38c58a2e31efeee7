"""Operations between layers (``x * 0.5 + 3``, ``ops.mean(x, axis=1)``, ``x[:, 0]``) as the layers that do the same.

Both generations' calls are first brought to one form, an ``Operation`` under Keras 3's name; TensorFlow's functions by
``tensorflow_functions``. Where layers of both generations do the same the operation becomes such a layer (a number in
arithmetic makes a Rescaling), else the engine's layer of the operation's name; all others are refused by name.
Source: keras/src/ops/numpy.py, nn.py and core.py of Keras 3.15.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dltool.errors import ModelFileError
from dltool.modelfile.graph_json import layer_class

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


OWN_OPTIONS = {
    "Absolute": (),
    "Concatenate": ("axis",),
    "Cos": (),
    "DepthToSpace": ("block_size",),
    "Einsum": ("subscripts",),
    "ExpandDims": ("axis",),
    "Flip": ("axis",),
    "Log": (),
    "Log1p": (),
    "Matmul": (),
    "Max": ("axis", "keepdims"),
    "Mean": ("axis", "keepdims"),
    "Min": ("axis", "keepdims"),
    "Pad": ("pad_width", "mode", "constant_values"),
    "Rsqrt": (),
    "Sin": (),
    "Softmax": ("axis",),
    "SpaceToDepth": ("block_size",),
    "Split": ("indices_or_sections", "axis"),
    "Sqrt": (),
    "Squeeze": ("axis",),
    "Stack": ("axis",),
    "StopGradient": (),
    "Sum": ("axis", "keepdims"),
    "Tile": ("repeats",),
    "Unstack": ("axis",),
    "Var": ("axis", "keepdims"),
}
"""Operations that are the layer of the same name, and their options."""

ACTIVATIONS = {
    "Celu": "celu",
    "Elu": "elu",
    "Exp": "exponential",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "LogSigmoid": "log_sigmoid",
    "LogSoftmax": "log_softmax",
    "Relu": "relu",
    "Relu6": "relu6",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Silu": "silu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Squareplus": "squareplus",
    "Tanh": "tanh",
    "TanhShrink": "tanh_shrink",
}
"""The operation -> the activation that it is with the options of ``USUAL``."""

USUAL = {"Celu": {"alpha": 1.0}, "Elu": {"alpha": 1.0}, "LogSoftmax": {"axis": -1}, "Squareplus": {"b": 4}}
POOLINGS = {"Mean": "GlobalAveragePooling2D", "Max": "GlobalMaxPooling2D"}
"""Over height and width of images: the layers for sequences heed masks, which operations do not."""

ARITHMETIC = {"Add": "Add", "Subtract": "Subtract", "Multiply": "Multiply", "Divide": "Divide", "TrueDivide": "Divide"}
SPLITTING = ("Split", "Unstack")
"""Operations with several outputs."""
FLOATS = ("float16", "float32", "float64", "bfloat16")


def as_layer(entry: dict[str, Any]) -> dict[str, Any]:
    """A layer entry of Keras 3; one that stands for an operation that is called once becomes a layer's."""
    operation = operation_of(entry)
    found = None if operation is None else layer_of(operation)
    return entry if found is None else with_layer(entry, found)


def with_layer(entry: dict[str, Any], found: Found) -> dict[str, Any]:
    """The entry as that of the layer found, called on what the operation was called on."""
    class_name, config, inputs = found
    name = {"name": entry.get("name")}
    return {"class_name": class_name, "config": {**name, **config}, **name, "inbound_nodes": [call(*inputs)]}


def operation_of(entry: dict[str, Any]) -> Operation | None:
    """The operation that an entry of Keras 3 stands for, if it may be one; layers are not called so."""
    nodes, config = entry.get("inbound_nodes"), entry.get("config")
    if not isinstance(nodes, list) or len(nodes) != 1 or not isinstance(nodes[0], dict) or not isinstance(config, dict):
        return None
    name, arguments, given = entry.get("class_name"), nodes[0].get("args"), nodes[0].get("kwargs") or {}
    if not isinstance(name, str) or not isinstance(arguments, list) or not arguments or not isinstance(given, dict):
        return None
    operands = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], list) else arguments
    options = {key: value for key, value in (config | given).items() if value is not None and key != "name"}
    first = next((operand for operand in operands if is_tensor(operand)), None)
    shape = first["config"].get("shape") if isinstance(first, dict) and isinstance(first.get("config"), dict) else None
    return Operation(name, operands, options, len(shape) if isinstance(shape, list) else None)


def layer_of(operation: Operation) -> Found | None:
    """The layer that does what the operation does, or None when there is none."""
    name, options, operands = operation.name, operation.options, operation.operands
    if name in ARITHMETIC and not options and len(operands) == 2:
        return of_arithmetic(ARITHMETIC[name], *operands)
    if name in RULES:
        return RULES[name](operation)
    if not operation.takes_tensors:
        return None
    if name in POOLINGS and options.get("axis") == [1, 2] and operation.rank in (None, 4):
        return POOLINGS[name], {"keepdims": options.get("keepdims", False)}, operands
    if name in ACTIVATIONS and {**USUAL.get(name, {}), **options} == USUAL.get(name, {}):
        return "Activation", {"activation": ACTIVATIONS[name]}, operands
    if name in OWN_OPTIONS and set(options) <= set(OWN_OPTIONS[name]):
        return name, options, operands
    return None


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


RULES: dict[str, Callable[[Operation], Found | None]] = {
    "Cast": of_cast,
    "Clip": of_clip,
    "Gelu": of_gelu,
    "GetItem": of_getitem,
    "Identity": of_identity,
    "LeakyRelu": of_leaky_relu,
    "Maximum": of_extreme,
    "Minimum": of_extreme,
    "Moveaxis": of_transpose,
    "Negative": of_negative,
    "Normalize": of_normalize,
    "Power": of_power,
    "Reciprocal": of_reciprocal,
    "Reshape": of_reshape,
    "Square": of_square,
    "Swapaxes": of_transpose,
    "Transpose": of_transpose,
}


def one_output(entry: dict[str, Any], index: int) -> dict[str, Any]:
    """The layer that gives output ``index`` of an operation with several. Raises ModelFileError."""
    config = entry["config"]
    axis, sections = config.get("axis", 0), config.get("indices_or_sections")
    if entry["class_name"] == "Split" and type(sections) is int:
        return {"class_name": "Split", "config": {**config, "index": index}}
    if type(axis) is not int:
        raise ModelFileError(f"layer {config.get('name')!r}: is split along {str(axis)[:60]!r}; that is not supported")
    part: Any = index
    if entry["class_name"] == "Split":
        ends = [None, *sections, None]
        part = [ends[index], ends[index + 1], None]
    whole = [None, None, None]
    key = [*[whole] * axis, part] if axis >= 0 else ["...", part, *[whole] * (-axis - 1)]
    return {"class_name": "GetItem", "config": {"name": config.get("name"), "key": key}}


def number_of_outputs(entry: dict[str, Any]) -> int | None:
    """How many outputs a splitting operation has; None when the file does not say."""
    sections = entry["config"].get("indices_or_sections")
    return len(sections) + 1 if isinstance(sections, list) else sections if type(sections) is int else None


def call(*tensors: Any) -> Any:
    """An inbound node with these tensors, in the form that they are in."""
    if any(isinstance(tensor, dict) for tensor in tensors):
        return {"args": list(tensors), "kwargs": {}}
    return [[*tensor, {}] if isinstance(tensor, list) else tensor for tensor in tensors]


def refused(entry: dict[str, Any]) -> None:
    """Raises ModelFileError for an entry that stands for code."""
    layer_class(entry["class_name"], str(entry.get("name")))
