"""Keras's layer configs -> the engine's fields: renamed keys, meanings that changed, and what may be ignored.

A key that the engine's layer does not have is accepted only with a value listed here, which then changes nothing; any
other value is an error that names layer and key. Supporting more of Keras is a row in one of the tables.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from dltool.errors import ModelFileError
from dltool.modelfile.graph_json import layer_class

ANY = object()

RENAMED = {
    "LeakyReLU": {"alpha": "negative_slope"},
    "MultiHeadAttention": {"output_shape": "output_size"},
    "EinsumDense": {"output_shape": "output_size"},
}
"""Keras 2's key -> Keras 3's, which is the engine's field."""

HARMLESS: dict[str, tuple[Any, ...]] = {
    "activity_regularizer": (None,),
    "kernel_constraint": (None,),
    "bias_constraint": (None,),
    "depthwise_constraint": (None,),
    "beta_constraint": (None,),
    "gamma_constraint": (None,),
    "data_format": (None, "channels_last"),
    "dynamic": (False,),
    "lora_rank": (None,),
    "lora_alpha": (None,),
    "quantization_mode": (None,),
    "quantization_config": (None,),
    "batch_input_shape": (ANY,),
    "batch_shape": (ANY,),
}
"""Keys that any layer may have, with the values that change nothing."""

SEED: dict[str, tuple[Any, ...]] = {"seed": (ANY,)}
SEPARABLE: dict[str, tuple[Any, ...]] = {
    "groups": (1,),
    "kernel_initializer": (ANY,),
    "kernel_regularizer": (None,),
    "kernel_constraint": (None,),
}
DEPTHWISE: dict[str, tuple[Any, ...]] = {
    "groups": (1,),
    "filters": (ANY,),
    "kernel_initializer": (ANY,),
    "kernel_regularizer": (None,),
}
RECURRENT: dict[str, tuple[Any, ...]] = {
    "unroll": (True, False),
    "implementation": (ANY,),
    "time_major": (False,),
    "use_cudnn": (ANY,),
    "seed": (ANY,),
    "input_length": (ANY,),
}
CONV_LSTM: dict[str, tuple[Any, ...]] = {
    **RECURRENT,
    "return_state": (False,),
    "stateful": (False,),
    "zero_output_for_mask": (ANY,),
}
LOCAL: dict[str, tuple[Any, ...]] = {"implementation": (1, 2)}
RANDOM_IMAGE: dict[str, tuple[Any, ...]] = {"seed": (ANY,), "rng_type": (ANY,), "bounding_box_format": (None,)}
HARMLESS_IN: dict[str, dict[str, tuple[Any, ...]]] = {
    "InputLayer": {"sparse": (ANY,), "ragged": (False, None), "optional": (False, None)},
    "BatchNormalization": {
        "synchronized": (False, None),
        "renorm": (False,),
        "renorm_clipping": (ANY,),
        "renorm_momentum": (ANY,),
        "fused": (ANY,),
        "virtual_batch_size": (None,),
        "adjustment": (None,),
    },
    "DepthwiseConv1D": {**DEPTHWISE, "rank": (1,)},
    "DepthwiseConv2D": {**DEPTHWISE, "rank": (2,)},
    "CategoryEncoding": {"sparse": (False,)},
    "Discretization": {"epsilon": (ANY,), "num_bins": (ANY,), "sparse": (False,)},
    "Dropout": {**SEED, "rng_type": (ANY,)},
    "ConvLSTM1D": CONV_LSTM,
    "ConvLSTM2D": CONV_LSTM,
    "ConvLSTM3D": CONV_LSTM,
    "GaussianNoise": SEED,
    "GaussianDropout": SEED,
    "AlphaDropout": {"noise_shape": (None,), "seed": (ANY,)},
    "SpatialDropout1D": {"noise_shape": (ANY,), "seed": (ANY,)},
    "SpatialDropout2D": {"noise_shape": (ANY,), "seed": (ANY,)},
    "SpatialDropout3D": {"noise_shape": (ANY,), "seed": (ANY,)},
    "RandomBrightness": RANDOM_IMAGE,
    "RandomContrast": RANDOM_IMAGE,
    "RandomCrop": RANDOM_IMAGE,
    "RandomFlip": RANDOM_IMAGE,
    "RandomHeight": RANDOM_IMAGE,
    "RandomRotation": RANDOM_IMAGE,
    "RandomTranslation": RANDOM_IMAGE,
    "RandomWidth": RANDOM_IMAGE,
    "RandomZoom": RANDOM_IMAGE,
    "SeparableConv1D": SEPARABLE,
    "SeparableConv2D": SEPARABLE,
    "Conv1DTranspose": {"groups": (1,)},
    "Conv2DTranspose": {"groups": (1,)},
    "Conv3DTranspose": {"groups": (1,)},
    "LocallyConnected1D": LOCAL,
    "LocallyConnected2D": LOCAL,
    "Resizing": {
        "pad_to_aspect_ratio": (False,),
        "fill_mode": (ANY,),
        "fill_value": (ANY,),
        "antialias": (False,),
    },
    "MultiHeadAttention": {
        "attention_axes": (None, [1]),
        "use_gate": (False,),
        "sliding_window": (None,),
        "flash_attention": (ANY,),
        "softmax_robust_masking": (False,),
        "query_shape": (ANY,),
        "key_shape": (ANY,),
        "value_shape": (ANY,),
        "seed": (ANY,),
    },
    "Attention": {"causal": (False,), "seed": (ANY,)},
    "AdditiveAttention": {"causal": (False,), "seed": (ANY,), "score_mode": ("dot",)},
    "LayerNormalization": {"rms_scaling": (False,)},
    "Embedding": {"input_length": (ANY,), "sparse": (False, None)},
    "SimpleRNN": RECURRENT,
    "LSTM": RECURRENT,
    "GRU": RECURRENT,
}
"""The same per class. Seeds are not kept: dltool draws its numbers from its own seeded streams."""

WRAPPED = ("layer", "backward_layer")
"""Keys whose value is another layer."""

FLOAT_TYPES = ("float32", "float16", "float64", "bfloat16", "mixed_float16", "mixed_bfloat16")
INPUT_TYPES = (*FLOAT_TYPES, "uint8", "uint16", "int8", "int16", "int32", "int64", "bool")


OF_INTEGERS = ("InputLayer", "Embedding", "CategoryEncoding", "Discretization")
"""Layers whose type may be one of whole numbers; the arithmetic is float32 all the same."""

OLD_CLASSES = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "UnifiedLSTM": "LSTM",
    "UnifiedGRU": "GRU",
    "CuDNNLSTM": "LSTM",
    "CuDNNGRU": "GRU",
    "Custom>CustomScaleLayer": "CustomScaleLayer",
}
"""Names of tf.keras 1.13, of the layers for GPUs, and under which tf_keras registers its own -> today's."""


def modern_entry(entry: dict[str, Any]) -> dict[str, Any]:
    """A layer entry under today's class name; what was built into a GPU layer becomes an option."""
    class_name, config = entry["class_name"], entry["config"]
    if class_name not in OLD_CLASSES or not isinstance(config, dict):
        return entry
    if class_name.startswith("CuDNN"):
        config = {**config, "activation": "tanh", "recurrent_activation": "sigmoid"}
    if class_name == "CuDNNGRU":
        config["reset_after"] = True
    return {**entry, "class_name": OLD_CLASSES[class_name], "config": config}


def canonical_config(name: str, entry: dict[str, Any], version: int) -> dict[str, Any]:
    """``{"class_name", "config"}`` with the engine's fields, of a layer entry of a Keras file.

    Args:
        version: the major version of Keras that wrote the file.

    Raises:
        ModelFileError: unknown class, a key with a value that would change the result.
    """
    class_name, config = entry["class_name"], entry["config"]
    cls = layer_class(class_name, name)
    if not isinstance(config, dict):
        raise ModelFileError(f"layer {name!r} ({class_name}): has no config; the file is damaged")
    known = {f.name for f in fields(cls)} - {"name"}
    harmless = {**HARMLESS, **HARMLESS_IN.get(class_name, {})}
    found: dict[str, Any] = {}
    for key, value in config.items():
        key = RENAMED.get(class_name, {}).get(key, key)
        if key in known and key in WRAPPED:
            found[key] = None if value is None else wrapped_config(name, value, version)
        elif key in known:
            found[key] = plain_number(value)
        elif key == "dtype":
            # Until Keras 2.2 the type of a first layer was that of its input, e.g. int32 for an Embedding.
            is_first = class_name in OF_INTEGERS or "batch_input_shape" in config
            check_type(name, class_name, value, INPUT_TYPES if is_first else FLOAT_TYPES)
        elif key != "name" and not is_harmless(harmless.get(key, ()), value):
            raise ModelFileError(unsupported(name, class_name, key, value))
    if class_name == "Normalization" and found.get("axis") == []:
        found["axis"] = None  # Keras turns None into an empty list itself
    if class_name == "InputLayer":
        found["shape"] = sample_shape(name, config)
    for key in ("activation", "recurrent_activation"):
        if key in found:
            found[key] = activation_name(name, class_name, found[key], version)
    if class_name == "GRU" and "reset_after" not in found:
        found["reset_after"] = False  # the option came with Keras 2.1.3, and files without it mean the older GRU
    if class_name == "BatchNormalization" and version == 2:
        # The fused kernel of Keras 2 works on images only; the reader clears the flag for other inputs.
        found["unbiased_moving_variance"] = True
    return {"class_name": class_name, "config": found}


def wrapped_config(name: str, value: Any, version: int) -> dict[str, Any]:
    """The layer inside a wrapper, as ``canonical_config`` gives it. Raises ModelFileError."""
    if not isinstance(value, dict) or not isinstance(value.get("class_name"), str) or "config" not in value:
        raise ModelFileError(f"layer {name!r}: holds {str(value)[:60]!r} and not a layer; the file is damaged")
    return canonical_config(name, modern_entry(value), version)


def is_harmless(allowed: tuple[Any, ...], value: Any) -> bool:
    return any(entry is ANY or (entry == value and type(entry) is type(value)) for entry in allowed)


def unsupported(name: str, class_name: str, key: str, value: Any) -> str:
    if key == "data_format":
        return f"layer {name!r} ({class_name}): uses data_format {value!r}; only channels_last models are supported"
    return f"layer {name!r} ({class_name}): the option {key}={str(value)[:80]!r} is not supported"


def check_type(name: str, class_name: str, dtype: Any, allowed: tuple[str, ...]) -> None:
    """Arithmetic is float32 whatever the file says; quantized layers store other numbers and are refused."""
    if dtype is not None and dtype not in allowed:
        raise ModelFileError(
            f"layer {name!r} ({class_name}): the type {str(dtype)[:60]!r} is not supported; use float32"
        )


def plain_number(value: Any) -> Any:
    """Keras 2 wrote some numbers as ``{"type": "ndarray", "value": 0.3}``."""
    if isinstance(value, dict) and value.get("type") == "ndarray":
        return value.get("value")
    return value


def sample_shape(name: str, config: dict[str, Any]) -> list[int | None]:
    """The input's shape without the batch axis."""
    shape = config.get("batch_shape") or config.get("batch_input_shape")
    if shape is None and isinstance(config.get("shape"), list):
        shape = [None, *config["shape"]]
    if not isinstance(shape, list) or not shape or not all(size is None or type(size) is int for size in shape):
        raise ModelFileError(
            f"input {name!r}: the file does not say its shape; build the model before saving it in Keras"
        )
    return shape[1:]


def activation_name(name: str, class_name: str, value: Any, version: int) -> str:
    """The engine's name of an activation. ``hard_sigmoid`` is 0.2x+0.5 before Keras 3 and x/6+0.5 since."""
    if value is None:
        return "linear"
    if isinstance(value, dict) and value.get("class_name") == "function":
        value = value.get("config")
    if isinstance(value, dict) and (value.get("class_name") == "__lambda__" or isinstance(value.get("value"), list)):
        raise ModelFileError(
            f"layer {name!r} ({class_name}): its activation is a Python function, which is code; dltool never runs "
            "code of a file, so name an activation in Keras and save the model again"
        )
    if not isinstance(value, str):
        shown = value.get("class_name") if isinstance(value, dict) else value
        raise ModelFileError(f"layer {name!r} ({class_name}): the activation {str(shown)[:60]!r} is not supported")
    return "hard_sigmoid_keras2" if value == "hard_sigmoid" and version < 3 else value
