"""Operations of TensorFlow's graph as TensorFlow's functions, a table row or a rule for each. Pure functions on JSON.

Source: tensorflow/core/ops/*.cc of TensorFlow 2.3 for the inputs and attributes.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from dltool.modelfile.dialects.operation_rules import MAX_AXES, is_tensor

Call = tuple[str, list[Any], dict[str, Any]]
"""A function by its name in TensorFlow, what it is called on, and its options."""

ONE_INPUT = {
    "Abs": "math.abs",
    "Cos": "math.cos",
    "Elu": "nn.elu",
    "Exp": "math.exp",
    "Identity": "identity",
    "Inv": "math.reciprocal",
    "Log": "math.log",
    "Log1p": "math.log1p",
    "LogSoftmax": "nn.log_softmax",
    "Neg": "math.negative",
    "Reciprocal": "math.reciprocal",
    "Relu": "nn.relu",
    "Relu6": "nn.relu6",
    "Rsqrt": "math.rsqrt",
    "Selu": "nn.selu",
    "Sigmoid": "math.sigmoid",
    "Sin": "math.sin",
    "Softmax": "nn.softmax",
    "Softplus": "nn.softplus",
    "Softsign": "nn.softsign",
    "Sqrt": "math.sqrt",
    "Square": "math.square",
    "StopGradient": "stop_gradient",
    "Tanh": "math.tanh",
}
TWO_INPUTS = {
    "Add": "math.add",
    "AddV2": "math.add",
    "BiasAdd": "math.add",
    "Div": "math.divide",
    "Maximum": "math.maximum",
    "Minimum": "math.minimum",
    "Mul": "math.multiply",
    "Pow": "math.pow",
    "RealDiv": "math.divide",
    "Sub": "math.subtract",
}
REDUCTIONS = {"Max": "math.reduce_max", "Mean": "math.reduce_mean", "Min": "math.reduce_min", "Sum": "math.reduce_sum"}
WITH_CONSTANT = {
    "ExpandDims": ("expand_dims", "axis"),
    "Reshape": ("reshape", "shape"),
    "ReverseV2": ("reverse", "axis"),
    "Tile": ("tile", "multiples"),
    "Transpose": ("transpose", "perm"),
}
"""Operations of a tensor and one constant: the function and what the constant is there."""
TYPES = {"DT_BFLOAT16": "bfloat16", "DT_DOUBLE": "float64", "DT_FLOAT": "float32", "DT_HALF": "float16"}
POOLINGS = {"AvgPool": "nn.avg_pool2d", "MaxPool": "nn.max_pool2d"}
MASKS = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
RESIZINGS = {"ResizeBicubic": "bicubic", "ResizeBilinear": "bilinear", "ResizeNearestNeighbor": "nearest"}


class Attributes:
    """The attributes of a node by name, out of protobuf's JSON: whole numbers are text there, text is base64."""

    def __init__(self, found: Any) -> None:
        self.found = found if isinstance(found, dict) else {}

    def value(self, name: str, key: str, default: Any) -> Any:
        """What lies under a key of an attribute, such as "b" for a truth value."""
        found = self.found.get(name)
        return found.get(key, default) if isinstance(found, dict) else default

    def truth(self, name: str) -> bool:
        return self.value(name, "b", False) is True

    def number(self, name: str) -> int:
        return int(self.value(name, "i", 0))

    def numbers(self, name: str) -> list[int]:
        found = self.value(name, "list", {})
        return [int(number) for number in found.get("i", [])] if isinstance(found, dict) else []

    def text(self, name: str, default: str = "") -> str:
        found = self.value(name, "s", None)
        return base64.b64decode(str(found)).decode(errors="replace") if found else default


def call_of(operation: str, inputs: list[Any], attributes: Attributes) -> Call | None:
    """The function that does what a node does; None when there is none."""
    if not inputs:
        return None
    if operation in ONE_INPUT:
        return ONE_INPUT[operation], inputs, {}
    if operation in TWO_INPUTS:
        return (TWO_INPUTS[operation], inputs, {}) if len(inputs) == 2 else None
    if operation in WITH_CONSTANT:
        function, word = WITH_CONSTANT[operation]
        return (function, inputs[:1], {word: inputs[1]}) if len(inputs) == 2 else None
    if operation in REDUCTIONS:
        axes = {"axis": inputs[1]} if len(inputs) == 2 else {}
        return REDUCTIONS[operation], inputs[:1], {**axes, "keepdims": attributes.truth("keep_dims")}
    rule = RULES.get(operation)
    try:
        return None if rule is None else rule(operation, inputs, attributes)
    except (IndexError, TypeError, ValueError):
        return None  # an input is missing, or one that is a constant elsewhere is a tensor


def of_bound(operation: str, inputs: list[Any], attributes: Attributes) -> Call:
    x, low, high = inputs
    return "clip_by_value", [x], {"clip_value_min": low, "clip_value_max": high}


def of_cast(operation: str, inputs: list[Any], attributes: Attributes) -> Call | None:
    dtype = TYPES.get(attributes.value("DstT", "type", ""))
    return None if dtype is None else ("cast", inputs, {"dtype": dtype})


def of_concat(operation: str, inputs: list[Any], attributes: Attributes) -> Call | None:
    *tensors, axis = inputs if operation == "ConcatV2" else [*inputs[1:], inputs[0]]
    return ("concat", tensors, {"axis": axis}) if all(map(is_tensor, tensors)) else None


def of_blocks(operation: str, inputs: list[Any], attributes: Attributes) -> Call:
    function = {"DepthToSpace": "nn.depth_to_space", "SpaceToDepth": "nn.space_to_depth"}[operation]
    options = {"block_size": attributes.number("block_size"), "data_format": attributes.text("data_format", "NHWC")}
    return function, inputs, options


def of_einsum(operation: str, inputs: list[Any], attributes: Attributes) -> Call:
    return "einsum", inputs, {"equation": attributes.text("equation")}


def of_gather(operation: str, inputs: list[Any], attributes: Attributes) -> Call | None:
    """One place along an axis."""
    x, place, axis = inputs
    if type(place) is not int or type(axis) is not int or not 1 <= axis < MAX_AXES:
        return None
    return "__operators__.getitem", [x], {"slice_spec": [*[part_of(None, None)] * axis, place]}


def of_leaky_relu(operation: str, inputs: list[Any], attributes: Attributes) -> Call:
    return "nn.leaky_relu", inputs, {"alpha": attributes.value("alpha", "f", 0.2)}


def of_first(operation: str, inputs: list[Any], attributes: Attributes) -> Call:
    """What a function with a gradient of its own gives, such as ``tf.nn.swish``: the rest is for the gradient."""
    return "identity", inputs[:1], {}


def of_product(operation: str, inputs: list[Any], attributes: Attributes) -> Call | None:
    first, second = inputs
    turned = {
        "transpose_a": attributes.truth("transpose_a") or attributes.truth("adj_x"),
        "transpose_b": attributes.truth("transpose_b") or attributes.truth("adj_y"),
    }
    return ("matmul", [first], {"b": second, **turned}) if is_tensor(first) and is_tensor(second) else None


def of_pad(operation: str, inputs: list[Any], attributes: Attributes) -> Call:
    x, paddings, *value = inputs
    mode = {"mode": attributes.text("mode", "CONSTANT")}
    return "pad", [x], {"paddings": paddings, **mode, "constant_values": value[0] if value else 0}


def of_pooling(operation: str, inputs: list[Any], attributes: Attributes) -> Call | None:
    if attributes.text("data_format", "NHWC") != "NHWC":
        return None
    sizes = {"ksize": attributes.numbers("ksize"), "strides": attributes.numbers("strides")}
    return POOLINGS[operation], inputs, {**sizes, "padding": attributes.text("padding")}


def of_resizing(operation: str, inputs: list[Any], attributes: Attributes) -> Call | None:
    """Those that take the middles of pixels, as everything since TensorFlow 2 does."""
    if attributes.truth("align_corners") or not attributes.truth("half_pixel_centers"):
        return None
    return "image.resize", inputs[:1], {"size": inputs[1], "method": RESIZINGS[operation]}


def of_slice(operation: str, inputs: list[Any], attributes: Attributes) -> Call:
    """``tf.slice``: where to begin and how many places, -1 for all that are left."""
    x, begins, sizes = inputs
    pairs = zip(begins, sizes, strict=True)
    key = [part_of(begin, None if size == -1 else begin + size) for begin, size in pairs]
    return "__operators__.getitem", [x], {"slice_spec": key}


def of_split(operation: str, inputs: list[Any], attributes: Attributes) -> Call:
    if operation == "SplitV":
        x, parts, axis = inputs
    else:
        (axis, x), parts = inputs, attributes.number("num_split")
    return "split", [x], {"num_or_size_splits": parts, "axis": axis}


def of_squeeze(operation: str, inputs: list[Any], attributes: Attributes) -> Call:
    return "squeeze", inputs, {"axis": attributes.numbers("squeeze_dims") or None}


def of_stack(operation: str, inputs: list[Any], attributes: Attributes) -> Call | None:
    function = "stack" if operation == "Pack" else "unstack"
    return (function, inputs, {"axis": attributes.number("axis")}) if all(map(is_tensor, inputs)) else None


def of_strided_slice(operation: str, inputs: list[Any], attributes: Attributes) -> Call:
    """A subscript: begin, end and step of each part, and masks with a bit for each part."""
    x, begins, ends, steps = inputs
    masks = {word: attributes.number(f"{word}_mask") for word in MASKS}
    key: list[Any] = []
    for place, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        said = {word for word, mask in masks.items() if mask >> place & 1}
        if "ellipsis" in said:
            key.append({"class_name": "__ellipsis__"})
        elif "new_axis" in said:
            key.append(None)
        elif "shrink_axis" in said:
            key.append(begin)
        else:
            key.append(part_of(None if "begin" in said else begin, None if "end" in said else end, step))
    return "__operators__.getitem", [x], {"slice_spec": key}


def part_of(start: int | None, stop: int | None, step: int = 1) -> dict[str, Any]:
    """A slice of a subscript; beginning at 0 is beginning at the beginning."""
    start = None if start == 0 and step > 0 else start
    return {"start": start, "stop": stop, "step": None if step == 1 else step}


RULES: dict[str, Callable[[str, list[Any], Attributes], Call | None]] = {
    "AvgPool": of_pooling,
    "BatchMatMul": of_product,
    "BatchMatMulV2": of_product,
    "Cast": of_cast,
    "ClipByValue": of_bound,
    "Concat": of_concat,
    "ConcatV2": of_concat,
    "DepthToSpace": of_blocks,
    "Einsum": of_einsum,
    "GatherV2": of_gather,
    "IdentityN": of_first,
    "LeakyRelu": of_leaky_relu,
    "MatMul": of_product,
    "MaxPool": of_pooling,
    "MirrorPad": of_pad,
    "Pack": of_stack,
    "Pad": of_pad,
    "PadV2": of_pad,
    "ResizeBicubic": of_resizing,
    "ResizeBilinear": of_resizing,
    "ResizeNearestNeighbor": of_resizing,
    "Slice": of_slice,
    "SpaceToDepth": of_blocks,
    "Split": of_split,
    "SplitV": of_split,
    "Squeeze": of_squeeze,
    "StridedSlice": of_strided_slice,
    "Unpack": of_stack,
}
