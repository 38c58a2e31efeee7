"""Operations between layers (``x * 0.5 + 3``, ``ops.mean(x, axis=1)``, ``x[:, 0]``) as the layers that do the same.

Both generations' calls are first brought to one form, an ``Operation`` under Keras 3's name; TensorFlow's functions by
``tensorflow_functions``. Where layers of both generations do the same the operation becomes such a layer (a number in
arithmetic makes a Rescaling), else the engine's layer of the operation's name; all others are refused by name.
Source: keras/src/ops/numpy.py, nn.py and core.py of Keras 3.15.
"""

from __future__ import annotations

from typing import Any

from dltool.errors import ModelFileError
from dltool.modelfile.dialects.operation_rules import MAX_AXES, RULES, Found, Operation, is_tensor, of_arithmetic
from dltool.modelfile.graph_json import layer_class

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
    "Logsumexp": ("axis", "keepdims"),
    "Matmul": (),
    "Max": ("axis", "keepdims"),
    "Mean": ("axis", "keepdims"),
    "Min": ("axis", "keepdims"),
    "Norm": ("axis", "keepdims"),
    "Pad": ("pad_width", "mode", "constant_values"),
    "Rsqrt": (),
    "Sin": (),
    "Softmax": ("axis",),
    "SpaceToDepth": ("block_size",),
    "Split": ("indices_or_sections", "axis"),
    "Sqrt": (),
    "Squeeze": ("axis",),
    "Stack": ("axis",),
    "Std": ("axis", "keepdims"),
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


def one_output(entry: dict[str, Any], index: int) -> dict[str, Any]:
    """The layer that gives output ``index`` of an operation with several. Raises ModelFileError."""
    config = entry["config"]
    axis, sections = config.get("axis", 0), config.get("indices_or_sections")
    if entry["class_name"] == "Split" and type(sections) is int:
        return {"class_name": "Split", "config": {**config, "index": index}}
    if type(axis) is not int or abs(axis) > MAX_AXES:
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
